//! Who is this host, and where does it belong? Asked until answered, with one log line a try: a host whose endpoint is not
//! reachable at start joins as soon as it is.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use node_core::{Backoff, ClusterRef, InstanceId, Rng};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::aws::{self, Clients};
use crate::config::{Config, Home};
use crate::ecs::Ecs;
use crate::host::imds::{Imds, Location};
use crate::instance::batch;
use crate::net::Network;

const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The AWS side of a host that knows who it is.
pub(super) struct Cloud {
    pub(super) clients: Clients,
    pub(super) imds: Imds,
    pub(super) ecs: Arc<Ecs>,
    pub(super) instance: InstanceId,
    pub(super) cluster: ClusterRef,
    /// Empty until IMDS has told it.
    pub(super) location: OnceLock<Location>,
}

/// Finds out, and tells the loop once.
pub(super) async fn run(config: Arc<Config>, identified: mpsc::Sender<Cloud>, stop: CancellationToken) {
    let mut backoff = RETRY;
    let mut rng = Rng::new(uuid::Uuid::new_v4().as_u64_pair().0);
    loop {
        let attempt = tokio::select! {
            () = stop.cancelled() => return,
            attempt = identify(&config) => attempt,
        };
        match attempt {
            Ok(cloud) => {
                tracing::info!(instance = %cloud.instance, cluster = %cloud.cluster, region = %cloud.clients.region, "this host is identified");
                // Nobody listens any more only when the agent stops.
                let _ = identified.send(cloud).await;
                return;
            }
            Err(error) => {
                let delay = backoff.next(&mut rng);
                tracing::warn!(retry_ms = delay.as_millis(), "this host cannot join yet: {error:#}");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(delay) => {}
                }
            }
        }
    }
}

async fn identify(config: &Config) -> anyhow::Result<Cloud> {
    let network = Network::new(config.proxies.clone(), config.ca_bundle.as_deref())?;
    let clients = aws::connect(config.region.as_deref(), network).await?;
    let imds = Imds::new(clients.imds.clone());
    let instance = imds.instance_id().await?;
    let cluster = match &config.home {
        Home::Cluster(cluster) => cluster.clone(),
        Home::ComputeEnvironment(name) => batch::cluster_of(&clients.batch, name).await?,
    };
    let ecs = Ecs::new(clients.ecs.clone(), cluster.clone()).through(clients.network.clone());
    Ok(Cloud { ecs: Arc::new(ecs), imds, clients, instance, cluster, location: OnceLock::new() })
}
