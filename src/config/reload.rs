//! Reading the configuration again while the agent runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check::check;
use super::keys::keys;
use super::source::{Found, Setting};
use super::value::Value;
use super::{Config, ConfigError, read};

/// Keys that a running agent takes over. All others take a restart: the host is registered with them, or something is open
/// that was opened with them.
pub(super) const LIVE: &[&str] = &[
    "idle_timeout",
    "look_for_work",
    "max_jobs",
    "max_age",
    "spot",
    "rebalance",
    "maintenance",
    "maintenance_lead",
    "scale_in",
    "lifecycle_hook",
    "shutdown",
    "shutdown_wait",
    "at_min_size",
    "termination_refused",
    "protect_while_busy",
    "retries",
    "warn_signal",
    "warn_lead",
    "docker_down_after",
    "docker_dead_after",
    "acs_gone_after",
    "disk_full",
    "notice_interval",
    "event_command",
    "event_webhook",
    "image_pull_behavior",
    "image_pull_timeout",
    "image_pull_inactivity_timeout",
    "image_manifest_timeout",
    "image_cleanup",
    "image_cleanup_interval",
    "image_cleanup_min_age",
    "image_cleanup_count",
    "image_cleanup_free_space",
    "image_cleanup_keep",
    "image_cleanup_untracked",
    "image_cleanup_untracked_min_age",
    "registry_auth_type",
    "registry_auth_data",
    "container_create_timeout",
    "container_start_timeout",
    "container_stop_timeout",
    "log_level",
];

/// What is in force, as it was written, and where to look again.
pub(crate) struct Settings {
    path: Option<PathBuf>,
    in_force: BTreeMap<&'static str, Setting>,
}

/// Keys that are written otherwise than what is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changes {
    /// In force from now on.
    pub(crate) taken: Vec<&'static str>,
    /// In force after a restart.
    pub(crate) left: Vec<&'static str>,
}

/// Reads the file and the environment, for an agent that may look again later.
pub(crate) fn begin(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Config, Settings), ConfigError> {
    let found = read(path, environment);
    let in_force = found.settings.clone();
    Ok((check(found)?, Settings { path: path.map(Path::to_owned), in_force }))
}

impl Settings {
    /// The configuration that holds from now on. With a mistake in it nothing changes.
    pub(crate) fn read_again(
        &mut self,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(Config, Changes), ConfigError> {
        let found = read(self.path.as_deref(), environment);
        check(found.clone())?;
        let changed = |key: &&'static str| !same(self.in_force.get(key), found.settings.get(key));
        let (taken, left) = keys().map(|key| key.name).filter(changed).partition(|key| LIVE.contains(key));
        let changes = Changes { taken, left };
        let mixed = self.mixed(found);
        let in_force = mixed.settings.clone();
        let config = check(mixed)?;
        self.in_force = in_force;
        Ok((config, changes))
    }

    /// What was found, but for the keys that take a restart.
    fn mixed(&self, mut found: Found) -> Found {
        found.settings.retain(|key, _| LIVE.contains(key));
        let kept = self.in_force.iter().filter(|(key, _)| !LIVE.contains(key));
        found.settings.extend(kept.map(|(key, setting)| (*key, setting.clone())));
        found
    }
}

fn same(a: Option<&Setting>, b: Option<&Setting>) -> bool {
    match (a.map(|s| &s.value), b.map(|s| &s.value)) {
        (Some(a), Some(b)) => a == b || plain(a) == plain(b),
        (None, None) => true,
        _ => false,
    }
}

/// A file writes `"10m"` and `true`, a variable `10m` and `true`.
fn plain(value: &Value) -> String {
    value.text().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct File(tempfile::TempDir);

    impl File {
        fn new(text: &str) -> Self {
            let file = Self(tempfile::tempdir().unwrap());
            file.write(text);
            file
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("config.toml")
        }

        fn write(&self, text: &str) {
            std::fs::write(self.path(), text).unwrap();
        }

        fn begin(&self) -> (Config, Settings) {
            begin(Some(&self.path()), std::iter::empty()).unwrap()
        }
    }

    #[test]
    fn live_keys_are_keys() {
        for name in LIVE {
            assert!(keys().any(|key| key.name == *name), "{name}");
        }
    }

    #[test]
    fn live_keys_are_taken_over_and_the_others_are_named() {
        let file = File::new("cluster = 'c'\nidle_timeout = '10m'\ncpu = 2\n");
        let (_, mut settings) = file.begin();
        file.write("cluster = 'd'\nidle_timeout = '1m'\ncpu = 2\nspot = 'ignore'\n");
        let (config, changes) = settings.read_again(std::iter::empty()).unwrap();
        assert_eq!(changes, Changes { taken: vec!["idle_timeout", "spot"], left: vec!["cluster"] });
        assert_eq!(config.idle_timeout, Some(Duration::from_secs(60)));
        let home = super::super::Home::Cluster(node_core::ClusterRef::new("c"));
        assert_eq!(config.home, home, "the host is registered there");
        let (_, again) = settings.read_again(std::iter::empty()).unwrap();
        assert_eq!(again, Changes { taken: vec![], left: vec!["cluster"] }, "it is named until the restart");
    }

    #[test]
    fn with_a_mistake_nothing_changes() {
        let file = File::new("cluster = 'c'\nidle_timeout = '10m'\n");
        let (before, mut settings) = file.begin();
        file.write("cluster = 'c'\nidle_timeout = '1m'\nmax_jobs = 'many'\n");
        assert!(settings.read_again(std::iter::empty()).unwrap_err().to_string().contains("max_jobs"));
        file.write("cluster = 'c'\nidle_timeout = '10m'\n");
        let (after, changes) = settings.read_again(std::iter::empty()).unwrap();
        assert_eq!((before, changes), (after, Changes { taken: vec![], left: vec![] }));
    }

    #[test]
    fn the_same_value_written_elsewhere_is_no_change() {
        let file = File::new("cluster = 'c'\nimage_cleanup = true\n");
        let (_, mut settings) = file.begin();
        file.write("cluster = 'c'\n");
        let variables = [("BATCH_NODE_AGENT_IDLE_TIMEOUT".to_owned(), "10m".to_owned())];
        let (_, changes) = settings.read_again(variables.into_iter()).unwrap();
        assert_eq!(changes, Changes { taken: vec![], left: vec![] });
    }
}
