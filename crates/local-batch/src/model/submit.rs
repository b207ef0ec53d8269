//! SubmitJob: from a request to a job, or to an array of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use super::State;
use super::batch::{DefinitionStatus, JobDefinition, JobTimeout, Switch, Tags, valid_name};
use super::container::ContainerOverrides;
use super::job::{DependencyKind, Job, JobDependency, JobKind, JobSpec};
use super::lifecycle::DEPENDENCY_FAILED;
use super::retry::RetryStrategy;
use crate::clock::Millis;
use crate::error::ApiError;
use crate::events::JobStatus;
use crate::ids::{JobId, name_of};

/// Batch's limits of an array.
const ARRAY_SIZE: std::ops::RangeInclusive<i64> = 2..=10_000;
/// And of the jobs that a job may wait for.
const MAX_DEPENDENCIES: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubmitJob {
    job_name: String,
    job_queue: String,
    job_definition: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    #[serde(default)]
    container_overrides: ContainerOverrides,
    #[serde(default)]
    depends_on: Vec<JobDependency>,
    array_properties: Option<ArrayProperties>,
    retry_strategy: Option<RetryStrategy>,
    timeout: Option<JobTimeout>,
    #[serde(default)]
    tags: Tags,
    propagate_tags: Option<bool>,
    share_identifier: Option<String>,
    scheduling_priority_override: Option<i64>,
    node_overrides: Option<serde_json::Value>,
    eks_properties_override: Option<serde_json::Value>,
    ecs_properties_override: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct ArrayProperties {
    size: Option<i64>,
}

impl State {
    /// Takes a job in; it is settled afterwards.
    pub(crate) fn submit(&mut self, request: SubmitJob, now: Millis) -> Result<JobId, ApiError> {
        let size = array_size(&request)?;
        let spec = Arc::new(self.specify(request)?);
        self.check_dependencies(&spec.depends_on, size)?;
        let id = JobId::fresh();
        match size {
            None => self.admit(Job::new(id.clone(), 0, spec.clone(), JobKind::Single, now)),
            Some(size) => {
                let summary = [size, 0, 0, 0, 0, 0, 0];
                self.admit(Job::new(id.clone(), 0, spec.clone(), JobKind::Parent { size, summary }, now));
                for index in 0..size {
                    let kind = JobKind::Child { parent: id.clone(), index };
                    self.admit(Job::new(id.child(index), 0, spec.clone(), kind, now));
                }
            }
        }
        self.fail_if_doomed(&spec.depends_on, size, now);
        Ok(id)
    }

    fn admit(&mut self, mut job: Job) {
        job.seq = self.next_ordinal();
        let id = job.id.clone();
        job.waiting_on = self.unmet(&job);
        for on in &job.waiting_on {
            self.dependents.entry(on.clone()).or_default().push(id.clone());
        }
        let ready = job.waiting_on.is_empty() && !job.is_parent();
        self.order.insert(job.seq, id.clone());
        self.jobs.insert(id.clone(), job);
        self.set_status(&id, JobStatus::Submitted);
        self.set_status(&id, JobStatus::Pending);
        if ready {
            self.make_runnable(&id);
        }
    }

    /// The jobs whose success `job` has to wait for. An array's parent waits only for its children.
    fn unmet(&self, job: &Job) -> BTreeSet<JobId> {
        let index = match job.kind {
            JobKind::Parent { .. } => return BTreeSet::new(),
            JobKind::Child { index, .. } => Some(index),
            JobKind::Single => None,
        };
        let mut on = BTreeSet::new();
        for dependency in &job.spec.depends_on {
            match (&dependency.job_id, dependency.kind, index) {
                (Some(id), Some(DependencyKind::NToN), Some(index)) => on.insert(id.child(index)),
                (Some(id), _, _) => on.insert(id.clone()),
                (None, _, Some(index)) if index > 0 => match &job.kind {
                    JobKind::Child { parent, .. } => on.insert(parent.child(index - 1)),
                    _ => false,
                },
                _ => false,
            };
        }
        on.retain(|id| self.jobs.get(id).is_none_or(|job| job.status != JobStatus::Succeeded));
        on
    }

    /// Fails what depends on a job that has failed already.
    fn fail_if_doomed(&mut self, depends_on: &[JobDependency], size: Option<u32>, now: Millis) {
        let mut failed = Vec::new();
        for dependency in depends_on {
            match (&dependency.job_id, dependency.kind) {
                (Some(id), Some(DependencyKind::NToN)) => failed.extend((0..size.unwrap_or(0)).map(|i| id.child(i))),
                (Some(id), _) => failed.push(id.clone()),
                (None, _) => {}
            }
        }
        failed.retain(|id| self.jobs.get(id).is_some_and(|job| job.status == JobStatus::Failed));
        for on in failed {
            for dependent in self.dependents.remove(&on).unwrap_or_default() {
                self.finish(&dependent, false, Some(DEPENDENCY_FAILED.to_owned()), now);
            }
        }
    }

    fn specify(&self, request: SubmitJob) -> Result<JobSpec, ApiError> {
        valid_name("jobName", &request.job_name)?;
        if request.node_overrides.is_some()
            || request.eks_properties_override.is_some()
            || request.ecs_properties_override.is_some()
        {
            return Err(ApiError::client("Only container jobs are served here: use containerOverrides"));
        }
        let queue = self.queues.get(name_of(&request.job_queue)).ok_or_else(|| {
            ApiError::client(format!(
                "JobQueue {} not found; describe-job-queues shows those there are",
                request.job_queue
            ))
        })?;
        if queue.state == Switch::Disabled {
            return Err(ApiError::client(format!(
                "JobQueue {} is DISABLED; enable it with update-job-queue --state ENABLED",
                queue.job_queue_name
            )));
        }
        let definition = self.definition(&request.job_definition)?;
        let mut parameters = definition.parameters.clone();
        parameters.extend(request.parameters);
        let container = definition.container_properties.with(&request.container_overrides, &parameters)?;
        let retry = request.retry_strategy.or_else(|| definition.retry_strategy.clone()).unwrap_or_default();
        retry.validate()?;
        if let Some(timeout) = request.timeout {
            timeout.validate()?;
        }
        Ok(JobSpec {
            name: request.job_name,
            queue: queue.job_queue_name.clone(),
            queue_arn: queue.job_queue_arn.clone(),
            definition_name: definition.job_definition_name.clone(),
            definition_arn: definition.job_definition_arn.clone(),
            revision: definition.revision,
            shape: container.shape()?,
            container,
            parameters,
            retry,
            timeout: request.timeout.or(definition.timeout),
            depends_on: request.depends_on,
            tags: request.tags,
            propagate_tags: request.propagate_tags.or(definition.propagate_tags),
            share_identifier: request.share_identifier,
            scheduling_priority: request.scheduling_priority_override.or(definition.scheduling_priority),
        })
    }

    /// `name` (its latest active revision), `name:revision` or an ARN.
    pub(crate) fn definition(&self, given: &str) -> Result<&JobDefinition, ApiError> {
        let unknown = || {
            ApiError::client(format!("JobDefinition {given} not found; describe-job-definitions shows those there are"))
        };
        let (name, revision) = match name_of(given).rsplit_once(':') {
            Some((name, revision)) => (name, Some(revision.parse::<u32>().map_err(|_| unknown())?)),
            None => (name_of(given), None),
        };
        let revisions = self.definitions.get(name).ok_or_else(unknown)?;
        let active = |d: &&JobDefinition| d.status == DefinitionStatus::Active;
        match revision {
            None => revisions.iter().rev().find(active).ok_or_else(unknown),
            Some(n) => revisions.iter().find(|d| d.revision == n).ok_or_else(unknown).and_then(|d| {
                Some(d)
                    .filter(active)
                    .ok_or_else(|| ApiError::client(format!("JobDefinition {given} is INACTIVE: it was deregistered")))
            }),
        }
    }

    fn check_dependencies(&self, depends_on: &[JobDependency], size: Option<u32>) -> Result<(), ApiError> {
        if depends_on.len() > MAX_DEPENDENCIES {
            return Err(ApiError::client(format!("dependsOn takes at most {MAX_DEPENDENCIES} jobs")));
        }
        for dependency in depends_on {
            match (&dependency.job_id, dependency.kind) {
                (None, Some(DependencyKind::Sequential)) if size.is_some() => {}
                (None, _) => {
                    return Err(ApiError::client("dependsOn needs a jobId, or type SEQUENTIAL on an array job"));
                }
                (Some(id), Some(DependencyKind::NToN)) => {
                    let JobKind::Parent { size: theirs, .. } = self.job(id)?.kind else {
                        return Err(ApiError::client(format!("dependsOn type N_TO_N: job {id} is no array job")));
                    };
                    if size != Some(theirs) {
                        return Err(ApiError::client(format!(
                            "dependsOn type N_TO_N: this job and array job {id} of size {theirs} must be of one size"
                        )));
                    }
                }
                (Some(id), _) => self.job(id).map(|_| ())?,
            }
        }
        Ok(())
    }
}

fn array_size(request: &SubmitJob) -> Result<Option<u32>, ApiError> {
    let Some(size) = request.array_properties.as_ref().and_then(|a| a.size) else { return Ok(None) };
    match u32::try_from(size) {
        Ok(n) if ARRAY_SIZE.contains(&size) => Ok(Some(n)),
        _ => Err(ApiError::client(format!(
            "arrayProperties.size must be {} to {}, and is {size}",
            ARRAY_SIZE.start(),
            ARRAY_SIZE.end()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use crate::events::JobStatus;
    use crate::model::testing::{World, status};

    #[test]
    fn bad_submissions_are_refused_with_what_to_do() {
        let mut w = World::new();
        let mut message = |json| w.try_submit(json).unwrap_err().message;
        assert!(message(serde_json::json!({"jobQueue": "nope"})).contains("JobQueue nope not found"));
        assert!(message(serde_json::json!({"jobDefinition": "nope"})).contains("JobDefinition nope not found"));
        assert!(message(serde_json::json!({"jobDefinition": "d:7"})).contains("d:7 not found"));
        assert!(message(serde_json::json!({"jobName": "a b"})).contains("jobName"));
        assert!(message(serde_json::json!({"arrayProperties": {"size": 1}})).contains("2 to 10000"));
        assert!(message(serde_json::json!({"dependsOn": [{"jobId": "x"}]})).contains("Job x not found"));
        assert!(message(serde_json::json!({"dependsOn": [{"type": "SEQUENTIAL"}]})).contains("array job"));
        assert!(message(serde_json::json!({"timeout": {"attemptDurationSeconds": 59}})).contains("at least 60"));
        assert!(message(serde_json::json!({"retryStrategy": {"attempts": 11}})).contains("1 to 10"));
    }

    #[test]
    fn depending_on_what_is_over_already() {
        let mut w = World::new();
        let a = w.submit(serde_json::json!({}));
        w.state.finish(&a, true, None, 2);
        let b = w.submit(serde_json::json!({"dependsOn": [{"jobId": a.as_str()}]}));
        assert_eq!(status(&w.state, &b), JobStatus::Runnable);
        w.state.finish(&b, false, None, 3);
        let c = w.submit(serde_json::json!({"dependsOn": [{"jobId": b.as_str()}]}));
        assert_eq!(status(&w.state, &c), JobStatus::Failed);
    }
}
