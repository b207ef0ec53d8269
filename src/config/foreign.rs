//! The names that other programs, amazon-ecs-agent above all, give to settings of ours: where none of our own sources sets
//! a key, they do, so that a host moves over by swapping the service. Names, units and defaults: amazon-ecs-agent 1.105,
//! `agent/config/config.go` and `parse.go`.

use super::go;

/// A variable of another program that sets a key of ours.
pub(super) struct Foreign {
    pub(super) variable: &'static str,
    pub(super) key: &'static str,
    /// Brings its notation into ours; `None` where the text cannot be read, which then stands in the error as it is. An empty
    /// text sets nothing.
    pub(super) read: fn(&str) -> Option<String>,
}

const fn same(variable: &'static str, key: &'static str) -> Foreign {
    Foreign { variable, key, read: |text| Some(text.to_owned()) }
}

/// The first of two that set the same key wins.
pub(super) const FOREIGN: &[Foreign] = &[
    same("AWS_REGION", "region"),
    same("AWS_DEFAULT_REGION", "region"),
    same("AWS_CA_BUNDLE", "ca_bundle"),
    same("DOCKER_HOST", "docker_host"),
    same("HTTP_PROXY", "http_proxy"),
    same("http_proxy", "http_proxy"),
    same("HTTPS_PROXY", "https_proxy"),
    same("https_proxy", "https_proxy"),
    same("NO_PROXY", "no_proxy"),
    same("no_proxy", "no_proxy"),
    same("ECS_CLUSTER", "cluster"),
    same("ECS_BACKEND_HOST", "ecs_endpoint"),
    same("ECS_RESERVED_MEMORY", "reserved_memory"),
    same("ECS_RESERVED_PORTS", "reserved_ports"),
    same("ECS_RESERVED_PORTS_UDP", "reserved_ports_udp"),
    same("ECS_INSTANCE_ATTRIBUTES", "instance_attributes"),
    same("ECS_CONTAINER_INSTANCE_TAGS", "container_instance_tags"),
    same("ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM", "propagate_tags_from"),
    same("ECS_DETAILED_OS_FAMILY", "os_type_detailed"),
    Foreign { variable: "ECS_ENABLE_GPU_SUPPORT", key: "gpus", read: go::all_or_none },
    same("ECS_NVIDIA_RUNTIME", "nvidia_runtime"),
    Foreign { variable: "ECS_ENABLE_SPOT_INSTANCE_DRAINING", key: "spot", read: go::drain_or_ignore },
    Foreign { variable: "ECS_WARM_POOLS_CHECK", key: "warm_pool_check", read: go::boolean },
    same("ECS_AVAILABLE_LOGGING_DRIVERS", "logging_drivers"),
    Foreign { variable: "ECS_DISABLE_DOCKER_HEALTH_CHECK", key: "disable_health_checks", read: go::boolean },
    Foreign { variable: "ECS_DISABLE_METRICS", key: "disable_metrics", read: go::boolean },
    Foreign { variable: "ECS_DISABLE_PRIVILEGED", key: "disable_privileged", read: go::boolean },
    same("ECS_ENGINE_AUTH_TYPE", "registry_auth_type"),
    same("ECS_ENGINE_AUTH_DATA", "registry_auth_data"),
    same("ECS_TASK_METADATA_RPS_LIMIT", "task_metadata_rps_limit"),
    Foreign { variable: "ECS_AUDIT_LOGFILE_DISABLED", key: "audit_log", read: go::off },
    same("ECS_AUDIT_LOGFILE", "audit_log"),
    same("ECS_IMAGE_PULL_BEHAVIOR", "image_pull_behavior"),
    Foreign { variable: "ECS_IMAGE_PULL_TIMEOUT", key: "image_pull_timeout", read: |t| go::at_least(t, 1) },
    Foreign {
        variable: "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT",
        key: "image_pull_inactivity_timeout",
        read: |t| go::at_least(t, 60),
    },
    Foreign { variable: "ECS_MANIFEST_PULL_TIMEOUT", key: "image_manifest_timeout", read: |t| go::at_least(t, 30) },
    Foreign { variable: "ECS_DISABLE_IMAGE_CLEANUP", key: "image_cleanup", read: go::not },
    Foreign { variable: "ECS_IMAGE_CLEANUP_INTERVAL", key: "image_cleanup_interval", read: |t| go::at_least(t, 600) },
    Foreign { variable: "ECS_IMAGE_MINIMUM_CLEANUP_AGE", key: "image_cleanup_min_age", read: |t| go::at_least(t, 0) },
    same("ECS_NUM_IMAGES_DELETE_PER_CYCLE", "image_cleanup_count"),
    same("ECS_EXCLUDE_UNTRACKED_IMAGE", "image_cleanup_keep"),
    Foreign { variable: "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP", key: "image_cleanup_untracked", read: go::boolean },
    Foreign {
        variable: "NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE",
        key: "image_cleanup_untracked_min_age",
        read: |t| go::at_least(t, 0),
    },
    Foreign {
        variable: "ECS_CONTAINER_CREATE_TIMEOUT",
        key: "container_create_timeout",
        read: |t| go::at_least(t, 60),
    },
    Foreign { variable: "ECS_CONTAINER_START_TIMEOUT", key: "container_start_timeout", read: |t| go::at_least(t, 45) },
    Foreign { variable: "ECS_CONTAINER_STOP_TIMEOUT", key: "container_stop_timeout", read: |t| go::at_least(t, 1) },
    Foreign {
        variable: "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION",
        key: "task_cleanup_wait",
        read: |t| go::at_least(t, 1),
    },
    Foreign {
        variable: "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER",
        key: "task_cleanup_jitter",
        read: |t| go::at_least(t, 0),
    },
    same("ECS_TASK_PIDS_LIMIT", "container_pids_limit"),
    Foreign { variable: "ECS_LOG_OUTPUT_FORMAT", key: "log_format", read: go::log_format },
    Foreign { variable: "ECS_LOGLEVEL", key: "log_level", read: go::log_level },
];

