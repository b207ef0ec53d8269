//! The task endpoint's life: opened before the loop begins, and taken down after it when no container can need it any more.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use node_core::Node;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Agent;
use crate::config::Config;
use crate::host::linklocal::{self, Claim};
use crate::serve::admin::AdminRequest;
use crate::serve::endpoint::{Reach, TaskEndpoint};
use crate::serve::task::{self, Audit, Limiter, Shared, Statistics};

/// amazon-ecs-agent's port for containers; 169.254.170.2:80 is translated to it.
const CONTAINERS: u16 = 51679;
/// amazon-ecs-agent's port for the introspection. It listens on all addresses; here the loopback must do.
const INTROSPECTION: u16 = 51678;
/// Where a free port is remembered: containers that outlive this process go on asking it.
const PORT_FILE: &str = "task-endpoint.port";

/// What listens, and what was done to the host for it.
struct Opened {
    reach: Reach,
    claim: Option<Claim>,
    containers: Vec<TcpListener>,
    introspection: Option<TcpListener>,
    /// Both kinds of questions are answered at the one port.
    both: Option<TcpListener>,
}

impl Opened {
    fn nothing() -> Self {
        Self { reach: Reach::Nowhere, claim: None, containers: Vec::new(), introspection: None, both: None }
    }

    /// Answers until `stop`.
    fn serve(self, shared: &Shared, stop: &CancellationToken) -> (JoinSet<()>, Option<Claim>) {
        let mut servers = JoinSet::new();
        let (containers, introspection) = (task::containers(shared.clone()), task::introspection(shared.clone()));
        let mut serve = |listener: TcpListener, router: Router| {
            servers.spawn(task::serve(listener, router, stop.clone()));
        };
        for listener in self.containers {
            serve(listener, containers.clone());
        }
        if let Some(listener) = self.introspection {
            serve(listener, introspection.clone());
        }
        if let Some(listener) = self.both {
            serve(listener, containers.merge(introspection));
        }
        (servers, self.claim)
    }
}

/// Opens what is configured. A host where it cannot be opened runs jobs all the same, but none with a role.
async fn open(wanted: TaskEndpoint, data_dir: &Path) -> Opened {
    let opened = match wanted {
        TaskEndpoint::Off => return Opened::nothing(),
        TaskEndpoint::Loopback(port) => loopback(port, data_dir).await,
        TaskEndpoint::Iptables => translated().await,
        TaskEndpoint::LinkLocal => match link_local().await {
            Err(error) => {
                tracing::warn!(%error, "this host cannot be given {}: trying iptables", linklocal::ADDRESS);
                translated().await
            }
            opened => opened,
        },
    };
    match opened {
        Ok(opened) => {
            tracing::info!(at = %opened.reach, "the task endpoint is open");
            opened
        }
        Err(error) => {
            tracing::error!(
                %error,
                "there is no task endpoint: jobs with a role are refused. It needs CAP_NET_ADMIN and CAP_NET_BIND_SERVICE; \
                 task_endpoint = \"off\" does without"
            );
            Opened::nothing()
        }
    }
}

async fn link_local() -> io::Result<Opened> {
    let (claim, listener) = linklocal::claim().await?;
    let mut containers = vec![listener];
    containers.extend(optional(CONTAINERS).await);
    let introspection = optional(INTROSPECTION).await;
    Ok(Opened { reach: Reach::LinkLocal, claim: Some(claim), containers, introspection, both: None })
}

async fn translated() -> io::Result<Opened> {
    let containers = vec![bind(CONTAINERS).await?];
    let claim = Some(linklocal::translate().await?);
    Ok(Opened { reach: Reach::LinkLocal, claim, containers, introspection: optional(INTROSPECTION).await, both: None })
}

async fn loopback(port: u16, data_dir: &Path) -> io::Result<Opened> {
    let memory = data_dir.join(PORT_FILE);
    let listener = if port == 0 { free(&memory).await? } else { bind(port).await? };
    let port = listener.local_addr()?.port();
    Ok(Opened { reach: Reach::Loopback(port), both: Some(listener), ..Opened::nothing() })
}

/// The port of the last time, else any.
async fn free(memory: &PathBuf) -> io::Result<TcpListener> {
    let last = std::fs::read_to_string(memory).ok().and_then(|text| text.trim().parse::<u16>().ok());
    if let Some(port) = last
        && let Ok(listener) = bind(port).await
    {
        return Ok(listener);
    }
    let listener = bind(0).await?;
    std::fs::write(memory, listener.local_addr()?.port().to_string())?;
    Ok(listener)
}

async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// A port that amazon-ecs-agent has and that nothing here depends on.
async fn optional(port: u16) -> Option<TcpListener> {
    bind(port).await.inspect_err(|error| tracing::warn!(%error, "127.0.0.1:{port} is not served")).ok()
}

/// What the configuration says of limits and the audit log.
fn guards(config: &Config) -> (Arc<Limiter>, Audit) {
    let audit = match &config.audit_log {
        Some(path) if config.task_endpoint != TaskEndpoint::Off => Audit::to(&config.data_dir.join(path)),
        _ => Audit::off(),
    };
    (Arc::new(Limiter::new(config.task_metadata_rps_limit)), audit)
}

impl Agent {
    /// Opens the endpoint and answers there, until the agent stops.
    pub(super) async fn open_endpoint(&mut self, requests: mpsc::Sender<AdminRequest>) -> (JoinSet<()>, Option<Claim>) {
        let opened = open(self.config.task_endpoint, &self.config.data_dir).await;
        self.reach = opened.reach;
        let (limiter, audit) = guards(&self.config);
        let shared = Shared {
            requests,
            credentials: self.credentials.clone(),
            docker: self.docker.clone(),
            statistics: Statistics::new(self.docker.clone()),
            limiter,
            audit,
            place: self.place.subscribe(),
        };
        opened.serve(&shared, &self.stop)
    }
}

/// Takes back what was done to the host, unless containers that need it go on.
pub(super) async fn close(claim: Option<Claim>, node: &Node) {
    let over = node.task_records().iter().all(|record| record.stopped_at.is_some());
    if let Some(claim) = claim
        && over
    {
        claim.undo().await;
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
