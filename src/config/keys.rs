//! The one table of settings. Parsing, the search for unknown keys, `config --docs`, docs/configuration.md and the
//! README's table all come from it.

use Default::{Is, Unset};
use node_core::ClusterRef;

use super::draft::{Draft, set};
use super::value::Value;

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
    pub(super) fn foreign_variables(&self) -> &'static [&'static str] {
        match self.name {
            "docker_host" => &["DOCKER_HOST"],
            "region" => &["AWS_REGION", "AWS_DEFAULT_REGION"],
            _ => &[],
        }
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
        name: "instance_attributes",
        default: Is("{}"),
        expects: "a table of strings, whose names have 1 to 128 letters, digits or `- _ . / \\`, and whose \
            values have at most 128 characters",
        help: "Attributes of the container instance, for placement",
        apply: |d, v| set(&mut d.config.instance_attributes, v.attributes()),
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
