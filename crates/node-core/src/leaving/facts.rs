//! What the world tells when the node asks, and what it does to the node unasked.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::reason::{Hook, SpotAction};
use crate::time::Timestamp;

/// What the world does to the host. Told again and again, it is the same interruption; one with other values takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interruption {
    Spot {
        action: SpotAction,
        at: Timestamp,
    },
    Rebalance,
    /// The next scheduled event that is still to come.
    Maintenance {
        code: String,
        not_before: Timestamp,
    },
    /// The group is ending this host. `hook`: it waits for this.
    ScaleIn {
        hook: Option<Hook>,
    },
    /// The host is shutting down. `deadline`: until then the shutdown can be held up.
    Shutdown {
        deadline: Option<Timestamp>,
    },
}

/// Where an interruption comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Spot,
    Rebalance,
    Maintenance,
    ScaleIn,
    Shutdown,
}

impl Source {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Rebalance => "rebalance",
            Self::Maintenance => "maintenance",
            Self::ScaleIn => "scale-in",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The operator's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Drain now; `deadline`: SIGKILL what still runs then.
    Drain {
        terminate: bool,
        deadline: Option<Timestamp>,
    },
    /// Take the drain back.
    Cancel,
    /// Keep the host, however idle or old it is.
    Hold {
        why: String,
    },
    Release,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Well,
    /// The text says what is wrong.
    Sick(String),
}

/// Jobs in the queues of this host's compute environment that would fit this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    pub runnable: u32,
    pub starting: u32,
    /// One of them, for the log.
    pub example: Option<String>,
}

/// What can be known before a termination.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// `None`: the host is in no Auto Scaling group.
    pub group: Option<GroupFacts>,
    /// EC2's answer to a dry run of TerminateInstances.
    pub may_terminate: Permission,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupFacts {
    pub name: String,
    pub min_size: u32,
    pub desired: u32,
    /// The group's Terminate process is suspended.
    pub terminate_suspended: bool,
    /// This host is protected from scale-in.
    pub protected: bool,
    /// This host's life-cycle state is `Terminating`, `Terminating:Wait`, `Terminating:Proceed` or `Terminated`.
    pub terminating: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Permission {
    Ok,
    Denied(String),
    #[default]
    Unknown,
}

/// One way of ending the host, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Let the shutdown go on.
    LetGo,
    /// CompleteLifecycleAction(CONTINUE).
    Hook,
    /// Wait for the world to take the host.
    Taken,
    /// TerminateInstanceInAutoScalingGroup.
    Group,
    /// SetInstanceHealth(Unhealthy).
    Unhealthy,
    /// EC2 TerminateInstances.
    Instance,
    PowerOff,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LetGo => "letting the shutdown go on",
            Self::Hook => "CompleteLifecycleAction",
            Self::Taken => "waiting for EC2 to take the host",
            Self::Group => "TerminateInstanceInAutoScalingGroup",
            Self::Unhealthy => "SetInstanceHealth",
            Self::Instance => "TerminateInstances",
            Self::PowerOff => "powering off",
        })
    }
}
