//! ListJobs, and what a job's summary and its detail have in common.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::jobs::array_properties;
use crate::api::{Outcome, page};
use crate::error::ApiError;
use crate::events::JobStatus;
use crate::hub::Hub;
use crate::ids::{Arns, JobId, name_of};
use crate::model::State;
use crate::model::job::{Job, JobKind};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    job_queue: Option<String>,
    array_job_id: Option<JobId>,
    multi_node_job_id: Option<String>,
    job_status: Option<JobStatus>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Filter {
    name: String,
    #[serde(default)]
    values: Vec<String>,
}

/// The jobs of a queue, newest first, or the children of an array in their order; RUNNING ones unless told otherwise.
pub(super) fn list(hub: &Arc<Hub>, which: &List) -> Outcome {
    if which.multi_node_job_id.is_some() {
        return Err(ApiError::client("multiNodeJobId: multi-node parallel jobs are not served here"));
    }
    let filters = which.filters.iter().map(Test::new).collect::<Result<Vec<_>, _>>()?;
    let status = which.job_status.or_else(|| filters.is_empty().then_some(JobStatus::Running));
    let wanted = |job: &&Job| match which.filters.is_empty() {
        true => status.is_none_or(|status| job.status == status),
        false => filters.iter().all(|test| test.holds(job)),
    };
    let found: Vec<Value> = hub.read(|state| {
        let jobs = which.candidates(state)?;
        Ok::<_, ApiError>(jobs.into_iter().filter(wanted).map(|job| Value::Object(summary(job, &state.arns))).collect())
    })?;
    Ok(page::page(found, which.max_results, which.next_token.as_deref(), 100)?.into_answer("jobSummaryList"))
}

impl List {
    fn candidates<'a>(&self, state: &'a State) -> Result<Vec<&'a Job>, ApiError> {
        match (&self.array_job_id, &self.job_queue) {
            (Some(id), _) => {
                let JobKind::Parent { size, .. } = state.job(id)?.kind else {
                    return Err(ApiError::client(format!("arrayJobId: job {id} is no array job")));
                };
                Ok((0..size).filter_map(|i| state.jobs.get(&id.child(i))).collect())
            }
            (None, Some(queue)) => {
                let queue = state.queues.get(name_of(queue)).ok_or_else(|| {
                    ApiError::client(format!("JobQueue {queue} not found; describe-job-queues shows those there are"))
                })?;
                let jobs = state.order.values().rev().filter_map(|id| state.jobs.get(id));
                let here =
                    |job: &&Job| job.spec.queue == queue.job_queue_name && !matches!(job.kind, JobKind::Child { .. });
                Ok(jobs.filter(here).collect())
            }
            (None, None) => Err(ApiError::client("One of jobQueue and arrayJobId is required")),
        }
    }
}

/// One filter; any of its values will do.
enum Test {
    Name(Vec<String>),
    Definition(Vec<String>),
    Before(i64),
    After(i64),
}

impl Test {
    fn new(filter: &Filter) -> Result<Self, ApiError> {
        let time = || {
            let text = filter.values.first().map(String::as_str).unwrap_or_default();
            text.parse::<i64>().map_err(|_| {
                ApiError::client(format!("filter {}: {text:?} is no time in milliseconds since the epoch", filter.name))
            })
        };
        match filter.name.as_str() {
            "JOB_NAME" => Ok(Self::Name(filter.values.clone())),
            "JOB_DEFINITION" => Ok(Self::Definition(filter.values.clone())),
            "BEFORE_CREATED_AT" => time().map(Self::Before),
            "AFTER_CREATED_AT" => time().map(Self::After),
            other => Err(ApiError::client(format!(
                "filter {other:?} is none of JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, AFTER_CREATED_AT"
            ))),
        }
    }

    fn holds(&self, job: &Job) -> bool {
        let glob = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
            Some(prefix) => text.to_lowercase().starts_with(&prefix.to_lowercase()),
            None => text.eq_ignore_ascii_case(pattern),
        };
        match self {
            Self::Name(values) => values.iter().any(|v| glob(v, &job.spec.name)),
            Self::Definition(values) => {
                let full = format!("{}:{}", job.spec.definition_name, job.spec.revision);
                values
                    .iter()
                    .any(|v| glob(v, &job.spec.definition_name) || glob(v, &full) || *v == job.spec.definition_arn)
            }
            Self::Before(at) => job.created_at < *at,
            Self::After(at) => job.created_at > *at,
        }
    }
}

/// What JobSummary and JobDetail share.
pub(super) fn common(job: &Job, arns: &Arns) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    set("jobArn", json!(arns.batch("job", job.id.as_str())));
    set("jobId", json!(job.id));
    set("jobName", json!(job.spec.name));
    set("jobDefinition", json!(job.spec.definition_arn));
    set("status", json!(job.status));
    set("createdAt", json!(job.created_at));
    let optional = [
        ("statusReason", job.status_reason.as_ref().map(|r| json!(r))),
        ("startedAt", job.started_at.map(|t| json!(t))),
        ("stoppedAt", job.stopped_at.map(|t| json!(t))),
        ("arrayProperties", array_properties(job)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            set(name, value);
        }
    }
    shown
}

fn summary(job: &Job, arns: &Arns) -> Map<String, Value> {
    let mut shown = common(job, arns);
    if let Some(run) = &job.run {
        let mut container = Map::new();
        if let Some(code) = run.exit_code {
            container.insert("exitCode".to_owned(), json!(code));
        }
        if let Some(reason) = &run.reason {
            container.insert("reason".to_owned(), json!(reason));
        }
        shown.insert("container".to_owned(), Value::Object(container));
    }
    shown
}
