//! The admin socket: `GET /status` and `GET /metrics`, for `batch-node-agent status`, and `POST /order`, for `hold`, `release` and
//! `drain`. It asks the agent's loop, which owns all state, and holds none of its own. Only the agent's own user may connect.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::metrics;
use super::order::{Asked, Outcome};
use super::report::StatusReport;
use super::task;
use crate::logging::chain;

/// A question to the agent's loop, with the place for its answer.
#[derive(Debug)]
pub(crate) enum AdminRequest {
    Status(oneshot::Sender<StatusReport>),
    /// Answered once it is durable, or with why it cannot be.
    Order(Asked, oneshot::Sender<Result<Outcome, String>>),
    /// Asked for containers by the task endpoint.
    Tasks(task::Subject, oneshot::Sender<task::View>),
}

/// How long the loop may take: a person waits for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A plan asks AWS first.
const PLAN_WITHIN: Duration = Duration::from_secs(8);

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("another agent is running: it answers on {}", .0.display())]
    AlreadyRunning(PathBuf),
    #[error("{} is not a socket: set `admin_socket` to another path or remove it", .0.display())]
    NotASocket(PathBuf),
    #[error("the admin socket {} cannot be made", .path.display())]
    Bind {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The bound socket. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Taken by `serve`.
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl Admin {
    /// Binds the socket with mode 0600, making its directory if need be. The socket that a dead agent left is replaced.
    /// Must be called within a tokio runtime.
    pub(crate) fn bind(path: &Path) -> Result<Self, AdminError> {
        clear(path)?;
        let listener = bind_private(path).map_err(|source| AdminError::Bind { path: path.to_owned(), source })?;
        Ok(Self { listener: Some(listener), path: path.to_owned() })
    }

    /// Answers until `stop`, and then removes the socket. A full `requests` counts as a slow answer.
    pub(crate) async fn serve(mut self, requests: mpsc::Sender<AdminRequest>, stop: CancellationToken) {
        let Some(listener) = self.listener.take() else { return };
        let router = Router::new()
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .route("/order", post(order))
            .with_state(requests);
        let server = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = server.await {
            tracing::warn!(error = %chain(&error), "the admin socket is no longer served");
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // It may be gone already; a socket that stays behind is replaced by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes sure that nobody serves the path, and that what is there may be replaced.
fn clear(path: &Path) -> Result<(), AdminError> {
    let failed = |source| AdminError::Bind { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(AdminError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(AdminError::AlreadyRunning(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Binds under another name and renames, so that the socket is never reachable with a wider mode, nor half set up.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let draft = folder.join(format!(".{}", std::process::id()));
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    std::fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
    std::fs::rename(&draft, path)?;
    Ok(listener)
}

async fn status(State(requests): State<mpsc::Sender<AdminRequest>>) -> Response {
    match ask(&requests, AdminRequest::Status).await {
        Ok(report) => Json(report).into_response(),
        Err(why) => unavailable(why),
    }
}

async fn metrics(State(requests): State<mpsc::Sender<AdminRequest>>) -> Response {
    match ask(&requests, AdminRequest::Status).await {
        Ok(report) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&report)).into_response(),
        Err(why) => unavailable(why),
    }
}

async fn order(State(requests): State<mpsc::Sender<AdminRequest>>, Json(asked): Json<Asked>) -> Response {
    let limit = if matches!(asked, Asked::Plan(_)) { PLAN_WITHIN } else { ANSWER_WITHIN };
    match ask_within(limit, &requests, |answer| AdminRequest::Order(asked, answer)).await {
        Ok(Ok(outcome)) => Json(outcome).into_response(),
        Ok(Err(why)) => unavailable(&why),
        Err(why) => unavailable(why),
    }
}

async fn ask<T>(
    requests: &mpsc::Sender<AdminRequest>,
    question: impl FnOnce(oneshot::Sender<T>) -> AdminRequest,
) -> Result<T, &'static str> {
    ask_within(ANSWER_WITHIN, requests, question).await
}

async fn ask_within<T>(
    limit: Duration,
    requests: &mpsc::Sender<AdminRequest>,
    question: impl FnOnce(oneshot::Sender<T>) -> AdminRequest,
) -> Result<T, &'static str> {
    let ask = async {
        let (answer, answered) = oneshot::channel();
        requests.send(question(answer)).await.ok()?;
        answered.await.ok()
    };
    match timeout(limit, ask).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err("the agent is stopping"),
        Err(_) => Err("the agent is too busy to answer"),
    }
}

fn unavailable(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({ "error": why }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::{self, StatusError};
    use crate::serve::report::sample;

    struct Fixture {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/agent.sock");
        Fixture { _folder: folder, path }
    }

    #[tokio::test]
    async fn the_report_crosses_the_socket_unchanged() {
        let at = fixture();
        let (requests, mut asked) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let admin = Admin::bind(&at.path).unwrap();
        let mode = std::fs::metadata(&at.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let server = tokio::spawn(admin.serve(requests, stop.clone()));
        let client = tokio::spawn({
            let path = at.path.clone();
            async move { status::fetch(&path).await }
        });
        let Some(AdminRequest::Status(answer)) = asked.recv().await else { panic!("no question") };
        answer.send(sample::report()).unwrap();
        assert_eq!(client.await.unwrap().unwrap(), sample::report());

        drop(asked);
        let refused = status::fetch(&at.path).await.unwrap_err();
        assert!(refused.to_string().contains("the agent is stopping"), "{refused}");
        stop.cancel();
        server.await.unwrap();
        assert!(!at.path.exists());
        assert!(matches!(status::fetch(&at.path).await, Err(StatusError::NotRunning { .. })));
    }

    #[tokio::test]
    async fn a_loop_that_does_not_answer_is_not_waited_for() {
        let at = fixture();
        let (requests, _asked) = mpsc::channel(1);
        let server = Admin::bind(&at.path).unwrap().serve(requests, CancellationToken::new());
        let server = tokio::spawn(server);
        let error = status::fetch(&at.path).await.unwrap_err();
        assert!(error.to_string().contains("too busy"), "{error}");
        server.abort();
    }

    #[tokio::test]
    async fn a_dead_agents_socket_is_replaced_and_a_live_ones_is_not() {
        let at = fixture();
        let live = Admin::bind(&at.path).unwrap();
        assert!(matches!(Admin::bind(&at.path), Err(AdminError::AlreadyRunning(_))));
        drop(live);

        // Dropping a bare listener leaves its file behind, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&at.path).unwrap());
        assert!(at.path.exists());
        assert!(Admin::bind(&at.path).is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let at = fixture();
        std::fs::create_dir_all(at.path.parent().unwrap()).unwrap();
        std::fs::write(&at.path, "precious").unwrap();
        assert!(matches!(Admin::bind(&at.path), Err(AdminError::NotASocket(_))));
        assert_eq!(std::fs::read(&at.path).unwrap(), b"precious");
    }
}
