//! What Docker answers and shows, turned into the containers' progress.

use std::time::Duration;

use crate::command::{Command, Notice};
use crate::container::{Moved, Op, Stage};
use crate::event::{Observation, OpFailure, Running};
use crate::fault::{self, Fault};
use crate::ids::{DockerName, ExitCode, TaskArn};
use crate::node::Node;
use crate::time::Timestamp;

/// An operation that could not reach Docker, or that must be tried until it works (a stop), waits this long first...
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// ...and at most this long after many tries.
const RETRY_CAP: Duration = Duration::from_secs(30);
/// Removals tried before a container is left to the operator.
const REMOVE_TRIES: u32 = 5;
/// The names of failures after which it is unknown whether a start took effect: it ran into its limit, or Docker started the
/// container and would not show it.
const UNSURE: [&str; 2] = ["DockerTimeoutError", "CannotInspectContainerError"];
/// The name of a failure to get what a task needs besides Docker. As with amazon-ecs-agent it is the task's reason, by its text
/// alone, and no container's.
pub const RESOURCE_ERROR: &str = "ResourceInitializationError";

impl Node {
    /// Docker is there, and these are all its task containers. What runs goes on; what should be there and is not is looked
    /// at by itself, since the list may be older than the container.
    pub(crate) fn on_docker_up(&mut self, list: Vec<(DockerName, Observation)>, now: Timestamp) {
        if !self.docker_up {
            self.commands.push_back(Command::Notice(Notice::DockerUp { containers: list.len() }));
        }
        self.docker_up = true;
        self.note_docker(true, now);
        self.docker_asked = true;
        self.register_soon(now);
        self.reconcile_at = Some(now.after(crate::node::RECONCILE_EVERY));
        for (name, seen) in &list {
            self.observe(name, seen, now);
        }
        self.count_strangers(&list);
        let listed: std::collections::BTreeSet<_> = list.into_iter().map(|(name, _)| name).collect();
        let unlisted = self.tasks.values().flat_map(|t| &t.record.containers).filter(|c| {
            matches!(c.stage, Stage::Created | Stage::Running)
                && c.op.is_none()
                && !c.unsure
                && !listed.contains(&c.docker_name)
        });
        let inspections: Vec<_> = unlisted.map(|c| Command::Inspect { name: c.docker_name.clone() }).collect();
        self.commands.extend(inspections);
        for container in self.tasks.values_mut().flat_map(|t| &mut t.record.containers) {
            // What was never made may well be missing from the list.
            container.unsure &= matches!(container.stage, Stage::Created | Stage::Running);
        }
        self.touch_all();
    }

    /// Containers that carry an ECS task's label and are no task's of this node run under another agent. They are left alone.
    fn count_strangers(&mut self, list: &[(DockerName, Observation)]) {
        let strange = |(name, seen): &&(DockerName, Observation)| {
            seen.running == Running::Running && !self.names.contains_key(name)
        };
        let strangers = list.iter().filter(strange).count();
        if strangers != self.strangers {
            self.strangers = strangers;
            self.commands.push_back(Command::Notice(Notice::Strangers { containers: strangers }));
        }
    }

    /// Docker is gone for now. Operations under way will come back as unreachable; what waited for a slot queues again later.
    pub(crate) fn on_docker_down(&mut self, why: String, now: Timestamp) {
        self.note_docker(false, now);
        if self.docker_up || !self.docker_asked {
            self.commands.push_back(Command::Notice(Notice::DockerDown(why)));
        }
        self.docker_up = false;
        self.docker_asked = true;
        self.slots.clear_queues();
        for task in self.tasks.values_mut() {
            for container in &mut task.record.containers {
                if container.op == Some(Op::Queued) {
                    container.op = None;
                }
            }
        }
    }

    pub(crate) fn on_observed(&mut self, name: &DockerName, seen: &Observation, now: Timestamp) {
        self.observe(name, seen, now);
    }

    /// Docker does not know a container that should be there. One that was never made is no loss.
    pub(crate) fn on_missing(&mut self, name: &DockerName, now: Timestamp) {
        let Some((arn, i)) = self.names.get(name).cloned() else {
            return;
        };
        let made = self
            .tasks
            .get(&arn)
            .and_then(|t| t.record.containers.get(i))
            .is_some_and(|c| matches!(c.stage, Stage::Created | Stage::Running));
        if made {
            let reason = "ContainerVanishedError: No container matching saved ID found";
            let code = self.last_exit_code(&arn, i);
            self.fail_container(&arn, i, code, Some(reason.to_owned()), now);
            self.settle_task(&arn, now);
            self.touch(&arn);
        }
    }

