//! The node's life, from registration to its own termination.
//!
//! ```text
//! Booting -> Registering -> Active -> Draining -> Idle -> Deregistering -> Terminating
//!                             ^           |         |           |
//!                             +-----------+---------+-----------+   work arrived before the drain was complete
//! ```

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::command::{Command, Notice};
use crate::event::{ApiFailure, TaskCounts};
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::time::Timestamp;

/// ECS must count zero tasks here twice, this far apart, before the node deregisters: a payload may be under way.
const QUIET_GAP: Duration = Duration::from_secs(2);
/// An accepted TerminateInstances that has not ended the host after this long is asked for again.
const TERMINATE_AGAIN: Duration = Duration::from_secs(60);
const CALL_RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

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

/// Why a node drains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrainReason {
    /// It had nothing to do for this long. Only a wish: taken back when work arrives.
    IdleFor(Duration),
}

impl fmt::Display for DrainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdleFor(time) => write!(f, "idle for {} s", time.as_secs()),
        }
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

/// What of leaving is lost in a crash, and derived again from the phase.
#[derive(Debug)]
pub(crate) struct Leaving {
    call_under_way: bool,
    next_call: Option<Timestamp>,
    backoff: Backoff,
    zero_counts: u32,
    last_error: Option<String>,
}

impl Default for Leaving {
    fn default() -> Self {
        Self { call_under_way: false, next_call: None, backoff: CALL_RETRY, zero_counts: 0, last_error: None }
    }
}

