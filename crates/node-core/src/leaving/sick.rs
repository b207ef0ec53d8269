//! Hosts that are not fit for new work.

use super::facts::Finding;
use super::phase::Phase;
use super::reason::{Ailment, Cause, DrainReason};
use crate::node::Node;
use crate::time::Timestamp;

impl Node {
    pub(crate) fn on_health(&mut self, kind: Ailment, health: Finding, now: Timestamp) {
        match health {
            Finding::Sick(why) => self.fall_sick(kind, why, now),
            Finding::Well => self.recover(kind, now),
        }
    }

    fn fall_sick(&mut self, kind: Ailment, why: String, now: Timestamp) {
        if self.leaving_record().is_some_and(|r| r.of(Cause::Sick(kind)).is_none()) {
            self.add_reason(DrainReason::Sick { kind, why }, now);
        }
    }

    fn recover(&mut self, kind: Ailment, now: Timestamp) {
        let sick = self.leaving_record().is_some_and(|r| r.of(Cause::Sick(kind)).is_some());
        if sick && self.policy.leaving.recovers && self.phase() != Phase::Terminating {
            self.drop_reasons("well again", |cause| cause == Cause::Sick(kind));
            self.follow_reasons(now);
        }
    }

    pub(crate) fn note_docker(&mut self, up: bool, now: Timestamp) {
        if up {
            self.leaving.docker_down_since = None;
            self.recover(Ailment::DockerDown, now);
        } else {
            self.leaving.docker_down_since.get_or_insert(now);
        }
    }

    pub(crate) fn note_session(&mut self, open: bool, now: Timestamp) {
        if open {
            self.leaving.acs_gone_since = None;
            self.recover(Ailment::AcsGone, now);
        } else {
            self.leaving.acs_gone_since.get_or_insert(now);
        }
    }

    /// What this node finds out about its host by itself.
    pub(crate) fn find_ailments(&mut self, now: Timestamp) {
        if self.docker_sick_at().is_some_and(|at| at <= now) {
            self.fall_sick(Ailment::DockerDown, "Docker cannot be reached".to_owned(), now);
        }
        if self.acs_sick_at().is_some_and(|at| at <= now) {
            self.fall_sick(Ailment::AcsGone, "there is no session with ECS".to_owned(), now);
        }
    }

    fn docker_sick_at(&self) -> Option<Timestamp> {
        Some(self.leaving.docker_down_since?.after(self.policy.leaving.docker_down_after?))
    }

    /// No session is what leaving brings about in the end, and what a host without a registration cannot have.
    fn acs_sick_at(&self) -> Option<Timestamp> {
        let wanted = matches!(self.phase(), Phase::Active | Phase::Draining | Phase::Idle);
        let since = self.leaving.acs_gone_since.filter(|_| wanted)?;
        Some(since.after(self.policy.leaving.acs_gone_after?))
    }

    pub(crate) fn ailments_wake_at(&self) -> Option<Timestamp> {
        self.docker_sick_at().into_iter().chain(self.acs_sick_at()).min()
    }

    /// When the jobs under a dead Docker are given up. Where a sick host never recovers, its Docker may, and go down again.
    pub(crate) fn docker_dead_at(&self) -> Option<Timestamp> {
        let sick = self.leaving_record().and_then(|r| r.of(Cause::Sick(Ailment::DockerDown)))?;
        let down_since = self.leaving.docker_down_since?;
        let policy = &self.policy.leaving;
        if !policy.recovers {
            return Some(down_since.after(policy.docker_dead_after?));
        }
        let more = policy.docker_dead_after?.saturating_sub(policy.docker_down_after.unwrap_or_default());
        Some(sick.since.after(more))
    }
}