    pub(crate) fn on_created(&mut self, name: &DockerName, result: Result<Observation, OpFailure>, now: Timestamp) {
        let Some((arn, i)) = self.op_ended(name, Op::Create) else {
            return;
        };
        match result {
            Ok(seen) => {
                // A pull that failed did no harm after all.
                if let Some(task) = self.tasks.get_mut(&arn)
                    && let Some(state) = task.record.containers.get_mut(i)
                {
                    state.reason = None;
                }
                self.observe(name, &seen, now);
            }
            Err(OpFailure::Unreachable(_)) => self.retry_later(&arn, i, now),
            Err(OpFailure::Refused { name: RESOURCE_ERROR, text }) => {
                if let Some(task) = self.tasks.get_mut(&arn).filter(|task| task.record.reason.is_empty()) {
                    task.record.reason = text;
                }
                self.fail_container(&arn, i, None, None, now);
                self.settle_task(&arn, now);
            }
            Err(failure) => {
                let error = describe(&failure, "CannotCreateContainerError");
                self.fail_container(&arn, i, None, Some(error), now);
                self.settle_task(&arn, now);
            }
        }
        self.touch(&arn);
    }

    pub(crate) fn on_started(&mut self, name: &DockerName, result: Result<Observation, OpFailure>, now: Timestamp) {
        let Some((arn, i)) = self.op_ended(name, Op::Start) else {
            return;
        };
        match result {
            Ok(seen) => {
                self.note_restarted(name, &arn, i);
                self.observe(name, &seen, now);
            }
            Err(OpFailure::Unreachable(_)) => self.start_unanswered(&arn, i, now),
            Err(OpFailure::Refused { name: error, text }) if UNSURE.contains(&error) || text.ends_with("EOF") => {
                // It may run after all: stop it, and let what Docker then shows decide.
                self.blame(&arn, i, format!("{error}: {text}"));
                self.want_stop(&arn);
                self.stop_unsure(name, &arn, i);
            }
            Err(failure) => {
                let error = describe(&failure, "CannotStartContainerError");
                let code = self.last_exit_code(&arn, i);
                self.fail_container(&arn, i, code, Some(error), now);
                self.settle_task(&arn, now);
            }
        }
        self.touch(&arn);
    }

    fn stop_unsure(&mut self, name: &DockerName, arn: &TaskArn, i: usize) {
        let grace_secs = self.policy.stop_timeout_secs;
        let Some(state) = self.tasks.get_mut(arn).and_then(|t| t.record.containers.get_mut(i)) else {
            return;
        };
        state.unsure = true;
        if let Some(id) = state.docker_id.clone() {
            state.op = Some(Op::Stop);
            self.commands.push_back(Command::Stop { name: name.clone(), id, task: arn.clone(), grace_secs });
        }
    }

    /// A stop is not over until Docker shows that the container is.
    pub(crate) fn on_stopped(&mut self, name: &DockerName, result: Result<Observation, OpFailure>, now: Timestamp) {
        let Some((arn, i)) = self.op_ended(name, Op::Stop) else {
            return;
        };
        match result {
            Ok(seen) => {
                self.observe(name, &seen, now);
                match seen.running {
                    Running::Created => {
                        self.fail_container(&arn, i, None, None, now);
                        self.settle_task(&arn, now);
                    }
                    Running::Running => self.retry_later(&arn, i, now),
                    Running::Exited(_) => {}
                }
            }
            Err(OpFailure::Missing) => self.on_missing(name, now),
            Err(OpFailure::Unreachable(_) | OpFailure::Refused { .. }) => {
                self.retry_later(&arn, i, now);
            }
        }
        self.touch(&arn);
    }

    pub(crate) fn on_removed(&mut self, name: &DockerName, result: Result<(), OpFailure>, now: Timestamp) {
        let Some((arn, i)) = self.op_ended(name, Op::Remove) else {
            return;
        };
        let Some(state) = self.tasks.get_mut(&arn).and_then(|t| t.record.containers.get_mut(i)) else {
            return;
        };
        match result {
            Ok(()) | Err(OpFailure::Missing) => {
                state.removed = true;
                state.retry_at = None;
            }
            Err(_) if state.failures < REMOVE_TRIES => self.retry_later(&arn, i, now),
            Err(failure) => {
                state.removed = true;
                state.retry_at = None;
                let error = describe(&failure, "CannotRemoveContainerError");
                self.commands.push_back(Command::Notice(Notice::CleanUpFailed(arn.clone(), error)));
            }
        }
        self.touch(&arn);
    }

