//! AWS: who this host is there, what it may do, and where it belongs.

pub(super) mod batch;
pub(super) mod clock;
pub(super) mod ecs;
pub(super) mod iam;
pub(super) mod instance;

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_batch::types::{ComputeEnvironmentDetail, JobQueueDetail};
use aws_sdk_ecs::types::ContainerInstance;
use node_core::{ApiFailure, ClusterRef, InstanceId};
use std::time::SystemTime;
use tokio::sync::OnceCell;

use super::{Context, Outcome};
use crate::aws::{self, Clients};
use crate::config::Home;
use crate::ecs::{classify, one_line};
use crate::host::imds::Imds;
use crate::instance::queues;
use crate::net::Network;

/// Pages of 100 queues that are searched for those of this compute environment.
const QUEUE_PAGES: usize = 10;

/// Answers that several checks need, each asked for once.
#[derive(Default)]
pub(super) struct Cloud {
    clients: OnceCell<Result<Clients, String>>,
    credentials: OnceCell<Result<Option<SystemTime>, String>>,
    instance: OnceCell<Result<InstanceId, String>>,
    environment: OnceCell<Result<Option<ComputeEnvironmentDetail>, ApiFailure>>,
    queues: OnceCell<Result<Vec<JobQueueDetail>, ApiFailure>>,
    registered: OnceCell<Option<ContainerInstance>>,
}

impl Context {
    /// The clients, whether or not there are credentials.
    pub(super) async fn clients(&self) -> Result<&Clients, Outcome> {
        let config = self.config()?;
        let connect = async || {
            // Chosen by name: rustls guesses its provider only while exactly one is compiled in.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let network =
                Network::new(config.proxies.clone(), config.ca_bundle.as_deref()).map_err(|e| e.to_string())?;
            let clients = aws::connect(config.region.as_deref(), network, config.ecs_endpoint.as_deref());
            clients.await.map_err(|error| error.to_string())
        };
        let clients = self.cloud.clients.get_or_init(connect).await;
        clients.as_ref().map_err(|_| Outcome::skipped("AWS cannot be asked: see aws.region"))
    }

    /// Why there are no clients.
    pub(super) async fn no_clients(&self) -> Option<&str> {
        let _ = self.clients().await;
        self.cloud.clients.get().and_then(|clients| clients.as_ref().err()).map(String::as_str)
    }

    /// When the credentials end; `None`: never.
    pub(super) async fn credentials(&self) -> Result<&Result<Option<SystemTime>, String>, Outcome> {
        let clients = self.clients().await?;
        let ask = async || match clients.credentials.provide_credentials().await {
            Ok(found) => Ok(found.expiry()),
            Err(error) => Err(one_line(&error)),
        };
        Ok(self.cloud.credentials.get_or_init(ask).await)
    }

    /// The clients, where there are credentials to call with.
    pub(super) async fn aws(&self) -> Result<&Clients, Outcome> {
        match self.credentials().await? {
            Ok(_) => self.clients().await,
            Err(_) => Err(Outcome::skipped("there are no AWS credentials: see aws.credentials")),
        }
    }

    pub(super) async fn imds(&self) -> Result<Imds, Outcome> {
        self.clients().await.map(|clients| Imds::new(clients.imds.clone()))
    }

    /// Who this host is, or why nobody says.
    pub(super) async fn instance_id(&self) -> Result<&Result<InstanceId, String>, Outcome> {
        let imds = self.imds().await?;
        let ask = async || imds.instance_id().await.map_err(|failure| failure.to_string());
        Ok(self.cloud.instance.get_or_init(ask).await)
    }

    pub(super) async fn instance(&self) -> Result<&InstanceId, Outcome> {
        let instance = self.instance_id().await?;
        instance.as_ref().map_err(|_| Outcome::skipped("the instance's id is not known: see imds.reachable"))
    }

