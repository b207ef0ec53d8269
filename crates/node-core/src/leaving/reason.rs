//! Why a node drains: which reasons are wishes, which have a deadline, and how each ends.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Why a node drains. Several may stand at once, one of each [`Cause`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrainReason {
    /// It had nothing to do for this long.
    IdleFor(Duration),
    /// It has taken as many jobs as it was to take.
    JobsDone(u32),
    /// It is this old.
    Age(Duration),
    /// EC2 recommends to leave: the risk of a spot interruption is higher than usual.
    Rebalance,
    Operator {
        /// And then terminate; else the host stays, drained.
        terminate: bool,
        deadline: Option<Timestamp>,
    },
    Sick {
        kind: Ailment,
        why: String,
    },
    /// A scheduled event of EC2, such as `instance-retirement` or `system-reboot`.
    Maintenance {
        code: String,
        not_before: Timestamp,
    },
    /// The Auto Scaling group has chosen this host.
    ScaleIn {
        hook: Option<Hook>,
        /// When the group ends its wait for the hook, at the latest.
        deadline: Option<Timestamp>,
    },
    /// The host is being shut down or stopped.
    Shutdown {
        deadline: Option<Timestamp>,
    },
    /// EC2 takes the host at `at`.
    Spot {
        action: SpotAction,
        at: Timestamp,
    },
}

/// The kind of a reason, weakest first: the strongest that stands rules how the host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    Idle,
    JobsDone,
    Age,
    Rebalance,
    Operator,
    Sick(Ailment),
    Maintenance,
    ScaleIn,
    Shutdown,
    Spot,
}

/// What makes a host unfit for new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ailment {
    /// Docker cannot be reached. The core itself finds it out.
    DockerDown,
    DiskFull,
    InodesFull,
    /// No ACS session. The core itself finds it out.
    AcsGone,
    GpuError,
}

/// A termination life-cycle hook that waits for this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub group: String,
    pub name: String,
    pub heartbeat_timeout: Duration,
    /// The hook's own limit of all its waiting, where it tells one.
    pub global_timeout: Option<Duration>,
}

impl Hook {
    /// Auto Scaling waits no longer than this, whatever the heartbeats: 48 hours or 100 heartbeat timeouts, the shorter.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        let limit = Duration::from_secs(48 * 3600).min(self.heartbeat_timeout.saturating_mul(100));
        self.global_timeout.map_or(limit, |own| own.min(limit))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpotAction {
    Terminate,
    Stop,
    Hibernate,
}

/// How a host ends once it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It terminates itself.
    Terminate,
    /// It stays, drained, until someone or something takes the reason back.
    Stay,
    /// The world takes it.
    Taken,
    /// It lets the shutdown go on.
    LetGo,
}

impl DrainReason {
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::IdleFor(_) => Cause::Idle,
            Self::JobsDone(_) => Cause::JobsDone,
            Self::Age(_) => Cause::Age,
            Self::Rebalance => Cause::Rebalance,
            Self::Operator { .. } => Cause::Operator,
            Self::Sick { kind, .. } => Cause::Sick(*kind),
            Self::Maintenance { .. } => Cause::Maintenance,
            Self::ScaleIn { .. } => Cause::ScaleIn,
            Self::Shutdown { .. } => Cause::Shutdown,
            Self::Spot { .. } => Cause::Spot,
        }
    }

    /// When the host will be gone, where that is known.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Operator { deadline, .. } | Self::ScaleIn { deadline, .. } | Self::Shutdown { deadline } => *deadline,
            Self::Maintenance { not_before, .. } => Some(*not_before),
            Self::Spot { at, .. } => Some(*at),
            Self::IdleFor(_) | Self::JobsDone(_) | Self::Age(_) | Self::Rebalance | Self::Sick { .. } => None,
        }
    }

    #[must_use]
    pub fn ending(&self) -> Ending {
        match self {
            Self::Operator { terminate: false, .. } => Ending::Stay,
            Self::Maintenance { code, .. } if code.contains("reboot") => Ending::Stay,
            Self::ScaleIn { .. } | Self::Spot { .. } => Ending::Taken,
            Self::Shutdown { .. } => Ending::LetGo,
            _ => Ending::Terminate,
        }
    }

    /// Whether the group should put another host in this one's place: the work is still there, only this host is not fit for it.
    #[must_use]
    pub fn wants_replacement(&self) -> bool {
        !matches!(self.cause(), Cause::Idle | Cause::JobsDone | Cause::Operator)
    }
}

impl Cause {
    /// The node's own idea, not the world's or the operator's: hold beats it, and facts may speak against it.
    #[must_use]
    pub fn is_wish(self) -> bool {
        matches!(self, Self::Idle | Self::JobsDone | Self::Age)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::JobsDone => "jobs-done",
            Self::Age => "age",
            Self::Rebalance => "rebalance",
            Self::Operator => "operator",
            Self::Sick(kind) => kind.as_str(),
            Self::Maintenance => "maintenance",
            Self::ScaleIn => "scale-in",
            Self::Shutdown => "shutdown",
            Self::Spot => "spot",
        }
    }
}

impl Ailment {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DockerDown => "docker-down",
            Self::DiskFull => "disk-full",
            Self::InodesFull => "inodes-full",
            Self::AcsGone => "acs-gone",
            Self::GpuError => "gpu-error",
        }
    }
}

impl fmt::Display for DrainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdleFor(time) => write!(f, "idle for {} s", time.as_secs()),
            Self::JobsDone(n) => write!(f, "it has taken its {n} job(s)"),
            Self::Age(age) => write!(f, "it is {} s old", age.as_secs()),
            Self::Rebalance => f.write_str("EC2 recommends a rebalance"),
            Self::Operator { terminate: true, .. } => f.write_str("the operator said drain and terminate"),
            Self::Operator { terminate: false, .. } => f.write_str("the operator said drain"),
            Self::Sick { kind, why } => write!(f, "sick ({}): {why}", kind.as_str()),
            Self::Maintenance { code, .. } => write!(f, "scheduled maintenance ({code})"),
            Self::ScaleIn { hook: Some(hook), .. } => {
                write!(f, "Auto Scaling group {} ends this host; hook {} waits", hook.group, hook.name)
            }
            Self::ScaleIn { hook: None, .. } => f.write_str("its Auto Scaling group ends this host"),
            Self::Shutdown { .. } => f.write_str("the host is being shut down"),
            Self::Spot { action: SpotAction::Terminate, .. } => f.write_str("spot interruption (terminate)"),
            Self::Spot { action: SpotAction::Stop, .. } => f.write_str("spot interruption (stop)"),
            Self::Spot { action: SpotAction::Hibernate, .. } => f.write_str("spot interruption (hibernate)"),
        }
    }
}
