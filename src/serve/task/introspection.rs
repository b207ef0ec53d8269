//! The agent's introspection: which node this is, and all its tasks (ecs-agent/introspection). It tells no secret, and yet is
//! served on the loopback only.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use node_core::{ContainerSpec, ContainerState, TaskRecord};
use serde::Serialize;
use serde_json::json;

use super::credentials::json as answer;
use super::shape::{self, Network, Port};
use super::{Shared, Subject, query};
use crate::docker::Volume;

/// Tasks that are asked about at Docker's at once.
const INSPECTIONS: usize = 8;
/// Of Docker's short ids.
const SHORT: usize = 12;

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
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Port>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<Network>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Volume>,
}

pub(super) async fn index() -> Response {
    answer(StatusCode::OK, json!({ "AvailableCommands": ["/v1/metadata", "/v1/tasks", "/license"] }).to_string())
}

pub(super) async fn license() -> &'static str {
    include_str!("../../../LICENSE")
}

pub(super) async fn metadata(State(shared): State<Shared>) -> Response {
    let place = shared.place.borrow().clone();
    let body =
        json!({ "Cluster": place.cluster, "ContainerInstanceArn": place.container_instance, "Version": VERSION });
    answer(StatusCode::OK, body.to_string())
}

/// All tasks, or with `?taskarn=` or `?dockerid=` (its first twelve digits suffice) the one.
pub(super) async fn tasks(State(shared): State<Shared>, uri: Uri) -> Response {
    let (arn, docker) = (query(&uri, "taskarn"), query(&uri, "dockerid"));
    if arn.is_some() && docker.is_some() {
        return nothing(StatusCode::BAD_REQUEST);
    }
    let Some(view) = shared.ask(Subject::All).await else {
        return nothing(StatusCode::INTERNAL_SERVER_ERROR);
    };
    if arn.is_none() && docker.is_none() {
        let each = view.tasks.into_iter().map(|record| {
            let shared = shared.clone();
            async move { task(&shared, &record).await }
        });
        let all: Vec<Task> = stream::iter(each).buffered(INSPECTIONS).collect().await;
        return answer(StatusCode::OK, json!({ "Tasks": all }).to_string());
    }
    let has = |record: &&TaskRecord| {
        let by_id = |id: &str| {
            let mut ids = record.containers.iter().filter_map(|c| c.docker_id.as_ref());
            ids.any(|known| known.as_str() == id || (id.len() == SHORT && known.as_str().starts_with(id)))
        };
        arn.is_some_and(|arn| record.arn().as_str() == arn) || docker.is_some_and(by_id)
    };
    match view.tasks.iter().find(has) {
        Some(record) => answer(StatusCode::OK, json!(task(&shared, record).await).to_string()),
        None => nothing(StatusCode::NOT_FOUND),
    }
}

/// amazon-ecs-agent answers an empty task, whatever is wrong.
fn nothing(status: StatusCode) -> Response {
    let empty = json!({ "Arn": "", "KnownStatus": "", "Family": "", "Version": "", "Containers": null });
    answer(status, empty.to_string())
}

async fn task(shared: &Shared, record: &TaskRecord) -> Task {
    let pairs = record.spec.containers.iter().zip(&record.containers);
    Task {
        arn: record.arn().to_string(),
        desired_status: shape::desired(record),
        known_status: shape::known(record),
        family: record.spec.family.clone(),
        version: record.spec.version.clone(),
        containers: join_all(pairs.map(|(spec, state)| container(shared, spec, state))).await,
    }
}

async fn container(shared: &Shared, spec: &ContainerSpec, state: &ContainerState) -> Container {
    let shown = match &state.docker_id {
        Some(id) if !state.removed => shared.docker.shown(id).await,
        _ => None,
    };
    let shown = shown.unwrap_or_default();
    Container {
        docker_id: state.docker_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        docker_name: state.docker_name.to_string(),
        name: spec.name.to_string(),
        image: spec.image.clone(),
        image_id: shown.image_id.unwrap_or_default(),
        created_at: shown.created_at,
        started_at: state.started_at.and_then(shape::time),
        ports: shape::ports(&state.bindings),
        networks: shape::networks(shown.networks),
        volumes: shown.volumes,
    }
}
