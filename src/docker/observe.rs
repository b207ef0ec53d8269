//! Docker's inspect, as an [`Observation`].

use std::collections::HashMap;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerSummary, ContainerSummaryStateEnum, Health, HealthStatusEnum,
    PortBinding, PortMap,
};
use node_core::{
    DockerId, ExitCode, HealthSeen, HealthStatus, NetworkBinding, Observation, Protocol, Running, Timestamp,
};

/// Bytes kept of what the last probe of a health check wrote.
const HEALTH_OUTPUT_MAX: usize = 1024;

/// The rules are amazon-ecs-agent's (agent/dockerclient/dockerapi/docker_client.go, MetadataFromContainer).
pub(super) fn observation(inspect: &ContainerInspectResponse) -> Observation {
    let state = inspect.state.clone().unwrap_or_default();
    let ports = inspect.network_settings.as_ref().and_then(|network| network.ports.as_ref());
    let started_at = timestamp(state.started_at.as_deref());
    let finished_at = timestamp(state.finished_at.as_deref());
    let health = state.health.as_ref().and_then(health);
    Observation {
        id: DockerId::new(inspect.id.clone().unwrap_or_default()),
        running: running(&state, started_at, finished_at),
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.unwrap_or_default(),
        started_at,
        finished_at,
        bindings: ports.map(bindings).unwrap_or_default(),
        health,
    }
}

/// `None` for a container without a check.
fn health(health: &Health) -> Option<HealthSeen> {
    let status = match health.status? {
        HealthStatusEnum::HEALTHY => HealthStatus::Healthy,
        HealthStatusEnum::UNHEALTHY => HealthStatus::Unhealthy,
        HealthStatusEnum::STARTING => HealthStatus::Unknown,
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => return None,
    };
    let probe = health.log.as_ref().and_then(|log| log.last());
    let mut output = probe.and_then(|probe| probe.output.clone()).unwrap_or_default();
    output.truncate(output.floor_char_boundary(HEALTH_OUTPUT_MAX));
    Some(HealthSeen { status, exit_code: probe.and_then(|probe| probe.exit_code).map(ExitCode), output })
}

/// What a listing tells of a container, for want of an inspect: how far it is, without its exit code.
pub(super) fn listed(summary: &ContainerSummary) -> Observation {
    use ContainerSummaryStateEnum as State;
    let running = match summary.state.unwrap_or(State::EMPTY) {
        State::CREATED => Running::Created,
        State::RUNNING | State::PAUSED | State::RESTARTING | State::STOPPING => Running::Running,
        State::EXITED | State::DEAD | State::REMOVING | State::EMPTY => Running::Exited(None),
    };
    bare(DockerId::new(summary.id.clone().unwrap_or_default()), running)
}

/// A container of which nothing is known but that it is in this state.
pub(super) fn bare(id: DockerId, running: Running) -> Observation {
    Observation {
        id,
        running,
        oom_killed: false,
        error: String::new(),
        started_at: None,
        finished_at: None,
        bindings: Vec::new(),
        health: None,
    }
}

pub(super) fn label<'a>(inspect: &'a ContainerInspectResponse, key: &str) -> Option<&'a str> {
    let labels: &HashMap<String, String> = inspect.config.as_ref()?.labels.as_ref()?;
    labels.get(key).map(String::as_str)
}

fn running(state: &ContainerState, started: Option<Timestamp>, finished: Option<Timestamp>) -> Running {
    let failed = state.error.as_deref().is_some_and(|error| !error.is_empty());
    if state.running.unwrap_or_default() {
        Running::Running
    } else if started.is_none() && !failed && !state.dead.unwrap_or_default() {
        Running::Created
    } else {
        // Without a finish there was no process, and Docker's exit code is no process's either (127 after a failed start).
        Running::Exited(finished.and(state.exit_code).map(ExitCode))
    }
}

/// RFC 3339, with up to nine digits of a second. Docker writes the year 1 for "never".
fn timestamp(text: Option<&str>) -> Option<Timestamp> {
    let time = DateTime::from_str(text?, Format::DateTimeWithOffset).ok()?;
    u64::try_from(time.to_millis().ok()?).ok().map(Timestamp)
}

/// What is published, in a fixed order. As ECS does, IPv6's twin of each (`::`) is left out.
fn bindings(ports: &PortMap) -> Vec<NetworkBinding> {
    let mut all: Vec<NetworkBinding> = ports
        .iter()
        .flat_map(|(port, published)| published.iter().flatten().filter_map(|binding| network_binding(port, binding)))
        .collect();
    all.sort_by(|a, b| {
        (a.container, a.protocol, a.host, &a.bind_ip).cmp(&(b.container, b.protocol, b.host, &b.bind_ip))
    });
    all
}

