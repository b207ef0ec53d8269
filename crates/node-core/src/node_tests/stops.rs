//! A stop takes effect at once wherever Docker has nothing to say about it.

use super::*;

fn refused(name: &'static str, text: &str) -> OpFailure {
    OpFailure::Refused { name, text: text.into() }
}

/// What a task's one container ended with.
fn ended(commands: &[Command]) -> (TaskStatus, Option<&str>) {
    let change = submitted(commands).expect("a report");
    (change.status, change.containers[0].reason.as_deref())
}

#[test]
fn before_its_pull_began_a_task_ends_with_that_reason() {
    let mut hand = Hand::active(policy());
    hand.on(Event::DockerDown("gone".into()));
    let spec = spec("t1");
    hand.run(&spec);
    let commands = hand.stop(&spec);
    let reason =
        format!("TaskStoppedBeforePullBeginError: Task stopped before image pull could begin for task: {}", spec.arn);
    assert_eq!(ended(&commands), (TaskStatus::Stopped, Some(reason.as_str())));
}

#[test]
fn a_pull_is_not_waited_for_and_its_end_changes_nothing() {
    for result in
        [Ok(ImagePulled::default()), Err(refused("CannotPullContainerError", "late")), Err(OpFailure::Missing)]
    {
        let mut hand = Hand::active(policy());
        let spec = spec("t1");
        let name = spec.docker_name(&spec.containers[0]);
        hand.run(&spec);
        assert_eq!(ended(&hand.stop(&spec)), (TaskStatus::Stopped, None), "its pull had begun");
        assert_eq!(hand.on(Event::Pulled(name, result)), []);
        assert_eq!(hand.on(Event::Submitted(spec.arn.clone(), Ok(()))), []);
        assert!(has(&hand.next_due(), |c| matches!(c, Command::Remove { .. })));
    }
}

#[test]
fn neither_a_pulls_nor_a_creates_next_try_is_waited_for() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    let commands = hand.on(Event::Pulled(name, Err(refused("CannotPullContainerError", "connection refused"))));
    assert!(submitted(&commands).is_none(), "it will be tried again");
    assert_eq!(ended(&hand.stop(&spec)).0, TaskStatus::Stopped);

    let (spec, name) = {
        let spec = super::spec("t2");
        let name = spec.docker_name(&spec.containers[0]);
        hand.run(&spec);
        hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
        (spec, name)
    };
    assert!(submitted(&hand.on(Event::Created(name, Err(OpFailure::Unreachable("reset".into()))))).is_none());
    assert_eq!(ended(&hand.stop(&spec)).0, TaskStatus::Stopped);
}

#[test]
fn docker_tells_what_became_of_a_start_without_an_answer() {
    let mut hand = Hand::active(policy());
    let (spec, name) = hand.created("t1");
    hand.on(Event::Started(name.clone(), Err(OpFailure::Unreachable("reset".into()))));
    assert!(submitted(&hand.stop(&spec)).is_none(), "it may run");
    let commands = hand.on(Event::DockerUp(vec![(name, seen(Running::Running))]));
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Running);
    assert!(has(&hand.next_due(), |c| matches!(c, Command::Stop { .. })));
}

#[test]
fn a_start_that_may_have_worked_is_stopped_and_blamed() {
    for failure in [
        refused("DockerTimeoutError", "Could not transition to started; timed out after waiting 3m0s"),
        refused("CannotInspectContainerError", "no answer"),
        refused("CannotStartContainerError", "error during connect: EOF"),
    ] {
        let mut hand = Hand::active(policy());
        let (_, name) = hand.created("t1");
        let reason = crate::docker::describe(&failure, "");
        let commands = hand.on(Event::Started(name.clone(), Err(failure)));
        assert!(has(&commands, |c| matches!(c, Command::Stop { .. })), "{commands:?}");
        let over = seen(Running::Exited(Some(ExitCode(143))));
        let commands = hand.on(Event::Stopped(name, Ok(over)));
        assert_eq!(ended(&commands), (TaskStatus::Stopped, Some(reason.as_str())));
    }
}

#[test]
fn a_failed_pull_tells_when_it_began_and_ended() {
    let mut hand = Hand::active(Policy { pull_behavior: PullBehavior::Always, ..policy() });
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    let began = hand.now;
    hand.pass(Duration::from_secs(1));
    let commands = hand.on(Event::Pulled(name, Err(refused("CannotPullContainerError", "not found"))));
    let change = submitted(&commands).unwrap();
    assert_eq!((change.pull_started_at, change.pull_stopped_at), (Some(began), Some(hand.now)));
    assert_eq!(change.execution_stopped_at, Some(hand.now));
}
