//! What a task does next: derived from its record alone, so that a restart derives it again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::command::{Command, Notice, PullMode};
use crate::container::{Op, Stage};
use crate::fault::{self, Fault};
use crate::ids::{DockerName, ExitCode, TaskArn};
use crate::node::{Node, PullBehavior};
use crate::roles::RoleKind;
use crate::spec::{Condition, ContainerSpec, Dependency};
use crate::task::{Task, TaskRecord};
use crate::time::Timestamp;

/// Finished tasks are remembered this long, so that a payload repeated late runs nothing twice...
const REMEMBER_FOR: Duration = Duration::from_secs(24 * 3600);
/// ...and no more of them than this, oldest first out: each holds about a kilobyte.
const REMEMBER_MAX: usize = 2_000;

/// The node's places for creates and starts. Starts go first: what is made should run before more is made.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: usize,
    pub(crate) in_use: usize,
    starts: VecDeque<DockerName>,
    creates: VecDeque<DockerName>,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), in_use: 0, starts: VecDeque::new(), creates: VecDeque::new() }
    }

    fn take(&mut self) -> Option<DockerName> {
        if self.in_use >= self.limit {
            return None;
        }
        self.starts.pop_front().or_else(|| self.creates.pop_front())
    }

    pub(crate) fn clear_queues(&mut self) {
        self.starts.clear();
        self.creates.clear();
    }
}

/// One step that a container can take now.
enum Step {
    Pull,
    Queue,
    Stop,
    /// Docker must be asked first how far it is.
    Look,
    /// Over without Docker's help.
    Fail(Option<ExitCode>, Option<String>),
    /// It is over, was reported, and has been kept for as long as it was to be.
    Remove,
}

impl Node {
    /// Takes every step that one task can take now.
    pub(crate) fn advance(&mut self, arn: &TaskArn, now: Timestamp) {
        let Some(task) = self.tasks.get(arn) else {
            return;
        };
        if task.record.cleaned {
            self.forget_old(arn, now);
            return;
        }
        self.forget_past_retries(arn, now);
        let Some(task) = self.tasks.get(arn) else {
            return;
        };
        let cleanup = task.cleanup_due(self.cleanup_wait(task)).is_some_and(|at| at <= now);
        let mut failed = false;
        for i in 0..task.record.containers.len() {
            let Some(step) = self
                .tasks
                .get(arn)
                .and_then(|t| next_step(t, i, self.docker_up, cleanup, now))
                .filter(|step| !matches!(step, Step::Pull) || !self.cleaning.under_way())
            else {
                continue;
            };
            failed |= matches!(step, Step::Fail(..));
            self.take_step(arn, i, step, now);
        }
        if failed {
            self.settle_task(arn, now);
            self.touch(arn);
            return;
        }
        if cleanup {
            self.finish_cleanup(arn, now);
        }
    }

    fn forget_past_retries(&mut self, arn: &TaskArn, now: Timestamp) {
        let containers = self.tasks.get_mut(arn).map(|t| &mut t.record.containers);
        for container in containers.into_iter().flatten() {
            container.retry_at = container.retry_at.filter(|at| *at > now);
        }
    }

    fn take_step(&mut self, arn: &TaskArn, i: usize, step: Step, now: Timestamp) {
        let behavior = self.policy.pull_behavior;
        let stop_timeout = self.policy.stop_timeout_secs;
        let pulled_before = |image: &str| self.record.as_ref().is_some_and(|r| r.pulled_images.contains(image));
        let Some(task) = self.tasks.get(arn) else {
            return;
        };
        let (Some(spec), Some(state)) = (task.record.spec.containers.get(i), task.record.containers.get(i)) else {
            return;
        };
        let name = state.docker_name.clone();
        let id = state.docker_id.clone();
        let execution_role = &task.record.spec.roles.execution;
        let (op, command) = match step {
            Step::Pull => {
                let mode = match behavior {
                    PullBehavior::Default | PullBehavior::Always => PullMode::Always,
                    PullBehavior::Once if !pulled_before(&spec.image) => PullMode::Always,
                    PullBehavior::Once | PullBehavior::PreferCached => PullMode::IfMissing,
                };
                let image = spec.image.clone();
                let task = arn.clone();
                let by_tag = state.pull.by_tag;
                let (auth, execution_role) = (spec.registry_auth.clone(), execution_role.clone());
                (Op::Pull, Some(Command::Pull { name, task, image, mode, by_tag, auth, execution_role }))
            }
            Step::Queue => {
                if state.stage == Stage::Pulled {
                    self.slots.creates.push_back(name);
                } else {
                    self.slots.starts.push_back(name);
                }
                (Op::Queued, None)
            }
            Step::Look => {
                self.retry_later(arn, i, now);
                self.commands.push_back(Command::Inspect { name });
                return;
            }
            Step::Stop => {
                let Some(id) = id else { return };
                let grace_secs = match task.record.cut_off_at {
                    Some(_) => 0,
                    None => spec.stop_timeout_secs.unwrap_or(stop_timeout),
                };
                let task = arn.clone();
                (Op::Stop, Some(Command::Stop { name, id, task, grace_secs }))
            }
            Step::Remove => {
                let task = arn.clone();
                (Op::Remove, Some(Command::Remove { name, task }))
            }
            Step::Fail(code, reason) => {
                self.fail_container(arn, i, code, reason, now);
                return;
            }
        };
        let Some(task) = self.tasks.get_mut(arn) else {
            return;
        };
        if let Some(state) = task.record.containers.get_mut(i) {
            state.op = Some(op);
        }
        if op == Op::Pull && task.record.pull_started_at.is_none() {
            task.record.pull_started_at = Some(now);
        }
        self.commands.extend(command);
    }

