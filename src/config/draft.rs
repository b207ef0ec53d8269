//! A configuration while it is put together, and the values that are peculiar to one key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_core::{
    AtMinSize, ClusterRef, ImagePolicy, LeavingPolicy, Mebibytes, PullBehavior, Reaction, Refused, Retries,
};

use super::value::Value;
use super::{Config, Home, Vcpus};
use crate::docker::{AuthFormat, ContainerLimits, HostRegistries, ImageLimits};
use crate::guard::BlockImds;
use crate::host::gpu::GpuChoice;
use crate::logging::{LogFilter, LogFormat};
use crate::net::{Proxies, ProxyUrl};
use crate::serve::endpoint::TaskEndpoint;
use crate::serve::task::Rate;
use ecs_wire::task::Secret;

/// What the keys write into. It holds nothing of use until every default has been applied.
pub(super) struct Draft {
    /// Beside `cluster`, because only the whole can tell that both or neither are set.
    pub(super) compute_environment: Option<String>,
    pub(super) cluster: Option<ClusterRef>,
    /// Apart, because the data can be read only once its notation is known.
    pub(super) registry_auth_type: Option<AuthFormat>,
    pub(super) registry_auth_data: Option<Secret>,
    /// Apart, because the one says whether the other counts.
    pub(super) image_cleanup_untracked: bool,
    pub(super) image_cleanup_untracked_min_age: Duration,
    pub(super) config: Config,
}

impl Draft {
    pub(super) fn blank() -> Self {
        Self {
            compute_environment: None,
            cluster: None,
            registry_auth_type: None,
            registry_auth_data: None,
            image_cleanup_untracked: false,
            image_cleanup_untracked_min_age: Duration::ZERO,
            config: Config {
                home: Home::ComputeEnvironment(String::new()),
                region: None,
                idle_timeout: None,
                leaving: LeavingPolicy::default(),
                shutdown_wait: Duration::ZERO,
                disk_full: 100,
                notice_interval: Duration::ZERO,
                watch_gpus: true,
                warm_pool_check: false,
                event_command: None,
                block_imds: BlockImds::Off,
                container_pids_limit: None,
                task_cleanup_jitter: Duration::ZERO,
                event_webhook: None,
                lifecycle_hook: None,
                image_pull_behavior: PullBehavior::Default,
                cpu: None,
                memory: None,
                reserved_memory: Mebibytes(0),
                reserved_ports: Vec::new(),
                reserved_ports_udp: Vec::new(),
                image_limits: ImageLimits::default(),
                image_cleanup: false,
                image_cleanup_policy: ImagePolicy {
                    interval: Duration::ZERO,
                    min_age: Duration::ZERO,
                    count: 0,
                    min_free_percent: 0,
                    untracked_min_age: None,
                    keep: BTreeSet::new(),
                },
                container_limits: ContainerLimits::default(),
                ecs_endpoint: None,
                registries: HostRegistries::default(),
                gpus: GpuChoice::All,
                gpu_wait: Duration::ZERO,
                nvidia_runtime: String::new(),
                instance_attributes: BTreeMap::new(),
                container_instance_tags: BTreeMap::new(),
                propagate_ec2_tags: false,
                os_type_detailed: None,
                logging_drivers: None,
                disable_privileged: false,
                disable_metrics: false,
                disable_health_checks: false,
                proxies: Proxies::default(),
                ca_bundle: None,
                docker_socket: PathBuf::new(),
                docker_concurrency: 0,
                container_stop_timeout: Duration::ZERO,
                task_cleanup_wait: Duration::ZERO,
                data_dir: PathBuf::new(),
                admin_socket: PathBuf::new(),
                task_endpoint: TaskEndpoint::Off,
                task_metadata_rps_limit: Rate { steady: 0, burst: 0 },
                audit_log: None,
                log_format: LogFormat::Text,
                log_level: LogFilter::default(),
                remarks: Vec::new(),
            },
        }
    }
}

/// Fills the slot; `None` when there is nothing to fill it with.
pub(super) fn set<T>(slot: &mut T, value: Option<T>) -> Option<()> {
    *slot = value?;
    Some(())
}

impl Value {
    /// A name of 1 to 255 letters, digits, `-` and `_`, or an ARN that holds both parts.
    pub(super) fn reference(&self, service: &str, resource: &str) -> Option<String> {
        let text = self.text()?;
        let is_name = text.len() <= 255 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let is_arn = text.starts_with("arn:")
            && text.contains(service)
            && text.split_once(resource).is_some_and(|(_, name)| !name.is_empty());
        (is_name || is_arn).then(|| text.to_owned())
    }

