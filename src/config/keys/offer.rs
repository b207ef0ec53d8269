//! What the host offers to jobs, and what it says of itself.

use super::Default::{Is, Unset};
use super::Key;
use crate::config::draft::set;

pub(super) const KEYS: &[Key] = &[
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
        name: "disable_health_checks",
        default: Is("false"),
        expects: "true or false",
        help: "`true` tells ECS nothing of what Docker's health checks say, and does not offer the host to tasks that ask for it",
        apply: |d, v| set(&mut d.config.disable_health_checks, v.boolean()),
    },
];
