//! SubmitJob, DescribeJobs, CancelJob and TerminateJob.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::{Outcome, json as wire};
use crate::error::ApiError;
use crate::events::JobStatus;
use crate::hub::Hub;
use crate::ids::{Arns, JobId};
use crate::model::job::{Job, JobKind};
use crate::model::submit::SubmitJob;

/// Batch's limit of ids in one DescribeJobs.
const MAX_DESCRIBED: usize = 100;

pub(super) fn submit(hub: &Arc<Hub>, request: SubmitJob) -> Outcome {
    hub.update(|state, now| {
        let id = state.submit(request, now)?;
        let name = &state.job(&id)?.spec.name;
        Ok(json!({"jobArn": state.arns.batch("job", id.as_str()), "jobName": name, "jobId": id}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stop {
    job_id: JobId,
    reason: String,
}

pub(super) fn cancel(hub: &Arc<Hub>, which: &Stop) -> Outcome {
    hub.update(|state, now| state.cancel(&which.job_id, &which.reason, now)).map(|()| json!({}))
}

pub(super) fn terminate(hub: &Arc<Hub>, which: &Stop) -> Outcome {
    hub.update(|state, now| state.terminate(&which.job_id, &which.reason, now)).map(|()| json!({}))
}

#[derive(Deserialize)]
pub(super) struct Describe {
    jobs: Vec<String>,
}

/// Unknown ids are left out of the answer, as Batch does.
pub(super) fn describe(hub: &Arc<Hub>, which: &Describe) -> Outcome {
    if which.jobs.is_empty() || which.jobs.len() > MAX_DESCRIBED {
        return Err(ApiError::client(format!("jobs takes 1 to {MAX_DESCRIBED} job ids")));
    }
    let ids = which.jobs.iter().map(|given| JobId(crate::ids::name_of(given).to_owned()));
    let found: Vec<Value> =
        hub.read(|state| ids.filter_map(|id| state.jobs.get(&id)).map(|job| detail(job, &state.arns)).collect());
    Ok(json!({"jobs": found}))
}

fn detail(job: &Job, arns: &Arns) -> Value {
    let spec = &job.spec;
    let mut shown = super::list::common(job, arns);
    let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    set("jobQueue", json!(spec.queue_arn));
    set("dependsOn", json!(spec.depends_on));
    set("parameters", json!(spec.parameters));
    set(
        "retryStrategy",
        json!({"attempts": spec.retry.attempts.unwrap_or(1), "evaluateOnExit": spec.retry.evaluate_on_exit}),
    );
    set("attempts", json!(job.attempts));
    set("tags", json!(spec.tags));
    set("propagateTags", json!(spec.propagate_tags.unwrap_or_default()));
    set("platformCapabilities", json!(["EC2"]));
    set("isCancelled", json!(job.is_cancelled));
    set("isTerminated", json!(job.is_terminated));
    if let Some(timeout) = spec.timeout {
        set("timeout", json!(timeout));
    }
    if let Some(share) = &spec.share_identifier {
        set("shareIdentifier", json!(share));
    }
    if let Some(priority) = spec.scheduling_priority {
        set("schedulingPriority", json!(priority));
    }
    set("container", container(job));
    Value::Object(shown)
}

/// The properties that the job runs with, and where its attempt under way or its last one is or was.
fn container(job: &Job) -> Value {
    let properties = wire::value(&job.spec.container);
    match &job.run {
        Some(run) => wire::merge(properties, wire::value(run)),
        None => wire::merge(properties, json!({"networkInterfaces": []})),
    }
}

/// `arrayProperties`, for those that have any.
pub(super) fn array_properties(job: &Job) -> Option<Value> {
    match &job.kind {
        JobKind::Single => None,
        JobKind::Child { index, .. } => Some(json!({"index": index})),
        JobKind::Parent { size, summary } => {
            let counts: Map<String, Value> =
                JobStatus::ALL.iter().zip(summary).map(|(status, n)| (status.as_str().to_owned(), json!(n))).collect();
            Some(json!({"size": size, "statusSummary": counts}))
        }
    }
}
