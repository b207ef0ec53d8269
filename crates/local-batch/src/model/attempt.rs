//! A task's way to STOPPED, and what its end means for its job.

use std::time::Instant;

use super::cluster::{Delivery, TaskStatus};
use super::job::Attempt;
use super::retry::{Ending, Verdict};
use super::{Effect, State};
use crate::clock::Millis;
use crate::error::ApiError;
use crate::events::{JobStatus, PlaneEvent};
use crate::ids::{InstanceArn, JobId, TaskArn};

/// ECS's stopped reason of a task whose container ended, and Batch's of one that never ran.
pub(crate) const EXITED: &str = "Essential container in task exited";
pub(crate) const FAILED_TO_START: &str = "Task failed to start";
/// Batch's words for an attempt out of time.
const TIMED_OUT: &str = "Job attempt duration exceeded timeout";

/// What an agent says about a task.
#[derive(Debug)]
pub(crate) struct TaskChange {
    pub(crate) task: TaskArn,
    pub(crate) status: TaskStatus,
    pub(crate) reason: Option<String>,
    pub(crate) container: Option<ContainerChange>,
    pub(crate) pull_started_at: Option<Millis>,
    pub(crate) pull_stopped_at: Option<Millis>,
    pub(crate) execution_stopped_at: Option<Millis>,
}

#[derive(Debug, Default)]
pub(crate) struct ContainerChange {
    pub(crate) runtime_id: Option<String>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) reason: Option<String>,
    pub(crate) image_digest: Option<String>,
}

impl State {
    /// SubmitTaskStateChange: a change that was heard before, or that would lead backwards, changes nothing.
    pub(crate) fn change_task(&mut self, change: TaskChange, now: Millis) -> Result<(), ApiError> {
        let task = self
            .tasks
            .get_mut(&change.task)
            .ok_or_else(|| ApiError::invalid_parameter("The referenced task was not found."))?;
        if task.status == TaskStatus::Stopped {
            return Ok(());
        }
        task.pull_started_at = change.pull_started_at.or(task.pull_started_at);
        task.pull_stopped_at = change.pull_stopped_at.or(task.pull_stopped_at);
        if let Some(container) = change.container {
            task.runtime_id = container.runtime_id.or(task.runtime_id.take());
            task.exit_code = container.exit_code.or(task.exit_code);
            task.container_reason = container.reason.or(task.container_reason.take());
            task.image_digest = container.image_digest.or(task.image_digest.take());
        }
        let advanced = change.status > task.status;
        if advanced || change.status == TaskStatus::Pending {
            self.emit(PlaneEvent::TaskState {
                task_arn: change.task.to_string(),
                status: change.status.as_str().to_owned(),
                at: Instant::now(),
            });
        }
        match change.status {
            TaskStatus::Running if advanced => self.task_runs(&change.task, now),
            TaskStatus::Stopped => self.task_stopped(&change.task, change.reason, change.execution_stopped_at, now),
            _ => {}
        }
        Ok(())
    }

    fn task_runs(&mut self, arn: &TaskArn, now: Millis) {
        let Some(task) = self.tasks.get_mut(arn) else { return };
        task.status = TaskStatus::Running;
        task.started_at = Some(now);
        let job = task.job.clone();
        self.collect_log(arn);
        self.job_runs(&job, arn, now);
    }