/// What this agent does with a variable of amazon-ecs-agent that sets no key.
pub(super) enum Answer {
    /// It always does what the variable says with this value; another one is not honoured.
    Always(&'static str),
    /// Not honoured, and why.
    Not(&'static str),
    /// It changes nothing that a job or an operator would miss, and why; no word is said of it.
    Moot(&'static str),
}

use Answer::{Always, Moot, Not};

const PATH: &str = "a path inside amazon-ecs-agent's own container";
const STATS: &str = "containers are measured through their control groups, without Docker's stats";
const LOG_FILE: &str = "the log goes to standard error, where systemd keeps it";
const YET: &str = "not supported by this agent yet";
const AWSVPC: &str = "the awsvpc network mode is not supported";

/// Every other documented variable of amazon-ecs-agent and ecs-init.
pub(super) const OTHERS: &[(&str, Answer)] = &[
    ("ECS_AGENT_HEALTHCHECK_HOST", Moot("`batch-node-agent status` tells the agent's health")),
    ("ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS", Always("false")),
    ("ECS_ALTERNATE_CREDENTIAL_PROFILE", Not("set AWS_PROFILE")),
    ("ECS_APPARMOR_CAPABLE", Always("false")),
    ("ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES", Moot(AWSVPC)),
    ("ECS_AWSVPC_BLOCK_IMDS", Always("false")),
    ("ECS_CGROUP_CPU_PERIOD", Moot("CPU is shared by weight, without periods")),
    ("ECS_CGROUP_PATH", Moot("the control groups are found by themselves")),
    ("ECS_CHECKPOINT", Always("true")),
    ("ECS_CNI_PLUGINS_PATH", Moot(AWSVPC)),
    ("ECS_DATADIR", Moot(PATH)),
    ("ECS_DISABLE_TASK_METADATA_AZ", Always("true")),
    ("ECS_DYNAMIC_HOST_PORT_RANGE", Not("Docker chooses dynamic ports")),
    ("ECS_EBSTA_SUPPORTED", Always("false")),
    ("ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE", Always("true")),
    ("ECS_ENABLE_CONTAINER_METADATA", Always("false")),
    ("ECS_ENABLE_FIRELENS_ASYNC", Moot("FireLens is not supported")),
    ("ECS_ENABLE_HIGH_DENSITY_ENI", Always("false")),
    ("ECS_ENABLE_INF_SUPPORT", Always("false")),
    ("ECS_ENABLE_PROMETHEUS_METRICS", Always("false")),
    ("ECS_ENABLE_RUNTIME_STATS", Always("false")),
    ("ECS_ENABLE_TASK_CPU_MEM_LIMIT", Not("limits are those of each container; a task has none of its own")),
    ("ECS_ENABLE_TASK_ENI", Always("false")),
    ("ECS_ENABLE_TASK_IAM_ROLE", Always("true")),
    ("ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST", Always("true")),
    ("ECS_EXCLUDE_IPV6_PORTBINDING", Always("true")),
    ("ECS_EXTERNAL", Always("false")),
    ("ECS_GMSA_SUPPORTED", Always("false")),
    ("ECS_HOST_DATA_DIR", Moot(PATH)),
    ("ECS_INSTANCE_IP_COMPATIBILITY", Moot("it follows from the host's routes")),
    ("ECS_LOGFILE", Moot(LOG_FILE)),
    ("ECS_LOGLEVEL_ON_INSTANCE", Moot(LOG_FILE)),
    ("ECS_LOG_DRIVER", Moot(LOG_FILE)),
    ("ECS_LOG_MAX_FILE_SIZE_MB", Moot(LOG_FILE)),
    ("ECS_LOG_MAX_ROLL_COUNT", Moot(LOG_FILE)),
    ("ECS_LOG_ROLLOVER_TYPE", Moot(LOG_FILE)),
    ("ECS_PAUSE_LABELS", Moot(AWSVPC)),
    ("ECS_POLLING_METRICS_WAIT_DURATION", Moot(STATS)),
    ("ECS_POLL_METRICS", Moot(STATS)),
    ("ECS_PROPAGATE_TASK_MEMORY_LIMIT_CGROUPV2", Always("false")),
    ("ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT", Always("true")),
    ("ECS_SELINUX_CAPABLE", Always("false")),
    ("ECS_SHARED_VOLUME_MATCH_FULL_CONFIG", Always("false")),
    ("ECS_SKIP_LOCALHOST_TRAFFIC_FILTER", Moot("this agent filters no traffic")),
    ("ECS_UPDATES_ENABLED", Moot("updates are the package manager's")),
    ("ECS_UPDATE_DOWNLOAD_DIR", Moot("updates are the package manager's")),
    ("ECS_VOLUME_PLUGIN_CAPABILITIES", Not(YET)),
    ("NONECS_NUM_CONTAINERS_DELETE_PER_CYCLE", Not("containers that are none of this agent's are left alone")),
];

/// Says where [`super::ecs_json`] is.
pub(super) const JSON_PATH: &str = "ECS_AGENT_CONFIG_FILE_PATH";

/// Variables that ECS gives to the containers it runs: they say nothing to an agent that happens to run in one.
const OF_CONTAINERS: &[&str] = &["ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4", "ECS_AGENT_URI"];

/// What to tell of a variable that sets no key: `None` if it changes nothing.
pub(super) fn remark(variable: &str, value: &str) -> Option<Remark> {
    let known = OTHERS.iter().find(|(name, _)| *name == variable);
    match known {
        Some((_, Always(wanted))) => {
            let agrees = value == *wanted || go::boolean(value).as_deref() == Some(*wanted);
            (!agrees).then(|| Remark::NotHonoured(format!("{variable} (it is always {wanted} here)")))
        }
        Some((_, Moot(_))) => None,
        Some((_, Not(why))) => Some(Remark::NotHonoured(format!("{variable} ({why})"))),
        None if !variable.starts_with("ECS_") || OF_CONTAINERS.contains(&variable) => None,
        None if variable == JSON_PATH || FOREIGN.iter().any(|foreign| foreign.variable == variable) => None,
        None => Some(Remark::Unknown(match nearest(variable) {
            Some(meant) => format!("{variable} (did you mean {meant}?)"),
            None => variable.to_owned(),
        })),
    }
}

pub(super) enum Remark {
    NotHonoured(String),
    Unknown(String),
}

fn nearest(variable: &str) -> Option<&'static str> {
    let names = FOREIGN.iter().map(|f| f.variable).chain(OTHERS.iter().map(|(name, _)| *name));
    let ecs = names.filter(|name| name.starts_with("ECS_"));
    ecs.map(|name| (strsim::normalized_damerau_levenshtein(variable, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.75)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::keys::keys;
    use super::*;

    #[test]
    fn each_name_stands_once_and_sets_a_key_that_is_there() {
        let names: Vec<_> = FOREIGN.iter().map(|f| f.variable).chain(OTHERS.iter().map(|(name, _)| *name)).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for foreign in FOREIGN {
            assert!(keys().any(|key| key.name == foreign.key), "{}", foreign.key);
        }
    }

    #[test]
    fn what_changes_nothing_is_passed_over_and_the_rest_is_told() {
        let told = |name: &str, value: &str| match remark(name, value) {
            None => String::new(),
            Some(Remark::NotHonoured(text)) => format!("not: {text}"),
            Some(Remark::Unknown(text)) => format!("unknown: {text}"),
        };
        assert_eq!(told("ECS_CHECKPOINT", "T"), "");
        assert_eq!(told("ECS_CHECKPOINT", "false"), "not: ECS_CHECKPOINT (it is always true here)");
        assert_eq!(
            told("ECS_ALTERNATE_CREDENTIAL_PROFILE", "x"),
            "not: ECS_ALTERNATE_CREDENTIAL_PROFILE (set AWS_PROFILE)"
        );
        assert_eq!(told("ECS_CLUSTR", "c"), "unknown: ECS_CLUSTR (did you mean ECS_CLUSTER?)");
        assert_eq!(told("ECS_XYZZY", "c"), "unknown: ECS_XYZZY");
        for passed in
            ["ECS_CLUSTER", "ECS_AGENT_CONFIG_FILE_PATH", "ECS_DATADIR", "ECS_CONTAINER_METADATA_URI_V4", "PATH"]
        {
            assert_eq!(told(passed, "x"), "", "{passed}");
        }
    }
}
