//! Keeping retries true: what the end of the host does to a job is not the job's own failure.
//!
//! Users retry on `Host EC2*`, which ECS writes when the instance goes away under a running task. So the failure of a container
//! that this node signalled or killed for the host's end is kept back; if the host survives, it is reported after all.

use super::news::Happening;
use super::policy::Retries;
use super::reason::Cause;
use crate::container::{ContainerState, Stage};
use crate::fault::{self, Fault};
use crate::ids::{ExitCode, TaskArn};
use crate::node::Node;
use crate::task::TaskRecord;
use crate::time::Timestamp;

/// 128 + SIGKILL and 128 + SIGTERM: what a shutdown does to containers.
const KILLED: [ExitCode; 2] = [ExitCode(137), ExitCode(143)];

impl Node {
    /// Judges a task whose containers have just ended, or of which more has become known.
    pub(crate) fn withhold(&mut self, arn: &TaskArn) {
        if self.policy.leaving.retries == Retries::Report {
            return;
        }
        let lost = self.host_is_lost();
        let shutdown = self.standing().find(|s| s.reason.cause() == Cause::Shutdown).map(|s| s.since);
        let Some(record) = self.tasks.get_mut(arn).map(|task| &mut task.record) else { return };
        if !record.live() || record.stop_wanted && !record.withheld() {
            return;
        }
        let cut_off_at = record.cut_off_at;
        let by_host = record.ended_by(|c| ended_by_host(c, cut_off_at, shutdown));
        let (before, after) = (record.withheld(), by_host.filter(|_| lost));
        for (i, state) in record.containers.iter_mut().enumerate() {
            state.withheld = after == Some(i);
        }
        match (before, after.is_some()) {
            (false, true) => {
                let text = "its exit code is not reported, so that ECS names the end of the host".to_owned();
                self.announce_of(Happening::Withheld, text, Some(arn.clone()));
            }
            (true, false) => {
                let text = "it ended by itself: its exit code is reported".to_owned();
                self.announce_of(Happening::Unwithheld, text, Some(arn.clone()));
            }
            _ => {}
        }
    }

    /// Reports what was kept back once the host is no longer lost, or lives on long after its end.
    pub(crate) fn mind_withheld(&mut self, now: Timestamp) {
        let held: Vec<_> =
            self.tasks.values().map(|t| &t.record).filter(|r| r.withheld()).map(|r| r.arn().clone()).collect();
        let lost = self.host_is_lost();
        for arn in held {
            let until = self.tasks.get(&arn).and_then(|t| self.withheld_until(&t.record));
            if lost && until.is_none_or(|at| at > now) {
                continue;
            }
            if let Some(task) = self.tasks.get_mut(&arn) {
                task.record.containers.iter_mut().for_each(|c| c.withheld = false);
            }
            self.save_task(&arn);
            self.touch(&arn);
            self.announce_of(
                Happening::Unwithheld,
                "the host lives on: its exit code is reported".to_owned(),
                Some(arn),
            );
        }
    }

    /// Long after the last deadline; where none stands, long after the task's own end.
    fn withheld_until(&self, record: &TaskRecord) -> Option<Timestamp> {
        let last = self.standing().filter_map(|s| s.reason.deadline()).chain(self.docker_dead_at()).max();
        last.max(record.stopped_at).map(|at| at.after(self.survived_after()))
    }

    pub(crate) fn withheld_wakes_at(&self) -> Option<Timestamp> {
        let held = self.tasks.values().map(|t| &t.record).filter(|r| r.withheld());
        held.filter_map(|r| self.withheld_until(r)).min()
    }

    pub(crate) fn withheld_tasks(&self) -> usize {
        self.tasks.values().filter(|t| t.record.withheld()).count()
    }
}

impl TaskRecord {
    /// The container whose end brought the task's about, if the host was to blame: the essential one that ended first, or what
    /// kept that one from running at all.
    fn ended_by(&self, host: impl Fn(&ContainerState) -> bool) -> Option<usize> {
        let all = self.spec.containers.iter().zip(&self.containers).enumerate();
        let ended = all.filter(|(_, (spec, state))| spec.essential && state.stage == Stage::Stopped);
        let (first, (_, state)) = ended.min_by_key(|(_, (_, state))| state.finished_at)?;
        let instead = || self.containers.iter().position(&host).filter(|_| state.started_at.is_none());
        if host(state) { Some(first) } else { instead() }
    }

    /// Its failure is kept from ECS.
    #[must_use]
    pub fn withheld(&self) -> bool {
        self.containers.iter().any(|c| c.withheld)
    }
}

/// It failed, and by what the end of the host did to it.
fn ended_by_host(state: &ContainerState, cut_off_at: Option<Timestamp>, shutdown: Option<Timestamp>) -> bool {
    let success = state.exit_code == Some(ExitCode(0)) && !fault::is(Fault::WithholdsSuccess);
    let failed = state.stage == Stage::Stopped && !success;
    let of_memory = state.reason.as_ref().is_some_and(|why| why.starts_with("OutOfMemoryError"));
    let since = |then: Option<Timestamp>| then.is_some_and(|then| state.finished_at.is_none_or(|at| at >= then));
    // One that never ran may bear such a code, too: for what it depended on.
    let as_killed = state.started_at.is_some() && state.exit_code.is_some_and(|code| KILLED.contains(&code));
    let by_shutdown = as_killed && since(shutdown);
    let killed = since(cut_off_at);
    let touched = (state.signalled || killed) && !fault::is(Fault::ReportsKilled) || fault::is(Fault::WithholdsOwn);
    failed && !of_memory && (touched || by_shutdown)
}
