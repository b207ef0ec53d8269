//! The one table of settings. Parsing, the search for unknown keys, `config --docs`, docs/configuration.md and the
//! README's table all come from it.

use Default::{Is, Unset};
use node_core::ClusterRef;

use super::draft::{Draft, set};
use super::foreign::{FOREIGN, Foreign};
use super::value::Value;
use ecs_wire::task::Secret;

/// A setting.
pub(super) struct Key {
    /// Its name in the file. In the environment it is [`PREFIX`] and the name in capitals.
    pub(super) name: &'static str,
    pub(super) default: Default,
    /// What a value must be, to follow "which is not".
    pub(super) expects: &'static str,
    /// One line for the reference.
    pub(super) help: &'static str,
    /// Gives the value its type and its place; `None` when it is not what the key expects.
    pub(super) apply: fn(&mut Draft, &Value) -> Option<()>,
}

/// What holds where a key is not set.
pub(super) enum Default {
    /// This, written as it would be in the environment.
    Is(&'static str),
    /// Nothing; the text says what follows from that.
    Unset(&'static str),
}

pub(super) const PREFIX: &str = "BATCH_NODE_AGENT_";

/// Variables that are no settings: builds with debug assertions take faults to inject from them (`store/crash.rs`).
pub(super) const TEST_PREFIX: &str = "BATCH_NODE_AGENT_TEST_";

impl Key {
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// Variables of other programs that set it too where neither ours nor the file does, the first one first.
    pub(super) fn foreign_variables(&self) -> impl Iterator<Item = &'static Foreign> {
        let name = self.name;
        FOREIGN.iter().filter(move |foreign| foreign.key == name)
    }

    /// Its value is shown to nobody. A proxy's URL may hold a password.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.name, "registry_auth_data" | "http_proxy" | "https_proxy")
    }
}

