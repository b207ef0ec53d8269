//! How images come to the host.

use ecs_wire::task::Secret;

use std::collections::BTreeSet;

use super::Default::{Is, Unset};
use super::Key;
use crate::config::draft::set;

pub(super) const KEYS: &[Key] = &[
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
        name: "image_cleanup",
        default: Is("true"),
        expects: "true or false",
        help: "Whether images that this agent pulled, and that no container and no job needs any more, are removed; under \
            `prefer-cached` none is",
        apply: |d, v| set(&mut d.config.image_cleanup, v.boolean()),
    },
    Key {
        name: "image_cleanup_interval",
        default: Is("30m"),
        expects: "a duration of 1s or more, such as 30m or 2h",
        help: "How often images are cleaned up",
        apply: |d, v| set(&mut d.config.image_cleanup_policy.interval, v.a_second_or_more()),
    },
    Key {
        name: "image_cleanup_min_age",
        default: Is("1h"),
        expects: "a duration such as 90s, 1h or 1d",
        help: "How long after its pull an image stays at least, while the disk has space",
        apply: |d, v| set(&mut d.config.image_cleanup_policy.min_age, v.duration()),
    },
    Key {
        name: "image_cleanup_count",
        default: Is("5"),
        expects: "a whole number from 1 to 1000",
        help: "How many images are removed at a time, the longest unused first",
        apply: |d, v| set(&mut d.config.image_cleanup_policy.count, v.count(1000)),
    },
    Key {
        name: "image_cleanup_free_space",
        default: Is("10%"),
        expects: "a percentage from 0% to 90%",
        help: "Below this share of free space on the disk of Docker's images, which is looked at every minute, images are \
            removed until it is there again, whatever `image_cleanup_interval` and `image_cleanup_min_age` say; `0%`: never",
        apply: |d, v| set(&mut d.config.image_cleanup_policy.min_free_percent, v.percent(90)),
    },
    Key {
        name: "image_cleanup_keep",
        default: Unset("none"),
        expects: "a list of names of images",
        help: "Images that are never removed",
        apply: |d, v| set(&mut d.config.image_cleanup_policy.keep, v.words().map(BTreeSet::from_iter)),
    },
    Key {
        name: "image_cleanup_untracked",
        default: Is("false"),
        expects: "true or false",
        help: "`true` also removes images that this agent did not pull, when no container is made of them",
        apply: |d, v| set(&mut d.image_cleanup_untracked, v.boolean()),
    },
    Key {
        name: "image_cleanup_untracked_min_age",
        default: Is("1h"),
        expects: "a duration such as 90s, 1h or 1d",
        help: "How long after it was built such an image stays at least",
        apply: |d, v| set(&mut d.image_cleanup_untracked_min_age, v.duration()),
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
];
