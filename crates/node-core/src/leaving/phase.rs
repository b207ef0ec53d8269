//! Where a node is in its life, and ECS's word for whether it takes work.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// The host does not know yet who it is.
    #[default]
    Booting,
    Registering,
    Active,
    /// No new work is wanted; what is here runs to its end.
    Draining,
    /// Nothing is left here; ECS is asked whether it agrees.
    Idle,
    Deregistering,
    /// Nothing but the host itself is left to end.
    Terminating,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Booting => "BOOTING",
            Self::Registering => "REGISTERING",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Idle => "IDLE",
            Self::Deregistering => "DEREGISTERING",
            Self::Terminating => "TERMINATING",
        })
    }
}

/// ECS's word for whether it may place tasks here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InstanceState {
    Active,
    Draining,
}

impl InstanceState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}
