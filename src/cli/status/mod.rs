//! `batch-node-agent status`: asks the agent of this host through its admin socket.

mod render;

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::config;
use crate::serve::report::StatusReport;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The agent's admin socket [default: as the configuration says]
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// The configuration file that names the socket [default: /etc/batch-node-agent/config.toml, if it exists]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
    /// Print metrics in Prometheus's text format, such as for the textfile collector of node_exporter
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    #[error("no agent is running here: nothing answers on {}", .path.display())]
    NotRunning { path: PathBuf },
    #[error("{} may not be asked by this user: try as root", .path.display())]
    Denied { path: PathBuf },
    #[error("{} cannot be asked", .path.display())]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the agent did not answer as it should")]
    Http(#[source] hyper::Error),
    #[error("the question cannot be asked")]
    Request(#[source] http::Error),
    #[error("the agent cannot do that now: {0}")]
    Refused(String),
    #[error("the agent's report cannot be read; is it of another version?")]
    Unreadable(#[source] serde_json::Error),
    #[error("the agent did not answer within {} s", ANSWER_WITHIN.as_secs())]
    TooSlow,
}

/// Longer than the agent gives itself, so that its own explanation arrives.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<()> {
    let path = match args.socket {
        Some(path) => path,
        None => config::admin_socket(args.config.as_deref(), config::environment())?,
    };
    if args.metrics {
        let body = answer(&path, Request::get("/metrics").body(Full::default())).await?;
        return io::stdout().write_all(&body).context("the metrics cannot be printed");
    }
    let report = fetch(&path).await?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        render::render(&report, now_ms())
    };
    io::stdout().write_all(text.as_bytes()).context("the report cannot be printed")
}

/// Asks the agent that listens on the socket.
pub(crate) async fn fetch(path: &Path) -> Result<StatusReport, StatusError> {
    let request = Request::get("/status").body(Full::default());
    let body = answer(path, request).await?;
    serde_json::from_slice(&body).map_err(StatusError::Unreadable)
}

/// Tells the agent something, as JSON, and gives its answer.
pub(crate) async fn post(path: &Path, uri: &str, body: Vec<u8>) -> Result<Bytes, StatusError> {
    let request = Request::post(uri).header(CONTENT_TYPE, "application/json").body(Full::from(body));
    answer(path, request).await
}

async fn answer(path: &Path, request: http::Result<Request<Full<Bytes>>>) -> Result<Bytes, StatusError> {
    let request = request.map_err(StatusError::Request)?;
    timeout(ANSWER_WITHIN, ask(path, request)).await.map_err(|_| StatusError::TooSlow)?
}

async fn ask(path: &Path, mut request: Request<Full<Bytes>>) -> Result<Bytes, StatusError> {
    let stream = UnixStream::connect(path).await.map_err(|source| {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => StatusError::NotRunning { path },
            ErrorKind::PermissionDenied => StatusError::Denied { path },
            _ => StatusError::Connect { path, source },
        }
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(StatusError::Http)?;
    // It ends with the request; its errors come back through the sender.
    tokio::spawn(connection);
    request.headers_mut().insert(HOST, HeaderValue::from_static("agent"));
    let response = sender.send_request(request).await.map_err(StatusError::Http)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(StatusError::Http)?.to_bytes();
    if status == StatusCode::OK { Ok(body) } else { Err(StatusError::Refused(explanation(status, &body))) }
}

fn explanation(status: StatusCode, body: &[u8]) -> String {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let error = body.as_ref().and_then(|body| body["error"].as_str());
    error.map_or_else(|| status.to_string(), str::to_owned)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
