//! The plane as a whole: its start and its end.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::broadcast;
use tracing::warn;

use crate::config::{NodeTemplate, PlaneConfig, PlaneError};
use crate::error::ApiError;
use crate::events::PlaneEvent;
use crate::faults::Gate;
use crate::hub::Hub;
use crate::ids::{Ec2Id, TaskArn};
use crate::journal::Journal;
use crate::logs::LogKeeper;
use crate::model::container::{CPU_UNITS, Shape};
use crate::model::{Fleet, State};
use crate::record::Recorder;
use crate::{acs, api, clock, docker, nodes};

/// A node's agent gets SIGTERM, then SIGKILL after three seconds; Docker's part is bounded with it.
const CLOSE_WITHIN: Duration = Duration::from_secs(8);
/// What a machine whose memory cannot be read is taken to have, in MiB.
const FALLBACK_MEMORY_MIB: u32 = 2048;
/// Credentials are written to the second.
const SHORTEST_CREDENTIALS: Duration = Duration::from_secs(2);
/// Of a listener that does not know its own address.
const UNSET: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A running control plane. Dropping it leaves its nodes; call [`Plane::shutdown`].
pub struct Plane {
    hub: Arc<Hub>,
    is_resumed: bool,
}

impl Plane {
    /// Listens, and serves from then on. Its state ends with it.
    ///
    /// # Errors
    /// When an address is taken, the data directory cannot be made, or the Docker host given makes no sense.
    pub async fn start(config: PlaneConfig) -> Result<Self, PlaneError> {
        Self::begin(config, false).await
    }

    /// Like [`Plane::start`], but goes on where the plane that last used the data directory ended, and keeps its state there.
    /// Agents find it again if its address is the same.
    ///
    /// # Errors
    /// As above, and when the state there cannot be used.
    pub async fn resume(config: PlaneConfig) -> Result<Self, PlaneError> {
        Self::begin(config, true).await
    }

    async fn begin(config: PlaneConfig, keeps: bool) -> Result<Self, PlaneError> {
        let logs_dir = config.data_dir.join("logs");
        tokio::fs::create_dir_all(&logs_dir)
            .await
            .map_err(|source| PlaneError::DataDir { path: logs_dir.clone(), source })?;
        let fleet = Fleet {
            max_nodes: config.max_nodes,
            offers: expected_offer(&config.node).await,
            group: config.node.group.min_size(),
        };
        let mut state = State::new(config.region.clone(), fleet, clock::now());
        if let Some(lifetime) = config.credentials_lifetime {
            state.credentials_lifetime =
                i64::try_from(lifetime.max(SHORTEST_CREDENTIALS).as_millis()).unwrap_or(i64::MAX / 4);
        }
        let journal = keeps.then(|| Journal::open(&config.data_dir, &mut state)).transpose()?;
        let is_resumed = !state.environments.is_empty() || !state.definitions.is_empty();
        state.resume(clock::now());
        let listener = listen(config.listen).await?;
        let agents = listen_for_agents(config.listen.ip(), &mut state).await?;
        let logs = LogKeeper::new(docker::connect(config.docker_host.as_deref())?, logs_dir);
        let frames = Recorder::open(config.frames.as_deref())
            .map_err(|source| PlaneError::Frames { path: config.frames.clone().unwrap_or_default(), source })?;
        let endpoint = endpoint_of(&listener)?;
        let control = listen_for_orders(&endpoint);
        let hub = Hub::new(config, state, journal, endpoint, endpoint_of(&agents)?, logs, frames);
        let gate = |listener| {
            Gate::new(listener, hub.faults.clone()).map_err(|source| PlaneError::Listen { address: UNSET, source })
        };
        let (agents, listener) = (gate(agents)?, gate(listener)?);
        nodes::resume(&hub).await;
        hub.update(|_, _| ());
        hub.tracker.spawn(acs::serve(hub.clone(), agents));
        hub.tracker.spawn(api::serve(hub.clone(), listener));
        if let Some(control) = control {
            hub.tracker.spawn(api::serve_control(hub.clone(), control));
        }
        hub.tracker.spawn(hub.clone().watch_deadlines());
        Ok(Self { hub, is_resumed })
    }

