//! What the plane is told at its start, and why it may not start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The plane's settings.
#[derive(Debug, Clone)]
pub struct PlaneConfig {
    /// Where the APIs listen; port 0 takes any free one. The ACS and IMDS listeners take free ports of the same address.
    pub listen: SocketAddr,
    pub region: String,
    /// How many instances may live at once; 0 launches none.
    pub max_nodes: u32,
    pub node: NodeTemplate,
    /// Holds `nodes/<instance id>/` and `logs/<stream>`.
    pub data_dir: PathBuf,
    /// `unix:///path`; Docker's own default when absent.
    pub docker_host: Option<String>,
    /// How long the credentials of a job's role live, at least 2 seconds; ECS's 6 hours when absent. They are renewed at half
    /// of it.
    pub credentials_lifetime: Option<Duration>,
    /// Every frame of ACS and TCS is appended to this file, a JSON object a line, credentials and all.
    pub frames: Option<PathBuf>,
}

/// What a launched node is made from, as a launch template would say.
#[derive(Debug, Clone, Default)]
pub struct NodeTemplate {
    /// The agent's program, started as `<program> run --config <file>`.
    pub program: PathBuf,
    /// A duration as the agent reads it, `30s` for one.
    pub idle_timeout: Option<String>,
    /// vCPUs that a node offers; all of the machine's when absent.
    pub vcpus: Option<f64>,
    /// Memory that a node offers, in MiB; all of the machine's when absent.
    pub memory_mib: Option<u64>,
    /// GPUs that a node offers: all of the machine's, which are so many, or none when 0.
    pub gpus: u32,
    /// `prefer-cached` when absent: the plane's nodes share one machine's images.
    pub image_pull_behavior: Option<String>,
    pub log_format: Option<String>,
    /// Further environment of the agent's process.
    pub env: Vec<(String, String)>,
    pub group: GroupTemplate,
}

/// The Auto Scaling group that launches a compute environment's nodes, of the environment's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupTemplate {
    /// Instances are launched one by one, for waiting jobs.
    Absent,
    Present {
        min_size: u32,
    },
}

impl Default for GroupTemplate {
    fn default() -> Self {
        Self::Present { min_size: 0 }
    }
}

impl GroupTemplate {
    pub(crate) const fn min_size(self) -> Option<u32> {
        match self {
            Self::Absent => None,
            Self::Present { min_size } => Some(min_size),
        }
    }
}

/// Why the plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    #[error("cannot listen on {address}; choose another address or port")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot make the data directory {path}; choose another or correct its permissions", path = path.display())]
    DataDir {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("frames cannot be recorded in {path}; choose another or correct its permissions", path = path.display())]
    Frames {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the state kept in {path} cannot be used; move it away to begin anew", path = path.display())]
    State {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("docker_host {host:?} cannot be used; give unix:///path/to/docker.sock")]
    Docker {
        host: String,
        #[source]
        source: bollard::errors::Error,
    },
}