    fn job_runs(&mut self, id: &JobId, arn: &TaskArn, now: Millis) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.started_at = Some(now);
        if let Some(timeout) = job.spec.timeout {
            self.deadlines
                .insert((now.saturating_add(timeout.attempt_duration_seconds.saturating_mul(1000)), arn.clone()));
        }
        self.set_status(id, JobStatus::Running);
    }

    fn collect_log(&mut self, arn: &TaskArn) {
        let Some(task) = self.tasks.get(arn) else { return };
        if let (Some(runtime_id), Some(stream)) = (task.runtime_id.clone(), task.log_stream.clone()) {
            self.effect(Effect::CollectLog { task: arn.clone(), runtime_id, stream });
        }
    }

    /// The agent says that the task is over.
    fn task_stopped(&mut self, arn: &TaskArn, reason: Option<String>, ended: Option<Millis>, now: Millis) {
        let Some(task) = self.tasks.get_mut(arn) else { return };
        let ran = task.status == TaskStatus::Running || task.exit_code.is_some();
        if ran && task.started_at.is_none() {
            // A job so short that its agent had no RUNNING to report.
            let started = ended.or(task.pull_stopped_at).unwrap_or(now).clamp(task.created_at, now);
            task.started_at = Some(started);
            let job = task.job.clone();
            self.job_runs(&job, arn, started);
        }
        self.collect_log(arn);
        let reason = reason.filter(|text| !text.is_empty());
        if let Some(task) = self.tasks.get_mut(arn)
            && task.container_reason.is_none()
        {
            task.container_reason.clone_from(&reason);
        }
        match (ran, reason) {
            (true, _) => self.end_task(arn, EXITED, "EssentialContainerExited", now),
            // What the agent says of the task itself stands before ECS's own words.
            (false, Some(reason)) => self.end_task(arn, &reason, "TaskFailedToStart", now),
            (false, None) => self.end_task(arn, FAILED_TO_START, "TaskFailedToStart", now),
        }
    }

    /// Ends a task, whoever says so, frees what it held and judges its job's attempt.
    pub(crate) fn end_task(&mut self, arn: &TaskArn, reason: &str, stop_code: &'static str, now: Millis) {
        let Some(task) = self.tasks.get_mut(arn).filter(|task| task.status != TaskStatus::Stopped) else { return };
        task.status = TaskStatus::Stopped;
        task.stopped_at = Some(now);
        task.stop_code = Some(stop_code.into());
        task.stopped_reason = Some(reason.to_owned());
        task.delivery = Delivery::Acked;
        let ending = Ending {
            exit_code: task.exit_code,
            reason: task.container_reason.clone(),
            status_reason: reason.to_owned(),
        };
        let job = task.job.clone();
        if let Some(instance) = self.instances.get_mut(&task.instance) {
            instance.tasks.remove(arn);
            instance.used = instance.used.minus(task.shape);
            instance.gpus_used.retain(|gpu| !task.gpus.contains(gpu));
        }
        self.deadlines.retain(|(_, of)| of != arn);
        self.renewals.retain(|(_, of)| of != arn);
        self.end_attempt(&job, &ending, now);
    }

    fn end_attempt(&mut self, id: &JobId, ending: &Ending, now: Millis) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| !job.status.is_final()) else { return };
        if let Some(run) = &mut job.run {
            run.exit_code = ending.exit_code;
            run.reason.clone_from(&ending.reason);
        }
        job.attempts.push(Attempt {
            container: job.run.clone().unwrap_or_default(),
            started_at: job.started_at,
            stopped_at: now,
            status_reason: ending.status_reason.clone(),
        });
        if let Some(reason) = job.stop_reason.clone() {
            return self.finish(id, false, Some(reason), now);
        }
        match job.spec.retry.judge(ending, job.attempts.len()) {
            Verdict::Retry => {
                job.status_reason = Some(ending.status_reason.clone());
                job.started_at = None;
                self.make_runnable(id);
                if let Some(job) = self.jobs.get_mut(id) {
                    job.run = None;
                }
            }
            verdict => self.finish(id, verdict == Verdict::Succeeded, Some(ending.status_reason.clone()), now),
        }
    }

    /// Stops a job that has a task; its end will carry this reason.
    pub(crate) fn stop_job(&mut self, id: &JobId, reason: &str, now: Millis) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.stop_reason.get_or_insert_with(|| reason.to_owned());
        let Some(arn) = job.run.as_ref().map(|run| TaskArn(run.task_arn.clone())) else { return };
        let Some(task) = self.tasks.get_mut(&arn) else { return };
        if !task.was_sent {
            return self.end_task(&arn, reason, "UserInitiated", now);
        }
        if !task.stop_wanted {
            task.stop_wanted = true;
            task.wire.desired_status = Some("STOPPED".to_owned());
            task.delivery = Delivery::Due;
            if let Some(instance) = self.instances.get(&task.instance) {
                instance.wake();
            }
        }
    }

    /// Stops the attempts whose time is up.
    pub(crate) fn expire(&mut self, now: Millis) {
        while let Some((at, arn)) = self.deadlines.first().cloned() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            if let Some(job) = self.tasks.get(&arn).map(|task| task.job.clone()) {
                self.stop_job(&job, TIMED_OUT, now);
            }
        }
    }

    /// Ends every task of an instance that will not report any more.
    pub(crate) fn lose_tasks(&mut self, instance: &InstanceArn, reason: &str, stop_code: &'static str, now: Millis) {
        let tasks: Vec<TaskArn> =
            self.instances.get(instance).map(|i| i.tasks.iter().cloned().collect()).unwrap_or_default();
        for task in tasks {
            self.end_task(&task, reason, stop_code, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{World, status};

    #[test]
    fn a_job_passes_its_states_with_times_and_exit_code() {
        let mut w = World::new();
        let instance = w.instance(2048, 1024);
        let id = w.submit(serde_json::json!({}));
        assert_eq!(status(&w.state, &id), JobStatus::Starting);
        let task = w.task_of(&id);
        w.change(&task, TaskStatus::Running, None, 10);
        assert_eq!(w.state.job(&id).unwrap().started_at, Some(10));
        w.change(&task, TaskStatus::Stopped, Some(0), 20);
        let job = w.state.job(&id).unwrap();
        assert_eq!((job.status, job.stopped_at, job.attempts.len()), (JobStatus::Succeeded, Some(20), 1));
        assert_eq!(job.status_reason.as_deref(), Some(EXITED));
        assert_eq!(w.state.instances[&instance].used, crate::model::container::Shape::default());
    }

    #[test]
    fn states_never_go_backwards_and_repeats_are_harmless() {
        let mut w = World::new();
        w.instance(2048, 1024);
        let id = w.submit(serde_json::json!({}));
        let task = w.task_of(&id);
        w.change(&task, TaskStatus::Stopped, Some(3), 20);
        w.change(&task, TaskStatus::Running, None, 30);
        w.change(&task, TaskStatus::Stopped, Some(0), 40);
        let job = w.state.job(&id).unwrap();
        assert_eq!((job.status, job.attempts.len(), job.stopped_at), (JobStatus::Failed, 1, Some(20)));
        assert!(job.started_at.is_some(), "an exit code shows that it ran");
    }

    #[test]
    fn a_failed_attempt_is_tried_again_under_a_new_task() {
        let mut w = World::new();
        w.instance(2048, 1024);
        let id = w.submit(serde_json::json!({"retryStrategy": {"attempts": 2}}));
        let first = w.task_of(&id);
        w.change(&first, TaskStatus::Stopped, Some(1), 20);
        let second = w.task_of(&id);
        assert_ne!(first, second);
        assert_eq!(w.state.tasks[&second].wire.containers[0].environment["AWS_BATCH_JOB_ATTEMPT"], "2");
        w.change(&second, TaskStatus::Stopped, Some(0), 30);
        assert_eq!(status(&w.state, &id), JobStatus::Succeeded);
    }

    #[test]
    fn a_task_that_never_ran_failed_to_start() {
        let mut w = World::new();
        w.instance(2048, 1024);
        let id = w.submit(serde_json::json!({}));
        let task = w.task_of(&id);
        let container = ContainerChange { reason: Some("CannotPullContainerError: no".into()), ..Default::default() };
        w.change_with(&task, TaskStatus::Stopped, container, 20);
        let job = w.state.job(&id).unwrap();
        assert_eq!(job.status_reason.as_deref(), Some(FAILED_TO_START));
        assert_eq!(job.run.as_ref().unwrap().reason.as_deref(), Some("CannotPullContainerError: no"));
    }

    #[test]
    fn a_terminated_job_is_stopped_and_not_retried() {
        let mut w = World::new();
        let instance = w.instance(2048, 1024);
        let id = w.submit(serde_json::json!({"retryStrategy": {"attempts": 3}}));
        let task = w.task_of(&id);
        w.deliver(&instance);
        w.change(&task, TaskStatus::Running, None, 10);
        w.state.terminate(&id, "because", 15).unwrap();
        assert_eq!(w.state.tasks[&task].wire.desired_status.as_deref(), Some("STOPPED"));
        assert_eq!(w.state.tasks[&task].delivery, Delivery::Due);
        w.change(&task, TaskStatus::Stopped, Some(137), 20);
        let job = w.state.job(&id).unwrap();
        assert_eq!((job.status, job.status_reason.as_deref()), (JobStatus::Failed, Some("because")));
        assert!(job.is_terminated);
    }

    #[test]
    fn an_attempt_out_of_time_is_stopped() {
        let mut w = World::new();
        let instance = w.instance(2048, 1024);
        let id = w.submit(serde_json::json!({"timeout": {"attemptDurationSeconds": 60}}));
        let task = w.task_of(&id);
        w.deliver(&instance);
        w.change(&task, TaskStatus::Running, None, 1_000);
        assert_eq!(w.state.next_deadline(), Some(61_000));
        w.state.settle(60_999);
        assert!(!w.state.tasks[&task].stop_wanted);
        w.state.settle(61_000);
        assert!(w.state.tasks[&task].stop_wanted);
        w.change(&task, TaskStatus::Stopped, Some(137), 62_000);
        assert_eq!(w.state.job(&id).unwrap().status_reason.as_deref(), Some(TIMED_OUT));
    }
}
