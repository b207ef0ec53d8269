//! The handle on one Docker daemon that everything here shares.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::{SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum};
use node_core::{DockerName, OpFailure};
use serde::Serialize;

use super::failure::{self, limited};
use super::images::ImageLimits;
use super::pulls::Pulls;
use super::transport::Endpoint;
use crate::guard::Confinement;

/// amazon-ecs-agent's limit of a version call (agent/dockerclient/timeout.go).
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// Likewise of an info call.
pub(super) const INFO_LIMIT: Duration = Duration::from_secs(10);
/// The oldest Engine API this agent is written and tested for: Docker Engine 20.10.
const OLDEST_API: (u32, u32) = (1, 41);

/// How long Docker may take over a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContainerLimits {
    pub(crate) create: Duration,
    pub(crate) start: Duration,
}

/// amazon-ecs-agent's (agent/config/config_unix.go).
impl Default for ContainerLimits {
    fn default() -> Self {
        Self { create: Duration::from_secs(4 * 60), start: Duration::from_secs(3 * 60) }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    #[error(
        "docker_host `{0}` is none this agent can reach: set unix:///path/to/docker.sock, tcp://host:port or http://host:port"
    )]
    UnsupportedHost(String),
    #[error("no Docker client can be made: {0}")]
    Client(#[from] bollard::errors::Error),
}

/// `ECS_NVIDIA_RUNTIME`'s default.
const GPU_RUNTIME: &str = "nvidia";

/// One Docker daemon. Cheap to clone; every clone is the same client.
#[derive(Clone)]
pub(crate) struct Docker {
    pub(super) api: bollard::Docker,
    pub(super) host: Arc<str>,
    pub(super) pulls: Arc<Pulls>,
    pub(super) limits: ImageLimits,
    pub(super) container_limits: ContainerLimits,
    /// The OCI runtime that gives containers GPUs.
    pub(super) gpu_runtime: Arc<str>,
    /// Processes that a container may have; `None` is as many as Docker allows.
    pub(super) pids_limit: Option<i64>,
    pub(super) confinement: Option<Confinement>,
    own_starts: Arc<Mutex<BTreeSet<DockerName>>>,
}

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DockerVersion {
    /// The Engine's release, such as `20.10.24`.
    pub(crate) engine: String,
    /// The newest Engine API it speaks, such as `1.41`.
    pub(crate) api: String,
}

/// How a daemon keeps its containers' control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Groups {
    pub(crate) version_2: bool,
    /// By `systemd`, in slices, or by itself, in directories.
    pub(crate) by_systemd: bool,
}

impl Docker {
    /// The daemon at `docker_host` (`unix:///path`, `tcp://host:port`, `http://host:port`). It need not be up: nothing is
    /// connected before the first operation.
    pub(crate) fn new(docker_host: &str) -> Result<Self, DockerError> {
        Ok(Self {
            api: Endpoint::parse(docker_host)?.client()?,
            host: docker_host.into(),
            pulls: Arc::default(),
            limits: ImageLimits::default(),
            container_limits: ContainerLimits::default(),
            gpu_runtime: GPU_RUNTIME.into(),
            pids_limit: None,
            confinement: None,
            own_starts: Arc::default(),
        })
    }

    #[must_use]
    pub(crate) fn with_limits(self, limits: ImageLimits, container_limits: ContainerLimits) -> Self {
        Self { limits, container_limits, ..self }
    }

    #[must_use]
    pub(crate) fn with_gpu_runtime(self, name: &str) -> Self {
        Self { gpu_runtime: name.into(), ..self }
    }

    #[must_use]
    pub(crate) fn with_pids_limit(self, pids_limit: Option<i64>) -> Self {
        Self { pids_limit, ..self }
    }

    /// For containers that the rules of [`crate::guard`] are to know.
    #[must_use]
    pub(crate) fn confining(self, confinement: Option<Confinement>) -> Self {
        Self { confinement, ..self }
    }

    /// Why this daemon cannot give GPUs to containers; `None` if it can.
    pub(crate) async fn lacks_gpu_runtime(&self) -> Option<String> {
        const NAME: &str = "CannotDescribeContainerError";
        let info =
            limited("info", INFO_LIMIT, async { self.api.info().await.map_err(|e| self.failed(NAME, &e)) }).await;
        let name = &*self.gpu_runtime;
        match info {
            Ok(info) if info.runtimes.as_ref().is_some_and(|runtimes| runtimes.contains_key(name)) => None,
            Ok(_) => Some(format!(
                "Docker has no runtime {name:?}: install the NVIDIA Container Toolkit and run `nvidia-ctk runtime configure --runtime=docker`"
            )),
            Err(_) => Some("Docker does not say which runtimes it has".to_owned()),
        }
    }

    /// Which Docker this is. One that is older than API 1.41 is refused.
    pub(crate) async fn version(&self) -> Result<DockerVersion, OpFailure> {
        const NAME: &str = "CannotGetDockerClientVersionError";
        let answer =
            limited("version", VERSION_LIMIT, async { self.api.version().await.map_err(|e| self.failed(NAME, &e)) })
                .await?;
        let version =
            DockerVersion { engine: answer.version.unwrap_or_default(), api: answer.api_version.unwrap_or_default() };
        if is_recent(&version.api) {
            Ok(version)
        } else {
            Err(failure::refused(
                NAME,
                format!(
                    "Docker {} speaks Engine API {}, and 1.41 is the oldest that serves: install Docker Engine 20.10 or newer",
                    version.engine, version.api
                ),
            ))
        }
    }

    /// How it keeps its containers' control groups; `None` while it does not say.
    pub(crate) async fn groups(&self) -> Option<Groups> {
        let info = tokio::time::timeout(INFO_LIMIT, self.api.info()).await.ok()?.ok()?;
        Some(Groups {
            version_2: info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_2),
            by_systemd: info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::SYSTEMD),
        })
    }

    /// Whether the daemon answers within `limit`.
    pub(crate) async fn answers(&self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, self.api.ping()).await, Ok(Ok(_)))
    }

    /// The log drivers that the daemon has.
    pub(crate) async fn log_drivers(&self) -> Result<Vec<String>, OpFailure> {
        const NAME: &str = "CannotDescribeContainerError";
        let info =
            limited("info", INFO_LIMIT, async { self.api.info().await.map_err(|e| self.failed(NAME, &e)) }).await?;
        Ok(info.plugins.and_then(|plugins| plugins.log).unwrap_or_default())
    }

    /// The containers whose start this process has asked for and whose start event it has not seen yet.
    pub(super) fn own_starts(&self) -> MutexGuard<'_, BTreeSet<DockerName>> {
        self.own_starts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_recent(api: &str) -> bool {
    let numbers = api.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    numbers.is_some_and(|numbers: (u32, u32)| numbers >= OLDEST_API)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_are_compared_as_numbers() {
        assert!(is_recent("1.41") && is_recent("1.100") && is_recent("2.0"));
        assert!(!is_recent("1.40") && !is_recent("1.9") && !is_recent("0.50"));
        assert!(!is_recent("") && !is_recent("latest") && !is_recent("1"));
    }
}