    /// Whether it goes on where another one ended.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// `http://address:port` of the Batch, ECS, EC2 and Logs APIs.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.hub.endpoint.clone()
    }

    /// What happens from now on. A listener that lags loses the oldest events.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<PlaneEvent> {
        self.hub.subscribe()
    }

    /// Calls the Batch API without the way over HTTP: `operation` is the last part of its path, `submitjob` for one.
    ///
    /// # Errors
    /// The exception with which Batch refuses the request.
    pub fn batch(&self, operation: &str, request: &serde_json::Value) -> Result<serde_json::Value, ApiError> {
        api::batch_in_process(&self.hub, operation, request)
    }

    /// Terminates every instance, removes every container of the plane's tasks, and stops listening.
    pub async fn shutdown(self) {
        let hub = &self.hub;
        // Nothing may hold up the end.
        hub.faults.clear(None);
        hub.closing.cancel();
        hub.update(|state, now| {
            state.closing = true;
            let nodes: Vec<Ec2Id> = state.nodes.keys().cloned().collect();
            for id in nodes {
                // An id from the map is known.
                drop(state.terminate_node(&id, "Server.ScheduledStop: the plane is shutting down", now));
            }
        });
        hub.tracker.close();
        hub.node_tracker.close();
        let rest = async {
            hub.node_tracker.wait().await;
            let tasks: BTreeSet<TaskArn> = hub.read(|state| state.tasks.keys().cloned().collect());
            if let Some(docker) = hub.logs.docker.as_ref().filter(|_| !tasks.is_empty()) {
                docker::remove_containers(docker, &hub.logs, &tasks, BTreeSet::new()).await;
            }
            hub.tracker.wait().await;
        };
        if tokio::time::timeout(CLOSE_WITHIN, rest).await.is_err() {
            warn!("the plane did not close in time: containers of its tasks may be left");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, PlaneError> {
    TcpListener::bind(address).await.map_err(|source| PlaneError::Listen { address, source })
}

/// Agents look for ACS and TCS where they were.
async fn listen_for_agents(ip: IpAddr, state: &mut State) -> Result<TcpListener, PlaneError> {
    let listener = match listen(SocketAddr::new(ip, state.agents_port)).await {
        Err(error) if state.agents_port != 0 => {
            warn!(%error, "the agents' port is taken: those that are running look for it for up to 12 hours");
            listen(SocketAddr::new(ip, 0)).await?
        }
        listener => listener?,
    };
    state.agents_port = listener.local_addr().map_or(0, |address| address.port());
    Ok(listener)
}

/// The name of the abstract Unix socket on which the plane at this address takes orders even while it is away. Such a socket
/// needs no file, and ends with its process.
#[must_use]
pub fn control_socket(address: SocketAddr) -> String {
    format!("batch-node-agent/local/{address}")
}

/// Without it, orders come with the APIs only.
fn listen_for_orders(endpoint: &str) -> Option<UnixListener> {
    let address: SocketAddr = endpoint.trim_start_matches("http://").parse().ok()?;
    let listener = UnixListener::bind(format!("\0{}", control_socket(address)));
    listener.inspect_err(|error| warn!(%error, "`local fault` cannot reach this plane while it is away")).ok()
}

/// Where clients on this machine reach a listener.
fn endpoint_of(listener: &TcpListener) -> Result<String, PlaneError> {
    let mut address = listener.local_addr().map_err(|source| PlaneError::Listen { address: UNSET, source })?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(format!("http://{address}"))
}

/// What a node will register, as far as it can be known before: the first that does register corrects it.
async fn expected_offer(node: &NodeTemplate) -> Shape {
    let cores = std::thread::available_parallelism().map_or(1.0, |n| f64::from(u32::try_from(n.get()).unwrap_or(1)));
    let meminfo = tokio::fs::read_to_string("/proc/meminfo").await.unwrap_or_default();
    let memory = node.memory_mib.and_then(|n| u32::try_from(n).ok()).or_else(|| total_mib(&meminfo));
    Shape {
        cpu: cpu_units(node.vcpus.unwrap_or(cores)),
        memory: memory.unwrap_or(FALLBACK_MEMORY_MIB),
        gpus: node.gpus,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and no machine is that large"
)]
fn cpu_units(vcpus: f64) -> u32 {
    (vcpus * f64::from(CPU_UNITS)) as u32
}

fn total_mib(meminfo: &str) -> Option<u32> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_read_as_the_agent_reads_it() {
        assert_eq!(super::total_mib("MemTotal:       16004012 kB\nMemFree: 1 kB\n"), Some(15628));
        assert_eq!(super::cpu_units(1.5), 1536);
    }
}