/// `port` is Docker's `80/tcp`.
fn network_binding(port: &str, binding: &PortBinding) -> Option<NetworkBinding> {
    let (container, protocol) = port.split_once('/')?;
    let bind_ip = binding.host_ip.clone().unwrap_or_default();
    (bind_ip != "::").then_some(NetworkBinding {
        bind_ip,
        container: container.parse().ok()?,
        host: binding.host_port.as_deref()?.parse().ok()?,
        protocol: match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NEVER: &str = "0001-01-01T00:00:00Z";
    const START: &str = "2026-11-22T10:00:00.123456789Z";
    const FINISH: &str = "2026-11-22T11:00:01.5+01:00";

    fn observe(state: Value) -> Observation {
        let inspect = json!({ "Id": "abc", "State": state });
        observation(&serde_json::from_value(inspect).unwrap())
    }

    #[test]
    fn a_container_never_started_is_created() {
        let seen = observe(json!({ "Status": "created", "Running": false, "ExitCode": 0, "Error": "",
            "StartedAt": NEVER, "FinishedAt": NEVER }));
        assert_eq!(seen, bare(DockerId::new("abc"), Running::Created));
    }

    #[test]
    fn a_health_check_that_has_had_no_say_yet_leaves_health_unknown() {
        let health = |status: &str, log: Value| {
            observe(json!({ "Running": true, "StartedAt": START, "Health": { "Status": status, "Log": log } })).health
        };
        let probes = json!([{ "ExitCode": 0, "Output": "old" }, { "ExitCode": 7, "Output": "é".repeat(600) }]);
        let seen = health("unhealthy", probes).unwrap();
        assert_eq!((seen.status, seen.exit_code), (HealthStatus::Unhealthy, Some(ExitCode(7))));
        assert_eq!(seen.output, "é".repeat(512), "the last one's, cut");
        assert_eq!(health("starting", json!([])).map(|seen| seen.status), Some(HealthStatus::Unknown));
        assert_eq!(health("healthy", Value::Null).map(|seen| seen.status), Some(HealthStatus::Healthy));
        assert_eq!(health("none", json!([])), None);
    }

    #[test]
    fn a_running_container_has_no_exit_code() {
        let seen = observe(json!({ "Status": "running", "Running": true, "Pid": 7, "ExitCode": 0, "StartedAt": START,
            "FinishedAt": NEVER }));
        assert_eq!((seen.running, seen.finished_at), (Running::Running, None));
        assert_eq!(seen.started_at, Some(Timestamp(1_795_341_600_123)));
    }

    #[test]
    fn an_exit_has_its_code_and_its_time() {
        let seen = observe(json!({ "Status": "exited", "Running": false, "OOMKilled": true, "ExitCode": 137,
            "StartedAt": START, "FinishedAt": FINISH }));
        assert_eq!(seen.running, Running::Exited(Some(ExitCode(137))));
        assert!(seen.oom_killed);
        assert_eq!(seen.finished_at, Some(Timestamp(1_795_341_601_500)));
    }

    #[test]
    fn a_failed_start_is_over_and_has_no_exit_code() {
        let seen =
            observe(json!({ "Status": "created", "Running": false, "ExitCode": 127, "Error": "exec: \"x\": not found",
            "StartedAt": NEVER, "FinishedAt": NEVER }));
        assert_eq!(seen.running, Running::Exited(None));
        assert_eq!(seen.error, "exec: \"x\": not found");
    }

    #[test]
    fn a_dead_container_is_over() {
        let seen =
            observe(json!({ "Status": "dead", "Dead": true, "ExitCode": 1, "StartedAt": NEVER, "FinishedAt": FINISH }));
        assert_eq!(seen.running, Running::Exited(Some(ExitCode(1))));
    }

    #[test]
    fn a_listing_tells_how_far_a_container_is() {
        let state =
            |word: &str| listed(&serde_json::from_value(json!({ "Id": "abc", "State": word })).unwrap()).running;
        assert_eq!((state("created"), state("paused")), (Running::Created, Running::Running));
        assert_eq!((state("exited"), state("dead")), (Running::Exited(None), Running::Exited(None)));
    }

    #[test]
    fn published_ports_are_listed_once() {
        let inspect = json!({ "Id": "abc", "NetworkSettings": { "Ports": {
            "90/tcp": null,
            "80/tcp": [{ "HostIp": "::", "HostPort": "32768" }, { "HostIp": "0.0.0.0", "HostPort": "32768" }],
            "53/udp": [{ "HostIp": "127.0.0.1", "HostPort": "5353" }],
            "1/sctp": [{ "HostIp": "0.0.0.0", "HostPort": "1" }],
        }}});
        let binding = |bind_ip: &str, container, host, protocol| NetworkBinding {
            bind_ip: bind_ip.into(),
            container,
            host,
            protocol,
        };
        assert_eq!(
            observation(&serde_json::from_value(inspect).unwrap()).bindings,
            [binding("127.0.0.1", 53, 5353, Protocol::Udp), binding("0.0.0.0", 80, 32768, Protocol::Tcp),]
        );
    }
}
