//! The agent's own files, addresses and logs.

use super::Default::Is;
use super::Key;
use crate::config::draft::set;

pub(super) const KEYS: &[Key] = &[
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
        name: "block_imds",
        default: Is("off"),
        expects: "one of off, try, require",
        help: "Whether jobs are kept from the instance metadata service and the instance's role. `require`: without that the \
            host takes no jobs; `try`: as far as it goes, with a warning of what is left open. It needs iptables, CAP_NET_ADMIN \
            and, for jobs on the host's network, version 2 of control groups. See docs/security.md",
        apply: |d, v| set(&mut d.config.block_imds, v.block_imds()),
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