    /// Takes in what Docker shows of one container, whoever asked.
    fn observe(&mut self, name: &DockerName, seen: &Observation, now: Timestamp) {
        let Some((arn, i)) = self.names.get(name).cloned() else {
            return;
        };
        let Some(task) = self.tasks.get_mut(&arn) else {
            return;
        };
        let Some(state) = task.record.containers.get_mut(i) else {
            return;
        };
        if state.removed {
            return;
        }
        self.note_health(&arn, i, seen, now);
        if self.restarts(name, &arn, i, seen, now) {
            return;
        }
        let Some(task) = self.tasks.get_mut(&arn) else {
            return;
        };
        let Some(state) = task.record.containers.get_mut(i) else {
            return;
        };
        let moved = state.observe(seen, now);
        let (stage, op) = (state.stage, state.op);
        match moved {
            Moved::Nowhere => return,
            Moved::Revived if op.is_none() => {
                self.stop_unsure(name, &arn, i);
                return;
            }
            Moved::Revived => return,
            Moved::Forward => {}
        }
        match stage {
            Stage::Running => {
                let container = task.record.spec.containers.get(i).map(|c| c.name.clone());
                self.commands.extend(container.map(|c| Command::Notice(Notice::Running(arn.clone(), c))));
                task.record.settle(now);
                self.save_task_soon(&arn);
            }
            Stage::Stopped => {
                self.note_exit(&arn, i);
                self.settle_task(&arn, now);
            }
            // Nothing to report, and derived again from Docker after a crash: no commit is spent on it.
            Stage::Waiting | Stage::Pulled | Stage::Created => {}
        }
        self.touch(&arn);
    }

    /// Marks an operation's end and frees its slot. `None`: nobody waits for it (a leftover of an earlier life).
    pub(crate) fn op_ended(&mut self, name: &DockerName, op: Op) -> Option<(TaskArn, usize)> {
        let (arn, i) = self.names.get(name).cloned()?;
        let state = self.tasks.get_mut(&arn).and_then(|t| t.record.containers.get_mut(i))?;
        if state.op != Some(op) {
            return None;
        }
        state.op = None;
        if matches!(op, Op::Create | Op::Start) {
            self.slots.in_use = self.slots.in_use.saturating_sub(1);
        }
        Some((arn, i))
    }

    pub(crate) fn retry_later(&mut self, arn: &TaskArn, i: usize, now: Timestamp) {
        let Some(state) = self.tasks.get_mut(arn).and_then(|t| t.record.containers.get_mut(i)) else {
            return;
        };
        let full = RETRY_FIRST.saturating_mul(1 << state.failures.min(5)).min(RETRY_CAP);
        state.failures = state.failures.saturating_add(1);
        state.retry_at = Some(now.after(self.rng.between(full / 2, full)));
    }

    /// Whether a start that got no answer took effect is unknown. Starting again could run an ended container twice, and giving
    /// the container up could leave it running: Docker is asked until it says.
    fn start_unanswered(&mut self, arn: &TaskArn, i: usize, now: Timestamp) {
        if let Some(state) = self.tasks.get_mut(arn).and_then(|t| t.record.containers.get_mut(i)) {
            state.unsure = !fault::is(Fault::StartsTwice);
        }
        self.retry_later(arn, i, now);
    }

    /// Takes in what a health check says of a container that runs.
    fn note_health(&mut self, arn: &TaskArn, i: usize, seen: &Observation, now: Timestamp) {
        let Some(record) = self.tasks.get_mut(arn).map(|task| &mut task.record) else {
            return;
        };
        let (Some(spec), Some(state)) = (record.spec.containers.get(i), record.containers.get_mut(i)) else {
            return;
        };
        let Some(health) = seen.health.as_ref().filter(|_| spec.health_check && seen.running == Running::Running)
        else {
            return;
        };
        if state.health.take_in(health, now) {
            // Whoever waits for it is touched with it. A crash loses no more than the time of the change.
            self.save_task_soon(arn);
            self.touch(arn);
        }
    }

    /// Of a run that its restart policy answered, and that was not followed by another.
    fn last_exit_code(&self, arn: &TaskArn, i: usize) -> Option<ExitCode> {
        self.tasks.get(arn)?.record.containers.get(i)?.restarts.last_exit_code()
    }

    fn blame(&mut self, arn: &TaskArn, i: usize, error: String) {
        if let Some(state) = self.tasks.get_mut(arn).and_then(|t| t.record.containers.get_mut(i)) {
            state.reason.get_or_insert(error);
        }
    }
}

pub(crate) fn describe(failure: &OpFailure, name: &str) -> String {
    match failure {
        OpFailure::Refused { name, text } => format!("{name}: {text}"),
        OpFailure::Unreachable(text) => format!("{name}: {text}"),
        OpFailure::Missing => format!("{name}: no such container"),
    }
}
