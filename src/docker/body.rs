//! A task's container in the words of Docker's `POST /containers/create`. Pure.
//!
//! The order is amazon-ecs-agent's (agent/api/task/task.go): what the payload says in ECS's own fields; on top of it the
//! payload's JSON texts in Docker's field names (user, working directory, network mode, log driver, ulimits, ...); labels last.

use bollard::models::{ContainerCreateBody, HostConfig};
use node_core::{Bind, ContainerSpec, Mebibytes, OpFailure, PortMapping, TaskSpec};
use serde_json::{Map, Value, json};

use super::failure::refused;
use super::labels;
use crate::guard::Confinement;

const CONFIG_ERROR: &str = "DockerClientConfigError";
const HOST_CONFIG_ERROR: &str = "HostConfigError";

/// What the host, not the job, has to say about every container.
pub(super) struct OfHost<'a> {
    pub(super) gpu_runtime: &'a str,
    pub(super) pids_limit: Option<i64>,
    pub(super) confinement: Option<&'a Confinement>,
}

impl OfHost<'_> {
    /// What the job says for itself stays, but for what would lead around the block of the instance metadata service: with
    /// `NET_RAW`, which Docker gives by default, a container on the host's network writes packets that no rule sees.
    fn apply(&self, config: &mut HostConfig) {
        config.pids_limit = config.pids_limit.or(self.pids_limit);
        let Some(Confinement { cgroup_parent }) = self.confinement else { return };
        config.cgroup_parent = Some((*cgroup_parent).to_owned());
        let on_host = config.network_mode.as_deref() == Some("host");
        if on_host && config.privileged != Some(true) {
            config.cap_drop.get_or_insert_default().push("NET_RAW".to_owned());
        }
    }
}

/// Fails only where the payload's JSON texts are not what Docker takes.
pub(super) fn create_body(
    task: &TaskSpec,
    container: &ContainerSpec,
    cluster: &str,
    host: &OfHost<'_>,
) -> Result<ContainerCreateBody, OpFailure> {
    let mut body = config(container)?;
    let runtime = sees_gpus(task, &body).then_some(host.gpu_runtime);
    let mut host_config = host_config(container, runtime)?;
    host.apply(&mut host_config);
    body.host_config = Some(host_config);
    body.networking_config = None;
    let own = [
        (labels::TASK_ARN, task.arn.as_str()),
        (labels::CONTAINER_NAME, container.name.as_str()),
        (labels::FAMILY, &task.family),
        (labels::VERSION, &task.version),
        (labels::CLUSTER, cluster),
    ];
    body.labels.get_or_insert_default().extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok(body)
}

fn config(container: &ContainerSpec) -> Result<ContainerCreateBody, OpFailure> {
    let mut config = Map::new();
    config.insert("Image".into(), json!(container.image));
    if !container.command.is_empty() {
        config.insert("Cmd".into(), json!(container.command));
    }
    if let Some(entry_point) = &container.entry_point {
        config.insert("Entrypoint".into(), json!(entry_point));
    }
    let environment: Vec<String> = container.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
    config.insert("Env".into(), json!(environment));
    let exposed: Map<String, Value> = container.ports.iter().map(|port| (port_key(port), json!({}))).collect();
    config.insert("ExposedPorts".into(), Value::Object(exposed));

    let wrong = |error| refused(CONFIG_ERROR, format!("Unable decode given docker config: {error}"));
    overlay(&mut config, container.docker_config.as_deref()).map_err(wrong)?;
    let config: ContainerCreateBody = serde_json::from_value(Value::Object(config)).map_err(wrong)?;
    if container.health_check && config.healthcheck.is_none() {
        let text = "docker health check is nil while container health check type is DOCKER";
        return Err(refused(CONFIG_ERROR, text.to_owned()));
    }
    Ok(config)
}

/// As amazon-ecs-agent: in a task that has GPUs, every container whose environment names devices.
fn sees_gpus(task: &TaskSpec, body: &ContainerCreateBody) -> bool {
    const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES=";
    task.containers.iter().any(|container| !container.gpus.is_empty())
        && body.env.iter().flatten().any(|pair| pair.starts_with(VISIBLE))
}

fn host_config(container: &ContainerSpec, runtime: Option<&str>) -> Result<HostConfig, OpFailure> {
    let mut config = Map::new();
    let binds: Vec<String> = container.binds.iter().map(bind).collect();
    config.insert("Binds".into(), json!(binds));
    config.insert("PortBindings".into(), Value::Object(port_bindings(&container.ports)));
    config.insert("Memory".into(), json!(container.memory.map_or(0, Mebibytes::bytes)));
    config.insert("CpuShares".into(), json!(container.cpu_shares));
    if let Some(runtime) = runtime {
        config.insert("Runtime".into(), json!(runtime));
    }

    let wrong = |error| refused(HOST_CONFIG_ERROR, format!("Unable to decode given host config: {error}"));
    overlay(&mut config, container.docker_host_config.as_deref()).map_err(wrong)?;
    serde_json::from_value(Value::Object(config)).map_err(wrong)
}

/// Lays a JSON text over `base` as Go's decoder would: a key replaces, a map merges by key, and null empties a list or a map
/// and leaves anything else as it was.
fn overlay(base: &mut Map<String, Value>, text: Option<&str>) -> serde_json::Result<()> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(());
    };
    let over: Option<Map<String, Value>> = serde_json::from_str(text)?;
    for (key, value) in over.into_iter().flatten() {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
            (Some(Value::Array(_) | Value::Object(_)), Value::Null) => drop(base.remove(&key)),
            (_, Value::Null) => {}
            (_, value) => drop(base.insert(key, value)),
        }
    }
    Ok(())
}

/// Docker makes a source path that the host does not have, as ECS's users are used to.
fn bind(bind: &Bind) -> String {
    let mode = if bind.read_only { ":ro" } else { "" };
    format!("{}:{}{mode}", bind.source, bind.target)
}

fn port_key(port: &PortMapping) -> String {
    format!("{}/{}", port.container, port.protocol.as_str())
}

/// One container port may be published at several host ports. Host port 0 is Docker's to choose.
fn port_bindings(ports: &[PortMapping]) -> Map<String, Value> {
    let mut bindings = Map::new();
    for port in ports {
        let published = bindings.entry(port_key(port)).or_insert_with(|| json!([]));
        if let Value::Array(published) = published {
            published.push(json!({ "HostPort": port.host.to_string() }));
        }
    }
    bindings
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
