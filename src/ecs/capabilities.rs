//! What this node tells ECS it can do: the names that ECS matches against a task definition's `requiresAttributes`.
//!
//! The list holds what is implemented and nothing else. A name too many lets ECS place a job here that would run without
//! something it asked for; a name too few leaves it RUNNABLE with a reason. Names: amazon-ecs-agent's
//! `agent/app/agent_capability.go`.

/// What the Docker daemon says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DockerFacts {
    /// The newest Engine API version it speaks, e.g. `1.41`.
    pub(crate) api_version: String,
    /// `docker info`'s `Plugins.Log`.
    pub(crate) log_drivers: Vec<String>,
}

const PREFIX: &str = "ecs.capability.";
const DOCKER_PREFIX: &str = "com.amazonaws.ecs.capability.";

/// Capabilities that need nothing from the daemon, each with why it may be claimed.
const ALWAYS: &[(&str, &str, &str)] = &[
    (PREFIX, "container-ordering", "dependsOn START, COMPLETE and SUCCESS are node-core's"),
    (PREFIX, "full-sync", "manifests and stop verification are node-core's"),
    (DOCKER_PREFIX, "privileged-container", "Privileged passes through hostConfig"),
];

/// API versions that amazon-ecs-agent announces: all below 1.33 but 1.26, 1.27 and 1.31. A newer daemon counts as
/// speaking the older ones, since each feature they stand for is still there.
const REMOTE_API: &[u32] = &[17, 18, 19, 20, 21, 22, 23, 24, 25, 28, 29, 30, 32];

/// Log drivers that ECS knows, run by the Docker daemon itself. `awslogs` then uses the instance's own role; jobs that ask for
/// their execution role's (`logsAuthStrategy`) are refused one by one.
const LOG_DRIVERS: &[&str] = &["json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "none"];

/// The full attribute names to register, in a fixed order.
#[must_use]
pub(crate) fn capabilities(docker: &DockerFacts) -> Vec<String> {
    let minor = minor_version(&docker.api_version);
    let always = ALWAYS.iter().map(|(prefix, name, _why)| format!("{prefix}{name}"));
    let api = REMOTE_API.iter().filter(|v| **v <= minor).map(|v| format!("{DOCKER_PREFIX}docker-remote-api.1.{v}"));
    let logs = LOG_DRIVERS
        .iter()
        // Docker does not list `none`: it is the absence of a driver.
        .filter(|d| **d == "none" || docker.log_drivers.iter().any(|have| have == *d))
        .map(|d| format!("{DOCKER_PREFIX}logging-driver.{d}"));
    always.chain(api).chain(logs).collect()
}

/// `1.41` -> 41. Anything unreadable is 0, which announces no API version.
fn minor_version(version: &str) -> u32 {
    version.strip_prefix("1.").and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_daemon_can_do_is_announced() {
        let names = capabilities(&DockerFacts {
            api_version: "1.24".into(),
            log_drivers: vec!["json-file".into(), "awslogs".into(), "homemade".into()],
        });
        let has = |name: &str| names.iter().any(|n| n == name);
        assert!(has("com.amazonaws.ecs.capability.docker-remote-api.1.24"));
        assert!(!has("com.amazonaws.ecs.capability.docker-remote-api.1.25"));
        assert!(has("com.amazonaws.ecs.capability.logging-driver.awslogs"));
        assert!(has("com.amazonaws.ecs.capability.logging-driver.none"));
        assert!(!has("com.amazonaws.ecs.capability.logging-driver.syslog"));
        assert!(!names.iter().any(|n| n.contains("homemade")));
    }

    #[test]
    fn nothing_unimplemented_is_announced() {
        let names = capabilities(&DockerFacts { api_version: "1.55".into(), ..DockerFacts::default() }).join(" ");
        for absent in ["task-iam-role", "ecr-auth", "secrets", "efs", "task-eni", "gpu", "cpu-mem"] {
            assert!(!names.contains(absent), "{absent}");
        }
        assert!(names.contains("docker-remote-api.1.32"));
    }

    #[test]
    fn an_unreadable_version_announces_none() {
        assert_eq!(minor_version("2.0"), 0);
        assert_eq!(minor_version(""), 0);
        assert_eq!(minor_version("1.x"), 0);
    }
}
