//! `/v3/<endpoint>` and `/v4/<endpoint>`: a container asks about itself and its task (ecs-agent/tmds/handlers/v4).

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use node_core::{EndpointId, TaskRecord};
use serde::Serialize;
use serde_json::{Map, Value};

use super::credentials::json;
use super::shape::{self, ContainerAnswer, TaskAnswer, Version};
use super::{Shared, Subject, View, tags};
use crate::serve::deadline;

/// The one type of association that a job has.
const GPU: &str = "gpu";

type Asked = Path<(String, String)>;

/// A question that found its container.
struct Found {
    version: Version,
    view: View,
    record: TaskRecord,
    /// The container's place in its task.
    at: usize,
}

pub(super) async fn container(State(shared): State<Shared>, Path((version, endpoint)): Asked) -> Response {
    let found = match find(&shared, &version, &endpoint, Wanted::Container).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    match shown(&shared, &found.record, found.at, found.version).await {
        Some(answer) => ok(&answer),
        None => refuse(StatusCode::NOT_FOUND, found.version, Wanted::Container, &endpoint),
    }
}

pub(super) async fn task(State(shared): State<Shared>, Path((version, endpoint)): Asked) -> Response {
    match find(&shared, &version, &endpoint, Wanted::Task).await {
        Ok(found) => ok(&whole(&shared, &found).await),
        Err(refusal) => refusal,
    }
}

pub(super) async fn task_with_tags(State(shared): State<Shared>, Path((version, endpoint)): Asked) -> Response {
    let found = match find(&shared, &version, &endpoint, Wanted::Task).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let mut answer = whole(&shared, &found).await;
    if let Some(ecs) = &found.view.ecs {
        let instance = found.view.place.container_instance.as_deref().unwrap_or_default();
        let (of_task, of_instance) = tokio::join!(
            tags::of(ecs, "TaskTags", found.record.arn().as_str()),
            tags::of(ecs, "ContainerInstanceTags", instance)
        );
        let mut keep = |tags: Result<tags::Tags, _>| match tags {
            Ok(tags) => Some(tags).filter(|tags| !tags.is_empty()),
            Err(error) => {
                answer.errors.push(error);
                None
            }
        };
        let (of_task, of_instance) = (keep(of_task), keep(of_instance));
        (answer.task_tags, answer.container_instance_tags) = (of_task, of_instance);
    }
    ok(&answer)
}

pub(super) async fn stats(State(shared): State<Shared>, Path((version, endpoint)): Asked) -> Response {
    let found = match find(&shared, &version, &endpoint, Wanted::StatsTask).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let id = found.record.containers.get(found.at).and_then(|state| state.docker_id.clone());
    match id {
        Some(id) => match shared.statistics.of(&id).await {
            Some(answer) => ok(&answer),
            None => said(StatusCode::INTERNAL_SERVER_ERROR, &format!("Unable to get container stats for: {id}")),
        },
        None => refuse(StatusCode::NOT_FOUND, found.version, Wanted::ContainerStats, &endpoint),
    }
}

/// The host's deadline, for a job that polls. amazon-ecs-agent has no such path.
pub(super) async fn interruption(State(shared): State<Shared>, Path((version, endpoint)): Asked) -> Response {
    match find(&shared, &version, &endpoint, Wanted::Task).await {
        Ok(found) if found.version == Version::V4 => {
            ok(&serde_json::json!({ "deadline": found.view.deadline.as_ref().map(deadline::shown) }))
        }
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        Err(refusal) => refusal,
    }
}

/// By Docker's id; null for a container that has no statistics (any more).
pub(super) async fn task_stats(State(shared): State<Shared>, Path((version, endpoint)): Asked) -> Response {
    let found = match find(&shared, &version, &endpoint, Wanted::TaskStats).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let ids = found.record.containers.iter().filter_map(|state| state.docker_id.clone());
    let each = ids.map(|id| {
        let statistics = shared.statistics.clone();
        async move { (id.to_string(), statistics.of(&id).await.unwrap_or(Value::Null)) }
    });
    let all: Map<String, Value> = futures_util::future::join_all(each).await.into_iter().collect();
    ok(&all)
}

/// A container's GPUs are all the associations there are; none is written as null.
pub(super) async fn associations(
    State(shared): State<Shared>,
    Path((version, endpoint, kind)): Path<(String, String, String)>,
) -> Response {
    let found = match find(&shared, &version, &endpoint, Wanted::Associations).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let gpus = found.record.spec.containers.get(found.at).map(|container| &container.gpus);
    let names = gpus.filter(|gpus| kind == GPU && !gpus.is_empty());
    ok(&serde_json::json!({ "Associations": names }))
}