    /// Hands free slots to what waits for them.
    pub(crate) fn fill_slots(&mut self, now: Timestamp) {
        while self.docker_up
            && let Some(name) = self.slots.take()
        {
            let Some((arn, i)) = self.names.get(&name).cloned() else {
                continue;
            };
            let Some(task) = self.tasks.get_mut(&arn) else {
                continue;
            };
            let winding_down = task.record.winding_down();
            let spec = task.record.spec.clone();
            let (Some(container), Some(state)) = (spec.containers.get(i).cloned(), task.record.containers.get_mut(i))
            else {
                continue;
            };
            if state.op != Some(Op::Queued) {
                continue;
            }
            state.op = None;
            if winding_down || !state.free(now) {
                self.touch(&arn);
                self.advance(&arn, now);
                continue;
            }
            let command = match (state.stage, state.docker_id.clone()) {
                (Stage::Pulled, _) => {
                    state.op = Some(Op::Create);
                    let (task, container) = (Box::new(spec), Box::new(container));
                    Command::Create { name, task, container }
                }
                (Stage::Created | Stage::Running, Some(id)) => {
                    state.op = Some(Op::Start);
                    Command::Start { name, id, task: arn, published: !container.ports.is_empty() }
                }
                _ => continue,
            };
            self.slots.in_use += 1;
            self.commands.push_back(command);
        }
    }

    /// A container is over without having been run to its end by Docker.
    pub(crate) fn fail_container(
        &mut self,
        arn: &TaskArn,
        i: usize,
        code: Option<ExitCode>,
        reason: Option<String>,
        now: Timestamp,
    ) {
        let Some(task) = self.tasks.get_mut(arn) else {
            return;
        };
        let Some(state) = task.record.containers.get_mut(i) else {
            return;
        };
        if state.stage == Stage::Stopped {
            return;
        }
        if state.op == Some(Op::Queued) {
            state.op = None;
        }
        state.exit_code = code;
        state.fail(reason, now);
        self.note_exit(arn, i);
    }

    /// Tells the operator how a container ended.
    pub(crate) fn note_exit(&mut self, arn: &TaskArn, i: usize) {
        let Some(record) = self.tasks.get(arn).map(|t| &t.record) else {
            return;
        };
        if let (Some(spec), Some(state)) = (record.spec.containers.get(i), record.containers.get(i)) {
            self.commands.push_back(Command::Notice(Notice::Exited {
                task: arn.clone(),
                container: spec.name.clone(),
                exit_code: state.exit_code,
                reason: state.reason.clone().or_else(|| Some(record.reason.clone()).filter(|text| !text.is_empty())),
            }));
        }
    }

    /// Brings a task's times up to date after its containers changed, and marks it for the disk.
    pub(crate) fn settle_task(&mut self, arn: &TaskArn, now: Timestamp) {
        if let Some(task) = self.tasks.get_mut(arn) {
            task.record.settle(now);
            if task.record.stopped_at.is_some() {
                self.drop_credentials(arn, RoleKind::Task);
            }
        }
        self.withhold(arn);
        self.save_task(arn);
    }

    fn finish_cleanup(&mut self, arn: &TaskArn, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(arn) else {
            return;
        };
        if task.record.containers.iter().any(|c| !c.removed) {
            return;
        }
        task.record.shrink();
        self.note_images_of(arn, now);
        self.drop_credentials(arn, RoleKind::Task);
        self.drop_credentials(arn, RoleKind::Execution);
        self.commands.push_back(Command::Notice(Notice::CleanedUp(arn.clone())));
        self.save_task(arn);
        self.forget_surplus();
    }

    fn forget_old(&mut self, arn: &TaskArn, now: Timestamp) {
        let old = self.tasks.get(arn).and_then(|t| t.record.stopped_at).is_some_and(|at| now.since(at) >= REMEMBER_FOR);
        if old {
            self.forget(arn);
        }
    }

    fn forget_surplus(&mut self) {
        let mut cleaned: Vec<_> = self
            .tasks
            .values()
            .filter(|t| t.record.cleaned)
            .map(|t| (t.record.order, t.record.arn().clone()))
            .collect();
        let surplus = cleaned.len().saturating_sub(REMEMBER_MAX);
        cleaned.sort();
        for (_, arn) in cleaned.into_iter().take(surplus) {
            self.forget(&arn);
        }
    }
}

