//! Keeping retries true, as README.md states it: what the end of the host did to a job is kept back, and nothing else.

use node_core::{DrainReason, Ending, Retries, StateChange, TaskRecord, TaskStatus};

use crate::ecs::Task;
use crate::invariants::Rule;
use crate::truth::Run;
use crate::world::World;

impl World {
    fn runs_of(&self, task: &Task) -> impl Iterator<Item = (bool, &Run)> {
        let spec = &self.truth.jobs[task.job].spec;
        spec.containers.iter().filter_map(|c| Some((c.essential, self.truth.run(&spec.docker_name(c))?)))
    }

    /// The essential container that ended first, where all of them have run to their ends: its end is the job's.
    fn decisive(&self, task: &Task) -> Option<&Run> {
        let essential: Vec<_> = self.runs_of(task).filter(|(essential, _)| *essential).map(|(_, run)| run).collect();
        let clear = essential.iter().all(|run| run.started() && !run.obscure() && run.end().is_some());
        essential.into_iter().filter(|_| clear).min_by_key(|run| run.end().map(|end| end.at))
    }

    /// Nothing of the task runs, and the host may be to blame for its failure.
    pub(crate) fn may_be_withheld(&self, task: &Task) -> bool {
        if self.weather.policy.leaving.retries != Retries::Withhold || self.runs_now(task) {
            return false;
        }
        let clocks = self.weather.clock_steps > 0 && self.shutdown_known();
        let ambiguous = self.weather.clock_steps > 0 && self.runs_of(task).any(|(_, run)| run.touched());
        match self.decisive(task) {
            _ if ambiguous => true,
            // Docker's times and the agent's are of one clock, which was set meanwhile.
            Some(run) if clocks && run.ended_as_killed() => true,
            // It may seem to have ended after a kill that came later.
            Some(run) if self.weather.clock_steps > 0 && self.truth.kill_passed(0) => {
                run.end().is_some_and(|end| end.code != 0)
            }
            Some(run) => run.end().is_some_and(|end| end.code != 0) && run.touched(),
            None => {
                self.truth.kill_passed(0) || self.docker_was_dead() || self.runs_of(task).any(|(_, run)| run.touched())
            }
        }
    }

    /// The agent has saved a task: a failure that it keeps back must be one that the host may be to blame for. While it waits to
    /// hear of a warning it may yet change its mind.
    pub(crate) fn check_kept_back(&mut self, record: &TaskRecord) {
        let waits = record.containers.iter().any(|c| c.signalled && !c.warned);
        if !record.withheld() || record.stopped_at.is_none() || waits {
            return;
        }
        if self.ecs.tasks.get(record.arn()).is_some_and(|task| !self.may_be_withheld(task)) {
            let id = record.arn().id();
            self.broken(Rule::Retries, || format!("{id} is kept back, and nothing was done to it"));
        }
    }

    /// The agent is about to report a task.
    pub(crate) fn check_retries(&mut self, change: &StateChange) {
        let policy = &self.weather.policy.leaving;
        let Some(task) = self.ecs.tasks.get(&change.task) else { return };
        let theirs = task.stop_wanted || policy.retries == Retries::Report || self.weather.clock_steps > 0;
        if change.status != TaskStatus::Stopped || theirs || task.told.is_over() {
            return;
        }
        let Some(end) = self.decisive(task).filter(|run| run.killed_by_host()).and_then(Run::end) else { return };
        let Some(recorded) = &self.agent.recorded else { return };
        // Since before it ended, and the host has not survived it.
        let ended = self.node_now().0 - (self.now - end.at);
        let lost = recorded.standing_since(ended).find(|r| !r.cause().is_wish() && r.ending() != Ending::Stay);
        let last = recorded.standing().filter_map(DrainReason::deadline).max();
        let until = last.map_or(ended, |at| at.0.max(ended)) + policy.survived_after.as_millis() as u64;
        if let Some(reason) = lost.filter(|_| self.node_now().0 < until) {
            let (id, reason) = (change.task.id(), reason.to_string());
            let text = format!("{id} was ended with {} for the host's end, and is reported: {reason}", end.code);
            self.broken(Rule::Retries, || text);
        }
    }
}