/// What ECS has put into an association of the task, whichever container has it. Into a GPU's it puts nothing.
pub(super) async fn association(
    State(shared): State<Shared>,
    Path((version, endpoint, kind, name)): Path<(String, String, String, String)>,
) -> Response {
    let found = match find(&shared, &version, &endpoint, Wanted::Association).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    if kind == GPU && found.record.spec.containers.iter().any(|container| container.gpus.contains(&name)) {
        return json(StatusCode::OK, String::new());
    }
    let text = format!(
        "Unable to write container association response: unable to get association from association type {kind} and \
         association name {name}"
    );
    said(StatusCode::BAD_REQUEST, &text)
}

async fn whole(shared: &Shared, found: &Found) -> TaskAnswer {
    let places = 0..found.record.containers.len();
    let each = places.map(|at| shown(shared, &found.record, at, found.version));
    let containers = futures_util::future::join_all(each).await.into_iter().flatten().collect();
    shape::task(&found.record, &found.view.place, containers, found.version)
}

/// `None` for a container that Docker has not made yet, which amazon-ecs-agent leaves out too.
async fn shown(shared: &Shared, record: &TaskRecord, at: usize, version: Version) -> Option<ContainerAnswer> {
    let (spec, state) = (record.spec.containers.get(at)?, record.containers.get(at)?);
    let shown = shared.docker.shown(state.docker_id.as_ref()?).await;
    Some(shape::container(record, spec, state, shown, version))
}

#[derive(Clone, Copy)]
enum Wanted {
    Container,
    Task,
    /// The statistics of a container: first its task is looked up,
    StatsTask,
    /// and then the container itself.
    ContainerStats,
    TaskStats,
    Associations,
    Association,
}

async fn find(shared: &Shared, version: &str, endpoint: &str, wanted: Wanted) -> Result<Found, Response> {
    let version = match version {
        "v3" => Version::V3,
        "v4" => Version::V4,
        _ => return Err(StatusCode::NOT_FOUND.into_response()),
    };
    let Some(mut view) = shared.ask(Subject::Endpoint(EndpointId::new(endpoint))).await else {
        return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, version, wanted, endpoint));
    };
    let asked = view.container.take().zip(view.tasks.pop());
    let found = asked.and_then(|(name, record)| {
        let at = record.spec.containers.iter().position(|c| c.name == name)?;
        Some((record, at))
    });
    match found {
        Some((record, at)) => Ok(Found { version, view, record, at }),
        None => Err(refuse(StatusCode::NOT_FOUND, version, wanted, endpoint)),
    }
}

/// amazon-ecs-agent's own texts: a JSON string each. Where it knows no association's container, it answers 400.
fn refuse(status: StatusCode, version: Version, wanted: Wanted, endpoint: &str) -> Response {
    let container = format!("unable to get docker ID from v3 endpoint ID: {endpoint}");
    let task = format!("unable to get task Arn from v3 endpoint ID: {endpoint}");
    let (status, text) = match wanted {
        Wanted::Container => {
            (status, format!("container metadata handler: unable to get container ID from request: {container}"))
        }
        Wanted::Task => (status, format!("task metadata handler: unable to get task arn from request: {task}")),
        Wanted::StatsTask => (status, format!("container stats handler: unable to get task arn from request: {task}")),
        Wanted::ContainerStats => {
            (status, format!("container stats handler: unable to get container ID from request: {container}"))
        }
        Wanted::TaskStats => (status, format!("task stats handler: unable to get task arn from request: {task}")),
        Wanted::Associations => (
            StatusCode::BAD_REQUEST,
            format!("container associations handler: unable to get container id from request: {container}"),
        ),
        Wanted::Association => (
            StatusCode::BAD_REQUEST,
            format!("container associations handler: unable to get task arn from request: {task}"),
        ),
    };
    said(status, &format!("{} {text}", if version == Version::V3 { "V3" } else { "V4" }))
}

fn said(status: StatusCode, text: &str) -> Response {
    json(status, Value::from(text).to_string())
}

fn ok(answer: &impl Serialize) -> Response {
    match serde_json::to_string(answer) {
        Ok(text) => json(StatusCode::OK, text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
