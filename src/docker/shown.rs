//! What Docker shows of a container beyond its progress, for the task metadata endpoint.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;
use node_core::DockerId;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::Docker;

/// A job waits for the answer; without it, it gets what the agent knows itself.
const INSPECT_LIMIT: Duration = Duration::from_secs(2);
/// dockerd takes two looks, a second apart.
const STATS_LIMIT: Duration = Duration::from_secs(5);

/// How often dockerd looks for one answer. Twice takes a second or two, and gives use as a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Once,
    Twice,
}

/// Texts are Docker's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shown {
    pub(crate) image_id: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) created_at: Option<String>,
    /// Each network's name and the container's IPv4 address in it, which is empty on the host's.
    pub(crate) networks: Vec<(String, String)>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) health: Option<Health>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Volume {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) docker_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) output: String,
}

impl Docker {
    /// `None` where Docker does not answer in time, or does not know the container.
    pub(crate) async fn shown(&self, id: &DockerId) -> Option<Shown> {
        let inspect = timeout(INSPECT_LIMIT, self.api.inspect_container(id.as_str(), None)).await.ok()?.ok()?;
        Some(shown(inspect))
    }

    /// Docker's statistics as its API has them; `None` where there are none.
    pub(crate) async fn statistics(&self, id: &DockerId, look: Look) -> Option<Value> {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(look == Look::Once).build();
        let mut answers = self.api.stats(id.as_str(), Some(options));
        let answer = timeout(STATS_LIMIT, answers.next()).await.ok()??.ok()?;
        serde_json::to_value(answer).ok()
    }

    /// The environment that an image brings, `KEY=value` each; empty where Docker does not say.
    pub(crate) async fn image_environment(&self, image: &str) -> Vec<String> {
        let inspect = timeout(INSPECT_LIMIT, self.api.inspect_image(image)).await;
        inspect.ok().and_then(Result::ok).and_then(|found| found.config?.env).unwrap_or_default()
    }
}

fn shown(inspect: ContainerInspectResponse) -> Shown {
    let config = inspect.config.unwrap_or_default();
    let networks = inspect.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mut networks: Vec<_> =
        networks.into_iter().map(|(name, endpoint)| (name, endpoint.ip_address.unwrap_or_default())).collect();
    networks.sort();
    Shown {
        image_id: inspect.image,
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        created_at: inspect.created,
        networks,
        volumes: inspect
            .mounts
            .unwrap_or_default()
            .into_iter()
            .map(|mount| Volume {
                docker_name: mount.name.unwrap_or_default(),
                source: mount.source.unwrap_or_default(),
                destination: mount.destination.unwrap_or_default(),
            })
            .collect(),
        health: inspect.state.and_then(|state| state.health).and_then(|health| {
            let last = health.log.unwrap_or_default().pop().and_then(|probe| probe.output);
            let status = match health.status? {
                HealthStatusEnum::HEALTHY => "HEALTHY",
                HealthStatusEnum::UNHEALTHY => "UNHEALTHY",
                HealthStatusEnum::STARTING => "UNKNOWN",
                HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => return None,
            };
            Some(Health { status, output: last.unwrap_or_default() })
        }),
    }
}
