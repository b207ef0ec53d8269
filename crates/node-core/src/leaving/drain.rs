//! The race-free way out: close the intake, run what is here to its end, ask ECS twice, deregister, and only then end the host.

use std::time::Duration;

use super::news::Happening;
use super::phase::{InstanceState, Phase};
use super::reason::{Ailment, Cause, Ending};
use crate::command::{Command, Notice};
use crate::event::{ApiFailure, TaskCounts};
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::task::TaskRecord;
use crate::time::Timestamp;

/// ECS must count zero tasks here twice, this far apart, before the node deregisters: a payload may be under way.
pub(crate) const QUIET_GAP: Duration = Duration::from_secs(2);
/// What a SIGKILL has not ended after this long will not end at all.
const KILL_GRACE: Duration = Duration::from_secs(60);

impl Node {
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.record.as_ref().map_or(Phase::Booting, |r| r.phase)
    }

    pub(crate) fn enter(&mut self, to: Phase, why: &str, now: Timestamp) {
        let from = self.phase();
        if let Some(record) = &mut self.record {
            record.phase = to;
            record.phase_since = now;
            if to != Phase::Terminating {
                record.leaving.ladder = None;
            }
        }
        self.leaving.call.restart();
        self.leaving.zero_counts = 0;
        self.leaving.drain_refused &= matches!(to, Phase::Idle | Phase::Deregistering);
        self.leaving.note = None;
        self.save_node();
        self.commands.push_back(Command::Notice(Notice::PhaseChanged { from, to, why: why.to_owned() }));
        self.announce(Happening::Phase, why.to_owned());
    }

    /// Asks for what the present phase waits for.
    pub(crate) fn next_call(&mut self, now: Timestamp) {
        if !self.leaving.call.ready(now) {
            return;
        }
        if let Some(command) = self.leaving_call(now) {
            self.leaving.call.begin();
            self.commands.push_back(command);
        }
    }

    /// Docker down can keep a restarted agent from registering; what it was registered as can still be drained.
    fn may_call(&self) -> bool {
        self.session.registered || self.ruling_cause() == Some(Cause::Sick(Ailment::DockerDown))
    }

    fn leaving_call(&mut self, now: Timestamp) -> Option<Command> {
        let record = self.record.as_ref()?;
        if record.phase == Phase::Terminating {
            return self.ladder_call(now);
        }
        if !self.may_call() {
            return None;
        }
        let wanted = match record.phase {
            Phase::Booting | Phase::Registering | Phase::Terminating => return None,
            Phase::Active => InstanceState::Active,
            Phase::Draining | Phase::Idle => InstanceState::Draining,
            Phase::Deregistering => return Some(Command::Deregister),
        };
        record.container_instance.as_ref()?;
        let unclear = record.leaving.state_unclear;
        if (record.confirmed_state != wanted || unclear) && !self.leaving.drain_refused {
            self.leaving.doubted = unclear;
            self.change_leaving(|leaving| leaving.state_unclear = true);
            return Some(Command::SetInstanceState(wanted));
        }
        match self.phase() {
            Phase::Draining if !self.waits_for_work(now) => self.drained(now),
            Phase::Idle => Some(Command::Count),
            _ => None,
        }
    }

    /// Nothing here has to be waited for any more.
    fn drained(&mut self, now: Timestamp) -> Option<Command> {
        if self.ending() == Ending::Stay {
            return None;
        }
        if self.ending() == Ending::LetGo {
            self.enter(Phase::Terminating, "nothing runs here and everything is reported", now);
            return self.ladder_call(now);
        }
        if self.live_tasks() > 0 {
            // ECS must not hear of the rest, so it will not deregister either: the end of the instance does both.
            self.enter(Phase::Terminating, "nothing runs here; what the host's end has killed is not reported", now);
            return self.ladder_call(now);
        }
        self.enter(Phase::Idle, "nothing runs here and everything is reported", now);
        Some(Command::Count)
    }

    /// Tasks that leaving waits for: not over, or over and to be reported.
    pub(crate) fn waits_for_work(&self, now: Timestamp) -> bool {
        let lost = self.host_is_lost();
        !fault::is(Fault::LeavesEarly) && self.tasks.values().any(|t| waits_for(&t.record, lost, now))
    }

    /// When the tasks that no SIGKILL ends are given up.
    pub(crate) fn kills_end_at(&self) -> impl Iterator<Item = Timestamp> {
        let cut = self.tasks.values().map(|t| &t.record).filter(|r| r.stopped_at.is_none());
        cut.filter_map(|r| r.cut_off_at).map(|at| at.after(KILL_GRACE))
    }

    pub(crate) fn on_instance_state_set(
        &mut self,
        state: InstanceState,
        result: Result<(), ApiFailure>,
        now: Timestamp,
    ) {
        self.leaving.call.ended();
        match result {
            Ok(()) => {
                self.leaving.call.answered();
                if let Some(record) = &mut self.record {
                    record.confirmed_state = state;
                    record.leaving.state_unclear = false;
                }
                self.save_node();
            }
            Err(failure) => {
                self.call_failed("UpdateContainerInstancesState", &failure, now);
                if !matches!(failure, ApiFailure::Unavailable(_)) && !self.leaving.doubted {
                    self.change_leaving(|leaving| leaving.state_unclear = false);
                }
                // Nothing is placed on an instance that ECS does not know.
                let gone = matches!(failure, ApiFailure::Gone(_));
                let for_good = matches!(failure, ApiFailure::Denied(_) | ApiFailure::Rejected(_));
                if matches!(self.phase(), Phase::Draining | Phase::Idle)
                    && (gone || for_good && self.out_of_patience(now))
                {
                    self.leaving.drain_refused = true;
                }
            }
        }
    }

    pub(crate) fn on_counted(&mut self, result: Result<TaskCounts, ApiFailure>, now: Timestamp) {
        self.leaving.call.ended();
        if self.phase() != Phase::Idle {
            return;
        }
        match result {
            Ok(TaskCounts { running: 0, pending: 0 }) => {
                self.leaving.zero_counts += 1;
                self.leaving.note = None;
            }
            Ok(counts) => {
                self.leaving.zero_counts = 0;
                self.leaving.note = Some(format!(
                    "ECS still counts {} running and {} pending tasks here",
                    counts.running, counts.pending
                ));
            }
            // Deregistered by someone else: nothing can arrive any more.
            Err(ApiFailure::Gone(_)) => self.leaving.zero_counts = 2,
            Err(failure) => {
                self.call_failed("DescribeContainerInstances", &failure, now);
                // Deregistration is refused while ECS knows of a task here, so it can be asked instead.
                if matches!(failure, ApiFailure::Denied(_)) && self.out_of_patience(now) {
                    self.enter(Phase::Deregistering, "ECS may not be asked what it counts here", now);
                }
                return;
            }
        }
        self.leaving.call.answered();
        if self.leaving.zero_counts >= 2 {
            self.enter(Phase::Deregistering, "ECS agrees that nothing is left here", now);
        } else {
            self.leaving.call.again_at(now.after(QUIET_GAP));
        }
    }

    pub(crate) fn on_deregistered(&mut self, result: Result<(), ApiFailure>, now: Timestamp) {
        self.leaving.call.ended();
        match result {
            Ok(()) | Err(ApiFailure::Gone(_)) => {
                if let Some(record) = &mut self.record {
                    record.container_instance = None;
                }
                if self.live_tasks() == 0 && self.must_drain(now) {
                    self.enter(Phase::Terminating, "deregistered", now);
                } else {
                    // Work slipped in after all, or the reason is gone: under a new registration.
                    self.enter(Phase::Registering, "work arrived while deregistering", now);
                    self.start_registering();
                }
            }
            Err(ApiFailure::Rejected(why)) if self.phase() == Phase::Deregistering => {
                self.enter(Phase::Draining, &format!("ECS will not deregister yet: {why}"), now);
                self.leaving.call.again_at(now.after(QUIET_GAP));
            }
            Err(failure) => {
                self.call_failed("DeregisterContainerInstance", &failure, now);
                let closed = self.record.as_ref().is_some_and(|r| r.confirmed_state == InstanceState::Draining);
                let denied = matches!(failure, ApiFailure::Denied(_));
                if denied && closed && self.phase() == Phase::Deregistering && self.out_of_patience(now) {
                    self.enter(Phase::Terminating, "it may not deregister; the end of the instance does that", now);
                }
            }
        }
    }

    fn out_of_patience(&self, now: Timestamp) -> bool {
        self.leaving.call.failing_for(now) >= self.policy.leaving.rung_patience
    }

    pub(crate) fn call_failed(&mut self, call: &'static str, failure: &ApiFailure, now: Timestamp) {
        let delay = self.leaving.call.failed(format!("{call} failed: {}", failure.text()), &mut self.rng, now);
        self.commands.push_back(Command::Notice(Notice::ApiRetried {
            call,
            error: failure.text().to_owned(),
            retry_ms: delay.as_millis() as u64,
        }));
    }
}

/// What no SIGKILL has ended is left behind only with a host that is lost, never by the node's own wish.
fn waits_for(record: &TaskRecord, lost: bool, now: Timestamp) -> bool {
    let given_up =
        lost && record.stopped_at.is_none() && record.cut_off_at.is_some_and(|at| at.after(KILL_GRACE) <= now);
    // The answer to a warning may show that it came too late.
    let judged = record.containers.iter().all(|c| c.warning.is_none());
    let kept_back = record.stopped_at.is_some() && record.withheld() && judged;
    record.live() && !given_up && !kept_back
}
