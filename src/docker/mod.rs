//! The container side: Docker's Engine API, 1.41 and newer, through bollard.
//!
//! It translates and carries, and decides nothing: a [`TaskSpec`](node_core::TaskSpec) becomes Docker's own words, Docker's
//! answers become [`Observation`](node_core::Observation)s and [`OpFailure`](node_core::OpFailure)s. Whether to try again, and
//! what a failure means for a task, is `node-core`'s.

mod about;
mod body;
mod cleanup;
mod client;
mod create;
mod events;
mod failure;
mod images;
mod layers;
mod observe;
mod oom;
mod ops;
mod pulls;
mod reference;
pub(crate) mod registry;
mod shown;
mod transport;

pub(crate) use about::About;
pub(crate) use client::{ContainerLimits, Docker, DockerError, DockerVersion, Groups};
pub(crate) use events::watch;
pub(crate) use images::{ImageLimits, Wanted};
pub(crate) use registry::{AuthFormat, HostRegistries};
pub(crate) use shown::{Look, Shown, Volume};

/// The labels that amazon-ecs-agent puts on its containers; tools that read its containers read ours.
/// Source: amazon-ecs-agent, agent/engine/docker_task_engine.go.
mod labels {
    pub(super) const TASK_ARN: &str = "com.amazonaws.ecs.task-arn";
    pub(super) const CONTAINER_NAME: &str = "com.amazonaws.ecs.container-name";
    pub(super) const FAMILY: &str = "com.amazonaws.ecs.task-definition-family";
    pub(super) const VERSION: &str = "com.amazonaws.ecs.task-definition-version";
    pub(super) const CLUSTER: &str = "com.amazonaws.ecs.cluster";
}

#[cfg(test)]
mod tests;
