//! What is looked at before a node leaves of its own accord, so that it never stands drained, refused and billed.

use std::time::Duration;

use super::facts::{Facts, GroupFacts, Permission, Rung};
use super::phase::Phase;
use super::policy::{AtMinSize, LeavingPolicy, Refused};
use super::reason::DrainReason;
use crate::command::Command;
use crate::event::ApiFailure;
use crate::node::Node;
use crate::time::Timestamp;

/// Facts older than this are asked for again before they decide anything.
const FRESH: Duration = Duration::from_secs(60);

impl GroupFacts {
    /// One host fewer would be fewer than the group may have.
    #[must_use]
    pub fn at_min_size(&self) -> bool {
        self.desired <= self.min_size
    }
}

impl Facts {
    /// Why a node that wishes to leave for `reason` had better stay.
    ///
    /// # Errors
    /// The reason to stay, for people.
    pub fn judge(&self, policy: &LeavingPolicy, reason: &DrainReason) -> Result<(), String> {
        if let Some(group) = self.group.as_ref().filter(|g| !g.terminating) {
            let name = &group.name;
            if group.terminate_suspended {
                return Err(format!("the Terminate process of Auto Scaling group {name} is suspended"));
            }
            if group.at_min_size() && !reason.wants_replacement() && policy.at_min_size == AtMinSize::Stay {
                let (desired, min) = (group.desired, group.min_size);
                return Err(format!("Auto Scaling group {name} is at its MinSize (desired {desired}, MinSize {min})"));
            }
        }
        match (&self.group, &self.may_terminate) {
            (None, Permission::Denied(why)) if policy.refused == Refused::Rejoin => {
                Err(format!("this host may not terminate itself: {why}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the group's desired capacity should go down with this host.
    #[must_use]
    pub fn decrement(&self, reason: Option<&DrainReason>) -> bool {
        let spare = self.group.as_ref().is_some_and(|g| !g.at_min_size());
        spare && reason.is_some_and(|r| !r.wants_replacement())
    }
}

impl Node {
    /// Whether a wish may be followed. If the world has not been asked, it is, and the answer is no for now.
    pub(crate) fn may_leave(&mut self, wish: &DrainReason, now: Timestamp) -> bool {
        let policy = self.policy.leaving;
        if !policy.check_first {
            return true;
        }
        match self.fresh_facts(now).map(|facts| facts.judge(&policy, wish)) {
            Some(Ok(())) => true,
            Some(Err(why)) => {
                self.stay(why, now);
                false
            }
            None => !self.ask_facts(now),
        }
    }

    pub(crate) fn fresh_facts(&self, now: Timestamp) -> Option<&Facts> {
        self.leaving.facts_at.filter(|at| now.since(*at) < FRESH)?;
        self.leaving_record().and_then(|r| r.facts.as_ref())
    }

    /// Whether an answer is worth waiting for: not for ever.
    pub(crate) fn ask_facts(&mut self, now: Timestamp) -> bool {
        let asking = &mut self.leaving.preflight;
        if asking.failing_for(now) >= self.policy.leaving.rung_patience {
            return false;
        }
        if asking.ready(now) {
            asking.begin();
            self.commands.push_back(Command::Preflight);
        }
        true
    }

    pub(crate) fn on_preflight(&mut self, result: Result<Facts, ApiFailure>, now: Timestamp) {
        self.leaving.preflight.ended();
        match result {
            Ok(facts) => {
                self.leaving.preflight.answered();
                self.leaving.facts_at = Some(now);
                self.change_leaving(|leaving| leaving.facts = Some(facts));
                if self.phase() == Phase::Terminating {
                    self.weigh_facts(now);
                }
            }
            Err(failure) => {
                let error = format!("the Auto Scaling group cannot be looked up: {}", failure.text());
                self.leaving.preflight.failed(error, &mut self.rng, now);
            }
        }
    }

    /// The facts on the way to the host's end: it may have begun, or have become impossible.
    fn weigh_facts(&mut self, now: Timestamp) {
        let Some(record) = self.leaving_record() else { return };
        let Some(facts) = &record.facts else { return };
        let rung = record.ladder.as_ref().map(|l| l.rung);
        if facts.group.as_ref().is_some_and(|g| g.terminating) {
            if rung == Some(Rung::Group) {
                self.accepted(now);
            }
            return;
        }
        let ruling = self.ruling().filter(|_| self.only_wishes());
        let verdict = ruling.map_or(Ok(()), |reason| facts.judge(&self.policy.leaving, reason));
        if let Err(why) = verdict {
            self.give_way(why, now);
        }
    }
}
