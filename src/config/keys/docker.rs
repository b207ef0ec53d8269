//! Containers.

use super::Default::Is;
use super::Key;
use crate::config::draft::set;

pub(super) const KEYS: &[Key] = &[
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
        name: "container_create_timeout",
        default: Is("4m"),
        expects: "a duration of 1s or more, such as 90s or 4m",
        help: "How long Docker may take to make a container",
        apply: |d, v| set(&mut d.config.container_limits.create, v.a_second_or_more()),
    },
    Key {
        name: "container_start_timeout",
        default: Is("3m"),
        expects: "a duration of 1s or more, such as 90s or 3m",
        help: "How long Docker may take to start a container",
        apply: |d, v| set(&mut d.config.container_limits.start, v.a_second_or_more()),
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
        name: "task_cleanup_jitter",
        default: Is("0s"),
        expects: "a duration such as 90s or 10m",
        help: "Up to so much longer, so that the containers of jobs that ended together are not all removed at once",
        apply: |d, v| set(&mut d.config.task_cleanup_jitter, v.duration()),
    },
    Key {
        name: "container_pids_limit",
        default: Is("0"),
        expects: "a whole number from 0 to 4194304",
        help: "How many processes and threads a container may have at once, where its job definition does not say; `0`: as many \
            as the host",
        apply: |d, v| set(&mut d.config.container_pids_limit, v.pids_limit()),
    },
];
