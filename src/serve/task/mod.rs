//! What containers ask of the agent: credentials, and what their task is.
//!
//! The answers about tasks come from the agent's loop, which owns all state; those about credentials from their store.

mod agent_api;
mod audit;
mod credentials;
mod introspection;
mod listener;
mod metadata;
mod rate;
mod shape;
mod stats;
mod tags;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use node_core::{ContainerName, Deadline, EndpointId, TaskRecord};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use self::audit::Audit;
use self::listener::{Bounded, Client};
pub(crate) use self::rate::{Limiter, Rate};
pub(crate) use self::stats::Statistics;
use super::admin::AdminRequest;
use super::credentials::CredentialStore;
use crate::docker::Docker;
use crate::host::imds::Location;

/// How long the loop may take to say what it knows of a task.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Where this host stands, for whoever must write it down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) cluster: Option<String>,
    pub(crate) container_instance: Option<String>,
    /// As far as IMDS has said.
    pub(crate) location: Location,
}

/// What a question about tasks is about.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The task of the container with this endpoint.
    Endpoint(EndpointId),
    All,
}

/// The loop's answer: no tasks where none was meant.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) place: Place,
    pub(crate) tasks: Vec<TaskRecord>,
    /// The container that was asked about.
    pub(crate) container: Option<ContainerName>,
    /// When the host will be gone, where that is known.
    pub(crate) deadline: Option<Deadline>,
    /// For tags; `None` until the host knows who it is.
    pub(crate) ecs: Option<aws_sdk_ecs::Client>,
}

/// What every answer may need.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) requests: mpsc::Sender<AdminRequest>,
    pub(crate) credentials: CredentialStore,
    pub(crate) docker: Docker,
    pub(crate) statistics: Statistics,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) audit: Audit,
    pub(crate) place: watch::Receiver<Place>,
}

impl Shared {
    /// Asks the loop. `None` when it does not answer in time.
    async fn ask(&self, subject: Subject) -> Option<View> {
        let ask = async {
            let (answer, answered) = oneshot::channel();
            self.requests.send(AdminRequest::Tasks(subject, answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(ANSWER_WITHIN, ask).await.ok()?
    }
}

/// Credentials and task metadata, for containers.
pub(crate) fn containers(shared: Shared) -> Router {
    Router::new()
        .route("/v1/credentials", get(credentials::v1))
        .route("/v2/credentials", get(credentials::v2))
        .route("/v2/credentials/", get(credentials::v2))
        .route("/v2/credentials/{id}", get(credentials::v2))
        .route("/{version}/{endpoint}", get(metadata::container))
        .route("/{version}/{endpoint}/task", get(metadata::task))
        .route("/{version}/{endpoint}/taskWithTags", get(metadata::task_with_tags))
        .route("/{version}/{endpoint}/interruption", get(metadata::interruption))
        .route("/{version}/{endpoint}/stats", get(metadata::stats))
        .route("/{version}/{endpoint}/task/stats", get(metadata::task_stats))
        .route("/{version}/{endpoint}/associations/{kind}", get(metadata::associations))
        .route("/{version}/{endpoint}/associations/{kind}/{name}", get(metadata::association))
        .route(
            "/api/{endpoint}/task-protection/v1/state",
            get(agent_api::get_protection).put(agent_api::put_protection),
        )
        .route("/api/{endpoint}/fault/v1/{fault}/{order}", post(agent_api::fault))
        .fallback(astray)
        .layer(middleware::from_fn_with_state(shared.clone(), limit))
        .with_state(shared)
}

/// What operators and sidecars may know of all tasks.
pub(crate) fn introspection(shared: Shared) -> Router {
    Router::new()
        .route("/", get(introspection::index))
        .route("/license", get(introspection::license))
        .route("/v1/metadata", get(introspection::metadata))
        .route("/v1/tasks", get(introspection::tasks))
        .layer(middleware::from_fn_with_state(shared.clone(), limit))
        .with_state(shared)
}

/// Answers on `listener` until `stop`.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<Client>();
    let server = axum::serve(Bounded::new(listener), service);
    if let Err(error) = server.with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::warn!(%error, "the task endpoint is no longer served");
    }
}

/// `//` in a path is cleaned away; anything else is not here.
async fn astray(uri: Uri) -> Response {
    let path = uri.path();
    if !path.contains("//") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut clean: String = path.split('/').filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
    if path.ends_with('/') || clean.is_empty() {
        clean.push('/');
    }
    if let Some(query) = uri.query() {
        clean = format!("{clean}?{query}");
    }
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, clean)]).into_response()
}

async fn limit(
    State(shared): State<Shared>,
    ConnectInfo(Client(client)): ConnectInfo<Client>,
    request: Request,
    next: Next,
) -> Response {
    if shared.limiter.allow(client.ip(), subject(request.uri()), Instant::now()) {
        return next.run(request).await;
    }
    let user_agent = credentials::user_agent(request.headers());
    let place = shared.place.borrow().clone();
    shared.audit.note(&audit::Entry {
        status: StatusCode::TOO_MANY_REQUESTS.as_u16(),
        client,
        path: kind(request.uri().path()),
        user_agent: &user_agent,
        owner: None,
        cluster: place.cluster.as_deref(),
        container_instance: place.container_instance.as_deref(),
    });
    (StatusCode::TOO_MANY_REQUESTS, "You have reached maximum request limit.").into_response()
}

/// The id in a path or a query: whose bucket a request draws from.
fn subject(uri: &Uri) -> Option<&str> {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    let id = match (parts.next()?, parts.next()?) {
        ("v1", "credentials") => query(uri, "id"),
        ("v2", "credentials") => parts.next(),
        ("v3" | "v4" | "api", endpoint) => Some(endpoint),
        _ => None,
    };
    id.filter(|id| !id.is_empty())
}

/// A path for the audit log: without what makes it secret.
fn kind(path: &str) -> &'static str {
    const KINDS: [&str; 5] = ["/v1/credentials", "/v2/credentials", "/v3", "/v4", "/api"];
    KINDS.into_iter().find(|kind| path.starts_with(kind)).unwrap_or("/")
}

/// A value of the query. Ids and ARNs need no decoding.
fn query<'a>(uri: &'a Uri, key: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
