//! Whose host this is, and for how long.

use node_core::ClusterRef;

use super::Default::{Is, Unset};
use super::Key;
use crate::config::draft::set;

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
];
