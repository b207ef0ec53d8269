//! Job queues.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Outcome, json as wire, page};
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::{JobId, name_of};
use crate::model::State;
use crate::model::batch::{ComputeEnvironmentOrder, JobQueue, Switch, Tags, valid_name};

/// Batch's limit of environments in a queue.
const MAX_ENVIRONMENTS: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    job_queue_name: String,
    #[serde(default)]
    state: Switch,
    priority: i64,
    #[serde(default)]
    compute_environment_order: Vec<ComputeEnvironmentOrder>,
    scheduling_policy_arn: Option<String>,
    #[serde(default)]
    tags: Tags,
}

pub(super) fn create(hub: &Arc<Hub>, new: Create) -> Outcome {
    let name = new.job_queue_name.clone();
    valid_name("jobQueueName", &name)?;
    if new.scheduling_policy_arn.is_some() {
        return Err(ApiError::client(
            "schedulingPolicyArn: only first-in-first-out queues are served here; leave it out",
        ));
    }
    hub.update(|state, _| {
        if state.queues.contains_key(&name) {
            return Err(ApiError::client("Object already exists"));
        }
        let queue = JobQueue {
            job_queue_arn: state.arns.batch("job-queue", &name),
            job_queue_name: name.clone(),
            state: new.state,
            priority: valid_priority(new.priority)?,
            compute_environment_order: in_order(state, new.compute_environment_order)?,
            tags: new.tags,
        };
        let answer = json!({"jobQueueName": name, "jobQueueArn": queue.job_queue_arn});
        state.queues.insert(name, queue);
        Ok(answer)
    })
}

fn valid_priority(priority: i64) -> Result<i64, ApiError> {
    if (0..=1000).contains(&priority) {
        return Ok(priority);
    }
    Err(ApiError::client(format!("priority must be 0 to 1000, and is {priority}")))
}

fn in_order(
    state: &mut State,
    mut order: Vec<ComputeEnvironmentOrder>,
) -> Result<Vec<ComputeEnvironmentOrder>, ApiError> {
    if order.is_empty() || order.len() > MAX_ENVIRONMENTS {
        return Err(ApiError::client(format!(
            "computeEnvironmentOrder needs 1 to {MAX_ENVIRONMENTS} compute environments"
        )));
    }
    order.sort_by_key(|o| o.order);
    if order.windows(2).any(|pair| pair[0].order == pair[1].order) {
        return Err(ApiError::client("computeEnvironmentOrder: two compute environments have the same order"));
    }
    for entry in &mut order {
        entry.compute_environment =
            super::environments::find(state, &entry.compute_environment)?.compute_environment_arn.clone();
    }
    Ok(order)
}

fn find<'a>(state: &'a mut State, name_or_arn: &str) -> Result<&'a mut JobQueue, ApiError> {
    state.queues.get_mut(name_of(name_or_arn)).ok_or_else(|| {
        ApiError::client(format!("JobQueue {name_or_arn} not found; describe-job-queues shows those there are"))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    job_queue: String,
    state: Option<Switch>,
    priority: Option<i64>,
    compute_environment_order: Option<Vec<ComputeEnvironmentOrder>>,
}

pub(super) fn update(hub: &Arc<Hub>, change: Update) -> Outcome {
    hub.update(|state, _| {
        find(state, &change.job_queue)?;
        let order = change.compute_environment_order.map(|order| in_order(state, order)).transpose()?;
        let priority = change.priority.map(valid_priority).transpose()?;
        let queue = find(state, &change.job_queue)?;
        queue.state = change.state.unwrap_or(queue.state);
        queue.priority = priority.unwrap_or(queue.priority);
        if let Some(order) = order {
            queue.compute_environment_order = order;
        }
        Ok(json!({"jobQueueName": queue.job_queue_name, "jobQueueArn": queue.job_queue_arn}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete {
    job_queue: String,
}

/// The queue's jobs end with it.
pub(super) fn delete(hub: &Arc<Hub>, which: &Delete) -> Outcome {
    hub.update(|state, now| {
        let queue = find(state, &which.job_queue)?;
        if queue.state == Switch::Enabled {
            return Err(ApiError::client("Cannot delete, job queue must be DISABLED first"));
        }
        let name = queue.job_queue_name.clone();
        let jobs: Vec<JobId> = state
            .jobs
            .values()
            .filter(|j| j.spec.queue == name && !j.status.is_final())
            .map(|j| j.id.clone())
            .collect();
        for id in jobs {
            state.terminate(&id, "Job queue was deleted", now)?;
        }
        state.runnable.remove(&name);
        state.queues.remove(&name);
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    #[serde(default)]
    job_queues: Vec<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(hub: &Arc<Hub>, which: &Describe) -> Outcome {
    let names: Vec<&str> = which.job_queues.iter().map(|n| name_of(n)).collect();
    let fixed = || json!({"status": "VALID", "statusReason": "JobQueue Healthy", "jobStateTimeLimitActions": []});
    let found: Vec<Value> = hub.read(|state| {
        let wanted = |q: &&JobQueue| names.is_empty() || names.contains(&q.job_queue_name.as_str());
        state.queues.values().filter(wanted).map(|q| wire::merge(wire::value(q), fixed())).collect()
    });
    Ok(page::page(found, which.max_results, which.next_token.as_deref(), 100)?.into_answer("jobQueues"))
}
