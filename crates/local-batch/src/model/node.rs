//! EC2 instances: those that the plane launches and those that RunInstances makes by hand.

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::cluster::Tag;
use super::group::Membership;
use super::notice::Notices;
use crate::clock::Millis;
use crate::ids::Ec2Id;

/// In the order of an instance's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum NodeState {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
}

impl NodeState {
    /// EC2's code and name.
    pub(crate) const fn ec2(self) -> (u16, &'static str) {
        match self {
            Self::Pending => (0, "pending"),
            Self::Running => (16, "running"),
            Self::Stopping => (64, "stopping"),
            Self::Stopped => (80, "stopped"),
            Self::ShuttingDown => (32, "shutting-down"),
            Self::Terminated => (48, "terminated"),
        }
    }

    /// Its agent may work.
    pub(crate) const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    /// It is not on its way to its termination.
    pub(crate) const fn is_present(self) -> bool {
        !matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: Ec2Id,
    pub(crate) state: NodeState,
    /// The compute environment that it was launched for; none when made by hand.
    pub(crate) compute_environment: Option<String>,
    /// Its agent's process has ended and will not be started again.
    pub(crate) is_down: bool,
    /// It has registered with a cluster at least once.
    pub(crate) has_registered: bool,
    pub(crate) launched_at: Millis,
    /// EC2's stateTransitionReason.
    pub(crate) reason: String,
    pub(crate) image_id: String,
    pub(crate) instance_type: String,
    pub(crate) private_ip: String,
    pub(crate) mac: String,
    /// `http://127.0.0.1:<port>`, once its metadata service listens.
    pub(crate) imds: Option<String>,
    pub(crate) tags: Vec<Tag>,
    /// The id of the access key that its metadata service hands out.
    pub(crate) key: Option<String>,
    #[serde(default)]
    pub(crate) is_spot: bool,
    /// What it is to its Auto Scaling group, if it is in one.
    #[serde(default)]
    pub(crate) membership: Option<Membership>,
    #[serde(default)]
    pub(crate) notices: Notices,
    #[serde(skip)]
    pub(crate) stop: CancellationToken,
}

/// What a new instance is told.
#[derive(Debug, Default)]
pub(crate) struct NewNode {
    pub(crate) compute_environment: Option<String>,
    pub(crate) image_id: Option<String>,
    pub(crate) instance_type: Option<String>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) is_spot: bool,
}

impl Node {
    /// `ordinal` counts instances from 1 and gives each its own address.
    pub(crate) fn new(new: NewNode, ordinal: u64, now: Millis) -> Self {
        let [high, low] = u16::try_from(ordinal % 60_000).unwrap_or_default().to_be_bytes();
        Self {
            id: Ec2Id::fresh(),
            state: NodeState::Pending,
            compute_environment: new.compute_environment,
            is_down: false,
            has_registered: false,
            launched_at: now,
            reason: String::new(),
            image_id: new.image_id.unwrap_or_else(|| "ami-0123456789abcdef0".into()),
            instance_type: new.instance_type.unwrap_or_else(|| "m5.large".into()),
            private_ip: format!("10.0.{high}.{low}"),
            mac: format!("06:00:0a:00:{high:02x}:{low:02x}"),
            imds: None,
            tags: new.tags,
            key: None,
            is_spot: new.is_spot,
            membership: None,
            notices: Notices::default(),
            stop: CancellationToken::new(),
        }
    }
}
