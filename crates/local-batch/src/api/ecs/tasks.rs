//! Tasks: the state changes that agents submit, and the describes.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Paging, acknowledgment, missing, shown};
use crate::api::Outcome;
use crate::clock;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::{TaskArn, name_of};
use crate::model::State;
use crate::model::attempt::{ContainerChange, TaskChange};
use crate::model::cluster::{Task, TaskStatus};
use crate::model::payload::CONTAINER;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Submit {
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    task: String,
    /// Absent from an attachment's confirmation.
    status: Option<TaskStatus>,
    reason: Option<String>,
    #[serde(default)]
    containers: Vec<Container>,
    pull_started_at: Option<f64>,
    pull_stopped_at: Option<f64>,
    execution_stopped_at: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    container_name: String,
    runtime_id: Option<String>,
    exit_code: Option<i32>,
    reason: Option<String>,
    image_digest: Option<String>,
}

pub(super) fn submit(hub: &Arc<Hub>, request: Submit) -> Outcome {
    let container = request.containers.into_iter().find(|c| c.container_name == CONTAINER);
    let Some(status) = request.status else { return Ok(acknowledgment()) };
    let change = TaskChange {
        task: TaskArn(request.task),
        status,
        reason: request.reason,
        container: container.map(|c| ContainerChange {
            runtime_id: c.runtime_id,
            exit_code: c.exit_code,
            reason: c.reason,
            image_digest: c.image_digest,
        }),
        pull_started_at: request.pull_started_at.map(clock::from_seconds),
        pull_stopped_at: request.pull_stopped_at.map(clock::from_seconds),
        execution_stopped_at: request.execution_stopped_at.map(clock::from_seconds),
    };
    hub.update(|state, now| {
        if let Some(cluster) = &request.cluster {
            state.cluster(cluster)?;
        }
        state.change_task(change, now)
    })
    .map(|()| acknowledgment())
}

#[derive(Deserialize)]
pub(super) struct Describe {
    #[serde(default)]
    cluster: String,
    tasks: Vec<String>,
}

pub(super) fn describe(hub: &Arc<Hub>, which: &Describe) -> Outcome {
    hub.read(|state| {
        let cluster = &state.cluster(&which.cluster)?.name;
        let find = |given: &String| {
            let arn = TaskArn(state.arns.ecs("task", &format!("{cluster}/{}", name_of(given))));
            state.tasks.get(&arn).ok_or_else(|| missing(given))
        };
        let (found, failures): (Vec<_>, Vec<_>) = which.tasks.iter().map(find).partition(Result::is_ok);
        let found: Vec<Value> = found.into_iter().flatten().map(|task| shown::task(state, task)).collect();
        let failures: Vec<Value> = failures.into_iter().filter_map(Result::err).collect();
        Ok(json!({"tasks": found, "failures": failures}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    #[serde(default)]
    cluster: String,
    container_instance: Option<String>,
    family: Option<String>,
    desired_status: Option<TaskStatus>,
    #[serde(flatten)]
    paging: Paging,
}

/// Those that are to run, unless STOPPED ones are asked for.
pub(super) fn list(hub: &Arc<Hub>, which: &List) -> Outcome {
    let arns: Vec<Value> = hub.read(|state: &State| {
        let cluster = &state.cluster(&which.cluster)?.name;
        let stopped = which.desired_status == Some(TaskStatus::Stopped);
        let wanted = |task: &&Task| {
            task.cluster == *cluster
                && (task.stop_wanted || task.status == TaskStatus::Stopped) == stopped
                && which.family.as_ref().is_none_or(|family| *family == task.wire.family)
                && which.container_instance.as_ref().is_none_or(|i| name_of(i) == name_of(task.instance.as_str()))
        };
        Ok::<_, ApiError>(state.tasks.values().filter(wanted).map(|task| json!(task.arn)).collect())
    })?;
    which.paging.answer(arns, "taskArns")
}
