//! How an end is worded: ECS's stopped reason, which Batch copies into the job and its attempt, and the container's own.

use serde_json::{Value, json};

use super::cluster::TaskStatus;
use super::node::NewNode;
use super::testing::World;
use crate::ids::{InstanceArn, JobId, TaskArn};
use crate::model::attempt::{ContainerChange, TaskChange};

const STARTED: i64 = 10;
const ENDED: i64 = 20;

fn running() -> (World, InstanceArn, JobId, TaskArn) {
    let mut w = World::new();
    let instance = w.instance(2048, 1024);
    let id = w.submit(json!({"timeout": {"attemptDurationSeconds": 60}}));
    let task = w.task_of(&id);
    w.deliver(&instance);
    w.change(&task, TaskStatus::Running, None, STARTED);
    (w, instance, id, task)
}

/// The job as DescribeJobs tells it: its reason, and of its only attempt the reason, the container's and the exit code. The
/// job's container says the same as the attempt's.
#[track_caller]
fn told(w: &World, id: &JobId, reason: &str, container_reason: Value, exit_code: Value, started: Option<i64>) {
    let job = w.state.job(id).unwrap();
    assert_eq!(job.status, crate::events::JobStatus::Failed);
    assert_eq!(job.status_reason.as_deref(), Some(reason));
    let [attempt] = &job.attempts[..] else { panic!("one attempt: {:?}", job.attempts) };
    assert_eq!(Some(&attempt.container), job.run.as_ref());
    assert_eq!((attempt.started_at, attempt.stopped_at), (started, job.stopped_at.unwrap()));
    let shown = serde_json::to_value(attempt).unwrap();
    assert_eq!(shown["statusReason"], reason);
    assert_eq!((&shown["container"]["reason"], &shown["container"]["exitCode"]), (&container_reason, &exit_code));
    for field in ["taskArn", "containerInstanceArn", "logStreamName"] {
        assert!(shown["container"][field].is_string(), "{field}: {shown}");
    }
}

#[test]
fn an_essential_container_exits() {
    let (mut w, _, id, task) = running();
    w.change(&task, TaskStatus::Stopped, Some(3), ENDED);
    told(&w, &id, "Essential container in task exited", Value::Null, json!(3), Some(STARTED));
    assert_eq!(w.state.tasks[&task].stop_code.as_deref(), Some("EssentialContainerExited"));
}

#[test]
fn an_essential_container_is_killed_for_its_memory() {
    let (mut w, _, id, task) = running();
    let reason = "OutOfMemoryError: Container killed due to memory usage";
    let container = ContainerChange { exit_code: Some(137), reason: Some(reason.into()), ..Default::default() };
    w.change_with(&task, TaskStatus::Stopped, container, ENDED);
    told(&w, &id, "Essential container in task exited", json!(reason), json!(137), Some(STARTED));
}

#[test]
fn a_container_fails_to_start() {
    let mut w = World::new();
    w.instance(2048, 1024);
    let id = w.submit(json!({}));
    let reason = "CannotStartContainerError: no such file";
    let container = ContainerChange { reason: Some(reason.into()), ..Default::default() };
    w.change_with(&w.task_of(&id), TaskStatus::Stopped, container, ENDED);
    told(&w, &id, "Task failed to start", json!(reason), Value::Null, None);
}

#[test]
fn an_agent_gives_a_reason_for_the_task_itself() {
    let mut w = World::new();
    w.instance(2048, 1024);
    let id = w.submit(json!({}));
    let reason = "UnrecogniedTaskError: Error loading task - no";
    let change = TaskChange {
        task: w.task_of(&id),
        status: TaskStatus::Stopped,
        reason: Some(reason.into()),
        container: None,
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    };
    w.state.change_task(change, ENDED).unwrap();
    told(&w, &id, reason, json!(reason), Value::Null, None);
}

#[test]
fn a_host_is_terminated() {
    let mut w = World::new();
    let node = w.state.run_instance(NewNode::default(), "http://127.0.0.1:1".into(), 0);
    let instance = w.instance_on(Some(node.clone()), 2048, 1024);
    let id = w.submit(json!({}));
    let task = w.task_of(&id);
    w.deliver(&instance);
    w.change(&task, TaskStatus::Running, None, STARTED);
    w.state.terminate_node(&node, "User initiated", ENDED).unwrap();
    w.state.node_gone(&node, ENDED);
    let reason = format!("Host EC2 (instance {node}) terminated.");
    told(&w, &id, &reason, Value::Null, Value::Null, Some(STARTED));
    assert_eq!(w.state.tasks[&task].stop_code.as_deref(), Some("TerminationNotice"));
}

#[test]
fn a_host_is_deregistered_by_force() {
    let (mut w, instance, id, _) = running();
    w.state.deregister(&instance, true, ENDED).unwrap();
    let reason = "Container instance deregistration forced by user";
    told(&w, &id, reason, Value::Null, Value::Null, Some(STARTED));
}

#[test]
fn a_user_terminates_a_running_job() {
    let (mut w, _, id, task) = running();
    w.state.terminate(&id, "not needed", 15).unwrap();
    w.change(&task, TaskStatus::Stopped, Some(143), ENDED);
    // StopTask sets the task's stopped reason, whatever its container does then.
    told(&w, &id, "not needed", Value::Null, json!(143), Some(STARTED));
    assert_eq!(w.state.tasks[&task].stop_code.as_deref(), Some("UserInitiated"));
}

#[test]
fn a_user_terminates_a_job_that_no_agent_has_seen() {
    let mut w = World::new();
    w.instance(2048, 1024);
    let id = w.submit(json!({}));
    w.state.terminate(&id, "not needed", ENDED).unwrap();
    told(&w, &id, "not needed", Value::Null, Value::Null, None);
}

#[test]
fn an_attempt_takes_too_long() {
    let (mut w, _, id, task) = running();
    w.state.settle(STARTED + 60_000);
    w.change(&task, TaskStatus::Stopped, Some(137), STARTED + 60_001);
    told(&w, &id, "Job attempt duration exceeded timeout", Value::Null, json!(137), Some(STARTED));
}

#[test]
fn a_job_that_waits_is_cancelled_and_takes_its_dependents_with_it() {
    let mut w = World::new();
    let first = w.submit(json!({}));
    let second = w.submit(json!({"dependsOn": [{"jobId": first.to_string()}]}));
    w.state.cancel(&first, "not wanted", 5).unwrap();
    for (id, reason) in [(&first, "not wanted"), (&second, "Dependent Job failed")] {
        let job = w.state.job(id).unwrap();
        assert_eq!(job.status_reason.as_deref(), Some(reason));
        assert!(job.attempts.is_empty() && job.run.is_none() && job.started_at.is_none(), "it never ran");
    }
}
