//! One task: its durable record, and what of it ECS has yet to hear.

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::command::{ContainerChange, StateChange, TaskStatus};
use crate::container::{ContainerState, Stage};
use crate::fault::{self, Fault};
use crate::ids::{ContainerName, TaskArn};
use crate::outbox;
use crate::spec::TaskSpec;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    pub spec: TaskSpec,
    /// In the order of `spec.containers`.
    pub containers: Vec<ContainerState>,
    /// Position in the order of acceptance.
    pub order: u64,
    pub stop_wanted: bool,
    /// What ECS has confirmed about this task.
    pub sent: TaskStatus,
    /// The task's own reason; a container's stands with the container.
    pub reason: String,
    pub accepted_at: Timestamp,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    /// When the first essential container was seen to have stopped.
    pub execution_stopped_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    /// When what still ran of it was killed, because the host's end had come.
    #[serde(default)]
    pub cut_off_at: Option<Timestamp>,
    /// Its containers are gone; only the memory of it is kept, so that a late repeat of its payload runs nothing.
    pub cleaned: bool,
}

impl TaskRecord {
    pub(crate) fn new(spec: TaskSpec, order: u64, now: Timestamp) -> Self {
        let containers = spec.containers.iter().map(|c| ContainerState::new(spec.docker_name(c))).collect();
        Self {
            spec,
            containers,
            order,
            stop_wanted: false,
            sent: TaskStatus::None,
            reason: String::new(),
            accepted_at: now,
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            cut_off_at: None,
            cleaned: false,
        }
    }

    /// A task that is over before it began: unreadable, or to be stopped and never seen here.
    pub(crate) fn stillborn(spec: TaskSpec, reason: String, order: u64, now: Timestamp) -> Self {
        let mut record = Self::new(spec, order, now);
        record.stop_wanted = true;
        record.reason = reason;
        for container in &mut record.containers {
            container.fail(None, now);
        }
        record.settle(now);
        record
    }

    #[must_use]
    pub fn arn(&self) -> &TaskArn {
        &self.spec.arn
    }

    /// The task's status: that of its least advanced container, where one that ended counts as running until all have.
    #[must_use]
    pub fn known(&self) -> TaskStatus {
        if self.containers.iter().all(|c| c.stage == Stage::Stopped) {
            return TaskStatus::Stopped;
        }
        let least = self.containers.iter().map(|c| c.status().min(TaskStatus::Running)).min();
        // A digest known for one container is news of the whole task.
        let any_digest = self.containers.iter().any(|c| c.image_digest.is_some());
        match least {
            Some(TaskStatus::None) if any_digest => TaskStatus::Pending,
            Some(status) => status,
            None => TaskStatus::Stopped,
        }
    }

    /// Not over, or over and not yet reported: the host may not go away.
    #[must_use]
    pub fn live(&self) -> bool {
        self.sent != TaskStatus::Stopped
    }

    /// Whether its containers are to end: asked for, or an essential one has ended.
    #[must_use]
    pub fn winding_down(&self) -> bool {
        self.stop_wanted
            || self.cut_off_at.is_some()
            || self
                .spec
                .containers
                .iter()
                .zip(&self.containers)
                .any(|(spec, state)| spec.essential && state.stage == Stage::Stopped)
    }

