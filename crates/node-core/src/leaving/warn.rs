//! Telling jobs that their host will be gone, and ending at the deadline what is to be ended then.

use std::time::Duration;

use super::news::{Deadline, Happening};
use super::policy::LeavingPolicy;
use super::reason::DrainReason;
use super::signal::Signal;
use crate::command::Command;
use crate::container::{ContainerState, Op, Stage};
use crate::event::OpFailure;
use crate::fault::{self, Fault};
use crate::ids::{DockerName, TaskArn};
use crate::node::Node;
use crate::spec::ContainerSpec;
use crate::time::Timestamp;

/// A job that sets this variable asks for a warning: a signal's name, or `default` for the host's own.
pub const SIGNAL_ENV: &str = "BATCH_NODE_AGENT_INTERRUPTION_SIGNAL";
/// How many seconds before the host's end; at once when the end is nearer.
pub const LEAD_ENV: &str = "BATCH_NODE_AGENT_INTERRUPTION_LEAD_SECONDS";
/// The same as Docker labels.
pub const SIGNAL_LABEL: &str = "batch-node-agent.interruption-signal";
pub const LEAD_LABEL: &str = "batch-node-agent.interruption-lead-seconds";

/// Docker could not be reached: the warning is tried again this soon.
const WARN_AGAIN: Duration = Duration::from_secs(1);
/// The adapter's name for an answer that did not come in time.
const TIMED_OUT: &str = "DockerTimeoutError";

/// What a container asked for. Its signal, and how long before the end; `None`: at once.
pub(crate) fn asked(spec: &ContainerSpec, policy: &LeavingPolicy) -> Option<(Signal, Option<Duration>)> {
    let labels = labels(spec.docker_config.as_deref());
    let value = |env: &str, label: &str| {
        spec.environment.get(env).cloned().or_else(|| labels.as_ref()?.get(label)?.as_str().map(str::to_owned))
    };
    if fault::is(Fault::WarnsAll) {
        return Some((policy.warn_signal, None));
    }
    let name = value(SIGNAL_ENV, SIGNAL_LABEL).filter(|name| !matches!(name.trim(), "" | "none" | "off"))?;
    let lead = value(LEAD_ENV, LEAD_LABEL).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    Some((name.parse().unwrap_or(policy.warn_signal), lead.or(policy.warn_lead)))
}

fn labels(config: Option<&str>) -> Option<serde_json::Map<String, serde_json::Value>> {
    let config: serde_json::Value = serde_json::from_str(config?).ok()?;
    config.get("Labels")?.as_object().cloned()
}

fn may_be_warned(state: &ContainerState) -> bool {
    let had_one = state.warned || state.warning.is_some();
    state.stage == Stage::Running && !had_one && state.op != Some(Op::Stop)
}