    pub(super) fn region(&self) -> Option<String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let text = self.text()?;
        text.chars().all(plain).then(|| text.to_owned())
    }

    pub(super) fn duration_or_never(&self) -> Option<Option<Duration>> {
        match self.text()? {
            "never" => Some(None),
            _ => self.duration().map(Some),
        }
    }

    /// amazon-ecs-agent has the same floor under its two waits (agent/config/config.go).
    pub(super) fn a_second_or_more(&self) -> Option<Duration> {
        self.duration().filter(|d| *d >= Duration::from_secs(1))
    }

    pub(super) fn pull_behavior(&self) -> Option<PullBehavior> {
        match self.text()? {
            "default" => Some(PullBehavior::Default),
            "always" => Some(PullBehavior::Always),
            "once" => Some(PullBehavior::Once),
            "prefer-cached" => Some(PullBehavior::PreferCached),
            _ => None,
        }
    }

    pub(super) fn reaction(&self) -> Option<Reaction> {
        match self.text()? {
            "ignore" => Some(Reaction::Ignore),
            "drain" => Some(Reaction::Drain),
            "drain-with-deadline" => Some(Reaction::DrainWithDeadline),
            _ => None,
        }
    }

    pub(super) fn at_min_size(&self) -> Option<AtMinSize> {
        match self.text()? {
            "stay" => Some(AtMinSize::Stay),
            "replace" => Some(AtMinSize::Replace),
            _ => None,
        }
    }

    pub(super) fn refused(&self) -> Option<Refused> {
        match self.text()? {
            "poweroff" => Some(Refused::PowerOff),
            "rejoin" => Some(Refused::Rejoin),
            "keep-asking" => Some(Refused::KeepAsking),
            _ => None,
        }
    }

    pub(super) fn retries(&self) -> Option<Retries> {
        match self.text()? {
            "withhold" => Some(Retries::Withhold),
            "report" => Some(Retries::Report),
            _ => None,
        }
    }

    pub(super) fn block_imds(&self) -> Option<BlockImds> {
        self.text()?.parse().ok()
    }

    /// Linux knows no more processes than 2^22; amazon-ecs-agent has the same limit, and 0 for none.
    pub(super) fn pids_limit(&self) -> Option<Option<i64>> {
        let limit = self.whole().filter(|n| *n <= 1 << 22)?;
        Some(i64::try_from(limit).ok().filter(|n| *n > 0))
    }

    pub(super) fn task_endpoint(&self) -> Option<TaskEndpoint> {
        self.text()?.parse().ok()
    }

    /// `steady,burst`, as amazon-ecs-agent writes it.
    pub(super) fn rate(&self) -> Option<Rate> {
        let (steady, burst) = self.text()?.split_once(',')?;
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n > 0);
        Some(Rate { steady: number(steady)?, burst: number(burst)? })
    }

    /// `off`, or a path.
    pub(super) fn path_or_off(&self) -> Option<Option<PathBuf>> {
        match self.text()? {
            "off" => Some(None),
            path => Some(Some(PathBuf::from(path))),
        }
    }

    pub(super) fn gpus(&self) -> Option<GpuChoice> {
        match self.text() {
            Some("all") => Some(GpuChoice::All),
            Some("none") => Some(GpuChoice::None),
            _ => {
                let uuids = self.words()?;
                let named = !uuids.is_empty() && uuids.iter().all(|uuid| uuid.starts_with("GPU-"));
                named.then_some(GpuChoice::Only(uuids))
            }
        }
    }

    pub(super) fn vcpus(&self) -> Option<Vcpus> {
        self.number().filter(|n| (0.125..=4096.0).contains(n)).map(Vcpus)
    }

    pub(super) fn mebibytes(&self, min: u64) -> Option<Mebibytes> {
        self.whole().filter(|mib| *mib >= min).map(Mebibytes)
    }

    pub(super) fn count(&self, max: u64) -> Option<usize> {
        let count = self.whole().filter(|n| (1..=max).contains(n))?;
        usize::try_from(count).ok()
    }

    /// The path in `unix:///path`. Docker over TCP is not supported: its peers would own the host.
    pub(super) fn unix_address(&self) -> Option<PathBuf> {
        let path = Path::new(self.text()?.strip_prefix("unix://")?);
        path.is_absolute().then(|| path.to_owned())
    }

    /// The kernel takes 107 bytes; the rest is for the name that the socket has while it is set up.
    pub(super) fn socket_path(&self) -> Option<PathBuf> {
        self.absolute_path().filter(|p| p.as_os_str().len() <= 96)
    }

    /// The limits are those of ECS's `Tag` type; keys of `aws:` are AWS's own.
    pub(super) fn tags(&self) -> Option<BTreeMap<String, String>> {
        let fits = |name: &str, value: &str| {
            let own = !name.to_ascii_lowercase().starts_with("aws:") && !value.to_ascii_lowercase().starts_with("aws:");
            own && (1..=128).contains(&name.chars().count()) && value.chars().count() <= 256
        };
        self.strings().filter(|all| all.len() <= 50 && all.iter().all(|(name, value)| fits(name, value)))
    }

    /// Whether EC2's tags are taken over.
    pub(super) fn tag_source(&self) -> Option<bool> {
        match self.text()? {
            "none" => Some(false),
            "ec2_instance" => Some(true),
            _ => None,
        }
    }

    pub(super) fn word(&self) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let text = self.text()?;
        (text.len() <= 128 && text.chars().all(plain)).then(|| text.to_owned())
    }

    /// `https://host`; amazon-ecs-agent writes the host alone.
    pub(super) fn endpoint(&self) -> Option<String> {
        let text = self.text()?;
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: http::Uri = whole.parse().ok()?;
        let served =
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
        served.then_some(whole)
    }

    pub(super) fn proxy(&self) -> Option<ProxyUrl> {
        ProxyUrl::parse(self.text()?)
    }

    pub(super) fn comma_separated(&self) -> Option<Vec<String>> {
        let text = self.text()?;
        Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    /// The limits are those of ECS's `Attribute` type.
    pub(super) fn attributes(&self) -> Option<BTreeMap<String, String>> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '\\');
        let fits = |name: &str, value: &str| {
            (1..=128).contains(&name.len()) && name.chars().all(plain) && value.chars().count() <= 128
        };
        self.strings().filter(|all| all.iter().all(|(name, value)| fits(name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn a_reference_is_a_name_or_an_arn_of_the_right_kind() {
        let cluster = |given: &str| text(given).reference(":ecs:", ":cluster/").is_some();
        assert!(cluster("my-ce_Batch_0af6"));
        assert!(cluster("arn:aws-cn:ecs:cn-north-1:1:cluster/my-ce"));
        assert!(!cluster("arn:aws:batch:us-east-1:1:compute-environment/my-ce"));
        assert!(!cluster("arn:aws:ecs:us-east-1:1:cluster/"));
        assert!(!cluster("a name"));
    }

    #[test]
    fn docker_is_reached_through_a_unix_socket_only() {
        assert_eq!(text("unix:///run/d.sock").unix_address(), Some("/run/d.sock".into()));
        for given in ["tcp://1.2.3.4:2375", "/run/d.sock", "unix://d.sock", "unix://"] {
            assert_eq!(text(given).unix_address(), None, "{given}");
        }
    }

    #[test]
    fn attributes_are_those_that_ecs_takes() {
        assert!(text(r#"{"stack":"a b","my.ns/x":""}"#).attributes().is_some());
        assert!(text(r#"{"a b":"c"}"#).attributes().is_none());
        assert!(text(&format!("a={}", "x".repeat(129))).attributes().is_none());
    }

    #[test]
    fn gpus_are_all_none_or_named_by_uuid() {
        assert_eq!(text("all").gpus(), Some(GpuChoice::All));
        assert_eq!(text("none").gpus(), Some(GpuChoice::None));
        let named = text("GPU-a,GPU-b").gpus();
        assert_eq!(named, Some(GpuChoice::Only(vec!["GPU-a".into(), "GPU-b".into()])));
        assert_eq!((text("0").gpus(), text("some").gpus()), (None, None));
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(text("0").count(256), None);
        assert_eq!(text("256").count(256), Some(256));
        assert_eq!(text("257").count(256), None);
        assert_eq!(text("1.5").vcpus(), Some(Vcpus(1.5)));
        assert_eq!(text("nan").vcpus(), None);
        assert_eq!(Value::Int(-1).mebibytes(0), None);
        assert_eq!(text("999ms").a_second_or_more(), None);
        assert_eq!(text("never").duration_or_never(), Some(None));
    }
}
