//! Who is this host, and where does it belong? Asked until answered, with one log line a try: a host whose endpoint is not
//! reachable at start joins as soon as it is.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use node_core::{Backoff, ClusterRef, Event, Home as Found, InstanceId, Rng};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::warm_pool::{self, Waiting};
use crate::aws::{self, Clients};
use crate::config::{Config, Home};
use crate::ecs::Ecs;
use crate::host::imds::{Imds, Location};
use crate::instance::batch;
use crate::net::Network;

/// A host leaves its warm pool to work at once.
const WARM_LOOKS_APART: Duration = Duration::from_secs(3);
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The AWS side of a host that knows who it is.
#[derive(Clone)]
pub(super) struct Cloud {
    pub(super) clients: Clients,
    pub(super) imds: Imds,
    pub(super) ecs: Arc<Ecs>,
    pub(super) instance: InstanceId,
    pub(super) cluster: ClusterRef,
    /// Empty until IMDS has told it.
    pub(super) location: OnceLock<Location>,
}

/// Who this host was when it last ran: what it falls back on while Batch does not say where it belongs.
pub(super) struct Known {
    pub(super) instance: InstanceId,
    pub(super) cluster: ClusterRef,
    /// It is to be registered as what it was.
    pub(super) registered: bool,
}

/// Finds out, and tells the loop once. What is in the way goes to the loop as well, which shows it.
pub(super) async fn run(
    config: Arc<Config>,
    known: Option<Known>,
    identified: mpsc::Sender<Cloud>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut backoff = RETRY;
    let mut rng = Rng::new(uuid::Uuid::new_v4().as_u64_pair().0);
    loop {
        let attempt = tokio::select! {
            () = stop.cancelled() => return,
            attempt = identify(&config, known.as_ref(), &events) => attempt,
        };
        match attempt {
            Ok(cloud) => {
                tracing::info!(instance = %cloud.instance, cluster = %cloud.cluster, region = %cloud.clients.region, "this host is identified");
                // Nobody listens any more only when the agent stops.
                let _ = identified.send(cloud).await;
                return;
            }
            Err(error) if error.is::<Waiting>() => {
                tell(&events, error.to_string()).await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(WARM_LOOKS_APART + rng.between(Duration::ZERO, WARM_LOOKS_APART)) => {}
                }
            }
            Err(error) => {
                let delay = backoff.next(&mut rng);
                tracing::warn!(retry_ms = delay.as_millis(), "this host cannot join yet: {error:#}");
                tell(&events, format!("{error:#}")).await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(delay) => {}
                }
            }
        }
    }
}

async fn tell(events: &mpsc::Sender<Event>, trouble: String) {
    // The loop is gone only when the agent stops.
    let _ = events.send(Event::Home(Err(trouble))).await;
}

/// What Batch says of the compute environment; a cluster that is configured by name is always itself.
pub(super) async fn find_home(config: &Config, clients: &Clients) -> Result<Found, batch::ClusterError> {
    match &config.home {
        Home::Cluster(cluster) => Ok(Found { cluster: cluster.clone(), remark: None }),
        Home::ComputeEnvironment(name) => batch::cluster_of(&clients.batch, name).await,
    }
}

async fn identify(config: &Config, known: Option<&Known>, events: &mpsc::Sender<Event>) -> anyhow::Result<Cloud> {
    let network = Network::new(config.proxies.clone(), config.ca_bundle.as_deref())?;
    let clients = aws::connect(config.region.as_deref(), network, config.ecs_endpoint.as_deref()).await?;
    let imds = Imds::new(clients.imds.clone());
    let instance = imds.instance_id().await?;
    // A registered host has jobs to look after, wherever its group puts it.
    if !known.is_some_and(|known| known.instance == instance && known.registered) {
        warm_pool::check(&imds, config.warm_pool_check).await?;
    }
    let found = find_home(config, &clients).await;
    let cluster = match (found, known.filter(|known| known.instance == instance)) {
        (Ok(Found { cluster, remark }), _) => {
            if let Some(remark) = remark {
                tell(events, remark).await;
            }
            cluster
        }
        // Jobs may run here, and their ends are to be reported.
        (Err(error), Some(known)) => {
            tell(events, error.to_string()).await;
            known.cluster.clone()
        }
        (Err(error), None) => return Err(error.into()),
    };
    let ecs = Arc::new(Ecs::new(clients.ecs.clone(), cluster.clone()).through(clients.network.clone()));
    Ok(Cloud { ecs, imds, clients, instance, cluster, location: OnceLock::new() })
}

impl Cloud {
    /// The same host, in another cluster.
    pub(super) fn in_cluster(&self, cluster: ClusterRef) -> Self {
        let clients = self.clients.clone();
        let ecs = Arc::new(Ecs::new(clients.ecs.clone(), cluster.clone()).through(clients.network.clone()));
        let (imds, instance, location) = (self.imds.clone(), self.instance.clone(), self.location.clone());
        Self { ecs, clients, cluster, imds, instance, location }
    }
}
