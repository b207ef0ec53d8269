//! Tasks and containers in the words of the task metadata endpoint (ecs-agent/tmds/handlers/v2 and v4/state). Pure.
//!
//! Log options come from the payload alone: what the agent added to them (secrets) is nobody's to read here.

use std::collections::BTreeMap;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use node_core::{ContainerSpec, ContainerState, Mebibytes, NetworkBinding, Stage, TaskRecord, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::Place;
use super::tags::{TagError, Tags};
use crate::docker::{Health, Shown, Volume};

/// Which endpoint asks: version 4 tells more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    V3,
    V4,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaskAnswer {
    pub(super) cluster: String,
    #[serde(rename = "TaskARN")]
    pub(super) task_arn: String,
    pub(super) family: String,
    pub(super) revision: String,
    pub(super) desired_status: &'static str,
    pub(super) known_status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) containers: Vec<ContainerAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pull_started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pull_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) execution_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability_zone: Option<String>,
    #[serde(rename = "AvailabilityZoneID", skip_serializing_if = "Option::is_none")]
    availability_zone_id: Option<String>,
    #[serde(rename = "VPCID", skip_serializing_if = "Option::is_none")]
    vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) launch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_tags: Option<Tags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_instance_tags: Option<Tags>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<TagError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault_injection_enabled: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerAnswer {
    pub(super) docker_id: String,
    name: String,
    docker_name: String,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Port>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Volume>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_driver: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    log_options: BTreeMap<String, String>,
    #[serde(rename = "ContainerARN", skip_serializing_if = "Option::is_none")]
    container_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<Network>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Port {
    container_port: u16,
    protocol: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    host_port: u16,
    #[serde(skip_serializing_if = "String::is_empty")]
    host_ip: String,
}

#[derive(Debug, Serialize)]
struct Limits {
    #[serde(rename = "CPU")]
    cpu: u64,
    #[serde(rename = "Memory")]
    memory: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Network {
    network_mode: String,
    #[serde(rename = "IPv4Addresses")]
    addresses: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(port: &u16) -> bool {
    *port == 0
}

/// `containers` are those that Docker has made, each as [`container`] shows it.
pub(super) fn task(
    record: &TaskRecord,
    place: &Place,
    containers: Vec<ContainerAnswer>,
    version: Version,
) -> TaskAnswer {
    let v4 = version == Version::V4;
    let location = &place.location;
    TaskAnswer {
        cluster: place.cluster.clone().unwrap_or_default(),
        task_arn: record.arn().to_string(),
        family: record.spec.family.clone(),
        revision: record.spec.version.clone(),
        desired_status: desired(record),
        known_status: known(record),
        containers,
        pull_started_at: record.pull_started_at.and_then(time),
        pull_stopped_at: record.pull_stopped_at.and_then(time),
        execution_stopped_at: record.execution_stopped_at.and_then(time),
        availability_zone: location.zone.clone(),
        availability_zone_id: location.zone_id.clone().filter(|_| v4),
        vpc_id: location.vpc.clone().filter(|_| v4),
        launch_type: v4.then_some("EC2"),
        task_tags: None,
        container_instance_tags: None,
        errors: Vec::new(),
        fault_injection_enabled: v4.then_some(false),
    }
}

/// A container as the agent knows it, and as Docker shows it where Docker answered.
pub(super) fn container(
    record: &TaskRecord,
    spec: &ContainerSpec,
    state: &ContainerState,
    shown: Option<Shown>,
    version: Version,
) -> ContainerAnswer {
    let shown = shown.unwrap_or_default();
    let (log_driver, log_options) = if version == Version::V4 { logging(spec) } else { Default::default() };
    ContainerAnswer {
        docker_id: state.docker_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: spec.name.to_string(),
        docker_name: state.docker_name.to_string(),
        image: spec.image.clone(),
        image_id: shown.image_id.unwrap_or_default(),
        ports: ports(&state.bindings),
        labels: shown.labels,
        desired_status: desired(record),
        known_status: stage(state.stage),
        exit_code: state.exit_code.map(|code| code.0),
        limits: Limits { cpu: spec.cpu_shares, memory: spec.memory.unwrap_or(Mebibytes(0)).0 },
        created_at: shown.created_at,
        started_at: state.started_at.and_then(time),
        finished_at: state.finished_at.and_then(time),
        kind: "NORMAL",
        health: shown.health,
        volumes: shown.volumes,
        log_driver,
        log_options,
        container_arn: spec.container_arn.clone().filter(|_| version == Version::V4),
        networks: networks(shown.networks),
    }
}

pub(super) fn ports(bindings: &[NetworkBinding]) -> Vec<Port> {
    let port = |binding: &NetworkBinding| Port {
        container_port: binding.container,
        protocol: binding.protocol.as_str(),
        host_port: binding.host,
        host_ip: binding.bind_ip.clone(),
    };
    bindings.iter().map(port).collect()
}

pub(super) fn networks(shown: Vec<(String, String)>) -> Vec<Network> {
    shown.into_iter().map(|(mode, address)| Network { network_mode: mode, addresses: vec![address] }).collect()
}

/// What ECS wants of a task and its containers.
pub(super) fn desired(record: &TaskRecord) -> &'static str {
    if record.winding_down() || record.stopped_at.is_some() { "STOPPED" } else { "RUNNING" }
}

/// The agent's own words for a container's state (ecs-agent/api/container/status).
pub(super) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Waiting => "NONE",
        Stage::Pulled => "PULLED",
        Stage::Created => "CREATED",
        Stage::Running => "RUNNING",
        Stage::Stopped => "STOPPED",
    }
}

/// A task is as far as its least advanced container; it has no state of its own for a pulled image.
pub(super) fn known(record: &TaskRecord) -> &'static str {
    let over = record.containers.iter().all(|c| c.stage == Stage::Stopped);
    let least = record.containers.iter().map(|c| c.stage.min(Stage::Running)).min();
    match least {
        _ if over => "STOPPED",
        Some(Stage::Pulled) => "MANIFEST_PULLED",
        least => stage(least.unwrap_or(Stage::Stopped)),
    }
}

/// The driver and its options as the payload has them.
fn logging(spec: &ContainerSpec) -> (Option<String>, BTreeMap<String, String>) {
    let host: Option<Value> = spec.docker_host_config.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let Some(log) = host.as_ref().and_then(|host| host.get("LogConfig")) else { return Default::default() };
    let options = log.get("Config").and_then(Value::as_object).into_iter().flatten();
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    (log.get("Type").and_then(Value::as_str).map(str::to_owned), options.filter_map(text).collect())
}

/// RFC 3339, with milliseconds.
pub(super) fn time(at: Timestamp) -> Option<String> {
    DateTime::from_millis(i64::try_from(at.0).ok()?).fmt(Format::DateTime).ok()
}