impl Node {
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.record.as_ref().map_or(Phase::Booting, |r| r.phase)
    }

    fn idle_since(&self) -> Timestamp {
        self.record.as_ref().map_or(self.started_at, |r| r.idle_since)
    }

    /// The host has run out of work just now.
    pub(crate) fn note_idle(&mut self, now: Timestamp) {
        if let Some(record) = &mut self.record {
            record.idle_since = now;
        }
        self.save_node();
    }

    pub(crate) fn enter(&mut self, to: Phase, why: &str, now: Timestamp) {
        let from = self.phase();
        if let Some(record) = &mut self.record {
            record.phase = to;
            record.phase_since = now;
        }
        self.leaving = Leaving { call_under_way: self.leaving.call_under_way, ..Leaving::default() };
        self.save_node();
        self.commands.push_back(Command::Notice(Notice::PhaseChanged { from, to, why: why.to_owned() }));
    }

    /// Work has come. A drain that was only a wish is taken back.
    pub(crate) fn work_arrived(&mut self, now: Timestamp) {
        let leaving = matches!(self.phase(), Phase::Draining | Phase::Idle | Phase::Deregistering);
        if leaving && self.live_tasks() > 0 {
            if let Some(record) = &mut self.record {
                record.drain_reason = None;
            }
            self.enter(Phase::Active, "work arrived before the drain was complete", now);
        }
    }

    /// Takes the next step of the node's life, if one is due.
    pub(crate) fn leave(&mut self, now: Timestamp) {
        if fault::is(Fault::LeavesEarly) && self.phase() == Phase::Active && self.live_tasks() > 3 {
            self.enter(Phase::Terminating, "fault", now);
        }
        if self.phase() == Phase::Active
            && self.session.registered
            && let Some(timeout) = self.policy.idle_timeout
            && self.live_tasks() == 0
            && now >= self.idle_since().after(timeout)
        {
            let reason = DrainReason::IdleFor(now.since(self.idle_since()));
            let why = reason.to_string();
            if let Some(record) = &mut self.record {
                record.drain_reason = Some(reason);
            }
            self.enter(Phase::Draining, &why, now);
        }
        if self.leaving.call_under_way || self.leaving.next_call.is_some_and(|at| at > now) {
            return;
        }
        self.leaving.next_call = None;
        if let Some(command) = self.leaving_call(now) {
            self.leaving.call_under_way = true;
            self.commands.push_back(command);
        }
    }

    /// The call that the present phase is waiting to make.
    fn leaving_call(&mut self, now: Timestamp) -> Option<Command> {
        let record = self.record.as_ref()?;
        if record.phase == Phase::Terminating {
            return Some(Command::Terminate);
        }
        if !self.session.registered {
            return None;
        }
        let wanted = match record.phase {
            Phase::Booting | Phase::Registering | Phase::Terminating => return None,
            Phase::Active => InstanceState::Active,
            Phase::Draining | Phase::Idle => InstanceState::Draining,
            Phase::Deregistering => return Some(Command::Deregister),
        };
        record.container_instance.as_ref()?;
        if record.confirmed_state != wanted {
            return Some(Command::SetInstanceState(wanted));
        }
        match self.phase() {
            Phase::Draining if self.live_tasks() == 0 => {
                self.enter(Phase::Idle, "nothing runs here and everything is reported", now);
                Some(Command::Count)
            }
            Phase::Idle => Some(Command::Count),
            _ => None,
        }
    }

    pub(crate) fn leaving_wakes_at(&self) -> Option<Timestamp> {
        let idle = match (self.phase(), self.policy.idle_timeout) {
            (Phase::Active, Some(timeout)) if self.session.registered && self.live_tasks() == 0 => {
                Some(self.idle_since().after(timeout))
            }
            _ => None,
        };
        idle.into_iter().chain(self.leaving.next_call).min()
    }

    pub(crate) fn on_instance_state_set(
        &mut self,
        state: InstanceState,
        result: Result<(), ApiFailure>,
        now: Timestamp,
    ) {
        self.leaving.call_under_way = false;
        match result {
            Ok(()) => {
                self.leaving.backoff.reset();
                self.leaving.last_error = None;
                if let Some(record) = &mut self.record {
                    record.confirmed_state = state;
                }
                self.save_node();
            }
            Err(failure) => self.call_failed("UpdateContainerInstancesState", &failure, now),
        }
    }

    pub(crate) fn on_counted(&mut self, result: Result<TaskCounts, ApiFailure>, now: Timestamp) {
        self.leaving.call_under_way = false;
        if self.phase() != Phase::Idle {
            return;
        }
        match result {
            Ok(TaskCounts { running: 0, pending: 0 }) => self.leaving.zero_counts += 1,
            Ok(counts) => {
                self.leaving.zero_counts = 0;
                self.leaving.last_error = Some(format!(
                    "ECS still counts {} running and {} pending tasks here",
                    counts.running, counts.pending
                ));
            }
            // Deregistered by someone else: nothing can arrive any more.
            Err(ApiFailure::Gone(_)) => self.leaving.zero_counts = 2,
            Err(failure) => {
                self.call_failed("DescribeContainerInstances", &failure, now);
                return;
            }
        }
        if self.leaving.zero_counts >= 2 {
            self.enter(Phase::Deregistering, "ECS agrees that nothing is left here", now);
        } else {
            self.leaving.next_call = Some(now.after(QUIET_GAP));
        }
    }

    pub(crate) fn on_deregistered(&mut self, result: Result<(), ApiFailure>, now: Timestamp) {
        self.leaving.call_under_way = false;
        match result {
            Ok(()) | Err(ApiFailure::Gone(_)) => {
                if let Some(record) = &mut self.record {
                    record.container_instance = None;
                }
                if self.live_tasks() == 0 {
                    self.enter(Phase::Terminating, "deregistered", now);
                } else {
                    // Work slipped in after all: it runs to its end under a new registration.
                    self.enter(Phase::Registering, "work arrived while deregistering", now);
                    self.start_registering();
                }
            }
            Err(ApiFailure::Rejected(why)) if self.phase() == Phase::Deregistering => {
                self.enter(Phase::Draining, &format!("ECS will not deregister yet: {why}"), now);
                self.leaving.next_call = Some(now.after(QUIET_GAP));
            }
            Err(failure) => self.call_failed("DeregisterContainerInstance", &failure, now),
        }
    }

    /// Termination is asked for until the host is gone.
    pub(crate) fn on_terminated(&mut self, result: Result<(), ApiFailure>, now: Timestamp) {
        self.leaving.call_under_way = fault::is(Fault::AsksOnce);
        match result {
            Ok(()) => {
                self.leaving.last_error = None;
                self.leaving.next_call = Some(now.after(TERMINATE_AGAIN));
            }
            Err(failure) => self.call_failed("TerminateInstances", &failure, now),
        }
    }

    fn call_failed(&mut self, call: &'static str, failure: &ApiFailure, now: Timestamp) {
        let delay = self.leaving.backoff.next(&mut self.rng);
        self.leaving.next_call = Some(now.after(delay));
        self.leaving.last_error = Some(format!("{call} failed: {}", failure.text()));
        self.commands.push_back(Command::Notice(Notice::ApiRetried {
            call,
            error: failure.text().to_owned(),
            retry_ms: delay.as_millis() as u64,
        }));
    }

    /// Why the node is still alive, in one line.
    pub(crate) fn why(&self, now: Timestamp) -> String {
        if fault::is(Fault::Silent) {
            return String::new();
        }
        let live = self.live_tasks();
        let reason = self.record.as_ref().and_then(|r| r.drain_reason.as_ref());
        let because = reason.map_or_else(String::new, |r| format!(" ({r})"));
        let stuck = self.leaving.last_error.as_ref().map_or_else(String::new, |e| format!("; {e}"));
        match (self.phase(), self.policy.idle_timeout) {
            (Phase::Booting, _) => "finding out which instance and cluster this is".to_owned(),
            (Phase::Registering, _) => "registering with ECS".to_owned(),
            (Phase::Active, _) if live > 0 => format!("{live} task(s) at work or not yet reported"),
            (Phase::Active, Some(timeout)) => {
                let idle = now.since(self.idle_since());
                let left = timeout.saturating_sub(idle);
                format!("idle for {} s, drains in {} s", idle.as_secs(), left.as_secs())
            }
            (Phase::Active, None) => "idle, and told to stay".to_owned(),
            (Phase::Draining, _) if live > 0 => {
                format!("waiting for {live} task(s) to end and be reported{because}{stuck}")
            }
            (Phase::Draining, _) => format!("telling ECS to place nothing here{because}{stuck}"),
            (Phase::Idle, _) => format!("asking ECS whether anything is left here{because}{stuck}"),
            (Phase::Deregistering, _) => format!("deregistering{because}{stuck}"),
            (Phase::Terminating, _) => format!("terminating this instance{because}{stuck}"),
        }
    }
}
