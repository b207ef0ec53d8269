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
    /// The only drivers to offer; `None` offers all that there are.
    pub(crate) offered_drivers: Option<Vec<String>>,
    /// Jobs with privileged containers are not wanted here.
    pub(crate) unprivileged: bool,
    /// Nobody is told what health checks say.
    pub(crate) no_health: bool,
    /// Containers reach the task endpoint.
    pub(crate) task_roles: bool,
    /// dockerd's own log drivers reach it too.
    pub(crate) log_roles: bool,
}

const PREFIX: &str = "ecs.capability.";
const DOCKER_PREFIX: &str = "com.amazonaws.ecs.capability.";

const PRIVILEGED: &str = "privileged-container";
const HEALTH_CHECK: &str = "container-health-check";

/// Capabilities that need nothing from the daemon, each with why it may be claimed.
const ALWAYS: &[(&str, &str, &str)] = &[
    (PREFIX, "container-ordering", "dependsOn with any condition is node-core's"),
    (PREFIX, "container-restart-policy", "restartPolicy is node-core's"),
    (PREFIX, HEALTH_CHECK, "Healthcheck passes through dockerConfig, and its result goes to TCS"),
    (PREFIX, "full-sync", "manifests and stop verification are node-core's"),
    (DOCKER_PREFIX, PRIVILEGED, "Privileged passes through hostConfig"),
    (PREFIX, "ecr-endpoint", "registryAuthentication's endpointOverride is where ECR is asked"),
    (DOCKER_PREFIX, "ecr-auth", "GetAuthorizationToken with the instance's role"),
    (PREFIX, "private-registry-authentication.secretsmanager", "GetSecretValue with the execution role"),
    (PREFIX, "execution-role-ecr-pull", "GetAuthorizationToken with the execution role"),
    (PREFIX, "secrets.ssm.environment-variables", "GetParameters with the execution role"),
    (PREFIX, "secrets.ssm.bootstrap.log-driver", "the same, into the log driver's options"),
    (PREFIX, "secrets.asm.environment-variables", "GetSecretValue with the execution role"),
    (PREFIX, "secrets.asm.bootstrap.log-driver", "the same, into the log driver's options"),
];

/// API versions that amazon-ecs-agent announces: all below 1.33 but 1.26, 1.27 and 1.31. A newer daemon counts as
/// speaking the older ones, since each feature they stand for is still there.
const REMOTE_API: &[u32] = &[17, 18, 19, 20, 21, 22, 23, 24, 25, 28, 29, 30, 32];

/// Where the task endpoint is open.
const ROLES: &[&str] = &["task-iam-role", "task-iam-role-network-host"];

/// Log drivers that ECS knows, run by the Docker daemon itself. `awslogs` then uses the instance's own role, or for jobs that ask
/// for it (`logsAuthStrategy`) their execution role.
const LOG_DRIVERS: &[&str] = &["json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "none"];

/// The full attribute names to register, in a fixed order.
#[must_use]
pub(crate) fn capabilities(docker: &DockerFacts) -> Vec<String> {
    let minor = minor_version(&docker.api_version);
    let wanted = |name: &str| match name {
        PRIVILEGED => !docker.unprivileged,
        HEALTH_CHECK => !docker.no_health && minor >= 24,
        _ => true,
    };
    let always =
        ALWAYS.iter().filter(|(_, name, _)| wanted(name)).map(|(prefix, name, _why)| format!("{prefix}{name}"));
    let api = REMOTE_API.iter().filter(|v| **v <= minor).map(|v| format!("{DOCKER_PREFIX}docker-remote-api.1.{v}"));
    let logs = LOG_DRIVERS
        .iter()
        // Docker does not list `none`: it is the absence of a driver.
        .filter(|d| **d == "none" || docker.log_drivers.iter().any(|have| have == *d))
        .filter(|d| docker.offered_drivers.as_ref().is_none_or(|offered| offered.iter().any(|o| o == *d)))
        .map(|d| format!("{DOCKER_PREFIX}logging-driver.{d}"));
    let roles = ROLES.iter().filter(|_| docker.task_roles).map(|name| format!("{DOCKER_PREFIX}{name}"));
    let awslogs = docker.log_drivers.iter().any(|driver| driver == "awslogs");
    let log_roles = (docker.log_roles && awslogs).then(|| format!("{PREFIX}execution-role-awslogs"));
    always.chain(api).chain(logs).chain(roles).chain(log_roles).collect()
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
            ..DockerFacts::default()
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
        for absent in ["task-iam-role", "efs", "task-eni", "gpu", "cpu-mem"] {
            assert!(!names.contains(absent), "{absent}");
        }
        assert!(names.contains("docker-remote-api.1.32"));
    }

    #[test]
    fn what_the_operator_withholds_is_not_announced() {
        let docker = DockerFacts {
            api_version: "1.24".into(),
            log_drivers: vec!["json-file".into(), "awslogs".into()],
            ..DockerFacts::default()
        };
        let all = capabilities(&docker).join(" ");
        assert!(all.contains("privileged-container") && all.contains("ecs.capability.container-health-check"));
        let withheld = DockerFacts {
            offered_drivers: Some(vec!["awslogs".into()]),
            unprivileged: true,
            no_health: true,
            ..docker
        };
        let names = capabilities(&withheld).join(" ");
        assert!(names.contains("logging-driver.awslogs"));
        assert!(!names.contains("container-health-check") && names.contains("container-restart-policy"));
        assert!(!names.contains("privileged") && !names.contains("json-file") && !names.contains(".none"), "{names}");
    }

    #[test]
    fn roles_are_announced_where_they_are_served() {
        let docker = DockerFacts { task_roles: true, log_drivers: vec!["awslogs".into()], ..DockerFacts::default() };
        let names = capabilities(&docker).join(" ");
        assert!(names.contains("com.amazonaws.ecs.capability.task-iam-role ") && names.contains("role-network-host"));
        assert!(!names.contains("execution-role-awslogs"), "dockerd cannot reach the loopback's port");
        let all = capabilities(&DockerFacts { log_roles: true, ..docker });
        assert!(all.iter().any(|name| name == "ecs.capability.execution-role-awslogs"));
    }

    #[test]
    fn an_unreadable_version_announces_none() {
        assert_eq!(minor_version("2.0"), 0);
        assert_eq!(minor_version(""), 0);
        assert_eq!(minor_version("1.x"), 0);
    }
}
