//! What of leaving must survive a crash or a reboot.

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Rung};
use super::reason::{Cause, DrainReason};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LeavingRecord {
    /// Every reason that stands, at most one of each cause.
    pub reasons: Vec<Standing>,
    pub hold: Option<Hold>,
    /// Jobs that this host has ever taken.
    pub jobs_taken: u32,
    pub boot: Option<Boot>,
    /// What the last preflight found out.
    pub facts: Option<Facts>,
    /// ECS was asked to set this host's state, and has not answered: it may hold it for either.
    pub state_unclear: bool,
    /// The life-cycle hook waits no longer.
    pub hook_over: bool,
    /// How far the host's end is.
    pub ladder: Option<Ladder>,
    /// How often this host wished to leave and could not.
    pub refusals: u32,
    /// No wish to leave before this time.
    pub wish_after: Option<Timestamp>,
    /// Why the last wish came to nothing.
    pub stays: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub reason: DrainReason,
    pub since: Timestamp,
    /// The host has survived it: it counts no more, and being told of it again changes nothing.
    #[serde(default)]
    pub over: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    pub since: Timestamp,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// Another with each boot (`/proc/sys/kernel/random/boot_id`).
    pub id: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    pub rung: Rung,
    pub since: Timestamp,
    pub tries: u32,
    /// The world has said yes; what is left is to be gone.
    pub accepted: bool,
    /// How often every rung was tried in vain.
    pub rounds: u32,
    /// Requests to end the host that got no clear answer: they may have been heard.
    #[serde(default)]
    pub unanswered: u32,
}

impl LeavingRecord {
    pub(crate) fn of(&self, cause: Cause) -> Option<&Standing> {
        self.reasons.iter().find(|s| s.reason.cause() == cause)
    }
}
