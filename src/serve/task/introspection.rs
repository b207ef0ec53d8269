//! The agent's introspection: which node this is, and all its tasks (ecs-agent/introspection). It tells no secret, and yet is
//! served on the loopback only.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use node_core::{ContainerSpec, ContainerState, TaskRecord};
use serde::Serialize;
use serde_json::json;

use super::credentials::json as answer;
use super::shape::{self, Port};
use super::{Shared, Subject, query};

/// In the form of amazon-ecs-agent's, which tools parse.
const VERSION: &str = concat!("Amazon ECS Agent - v1.105.1 (batch-node-agent ", env!("CARGO_PKG_VERSION"), ")");

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    arn: String,
    desired_status: &'static str,
    known_status: &'static str,
    family: String,
    version: String,
    containers: Vec<Container>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    docker_id: String,
    docker_name: String,
    name: String,
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Port>,
}

pub(super) async fn index() -> Response {
    answer(StatusCode::OK, json!({ "AvailableCommands": ["/v1/metadata", "/v1/tasks"] }).to_string())
}

pub(super) async fn metadata(State(shared): State<Shared>) -> Response {
    let place = shared.place.borrow().clone();
    let body =
        json!({ "Cluster": place.cluster, "ContainerInstanceArn": place.container_instance, "Version": VERSION });
    answer(StatusCode::OK, body.to_string())
}

/// All tasks, or with `?taskarn=` or `?dockerid=` (a beginning of it suffices) the one.
pub(super) async fn tasks(State(shared): State<Shared>, uri: Uri) -> Response {
    let Some(view) = shared.ask(Subject::All).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (arn, docker) = (query(&uri, "taskarn"), query(&uri, "dockerid"));
    if arn.is_none() && docker.is_none() {
        let all: Vec<Task> = view.tasks.iter().map(task).collect();
        return answer(StatusCode::OK, json!({ "Tasks": all }).to_string());
    }
    let has = |record: &&TaskRecord| {
        let by_id = |id: &str| {
            let mut ids = record.containers.iter().filter_map(|c| c.docker_id.as_ref());
            !id.is_empty() && ids.any(|known| known.as_str().starts_with(id))
        };
        arn.is_some_and(|arn| record.arn().as_str() == arn) || docker.is_some_and(by_id)
    };
    match view.tasks.iter().find(has) {
        Some(record) => answer(StatusCode::OK, json!(task(record)).to_string()),
        None => answer(StatusCode::NOT_FOUND, "{}".to_owned()),
    }
}

fn task(record: &TaskRecord) -> Task {
    Task {
        arn: record.arn().to_string(),
        desired_status: shape::desired(record),
        known_status: shape::known(record),
        family: record.spec.family.clone(),
        version: record.spec.version.clone(),
        containers: record.spec.containers.iter().zip(&record.containers).map(container).collect(),
    }
}

fn container((spec, state): (&ContainerSpec, &ContainerState)) -> Container {
    Container {
        docker_id: state.docker_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        docker_name: state.docker_name.to_string(),
        name: spec.name.to_string(),
        image: spec.image.clone(),
        started_at: state.started_at.and_then(shape::time),
        ports: shape::ports(&state.bindings),
    }
}
