//! One typed [`Config`], read once at the edge from a TOML file and the environment. Reading is a function of its
//! arguments, and it reports every mistake at once.

mod docs;
mod draft;
mod error;
mod keys;
mod source;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_core::{ClusterRef, Mebibytes, PullBehavior};

pub(crate) use docs::markdown;
pub(crate) use error::ConfigError;

use crate::logging::{LogFilter, LogFormat};
use draft::Draft;
use error::{Origin, Problem};
use keys::KEYS;
use source::{Found, Setting};

/// Where the file is when `--config` does not say.
pub(crate) const DEFAULT_PATH: &str = "/etc/batch-node-agent/config.toml";

/// The agent's settings, checked. No field holds a secret, so it may be logged. `docs/configuration.md` tells what each
/// one means; the fields have the names of the keys, but for `home` and `docker_socket`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) home: Home,
    /// `None`: ask the instance metadata service.
    pub(crate) region: Option<String>,
    /// `None`: stay, whatever happens.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) image_pull_behavior: PullBehavior,
    /// `None`: all that the host has.
    pub(crate) cpu: Option<Vcpus>,
    /// `None`: all that the host has, less `reserved_memory`.
    pub(crate) memory: Option<Mebibytes>,
    pub(crate) reserved_memory: Mebibytes,
    /// In order, without duplicates.
    pub(crate) reserved_ports: Vec<u16>,
    pub(crate) reserved_ports_udp: Vec<u16>,
    pub(crate) instance_attributes: BTreeMap<String, String>,
    /// The path in `docker_host`.
    pub(crate) docker_socket: PathBuf,
    /// 1 to 256.
    pub(crate) docker_concurrency: usize,
    pub(crate) container_stop_timeout: Duration,
    pub(crate) task_cleanup_wait: Duration,
    pub(crate) data_dir: PathBuf,
    pub(crate) admin_socket: PathBuf,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogFilter,
}

/// The ECS cluster to register in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Home {
    /// The one that Batch made for this compute environment (a name or an ARN).
    ComputeEnvironment(String),
    Cluster(ClusterRef),
}

/// A number of virtual CPUs, 0.125 or more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vcpus(pub(crate) f64);

impl Vcpus {
    /// In ECS's CPU units, 1024 to a vCPU.
    pub(crate) fn cpu_units(self) -> i32 {
        (self.0 * 1024.0).round() as i32
    }
}

/// A key's value as it was written, and where: for `batch-node-agent config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effective {
    pub(crate) key: &'static str,
    /// `None` where the key is not set and has no default.
    pub(crate) value: Option<String>,
    pub(crate) origin: String,
}

/// Reads the file (`path`, else [`DEFAULT_PATH`] if it exists) and the environment.
pub(crate) fn load(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    explain(path, environment).map(|(config, _)| config)
}

/// As [`load`], and tells of each key what it is and where it was set.
pub(crate) fn explain(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Config, Vec<Effective>), ConfigError> {
    let found = read(path, environment);
    let effective = KEYS.iter().map(|key| found.effective(key.name)).collect();
    check(found).map(|config| (config, effective))
}

/// The admin socket alone. It is found even where the rest is wrong or missing, so that `status` can be asked by
/// someone who has not the service's environment.
pub(crate) fn admin_socket(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<PathBuf, ConfigError> {
    let mut found = read(path, environment);
    found.settings.retain(|key, _| *key == "admin_socket");
    found.problems.retain(|problem| path.is_some() && matches!(problem, Problem::Unreadable { .. }));
    let draft = typed(&mut found);
    match found.problems.is_empty() {
        true => Ok(draft.config.admin_socket),
        false => Err(ConfigError { problems: found.problems }),
    }
}

/// The process's environment. What is not UTF-8 cannot be a setting: it is mended so that its key's error shows it.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

fn read(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Found {
    source::gather(path.unwrap_or(Path::new(DEFAULT_PATH)), path.is_some(), environment)
}

/// Gives every setting its type, and notes those that have the wrong one.
fn typed(found: &mut Found) -> Draft {
    let mut draft = Draft::blank();
    for key in KEYS {
        let Some(Setting { value, origin }) = found.settings.get(key.name) else { continue };
        if (key.apply)(&mut draft, value).is_none() {
            found.problems.push(Problem::Value {
                origin: origin.clone(),
                key: key.name,
                value: format!("`{value}`"),
                expects: key.expects,
            });
        }
    }
    draft
}

fn check(mut found: Found) -> Result<Config, ConfigError> {
    let draft = typed(&mut found);
    found.contradiction("compute_environment", "cluster", "give one of them");
    if found.is_chosen("reserved_memory") {
        found.contradiction("memory", "reserved_memory", "`memory` is all that is offered");
    }
    found.foreign_region();
    let home = match (draft.compute_environment, draft.cluster) {
        (Some(name), _) => Some(Home::ComputeEnvironment(name)),
        (None, Some(cluster)) => Some(Home::Cluster(cluster)),
        (None, None) => {
            let is_set = |key| found.settings.contains_key(key);
            if found.whole && !is_set("compute_environment") && !is_set("cluster") {
                found.problems.push(Problem::NoHome);
            }
            None
        }
    };
    match home {
        Some(home) if found.problems.is_empty() => Ok(Config { home, ..draft.config }),
        _ => Err(ConfigError { problems: found.problems }),
    }
}

impl Found {
    fn is_chosen(&self, key: &str) -> bool {
        self.settings.get(key).is_some_and(|setting| setting.origin != Origin::Default)
    }

    fn contradiction(&mut self, a: &'static str, b: &'static str, why: &'static str) {
        if let (Some(first), Some(second)) = (self.settings.get(a), self.settings.get(b)) {
            let (a_origin, b_origin) = (first.origin.clone(), second.origin.clone());
            self.problems.push(Problem::Contradiction { a, a_origin, b, b_origin, why });
        }
    }

    /// An ARN names its region, `arn:aws:batch:us-east-1:...`.
    fn foreign_region(&mut self) {
        let text = |key| self.settings.get(key).and_then(|setting| setting.value.text());
        let Some(region) = text("region").map(str::to_owned) else { return };
        for key in ["compute_environment", "cluster"] {
            let arn = text(key).filter(|name| name.starts_with("arn:"));
            if arn.and_then(|arn| arn.split(':').nth(3)).is_some_and(|of_arn| of_arn != region) {
                return self.contradiction("region", key, "the ARN is of another region");
            }
        }
    }

    fn effective(&self, key: &'static str) -> Effective {
        let setting = self.settings.get(key);
        Effective {
            key,
            value: setting.map(|s| s.value.to_string()),
            origin: setting.map_or_else(|| "not set".to_owned(), |s| s.origin.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
