//! What this host registers as.

use std::collections::BTreeMap;

use node_core::{ApiFailure, ContainerInstanceArn, OpFailure};

use super::identify::Cloud;
use super::warm_pool;
use crate::config::Config;
use crate::docker::Docker;
use crate::ecs::{DockerFacts, Registration, capabilities};
use crate::host::gpu::GpuFinder;
use crate::host::{os, resources};
use crate::instance::ec2;
use crate::serve::endpoint::Reach;

async fn docker_facts(docker: &Docker, config: &Config, reach: Reach) -> Result<DockerFacts, OpFailure> {
    let version = docker.version().await?;
    let log_drivers = docker.log_drivers().await?;
    Ok(DockerFacts {
        api_version: version.api,
        log_drivers,
        offered_drivers: config.logging_drivers.clone(),
        unprivileged: config.disable_privileged,
        no_health: config.disable_health_checks,
        task_roles: reach != Reach::Nowhere,
        log_roles: reach == Reach::LinkLocal,
    })
}

fn docker_first(failure: OpFailure) -> ApiFailure {
    let why = match failure {
        OpFailure::Unreachable(text) | OpFailure::Refused { text, .. } => text,
        OpFailure::Missing => "no answer".to_owned(),
    };
    ApiFailure::Unavailable(format!("Docker must answer first: {why}"))
}

/// EC2's where they are wanted, with the operator's over them.
async fn tags(cloud: &Cloud, config: &Config) -> Result<BTreeMap<String, String>, ApiFailure> {
    let mut tags = match config.propagate_ec2_tags {
        true => ec2::tags(&cloud.clients.ec2, &cloud.instance).await?,
        false => BTreeMap::new(),
    };
    tags.extend(config.container_instance_tags.clone());
    Ok(tags)
}

/// What this host offers to ECS, but for who it is. Without Docker there is nothing to offer.
pub(crate) async fn offer(
    config: &Config,
    docker: &Docker,
    gpus: &GpuFinder,
    reach: Reach,
) -> Result<Registration, ApiFailure> {
    let facts = docker_facts(docker, config, reach).await.map_err(docker_first)?;
    let resources = resources::detect(resources::Overrides {
        cpu_shares: config.cpu.map(crate::config::Vcpus::cpu_units),
        memory_mib: config.memory.map(|m| i32::try_from(m.0).unwrap_or(i32::MAX)),
        reserved_memory_mib: u32::try_from(config.reserved_memory.0).unwrap_or(u32::MAX),
    })
    .map_err(|error| ApiFailure::Rejected(error.to_string()))?;
    let gpus = gpus.offer(docker.lacks_gpu_runtime()).await;
    let gpus = gpus.map_err(|not_yet| ApiFailure::Unavailable(not_yet.to_string()))?;
    Ok(Registration {
        gpus,
        resources: resources::HostResources {
            tcp_ports: config.reserved_ports.clone(),
            udp_ports: config.reserved_ports_udp.clone(),
            ..resources
        },
        capabilities: capabilities(&facts),
        attributes: config.instance_attributes.clone(),
        os_type_detailed: config.os_type_detailed.clone().or_else(os::detailed).unwrap_or_default(),
        ..Registration::default()
    })
}

/// Registers what this host is and has. Without Docker it waits: a host that can run nothing must not be given work.
pub(super) async fn register(
    cloud: &Cloud,
    config: &Config,
    docker: &Docker,
    gpus: &GpuFinder,
    reach: Reach,
    previous: Option<&ContainerInstanceArn>,
) -> Result<ContainerInstanceArn, ApiFailure> {
    // A host that goes back to its pool has a registration to look after until its jobs have ended.
    if previous.is_none() {
        warm_pool::check(&cloud.imds, false).await.map_err(|waiting| ApiFailure::Unavailable(waiting.to_string()))?;
    }
    let offer = offer(config, docker, gpus, reach).await?;
    let identity = cloud.imds.identity().await;
    let outpost = if identity.document.is_empty() { None } else { cloud.imds.outpost_arn().await };
    let registration = Registration { identity, outpost, tags: tags(cloud, config).await?, ..offer };
    cloud.ecs.register(previous, &registration).await
}
