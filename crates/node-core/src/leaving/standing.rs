//! The reasons that stand: coming, going, and which of them rules.

use std::time::Duration;

use super::news::Happening;
use super::phase::Phase;
use super::policy::Reaction;
use super::reason::{Cause, DrainReason, Ending};
use super::record::Standing;
use crate::fault::{self, Fault};
use crate::node::{Node, Policy};
use crate::time::Timestamp;

impl Standing {
    /// From when on it makes the node drain: a far maintenance window does not yet.
    pub(crate) fn begins_at(&self, policy: &Policy) -> Timestamp {
        match &self.reason {
            DrainReason::Maintenance { not_before, .. } => {
                let lead = policy.leaving.maintenance_lead.as_millis() as u64;
                Timestamp(not_before.0.saturating_sub(lead))
            }
            // At once, whatever the clock says: it may have been set back since.
            _ => Timestamp(0),
        }
    }

    /// What still runs at its deadline is killed.
    pub(crate) fn kills(&self, policy: &Policy) -> bool {
        let leaving = &policy.leaving;
        let reaction = match self.reason.cause() {
            Cause::Operator => return true,
            Cause::Spot => leaving.spot,
            Cause::Maintenance => leaving.maintenance,
            Cause::ScaleIn => leaving.scale_in,
            Cause::Shutdown => leaving.shutdown,
            _ => return false,
        };
        reaction == Reaction::DrainWithDeadline
    }
}

impl Node {
    /// The reasons that are not over, the strongest last.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Standing> {
        self.leaving_record().into_iter().flat_map(|r| &r.reasons).filter(|s| !s.over)
    }

    /// The strongest reason that stands.
    pub(crate) fn ruling(&self) -> Option<&DrainReason> {
        self.standing().map(|s| &s.reason).max_by_key(|r| r.cause())
    }

    pub(crate) fn ruling_cause(&self) -> Option<Cause> {
        self.ruling().map(DrainReason::cause)
    }

    /// The reasons in effect ask for the node to drain.
    pub(crate) fn must_drain(&self, now: Timestamp) -> bool {
        self.standing().any(|s| s.begins_at(&self.policy) <= now)
    }

    /// Every reason is the node's own wish.
    pub(crate) fn only_wishes(&self) -> bool {
        self.standing().all(|s| s.reason.cause().is_wish())
    }

    /// How the host ends, of the reasons in effect.
    pub(crate) fn ending(&self) -> Ending {
        self.ruling().map_or(Ending::Terminate, DrainReason::ending)
    }

    pub(crate) fn add_reason(&mut self, reason: DrainReason, now: Timestamp) {
        let cause = reason.cause();
        let text = reason.to_string();
        self.change_leaving(|leaving| {
            leaving.reasons.retain(|s| s.reason.cause() != cause);
            leaving.reasons.push(Standing { reason, since: now, over: false });
            leaving.reasons.sort_by_key(|s| s.reason.cause());
        });
        self.announce(Happening::Drain, text);
    }

    /// Takes reasons back. Whether anything was there to take back.
    pub(crate) fn drop_reasons(&mut self, why: &str, gone: impl Fn(Cause) -> bool) -> bool {
        let dropped: Vec<_> =
            self.standing().map(|s| &s.reason).filter(|r| gone(r.cause())).map(ToString::to_string).collect();
        self.change_leaving(|leaving| leaving.reasons.retain(|s| !gone(s.reason.cause())));
        for reason in &dropped {
            self.announce(Happening::Undone, format!("{why}: no longer {reason}"));
        }
        !dropped.is_empty()
    }

    /// Goes where the reasons that stand now lead.
    pub(crate) fn follow_reasons(&mut self, now: Timestamp) {
        let drain = self.must_drain(now);
        match self.phase() {
            Phase::Active if drain => {
                let why = self.ruling().map_or_else(String::new, ToString::to_string);
                self.enter(Phase::Draining, &why, now);
            }
            // There is nothing to drain yet, and there will not be.
            Phase::Registering if drain && !self.only_wishes() && self.never_joined() => {
                let why = self.ruling().map_or_else(String::new, ToString::to_string);
                self.enter(Phase::Terminating, &format!("it never joined: {why}"), now);
            }
            Phase::Draining | Phase::Idle | Phase::Deregistering if !drain => {
                self.enter(Phase::Active, "no reason to leave stands any more", now);
            }
            _ => {}
        }
    }

    fn never_joined(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.container_instance.is_none())
            && self.live_tasks() == 0
            && self.ending() != Ending::Stay
    }

    /// Out of the last phase, where that can still be done: back to work, or to the drain that the reasons left ask for.
    pub(crate) fn come_back(&mut self, why: &str, now: Timestamp) {
        if self.phase() != Phase::Terminating || self.may_be_ending(now) {
            return;
        }
        let joined = self.record.as_ref().is_some_and(|r| r.container_instance.is_some());
        let drains = self.must_drain(now);
        if drains && !joined && self.ending() != Ending::Stay {
            return;
        }
        let to = match (joined, drains) {
            (false, _) => Phase::Registering,
            (true, true) => Phase::Draining,
            (true, false) => Phase::Active,
        };
        self.home.turned_away.clear();
        self.enter(to, why, now);
        self.rejoin();
        if !drains {
            self.announce(Happening::Rejoined, why.to_owned());
        }
    }

    /// The last phase is left again when it turns out to be wrong: no reason stands any more, the one that rules wants a host
    /// that stays, or work is left here that must be reported first.
    pub(crate) fn turn_back(&mut self, now: Timestamp) {
        if self.phase() != Phase::Terminating {
            return;
        }
        if !self.must_drain(now) {
            self.come_back("no reason to leave stands any more", now);
        } else if self.ending() == Ending::Stay {
            self.come_back("drained, and to stay", now);
        } else if self.waits_for_work(now) {
            self.come_back("there is still something to report", now);
        }
    }

    /// Work has come. A wish that rests on there being none is taken back; under any other reason it runs to its end.
    pub(crate) fn work_arrived(&mut self, now: Timestamp) {
        if self.live_tasks() == 0 {
            return;
        }
        self.leaving.work = super::idle::WorkWatch::default();
        if self.phase() == Phase::Terminating {
            return;
        }
        let undone =
            |cause: Cause| cause == Cause::Idle && !fault::is(Fault::KeepsWish) || fault::is(Fault::WorkUndoes);
        self.drop_reasons("work arrived", undone);
        if !matches!(self.phase(), Phase::Draining | Phase::Idle | Phase::Deregistering) {
            return;
        }
        if !self.must_drain(now) {
            self.enter(Phase::Active, "work arrived before the drain was complete", now);
        } else if self.phase() != Phase::Draining {
            self.enter(Phase::Draining, "work arrived before the drain was complete; it runs to its end", now);
        }
    }

    pub(crate) fn survived_after(&self) -> Duration {
        self.policy.leaving.survived_after
    }
}