impl Node {
    /// Makes each task's containers stay for up to `jitter` longer: those of jobs that ended together then do not all go at once.
    #[must_use]
    pub fn spreading_removals(mut self, jitter: Duration) -> Self {
        self.cleanup_jitter = jitter;
        self
    }

    /// The share of the jitter follows from the task's ARN, so that it is the same after a restart.
    pub(crate) fn cleanup_wait(&self, task: &Task) -> Duration {
        let jitter = u64::try_from(self.cleanup_jitter.as_millis()).unwrap_or(u64::MAX);
        let share = task.record.arn().dice() % jitter.saturating_add(1);
        self.policy.cleanup_wait + Duration::from_millis(share)
    }
}

impl Task {
    /// When this task's containers are to be removed, or its memory dropped: after it was reported, never before.
    pub(crate) fn cleanup_due(&self, wait: Duration) -> Option<Timestamp> {
        let stopped = self.record.stopped_at?;
        if self.record.live() || fault::is(Fault::NeverCleansUp) {
            return None;
        }
        if self.record.cleaned {
            return Some(stopped.after(REMEMBER_FOR));
        }
        // While an operation is under way (a removal, or a start whose answer is slower than the container's end) or waits for
        // its retry, the clock alone has nothing to add.
        let busy = self.record.containers.iter().any(|c| c.op.is_some() || c.retry_at.is_some());
        (!busy).then(|| stopped.after(wait))
    }
}

fn next_step(task: &Task, i: usize, docker_up: bool, cleanup: bool, now: Timestamp) -> Option<Step> {
    let record = &task.record;
    let (spec, state) = (record.spec.containers.get(i)?, record.containers.get(i)?);
    if state.stage == Stage::Stopped {
        // By name and whether or not one is known: a create that timed out may have made it after all.
        let removable = cleanup && !state.removed;
        return (removable && docker_up && state.op.is_none()).then_some(Step::Remove);
    }
    if state.unsure {
        return (docker_up && state.free(now)).then_some(Step::Look);
    }
    if record.winding_down() {
        return wind_down(record, spec, i, docker_up, now);
    }
    if !state.free(now) {
        return None;
    }
    if !docker_up || state.op == Some(Op::Queued) {
        return None;
    }
    match state.stage {
        Stage::Waiting => Some(Step::Pull),
        Stage::Pulled | Stage::Created => match dependencies(record, &spec.depends_on) {
            Ok(true) => Some(Step::Queue),
            Ok(false) => None,
            // 143 and the wording are amazon-ecs-agent's (agent/engine/dependencygraph/graph.go).
            Err(why) => Some(Step::Fail(
                Some(ExitCode(143)),
                Some(format!("CannotStartContainerError: dependency graph: {why}")),
            )),
        },
        Stage::Running if state.restarts.due => Some(Step::Queue),
        Stage::Running | Stage::Stopped => None,
    }
}

/// A container that has not run is simply over, whatever it waited for; one that runs is stopped once nothing that depends on
/// it runs any more.
fn wind_down(record: &TaskRecord, spec: &ContainerSpec, i: usize, docker_up: bool, now: Timestamp) -> Option<Step> {
    let state = record.containers.get(i)?;
    match (state.stage, state.op) {
        // A pull under way goes on for whoever wants the image next.
        (Stage::Waiting, _) => return Some(Step::Fail(None, unpulled(record))),
        (Stage::Pulled, None) => return Some(Step::Fail(None, None)),
        // What Docker may have started is for Docker to tell.
        _ if !state.free(now) => return None,
        _ => {}
    }
    if state.stage < Stage::Running {
        return Some(Step::Fail(None, None));
    }
    let depended_on = record.spec.containers.iter().zip(&record.containers).any(|(other, other_state)| {
        other_state.stage == Stage::Running && other.depends_on.iter().any(|d| d.container == spec.name)
    });
    (docker_up && !depended_on && state.op.is_none()).then_some(Step::Stop)
}

/// Name and wording are amazon-ecs-agent's (agent/engine/errors.go).
fn unpulled(record: &TaskRecord) -> Option<String> {
    let reason = || {
        let arn = record.arn();
        format!("TaskStoppedBeforePullBeginError: Task stopped before image pull could begin for task: {arn}")
    };
    record.pull_started_at.is_none().then(reason)
}

fn dependencies(record: &TaskRecord, wanted: &[Dependency]) -> Result<bool, String> {
    let mut ready = true;
    for dependency in wanted {
        let at = record.spec.containers.iter().position(|c| c.name == dependency.container);
        let other = at
            .and_then(|i| record.containers.get(i))
            .ok_or_else(|| format!("there is no container {}", dependency.container))?;
        let checked = at.and_then(|i| record.spec.containers.get(i)).is_some_and(|c| c.health_check);
        if dependency.condition == Condition::Healthy && !checked {
            return Err(format!("container {} has no health check", dependency.container));
        }
        ready &= other
            .satisfies(dependency.condition)
            .map_err(|why| format!("container {}: {why}", dependency.container))?;
    }
    Ok(ready)
}
