//! One container of a task.

use ecs_wire::task::{
    Container, ContainerDependency, MountPoint, PortMapping as WirePort, RestartPolicy as WirePolicy, Task,
};
use node_core::{
    Bind, Condition, ContainerName, ContainerSpec, Dependency, ExitCode, MIN_CPU_SHARES, Mebibytes, PortMapping,
    Protocol, RestartPolicy,
};
use serde_json::Value;

use super::volumes::Volumes;
use super::{registry, roles, secrets};

/// Docker takes CPU shares from [`MIN_CPU_SHARES`] to this; amazon-ecs-agent brings everything else into that range.
const MAX_SHARES: u64 = 262_144;
/// Docker refuses less; amazon-ecs-agent raises it to this.
const MIN_MEMORY: Mebibytes = Mebibytes(4);

pub(super) fn decode(wire: &Container, volumes: &Volumes, task: &Task) -> Result<ContainerSpec, String> {
    let name = &wire.name;
    if name.is_empty() {
        return Err("a container without a name".to_owned());
    }
    let within = |text: String| format!("container {name:?}: {text}");
    if wire.image.is_empty() {
        return Err(within("no image".to_owned()));
    }
    let docker = wire.docker_config.as_ref();
    Ok(ContainerSpec {
        name: ContainerName::new(name),
        image: wire.image.clone(),
        essential: wire.essential,
        command: command(wire).map_err(within)?,
        entry_point: wire.entry_point.clone(),
        environment: wire.environment.clone(),
        cpu_shares: u64::try_from(wire.cpu).unwrap_or(0).clamp(MIN_CPU_SHARES, MAX_SHARES),
        memory: memory(wire.memory).map_err(within)?,
        binds: collect(&wire.mount_points, |m| bind(m, volumes)).map_err(within)?,
        ports: collect(&wire.port_mappings, port).map_err(within)?,
        depends_on: collect(&wire.depends_on, dependency).map_err(within)?,
        docker_config: docker.and_then(|d| d.config.clone()),
        docker_host_config: roles::log_auth(
            wire.logs_auth_strategy.as_deref(),
            docker.and_then(|d| d.host_config.clone()),
            task,
        )
        .map_err(within)?,
        stop_timeout_secs: wire.stop_timeout,
        container_arn: wire.container_arn.clone(),
        registry_auth: registry::auth(wire.registry_authentication.as_ref()).map_err(within)?,
        health_check: wire.health_check_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("docker")),
        restart_policy: wire.restart_policy.as_ref().filter(|policy| policy.enabled).map(restart_policy),
        secrets: collect(&wire.secrets, secrets::secret).map_err(within)?,
        gpus: Vec::new(),
    })
}

fn restart_policy(wire: &WirePolicy) -> RestartPolicy {
    RestartPolicy {
        ignored_exit_codes: wire.ignored_exit_codes.iter().copied().map(ExitCode).collect(),
        attempt_period_secs: u64::try_from(wire.restart_attempt_period).unwrap_or(0),
    }
}

fn collect<W, T>(wire: &[W], each: impl Fn(&W) -> Result<T, String>) -> Result<Vec<T>, String> {
    wire.iter().map(each).collect()
}

/// The override's command, if it has one, else the container's own. `command` is all that an override may hold.
fn command(wire: &Container) -> Result<Vec<String>, String> {
    let own = || Ok(wire.command.clone());
    let overrides = match &wire.overrides {
        None | Some(Value::Null) => return own(),
        Some(Value::String(text)) if text.is_empty() => return own(),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|e| format!("overrides are not JSON: {e}"))?,
        Some(other) => other.clone(),
    };
    let Value::Object(fields) = overrides else {
        return Err("overrides are not a JSON object".to_owned());
    };
    if let Some(key) = fields.keys().find(|key| *key != "command") {
        return Err(format!("override of {key:?}: only `command` can be overridden"));
    }
    match fields.get("command") {
        None | Some(Value::Null) => own(),
        Some(command) => serde_json::from_value(command.clone())
            .map_err(|_| "the overriding command is not a list of strings".to_owned()),
    }
}

fn memory(mib: i64) -> Result<Option<Mebibytes>, String> {
    let mib = u64::try_from(mib).map_err(|_| format!("memory of {mib} MiB"))?;
    Ok((mib > 0).then(|| Mebibytes(mib).max(MIN_MEMORY)))
}

fn bind(mount: &MountPoint, volumes: &Volumes) -> Result<Bind, String> {
    let volume = &mount.source_volume;
    let source = volumes.source(volume);
    Ok(Bind {
        source: source
            .ok_or_else(|| format!("mount point of volume {volume:?}, which the task does not declare"))?
            .to_owned(),
        target: mount.container_path.clone(),
        read_only: mount.read_only,
    })
}

fn port(wire: &WirePort) -> Result<PortMapping, String> {
    if wire.container_port_range.is_some() {
        return Err("containerPortRange is not supported yet".to_owned());
    }
    if wire.container_port == 0 {
        return Err("port mapping without containerPort".to_owned());
    }
    let protocol = match wire.protocol.as_deref() {
        None | Some("" | "tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some(other) => return Err(format!("port protocol {other:?}: it must be tcp or udp")),
    };
    Ok(PortMapping { container: wire.container_port, host: wire.host_port, protocol })
}

fn dependency(wire: &ContainerDependency) -> Result<Dependency, String> {
    let condition = match wire.condition.as_str() {
        "START" => Condition::Start,
        "COMPLETE" => Condition::Complete,
        "SUCCESS" => Condition::Success,
        "HEALTHY" => Condition::Healthy,
        other => {
            return Err(format!("dependsOn condition {other:?}: it must be START, COMPLETE, SUCCESS or HEALTHY"));
        }
    };
    Ok(Dependency { container: ContainerName::new(&wire.container_name), condition })
}
