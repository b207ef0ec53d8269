//! How images come to the host.

use ecs_wire::task::Secret;

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