impl Node {
    /// When this host will be gone: the earliest time that is known.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let timed = self.standing().filter_map(|s| Some((s.reason.deadline()?, s)));
        let (at, first) = timed.min_by_key(|(at, _)| *at)?;
        Some(Deadline {
            at,
            cause: first.reason.cause(),
            text: first.reason.to_string(),
            kills: self.kill_at().is_some_and(|kill| kill <= at),
        })
    }

    /// When what still runs is killed.
    pub(crate) fn kill_at(&self) -> Option<Timestamp> {
        let killing = self.standing().filter(|s| s.kills(&self.policy)).filter_map(|s| s.reason.deadline());
        let early = if fault::is(Fault::KillsEarly) { 5_000 } else { 0 };
        killing.chain(self.docker_dead_at()).min().map(|at| Timestamp(at.0.saturating_sub(early)))
    }

    pub(crate) fn publish_deadline(&mut self) {
        let deadline = self.deadline();
        if deadline != self.leaving.published {
            self.leaving.published.clone_from(&deadline);
            self.commands.push_back(Command::PublishDeadline(deadline));
        }
    }

    /// Containers that run and asked for a warning they have not had, and when it is due.
    fn warnings(&self) -> Vec<(Timestamp, TaskArn, usize, Signal)> {
        let Some(deadline) = self.deadline() else { return Vec::new() };
        let live = self.tasks.values().map(|t| &t.record).filter(|r| r.stopped_at.is_none() && !r.winding_down());
        let containers = live.flat_map(|r| {
            r.spec.containers.iter().zip(&r.containers).enumerate().map(move |(i, (spec, state))| (r, i, spec, state))
        });
        let due = |lead: Option<Duration>| {
            lead.map_or(Timestamp(0), |lead| Timestamp(deadline.at.0.saturating_sub(lead.as_millis() as u64)))
        };
        containers
            .filter(|(_, _, _, state)| may_be_warned(state))
            .filter_map(|(record, i, spec, _)| {
                let (signal, lead) = asked(spec, &self.policy.leaving)?;
                Some((due(lead), record.arn().clone(), i, signal))
            })
            .collect()
    }

    /// Warns each container once for an interruption; again if Docker did not answer or a crash came between: a warning too many
    /// does less harm than none.
    pub(crate) fn warn(&mut self, now: Timestamp) {
        if self.deadline().is_none() {
            self.forget_warnings();
            return;
        }
        if !self.docker_up || self.leaving.warn_again_at.is_some_and(|at| at > now) {
            return;
        }
        self.leaving.warn_again_at = None;
        let due: Vec<_> = self.warnings().into_iter().filter(|(at, ..)| *at <= now).collect();
        for (_, arn, i, signal) in due {
            let Some(state) = self.tasks.get_mut(&arn).and_then(|t| t.record.containers.get_mut(i)) else { continue };
            let Some(id) = state.docker_id.clone() else { continue };
            state.warning = Some(state.signalled);
            state.signalled = true;
            let name = state.docker_name.clone();
            self.save_task(&arn);
            self.commands.push_back(Command::Signal { name, id, task: arn.clone(), signal });
            self.announce_of(Happening::Warned, format!("{signal} to a job that asked for it"), Some(arn));
        }
    }

    /// The next interruption warns again.
    fn forget_warnings(&mut self) {
        let warned = self.tasks.values().filter(|t| t.record.containers.iter().any(|c| c.warned));
        let warned: Vec<_> = warned.map(|t| t.record.arn().clone()).collect();
        for arn in warned {
            if let Some(task) = self.tasks.get_mut(&arn) {
                task.record.containers.iter_mut().for_each(|c| c.warned = false);
            }
            self.save_task(&arn);
        }
    }

    pub(crate) fn on_signalled(&mut self, name: &DockerName, result: Result<(), OpFailure>, now: Timestamp) {
        let interrupted = self.deadline().is_some();
        let Some((arn, i)) = self.names.get(name).cloned() else { return };
        let Some(state) = self.tasks.get_mut(&arn).and_then(|t| t.record.containers.get_mut(i)) else { return };
        let Some(before) = state.warning.take() else { return };
        match result {
            Ok(()) => state.warned = interrupted && !fault::is(Fault::WarnsOften),
            // It may have been heard.
            Err(OpFailure::Unreachable(_)) => self.leaving.warn_again_at = Some(now.after(WARN_AGAIN)),
            Err(OpFailure::Refused { name: TIMED_OUT, .. }) => self.leaving.warn_again_at = Some(now.after(WARN_AGAIN)),
            // It did not run any more: what it exits with is its own.
            Err(OpFailure::Refused { .. } | OpFailure::Missing) => {
                state.warned = true;
                state.signalled = before;
            }
        }
        self.settle_task(&arn, now);
        self.touch(&arn);
    }

    /// At the deadline: ends what still runs, at once.
    pub(crate) fn cut_off(&mut self, now: Timestamp) {
        if self.kill_at().is_none_or(|at| at > now) {
            return;
        }
        let open = self.tasks.values().map(|t| &t.record);
        let open = open.filter(|r| r.live() && r.stopped_at.is_none() && r.cut_off_at.is_none());
        let open: Vec<_> = open.map(|r| r.arn().clone()).collect();
        for arn in open {
            if let Some(task) = self.tasks.get_mut(&arn) {
                task.record.cut_off_at = Some(now);
            }
            self.save_task(&arn);
            self.touch(&arn);
            self.announce_of(Happening::CutOff, "the deadline has passed: SIGKILL".to_owned(), Some(arn));
        }
    }

    pub(crate) fn warn_wakes_at(&self) -> Vec<Timestamp> {
        if !self.docker_up {
            return self.kill_at().into_iter().collect();
        }
        let warnings = self.warnings().into_iter().map(|(at, ..)| at);
        warnings.chain(self.leaving.warn_again_at).chain(self.kill_at()).collect()
    }

    /// The reasons for which the end of the host is to be blamed for what it does to jobs.
    pub(crate) fn host_is_lost(&self) -> bool {
        let lost = |reason: &DrainReason| !reason.cause().is_wish() && reason.ending() != super::reason::Ending::Stay;
        self.standing().any(|s| lost(&s.reason))
    }
}
