//! One typed [`Config`], read once at the edge from a TOML file and the environment. Reading is a function of its
//! arguments, and it reports every mistake at once.

mod check;
mod docs;
mod draft;
mod ecs_json;
mod error;
mod example;
mod foreign;
mod go;
mod keys;
mod reload;
mod source;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_core::{ClusterRef, ImagePolicy, LeavingPolicy, Mebibytes, PullBehavior};

pub(crate) use docs::markdown;
pub(crate) use error::ConfigError;
pub(crate) use example::example;
pub(crate) use reload::{Changes, Settings, begin};

use crate::docker::{ContainerLimits, HostRegistries, ImageLimits};
use crate::guard::BlockImds;
use crate::host::gpu::GpuChoice;
use crate::logging::{LogFilter, LogFormat};
use crate::net::{PostUrl, Proxies};
use crate::serve::endpoint::TaskEndpoint;
use crate::serve::task::Rate;
use check::check;
use draft::Draft;
use error::Problem;
use keys::keys;
use source::{Found, Places, Setting};

/// Where the file is when `--config` does not say.
pub(crate) const DEFAULT_PATH: &str = "/etc/batch-node-agent/config.toml";

/// amazon-ecs-agent's files of variables; the later one wins (ecs-init's unit reads them in this order).
const ECS_FILES: [&str; 2] = ["/var/lib/ecs/ecs.config", "/etc/ecs/ecs.config"];

/// The agent's settings, checked. What is secret in it does not show in `Debug`. `docs/configuration.md` tells what each
/// one means; the fields have the names of the keys, but for `home` and `docker_socket`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) home: Home,
    /// `None`: ask the instance metadata service.
    pub(crate) region: Option<String>,
    /// `None`: stay, whatever happens.
    pub(crate) idle_timeout: Option<Duration>,
    /// From `look_for_work`, `max_jobs`, `max_age`, `spot` and the rest of their part.
    pub(crate) leaving: LeavingPolicy,
    pub(crate) shutdown_wait: Duration,
    /// Percent in use.
    pub(crate) disk_full: u8,
    pub(crate) notice_interval: Duration,
    pub(crate) watch_gpus: bool,
    pub(crate) warm_pool_check: bool,
    pub(crate) event_command: Option<PathBuf>,
    pub(crate) block_imds: BlockImds,
    /// `None`: no limit.
    pub(crate) container_pids_limit: Option<i64>,
    pub(crate) task_cleanup_jitter: Duration,
    pub(crate) event_webhook: Option<PostUrl>,
    pub(crate) lifecycle_hook: Option<String>,
    pub(crate) image_pull_behavior: PullBehavior,
    pub(crate) image_limits: ImageLimits,
    pub(crate) image_cleanup: bool,
    pub(crate) image_cleanup_policy: ImagePolicy,
    pub(crate) container_limits: ContainerLimits,
    /// `None`: as the SDK finds it.
    pub(crate) ecs_endpoint: Option<String>,
    /// From `registry_auth_type` and `registry_auth_data`.
    pub(crate) registries: HostRegistries,
    /// `None`: all that the host has.
    pub(crate) cpu: Option<Vcpus>,
    /// `None`: all that the host has, less `reserved_memory`.
    pub(crate) memory: Option<Mebibytes>,
    pub(crate) reserved_memory: Mebibytes,
    /// In order, without duplicates.
    pub(crate) reserved_ports: Vec<u16>,
    pub(crate) reserved_ports_udp: Vec<u16>,
    pub(crate) gpus: GpuChoice,
    pub(crate) gpu_wait: Duration,
    pub(crate) nvidia_runtime: String,
    pub(crate) instance_attributes: BTreeMap<String, String>,
    pub(crate) container_instance_tags: BTreeMap<String, String>,
    /// `propagate_tags_from` is `ec2_instance`.
    pub(crate) propagate_ec2_tags: bool,
    /// `None`: what /etc/os-release says.
    pub(crate) os_type_detailed: Option<String>,
    /// `None`: all that Docker has.
    pub(crate) logging_drivers: Option<Vec<String>>,
    pub(crate) disable_privileged: bool,
    pub(crate) disable_metrics: bool,
    pub(crate) disable_health_checks: bool,
    /// From `http_proxy`, `https_proxy` and `no_proxy`.
    pub(crate) proxies: Proxies,
    pub(crate) ca_bundle: Option<PathBuf>,
    /// The path in `docker_host`.
    pub(crate) docker_socket: PathBuf,
    /// 1 to 256.
    pub(crate) docker_concurrency: usize,
    pub(crate) container_stop_timeout: Duration,
    pub(crate) task_cleanup_wait: Duration,
    pub(crate) data_dir: PathBuf,
    pub(crate) admin_socket: PathBuf,
    pub(crate) task_endpoint: TaskEndpoint,
    pub(crate) task_metadata_rps_limit: Rate,
    /// Relative to `data_dir`; `None` for none.
    pub(crate) audit_log: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogFilter,
    /// What is no mistake and still to be logged as a warning, a line each.
    pub(crate) remarks: Vec<String>,
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
    let effective = keys().map(|key| found.effective(key.name)).collect();
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
    // The file that was named; amazon-ecs-agent's are often root's alone, and say nothing of the socket.
    found.problems.retain(|problem| matches!(problem, Problem::Unreadable { path: of, .. } if path == Some(of)));
    let draft = typed(&mut found);
    match found.problems.is_empty() {
        true => Ok(draft.config.admin_socket),
        false => Err(ConfigError { problems: found.problems }),
    }
}

