//! Restart policies: a container that ended is started again, in place, and its task goes on as if nothing had been
//! (amazon-ecs-agent, `ecs-agent/api/container/restart/restart_tracker.go`).
//!
//! A restart is on disk before Docker hears of it. What tells one run of a container from the next is the time of its start
//! as Docker's inspect gives it: so an end is answered once, however often it is told, and after a crash the node sees whether
//! its last start was carried out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{Command, Notice};
use crate::container::{ContainerState, Op, Stage};
use crate::event::{Observation, Running};
use crate::ids::{DockerName, ExitCode, TaskArn};
use crate::node::Node;
use crate::time::Timestamp;

/// `restartPolicy` of a container definition, where it is enabled.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// A container that ends with one of these is left as it is.
    pub ignored_exit_codes: Vec<ExitCode>,
    /// How long it must have run, since its start or last restart, to be started again.
    pub attempt_period_secs: u64,
}

/// What has come of a container's policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Restarts {
    pub count: u32,
    pub last_at: Option<Timestamp>,
    /// The run that was answered with the last restart.
    ended: Option<EndedRun>,
    /// Nothing has yet shown that Docker carried out the last restart.
    pub(crate) due: bool,
    /// What an event said that is yet to be confirmed by a look.
    #[serde(skip)]
    told: Option<ExitCode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct EndedRun {
    /// By Docker's clock.
    started_at: Timestamp,
    exit_code: ExitCode,
}

/// What the end of a run means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The container is over.
    Final,
    Again(EndedRun),
    /// It was answered already, or is looked at again later.
    Known,
    /// An event told it, which does not say of which run: Docker is to be asked.
    Unproven(ExitCode),
}

impl Restarts {
    /// The exit code to report where Docker can no longer tell it.
    pub(crate) fn last_exit_code(&self) -> Option<ExitCode> {
        self.told.or(self.ended.filter(|_| self.due).map(|run| run.exit_code))
    }

    /// Docker runs it again.
    pub(crate) fn done(&mut self) {
        self.due = false;
    }

    /// Whether it is proven by this look that the restart was carried out.
    fn proven_by(&self, seen: &Observation) -> bool {
        let before = self.ended.map(|run| run.started_at);
        self.due && seen.running == Running::Running && seen.started_at.is_some() && seen.started_at != before
    }
}

impl RestartPolicy {
    fn end(&self, state: &ContainerState, seen: &Observation, winding_down: bool, now: Timestamp) -> End {
        let Running::Exited(Some(exit_code)) = seen.running else {
            return End::Final;
        };
        if state.op == Some(Op::Start) {
            return End::Known;
        }
        let Some(started_at) = seen.started_at else {
            return End::Unproven(exit_code);
        };
        let restarts = &state.restarts;
        if restarts.ended.is_some_and(|run| run.started_at == started_at) {
            return if restarts.due && winding_down { End::Final } else { End::Known };
        }
        let since = restarts.last_at.or(state.started_at).unwrap_or(started_at);
        let too_soon = now.since(since) < Duration::from_secs(self.attempt_period_secs);
        if winding_down || too_soon || self.ignored_exit_codes.contains(&exit_code) {
            return End::Final;
        }
        End::Again(EndedRun { started_at, exit_code })
    }
}

impl Node {
    /// Lets a restart policy answer what Docker shows of a container. `true`: that is all there is to it.
    pub(crate) fn restarts(
        &mut self,
        name: &DockerName,
        arn: &TaskArn,
        i: usize,
        seen: &Observation,
        now: Timestamp,
    ) -> bool {
        let Some(record) = self.tasks.get_mut(arn).map(|task| &mut task.record) else {
            return false;
        };
        let winding_down = record.winding_down();
        let (Some(spec), Some(state)) = (record.spec.containers.get(i), record.containers.get_mut(i)) else {
            return false;
        };
        let Some(policy) = spec.restart_policy.as_ref().filter(|_| state.stage < Stage::Stopped) else {
            return false;
        };
        if !matches!(seen.running, Running::Exited(_)) {
            if state.op != Some(Op::Start) && state.restarts.proven_by(seen) {
                state.restarts.done();
                self.save_task_soon(arn);
            }
            return false;
        }
        match policy.end(state, seen, winding_down, now) {
            End::Final => return false,
            // Docker has shown it: nothing more has to be asked before the restart that is due.
            End::Known => state.unsure = false,
            End::Unproven(exit_code) => {
                state.restarts.told = Some(exit_code);
                self.commands.push_back(Command::Inspect { name: name.clone() });
            }
            End::Again(run) => {
                let count = state.restarts.count.saturating_add(1);
                state.restarts = Restarts { count, last_at: Some(now), ended: Some(run), due: true, told: None };
                state.docker_id.get_or_insert_with(|| seen.id.clone());
                state.started_at = state.started_at.or(seen.started_at);
                state.stage = Stage::Running;
                state.unsure = false;
                let notice = Notice::Restarting {
                    task: arn.clone(),
                    container: spec.name.clone(),
                    exit_code: run.exit_code,
                    restarts: count,
                };
                self.commands.push_back(Command::Notice(notice));
                self.save_task(arn);
                self.touch(arn);
            }
        }
        true
    }

    /// A start of this container was answered. It may be over again already, so it is looked at.
    pub(crate) fn note_restarted(&mut self, name: &DockerName, arn: &TaskArn, i: usize) {
        let Some(record) = self.tasks.get_mut(arn).map(|task| &mut task.record) else {
            return;
        };
        let (Some(spec), Some(state)) = (record.spec.containers.get(i), record.containers.get_mut(i)) else {
            return;
        };
        if spec.restart_policy.is_none() {
            return;
        }
        self.commands.push_back(Command::Inspect { name: name.clone() });
        if state.restarts.due {
            state.restarts.done();
            self.save_task_soon(arn);
        }
    }
}

#[cfg(test)]
#[path = "restart_tests.rs"]
mod tests;