    /// The compute environment of this host: the one that is configured, or the one whose cluster is.
    pub(super) async fn environment(&self) -> Result<&Result<Option<ComputeEnvironmentDetail>, ApiFailure>, Outcome> {
        let home = self.settings.home.as_ref().ok_or_else(no_home)?;
        let clients = self.aws().await?;
        let ask = async || {
            let named = match home {
                Home::ComputeEnvironment(name) => Some(name.clone()),
                Home::Cluster(cluster) => queues::environment(&clients.batch, None, cluster.as_str()).await?,
            };
            let Some(named) = named else { return Ok(None) };
            let call = clients.batch.describe_compute_environments().compute_environments(named);
            let answer = call.send().await.map_err(|error| classify(&error))?;
            Ok(answer.compute_environments.unwrap_or_default().into_iter().next())
        };
        Ok(self.cloud.environment.get_or_init(ask).await)
    }

    /// The compute environment, where it is there.
    pub(super) async fn known_environment(&self) -> Result<&ComputeEnvironmentDetail, Outcome> {
        match self.environment().await? {
            Ok(Some(found)) => Ok(found),
            _ => Err(Outcome::skipped("the compute environment is not known: see batch.compute-environment")),
        }
    }

    /// The queues that feed a compute environment, whatever their state.
    pub(super) async fn queues(&self) -> Result<&Result<Vec<JobQueueDetail>, ApiFailure>, Outcome> {
        let environment = self.known_environment().await?;
        let arn = environment.compute_environment_arn().unwrap_or_default();
        let clients = self.aws().await?;
        Ok(self.cloud.queues.get_or_init(|| feeding(&clients.batch, arn)).await)
    }

    /// Where this host registers.
    pub(super) async fn cluster(&self) -> Result<ClusterRef, Outcome> {
        match self.settings.home.as_ref().ok_or_else(no_home)? {
            Home::Cluster(cluster) => Ok(cluster.clone()),
            Home::ComputeEnvironment(_) => {
                let cluster = self.known_environment().await?.ecs_cluster_arn().filter(|arn| !arn.is_empty());
                let none =
                    || Outcome::skipped("the compute environment has no ECS cluster: see batch.compute-environment");
                cluster.map(ClusterRef::new).ok_or_else(none)
            }
        }
    }

    /// What ECS holds of this host, if an agent has registered it and ECS may be asked.
    pub(super) async fn registered(&self) -> Option<&ContainerInstance> {
        let report = self.running().await?;
        let (arn, cluster) = (report.instance.container_instance.clone()?, report.instance.cluster.clone()?);
        let clients = self.aws().await.ok()?;
        let ask = async || {
            let call = clients.ecs.describe_container_instances().cluster(cluster).container_instances(arn);
            call.send().await.ok()?.container_instances.unwrap_or_default().into_iter().next()
        };
        self.cloud.registered.get_or_init(ask).await.as_ref()
    }
}

fn no_home() -> Outcome {
    Outcome::skipped("no compute environment is set: see config.valid")
}

async fn feeding(client: &aws_sdk_batch::Client, environment: &str) -> Result<Vec<JobQueueDetail>, ApiFailure> {
    let mut found = Vec::new();
    let mut next = None;
    for _ in 0..QUEUE_PAGES {
        let call = client.describe_job_queues().max_results(100).set_next_token(next);
        let answer = call.send().await.map_err(|error| classify(&error))?;
        next = answer.next_token().map(str::to_owned);
        let feeds = |queue: &JobQueueDetail| {
            queue.compute_environment_order().iter().any(|order| order.compute_environment() == Some(environment))
        };
        found.extend(answer.job_queues.unwrap_or_default().into_iter().filter(feeds));
        if next.is_none() {
            break;
        }
    }
    Ok(found)
}

/// Of an `Outcome` that stands in for an answer.
pub(super) fn either(outcome: Result<Outcome, Outcome>) -> Outcome {
    outcome.unwrap_or_else(|skipped| skipped)
}