/// A duration as settings have it, such as `90s` or `3h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    value::Value::Text(text.to_owned()).duration()
}

/// The variable of a setting.
#[cfg(feature = "local")]
pub(crate) fn variable(key: &str) -> String {
    format!("{}{}", keys::PREFIX, key.to_ascii_uppercase())
}

/// Whether there is such a setting, and whether it takes this value, written as in the environment. Else what is wrong.
#[cfg(feature = "local")]
pub(crate) fn check_setting(key: &str, value: &str) -> Result<(), String> {
    let known = keys().find(|known| known.name == key);
    let known =
        known.ok_or_else(|| format!("there is no setting {key}; `batch-node-agent config --docs` shows all"))?;
    let taken = (known.apply)(&mut Draft::blank(), &value::Value::Text(value.to_owned()));
    taken.ok_or_else(|| format!("{key} must be {}", known.expects))
}

/// The process's environment. What is not UTF-8 cannot be a setting: it is mended so that its key's error shows it.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

fn read(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Found {
    let ecs = ECS_FILES.map(Path::new);
    let config = path.unwrap_or(Path::new(DEFAULT_PATH));
    source::gather(
        Places { config, named: path.is_some(), ecs: &ecs, json: Path::new(ecs_json::DEFAULT_PATH) },
        environment,
    )
}

/// Gives every setting its type, and notes those that have the wrong one.
fn typed(found: &mut Found) -> Draft {
    let mut draft = Draft::blank();
    for key in keys() {
        let Some(Setting { value, origin, .. }) = found.settings.get(key.name) else { continue };
        if (key.apply)(&mut draft, value).is_none() {
            found.problems.push(Problem::Value {
                origin: origin.clone(),
                key: key.name,
                value: (!key.is_secret()).then(|| value.to_string()),
                expects: key.expects,
            });
        }
    }
    draft
}

impl Found {
    fn effective(&self, key: &'static str) -> Effective {
        let setting = self.settings.get(key);
        let shown = |s: &Setting| match keys().any(|k| k.name == key && k.is_secret()) {
            true => "(not shown)".to_owned(),
            false => s.value.to_string(),
        };
        Effective {
            key,
            value: setting.map(shown),
            origin: setting.map_or_else(|| "not set".to_owned(), |s| s.origin.to_string()),
        }
    }
}

#[cfg(test)]
mod ecs_tests;
#[cfg(test)]
mod tests;
