//! Leaving: why and when a node drains, how it makes sure that nothing is lost, and how the host ends.
//!
//! ```text
//! Booting -> Registering -> Active -> Draining -> Idle -> Deregistering -> Terminating -> (gone)
//!                 ^          ^           |         |           |               |
//!                 |          +-----------+---------+-----------+               |   no reason stands any more
//!                 +------------------------------------------------------------+   its end was refused, or taken back
//! ```
//!
//! Out of Terminating a node goes to Draining where a reason is left and something must be reported first, or the host is to stay.
//!
//! Whatever happens first becomes a reason that stands ([`reason`]): the node's own wish ([`idle`]), the world's doing
//! ([`interrupt`]), the operator's word ([`operator`]) or an ailment ([`sick`]). While one stands the node goes through
//! [`drain`], and then up the [`ladder`] that ends the host. [`warn`] tells jobs of a deadline, [`withhold`] keeps their retries true.

mod asking;
mod drain;
mod facts;
mod hook;
mod idle;
mod interrupt;
mod ladder;
mod news;
mod operator;
mod phase;
mod plan;
mod policy;
mod preflight;
mod protect;
mod reason;
mod record;
mod sick;
mod signal;
mod standing;
mod warn;
mod why;
mod withhold;

use std::collections::{BTreeMap, BTreeSet};

pub use facts::{Facts, Finding, GroupFacts, Interruption, Order, Permission, Rung, Source, Waiting};
pub use news::{Announcement, Deadline, Happening, JobNow, LeavingStatus};
pub use phase::{InstanceState, Phase};
pub use plan::Plan;
pub use policy::{AtMinSize, LeavingPolicy, Reaction, Refused, Retries};
pub use reason::{Ailment, Cause, DrainReason, Ending, Hook, SpotAction};
pub use record::{Boot, Hold, Ladder, LeavingRecord, Standing};
pub use signal::{Signal, UnknownSignal};
pub use warn::{LEAD_ENV, LEAD_LABEL, SIGNAL_ENV, SIGNAL_LABEL};

use asking::Asking;
use idle::WorkWatch;

use crate::node::Node;
use crate::time::Timestamp;

/// What of leaving is lost in a crash, and derived or asked for again.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// When everything that was due was last done.
    looked_at: Timestamp,
    /// The one call that the phase waits for.
    call: Asking,
    zero_counts: u32,
    /// ECS will not set this instance DRAINING; deregistration closes the intake instead.
    drain_refused: bool,
    /// It was not clear already what state ECS holds this instance in when it was last asked to set one.
    doubted: bool,
    note: Option<String>,
    work: WorkWatch,
    preflight: Asking,
    facts_at: Option<Timestamp>,
    beat: Asking,
    protect: Asking,
    protected: Option<bool>,
    warn_again_at: Option<Timestamp>,
    docker_down_since: Option<Timestamp>,
    acs_gone_since: Option<Timestamp>,
    ignored: BTreeSet<Source>,
    published: Option<Deadline>,
    boot: Option<Boot>,
    counters: BTreeMap<Happening, u64>,
}

impl Node {
    /// Takes every step of leaving that is due.
    pub(crate) fn leave(&mut self, now: Timestamp) {
        self.leaving.looked_at = now;
        self.find_ailments(now);
        self.outlive(now);
        self.wish(now);
        self.follow_reasons(now);
        self.warn(now);
        self.cut_off(now);
        self.mind_withheld(now);
        self.turn_back(now);
        self.publish_deadline();
        self.beat(now);
        self.protect(now);
        self.next_call(now);
    }

    /// When the clock alone brings something new. What was due at the last look and was not done then waits for an event.
    pub(crate) fn leaving_wakes_at(&self) -> Option<Timestamp> {
        let leaving = &self.leaving;
        let asking = [&leaving.call, &leaving.beat, &leaving.protect, &leaving.preflight];
        let mut times: Vec<_> = asking.into_iter().filter_map(Asking::wakes_at).collect();
        times.extend(self.ailments_wake_at());
        times.extend(self.outlive_at());
        times.extend(self.wish_wakes_at());
        times.extend(self.standing().map(|s| s.begins_at(&self.policy)));
        times.extend(self.warn_wakes_at());
        times.extend(self.withheld_wakes_at());
        times.extend(self.kills_end_at());
        times.extend(self.ladder_wakes_at());
        times.into_iter().filter(|at| *at > leaving.looked_at).min()
    }

    fn leaving_record(&self) -> Option<&LeavingRecord> {
        self.record.as_ref().map(|r| &r.leaving)
    }

    /// Changes the durable part of leaving, and has it saved.
    fn change_leaving(&mut self, change: impl FnOnce(&mut LeavingRecord)) {
        if let Some(record) = &mut self.record {
            change(&mut record.leaving);
            self.save_node();
        }
    }
}

#[cfg(test)]
mod tests;