    /// Notes the times that follow from the containers' stages.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        let ended = self
            .spec
            .containers
            .iter()
            .zip(&self.containers)
            .filter(|(spec, state)| spec.essential && state.stage == Stage::Stopped)
            .filter_map(|(_, state)| state.finished_at)
            .min();
        if self.execution_stopped_at.is_none() {
            self.execution_stopped_at = ended;
        }
        if self.known() == TaskStatus::Stopped && self.stopped_at.is_none() {
            self.stopped_at = Some(now);
        }
    }

    /// The next thing to tell ECS, if there is one.
    #[must_use]
    pub fn report(&self) -> Option<StateChange> {
        if self.sent == TaskStatus::Stopped || self.withheld() {
            return None;
        }
        let status = self.known().max(self.sent);
        let news: Vec<_> = self
            .spec
            .containers
            .iter()
            .zip(&self.containers)
            .filter(|(_, state)| state.status() > state.sent)
            .map(|(spec, state)| container_change(spec.name.clone(), state))
            .collect();
        if status == self.sent && news.is_empty() {
            return None;
        }
        let back = fault::is(Fault::StepsBack) && status == self.sent;
        Some(StateChange {
            task: self.spec.arn.clone(),
            status: if back { TaskStatus::Pending } else { status.max(TaskStatus::Pending) },
            reason: self.reason.clone(),
            containers: news,
            pull_started_at: self.pull_stopped_at.and(self.pull_started_at),
            pull_stopped_at: self.pull_stopped_at,
            execution_stopped_at: self.execution_stopped_at,
        })
    }

    /// ECS has taken `change` in.
    pub(crate) fn confirm(&mut self, change: &StateChange) {
        self.sent = self.sent.max(change.status);
        for told in &change.containers {
            let at = self.spec.containers.iter().position(|c| c.name == told.name);
            if let Some(state) = at.and_then(|i| self.containers.get_mut(i)) {
                state.sent = state.sent.max(told.status);
            }
        }
    }

    /// Forgets what only running it needed, environments above all.
    pub(crate) fn shrink(&mut self) {
        self.cleaned = true;
        for container in &mut self.spec.containers {
            let keep = |key: &String| key.starts_with("AWS_BATCH_");
            container.environment.retain(|key, _| keep(key));
            container.command.clear();
            container.docker_config = None;
            container.docker_host_config = None;
            container.secrets.clear();
        }
    }
}

fn container_change(name: ContainerName, state: &ContainerState) -> ContainerChange {
    ContainerChange {
        name,
        status: state.status(),
        runtime_id: state.docker_id.clone(),
        exit_code: state.exit_code.filter(|_| !fault::is(Fault::NoCode)),
        reason: state.reason.clone(),
        image_digest: state.image_digest.clone(),
        bindings: state.bindings.clone(),
    }
}

/// A task with what only this process knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) record: TaskRecord,
    /// An earlier process's: what its last step did is not on record, so it may be further until Docker has told of each container.
    pub(crate) recalled: bool,
    /// The one request under way.
    pub(crate) in_flight: Option<StateChange>,
    pub(crate) submit_after: Timestamp,
    pub(crate) backoff: Backoff,
}

impl Task {
    pub(crate) fn new(record: TaskRecord) -> Self {
        Self { record, recalled: false, in_flight: None, submit_after: Timestamp(0), backoff: outbox::RETRY }
    }

    /// A task that an earlier process left behind.
    pub(crate) fn recalled(record: TaskRecord) -> Self {
        Self { recalled: true, ..Self::new(record) }
    }

    /// The next thing to tell ECS, if there is one that is certain: it may have been told more than is on record.
    pub(crate) fn report(&self) -> Option<StateChange> {
        let change = self.record.report()?;
        let unsure = self.recalled && self.record.containers.iter().any(|c| c.unsure && c.stage != Stage::Stopped);
        (!unsure || change.status == TaskStatus::Stopped).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::spec;

    #[test]
    fn a_short_job_may_skip_running_but_never_goes_back() {
        let now = Timestamp(10);
        let mut record = TaskRecord::new(spec("t1"), 0, now);
        assert_eq!(record.report(), None, "nothing to say before anything happened");
        record.containers[0].fail(Some("CannotStartContainerError: no".into()), now);
        record.settle(now);
        let change = record.report().unwrap();
        assert_eq!(change.status, TaskStatus::Stopped);
        assert_eq!(change.execution_stopped_at, Some(now), "as amazon-ecs-agent has it, whether it ran or not");
        record.confirm(&change);
        assert_eq!(record.report(), None, "nothing after STOPPED");
    }

    #[test]
    fn a_digest_is_reported_as_pending() {
        let mut record = TaskRecord::new(spec("t1"), 0, Timestamp(1));
        record.containers[0].stage = Stage::Pulled;
        assert_eq!(record.report(), None);
        record.containers[0].image_digest = Some("sha256:ab".into());
        let change = record.report().unwrap();
        assert_eq!(change.status, TaskStatus::Pending);
        assert_eq!(change.containers[0].image_digest.as_deref(), Some("sha256:ab"));
        record.confirm(&change);
        assert_eq!(record.report(), None);
    }
}