/// In the order of the reference: what one must set, what one may well set, and the rest.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "compute_environment",
        default: Unset("none; this or `cluster` is required"),
        expects: "a compute environment's name or ARN",
        help: "The UNMANAGED compute environment this host works for; its ECS cluster is looked up",
        apply: |d, v| {
            let found = v.reference(":batch:", ":compute-environment/");
            set(&mut d.compute_environment, found.map(Some))
        },
    },
    Key {
        name: "cluster",
        default: Unset("the compute environment's"),
        expects: "an ECS cluster's name or ARN",
        help: "The ECS cluster to register in, instead of `compute_environment`",
        apply: |d, v| {
            let found = v.reference(":ecs:", ":cluster/");
            set(&mut d.cluster, found.map(|name| Some(ClusterRef::new(name))))
        },
    },
    Key {
        name: "region",
        default: Unset("asked of the instance metadata service"),
        expects: "an AWS region such as us-east-1",
        help: "The AWS region",
        apply: |d, v| set(&mut d.config.region, v.region().map(Some)),
    },
    Key {
        name: "idle_timeout",
        default: Is("10m"),
        expects: "`never` or a duration such as 500ms, 90s, 10m, 3h or 1d",
        help: "How long the host stays without work before it drains and terminates itself; `never` keeps it",
        apply: |d, v| set(&mut d.config.idle_timeout, v.duration_or_never()),
    },
    Key {
        name: "image_pull_behavior",
        default: Is("default"),
        expects: "one of default, always, once, prefer-cached",
        help: "`default`: pull, and use a cached image if that fails; `always`: pull or fail; `once`: pull what \
            this host has not pulled yet; `prefer-cached`: pull what is not cached",
        apply: |d, v| set(&mut d.config.image_pull_behavior, v.pull_behavior()),
    },
    Key {
        name: "image_pull_timeout",
        default: Is("2h"),
        expects: "a duration of 1s or more, such as 30m or 2h",
        help: "How long the pull of an image may take in all",
        apply: |d, v| set(&mut d.config.image_limits.pull, v.a_second_or_more()),
    },
    Key {
        name: "image_pull_inactivity_timeout",
        default: Is("1m"),
        expects: "a duration of 1s or more, such as 90s or 5m",
        help: "How long a pull may stand still before it is given up",
        apply: |d, v| set(&mut d.config.image_limits.inactivity, v.a_second_or_more()),
    },
    Key {
        name: "image_manifest_timeout",
        default: Is("1m"),
        expects: "a duration of 1s or more, such as 30s or 1m",
        help: "How long a registry may take to name an image's digest",
        apply: |d, v| set(&mut d.config.image_limits.manifest, v.a_second_or_more()),
    },
    Key {
        name: "registry_auth_type",
        default: Unset("no credentials of the host's own"),
        expects: "one of docker, dockercfg",
        help: "How `registry_auth_data` is written: `docker` is `{\"registry\":{\"username\":..,\"password\":..}}`, \
            `dockercfg` is what `docker login` writes",
        apply: |d, v| set(&mut d.registry_auth_type, v.text().and_then(|t| t.parse().ok()).map(Some)),
    },
    Key {
        name: "registry_auth_data",
        default: Unset("no credentials of the host's own"),
        expects: "JSON in the notation that `registry_auth_type` names",
        help: "Credentials for private registries, for images whose job definition names none. It is a secret, and \
            shown nowhere",
        apply: |d, v| set(&mut d.registry_auth_data, v.text().map(|t| Some(Secret(t.to_owned())))),
    },
    Key {
        name: "cpu",
        default: Unset("all of the host's"),
        expects: "a number of vCPUs from 0.125 to 4096",
        help: "vCPUs to offer to jobs",
        apply: |d, v| set(&mut d.config.cpu, v.vcpus().map(Some)),
    },
    Key {
        name: "memory",
        default: Unset("all of the host's, less `reserved_memory`"),
        expects: "a whole number of MiB, 4 or more",
        help: "Memory to offer to jobs, in MiB",
        apply: |d, v| set(&mut d.config.memory, v.mebibytes(4).map(Some)),
    },
    Key {
        name: "reserved_memory",
        default: Is("0"),
        expects: "a whole number of MiB",
        help: "Memory to keep from jobs, in MiB",
        apply: |d, v| set(&mut d.config.reserved_memory, v.mebibytes(0)),
    },
    Key {
        name: "reserved_ports",
        default: Is("22,2375,2376,51678,51679"),
        expects: "a list of ports from 1 to 65535",
        help: "TCP ports that no job may ask for",
        apply: |d, v| set(&mut d.config.reserved_ports, v.ports()),
    },
    Key {
        name: "reserved_ports_udp",
        default: Is("[]"),
        expects: "a list of ports from 1 to 65535",
        help: "UDP ports that no job may ask for",
        apply: |d, v| set(&mut d.config.reserved_ports_udp, v.ports()),
    },
    Key {
        name: "gpus",
        default: Is("all"),
        expects: "one of all, none, or a list of GPUs' UUIDs (GPU-...)",
        help: "The NVIDIA GPUs to offer to jobs. They need the driver and, in Docker, NVIDIA's runtime",
        apply: |d, v| set(&mut d.config.gpus, v.gpus()),
    },
    Key {
        name: "gpu_wait",
        default: Is("5m"),
        expects: "a duration such as 90s or 10m",
        help: "How long after its boot a host that has GPUs waits for their driver, before it registers without them",
        apply: |d, v| set(&mut d.config.gpu_wait, v.duration()),
    },
    Key {
        name: "nvidia_runtime",
        default: Is("nvidia"),
        expects: "a word of 1 to 128 letters, digits and `- _ .`",
        help: "Docker's name for the runtime that gives GPUs to containers",
        apply: |d, v| set(&mut d.config.nvidia_runtime, v.word()),
    },
    Key {
        name: "instance_attributes",
        default: Is("{}"),
        expects: "a table of strings, whose names have 1 to 128 letters, digits or `- _ . / \\`, and whose \
            values have at most 128 characters",
        help: "Attributes of the container instance, for placement",
        apply: |d, v| set(&mut d.config.instance_attributes, v.attributes()),
    },
    Key {
        name: "container_instance_tags",
        default: Is("{}"),
        expects: "a table of strings, at most 50, whose names have 1 to 128 characters and do not begin with `aws:`, \
            and whose values have at most 256",
        help: "Tags of the container instance",
        apply: |d, v| set(&mut d.config.container_instance_tags, v.tags()),
    },
    Key {
        name: "propagate_tags_from",
        default: Is("none"),
        expects: "one of none, ec2_instance",
        help: "`ec2_instance` also gives the container instance the EC2 instance's tags; the role then needs \
            ec2:DescribeTags",
        apply: |d, v| set(&mut d.config.propagate_ec2_tags, v.tag_source()),
    },
    Key {
        name: "os_type_detailed",
        default: Unset("from /etc/os-release, such as amzn_2023"),
        expects: "a word of 1 to 128 letters, digits and `- _ .`",
        help: "The value of the attribute `ecs.os-type-detailed`",
        apply: |d, v| set(&mut d.config.os_type_detailed, v.word().map(Some)),
    },
    Key {
        name: "logging_drivers",
        default: Unset("all that Docker has"),
        expects: "a list of names such as json-file or awslogs",
        help: "The log drivers that jobs may ask for",
        apply: |d, v| set(&mut d.config.logging_drivers, v.words().map(Some)),
    },
    Key {
        name: "disable_privileged",
        default: Is("false"),
        expects: "true or false",
        help: "`true` does not offer the host to jobs with privileged containers",
        apply: |d, v| set(&mut d.config.disable_privileged, v.boolean()),
    },
    Key {
        name: "disable_metrics",
        default: Is("false"),
        expects: "true or false",
        help: "`true` samples no container and sends no CPU, memory, network or storage figures to ECS; it still hears that the \
            host lives",
        apply: |d, v| set(&mut d.config.disable_metrics, v.boolean()),
    },
    Key {
        name: "http_proxy",
        default: Unset("no proxy"),
        expects: "the address of a proxy, http://host:port",
        help: "The proxy for http addresses. It may hold a password, so it is shown nowhere",
        apply: |d, v| set(&mut d.config.proxies.http, v.proxy().map(Some)),
    },
    Key {
        name: "https_proxy",
        default: Unset("no proxy"),
        expects: "the address of a proxy, http://host:port",
        help: "The proxy for https addresses and the websockets of ECS. It may hold a password, so it is shown nowhere. \
            Docker has a proxy setting of its own",
        apply: |d, v| set(&mut d.config.proxies.https, v.proxy().map(Some)),
    },
    Key {
        name: "no_proxy",
        default: Unset(
            "the addresses of the instance metadata and credential services and the loopback, \
            which no proxy is ever asked for",
        ),
        expects: "a comma-separated list of host names, domains and addresses",
        help: "What is reached without a proxy",
        apply: |d, v| set(&mut d.config.proxies.exempt, v.comma_separated()),
    },
    Key {
        name: "ca_bundle",
        default: Unset("the system's certificate authorities alone"),
        expects: "an absolute path",
        help: "A PEM file of certificate authorities to trust besides the system's, for AWS's APIs and the websockets",
        apply: |d, v| set(&mut d.config.ca_bundle, v.absolute_path().map(Some)),
    },
    Key {
        name: "docker_host",
        default: Is("unix:///var/run/docker.sock"),
        expects: "the address of a unix socket, unix:///path",
        help: "Docker's socket",
        apply: |d, v| set(&mut d.config.docker_socket, v.unix_address()),
    },
    Key {
        name: "docker_concurrency",
        default: Is("16"),
        expects: "a whole number from 1 to 256",
        help: "How many containers are created and started at once",
        apply: |d, v| set(&mut d.config.docker_concurrency, v.count(256)),
    },
    Key {
        name: "container_stop_timeout",
        default: Is("30s"),
        expects: "a duration of 1s or more, such as 90s or 2m",
        help: "From SIGTERM to SIGKILL when a job is stopped and its definition does not say",
        apply: |d, v| set(&mut d.config.container_stop_timeout, v.a_second_or_more()),
    },
    Key {
        name: "task_cleanup_wait",
        default: Is("3h"),
        expects: "a duration of 1s or more, such as 10m or 3h",
        help: "How long a job's stopped containers are kept, to be looked at, before they are removed",
        apply: |d, v| set(&mut d.config.task_cleanup_wait, v.a_second_or_more()),
    },
    Key {
        name: "data_dir",
        default: Is("/var/lib/batch-node-agent"),
        expects: "an absolute path",
        help: "Where the agent keeps its record of jobs; it must outlive the agent's process",
        apply: |d, v| set(&mut d.config.data_dir, v.absolute_path()),
    },
    Key {
        name: "admin_socket",
        default: Is("/run/batch-node-agent/agent.sock"),
        expects: "an absolute path of at most 96 bytes",
        help: "The unix socket that `batch-node-agent status` asks",
        apply: |d, v| set(&mut d.config.admin_socket, v.socket_path()),
    },
    Key {
        name: "task_endpoint",
        default: Is("link-local"),
        expects: "one of link-local, iptables, off, or loopback:<port>",
        help: "Where containers find their role's credentials and the task metadata. `link-local`: 169.254.170.2 is given \
            to `lo` (by iptables where that is not allowed); `iptables`: port 80 of 169.254.170.2 is translated; \
            `loopback:<port>`: a port of 127.0.0.1, for containers on the host's network (0: one that is free); `off`: \
            nowhere, and jobs with a role are refused. See docs/security.md",
        apply: |d, v| set(&mut d.config.task_endpoint, v.task_endpoint()),
    },
    Key {
        name: "task_metadata_rps_limit",
        default: Is("40,60"),
        expects: "two whole numbers, steady,burst",
        help: "Requests a second, and at once, that a container may make of the task endpoint",
        apply: |d, v| set(&mut d.config.task_metadata_rps_limit, v.rate()),
    },
    Key {
        name: "audit_log",
        default: Is("audit.log"),
        expects: "a path or `off`",
        help: "The file that tells who asked for credentials, a line each; it lies in `data_dir` unless the path is absolute",
        apply: |d, v| set(&mut d.config.audit_log, v.path_or_off()),
    },
    Key {
        name: "log_format",
        default: Is("text"),
        expects: "one of text, json",
        help: "`text` for people, `json` for machines; both go to standard error",
        apply: |d, v| set(&mut d.config.log_format, v.text().and_then(|t| t.parse().ok())),
    },
    Key {
        name: "log_level",
        default: Is("info"),
        expects: "off, error, warn, info, debug or trace, or a list such as info,node_core=debug",
        help: "What is logged. Libraries stay at `info` and the AWS SDK at `warn` whatever it says, because they \
            would log requests, and with them secrets",
        apply: |d, v| set(&mut d.config.log_level, v.text().and_then(|t| t.parse().ok())),
    },
];
