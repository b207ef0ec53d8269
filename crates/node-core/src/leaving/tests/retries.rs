use super::*;

/// A job that was warned of a spot interruption and exits with this code.
fn warned_and_exits(policy: Policy, code: i64) -> (Hand, TaskSpec, Vec<Command>) {
    let mut hand = Hand::active(policy);
    let (spec, name) = hand.running_with("t1", &[(SIGNAL_ENV, "default")]);
    hand.spot_in(120);
    hand.on(Event::Signalled(name.clone(), Ok(())));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    let commands = hand.exits(&name, code);
    (hand, spec, commands)
}

#[test]
fn a_failure_that_the_warning_brought_about_is_withheld_and_a_success_never_is() {
    let (hand, _, commands) = warned_and_exits(fleet(), 143);
    assert_eq!(submitted(&commands), None);
    assert_eq!((hand.leaving().withheld, hand.count(Happening::Withheld)), (1, 1));
    assert_eq!(
        hand.phase(),
        Phase::Terminating,
        "nothing is left to wait for, and ECS must not be asked to deregister"
    );
    let (_, _, commands) = warned_and_exits(fleet(), 0);
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(0)));
}

#[test]
fn by_policy_it_is_reported_like_any_exit() {
    let (_, _, commands) = warned_and_exits(with(|p| p.retries = Retries::Report), 143);
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(143)));
}

#[test]
fn a_job_that_was_not_touched_or_ran_out_of_memory_failed_by_itself() {
    let mut hand = Hand::active(fleet());
    let (_, name) = hand.running("t1");
    let (_, other) = hand.running_with("t2", &[(SIGNAL_ENV, "default")]);
    hand.spot_in(120);
    assert!(submitted(&hand.exits(&name, 1)).is_some());
    let oom = Observation { oom_killed: true, ..seen(Running::Exited(Some(ExitCode(137)))) };
    assert!(submitted(&hand.on(Event::Observed(other, oom))).is_some());
}

#[test]
fn a_stop_that_ecs_asked_for_is_reported_whatever_comes_after() {
    let mut hand = Hand::active(fleet());
    let (spec, name) = hand.running_with("t1", &[(SIGNAL_ENV, "default")]);
    hand.spot_in(120);
    hand.node.want_stop(&spec.arn);
    assert!(submitted(&hand.exits(&name, 143)).is_some());
}

#[test]
fn a_cancelled_interruption_reports_what_was_withheld() {
    let (mut hand, spec, _) = warned_and_exits(fleet(), 143);
    let commands = hand.on(Event::InterruptionCancelled(Source::Spot));
    let change = submitted(&commands).expect("it is reported after all");
    assert_eq!((&change.task, change.containers[0].exit_code), (&spec.arn, Some(ExitCode(143))));
    assert_eq!((hand.phase(), hand.count(Happening::Unwithheld)), (Phase::Active, 1));
}

#[test]
fn a_host_that_survives_reports_what_was_withheld_even_after_a_crash() {
    let (hand, spec, _) = warned_and_exits(fleet(), 143);
    let mut hand = hand.crashes(fleet());
    hand.identified();
    hand.on(Event::DockerUp(Vec::new()));
    hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
    assert_eq!(hand.leaving().withheld, 1, "it is remembered");
    let sent = hand.until(|c| matches!(c, Command::Submit(_)));
    assert!(matches!(sent, Command::Submit(change) if change.task == spec.arn));
    assert_eq!((hand.phase(), hand.count(Happening::Survived)), (Phase::Active, 1));
}

#[test]
fn what_was_killed_at_the_operators_deadline_is_withheld_only_if_the_host_ends() {
    for (terminate, withheld) in [(true, 1), (false, 0)] {
        let mut hand = Hand::active(fleet());
        let (_, name) = hand.running("t1");
        let deadline = Some(hand.now.after(MINUTE));
        hand.on(Event::Order(Order::Drain { terminate, deadline }));
        hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
        hand.pass(MINUTE);
        hand.on(Event::Stopped(name, Ok(seen(Running::Exited(Some(ExitCode(137)))))));
        assert_eq!(hand.leaving().withheld, withheld, "terminate: {terminate}");
    }
}

#[test]
fn what_a_shutdown_kills_is_withheld_without_any_signal_of_ours() {
    let mut hand = Hand::active(fleet());
    let (_, name) = hand.running("t1");
    hand.on(Event::Interruption(Interruption::Shutdown { deadline: None }));
    assert_eq!(submitted(&hand.exits(&name, 137)), None);
}

#[test]
fn a_warning_that_came_too_late_is_not_what_failed_the_job() {
    let mut hand = Hand::active(fleet());
    let (_, name) = hand.running_with("t1", &[(SIGNAL_ENV, "default")]);
    hand.spot_in(120);
    assert_eq!(submitted(&hand.exits(&name, 1)), None, "while the warning is under way");
    let ended = OpFailure::Refused { name: "DockerSignalError", text: "is not running".into() };
    let commands = hand.on(Event::Signalled(name, Err(ended)));
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(1)));
    assert_eq!(hand.leaving().withheld, 0);
}

#[test]
fn a_warning_whose_answer_was_lost_may_be_what_failed_the_job() {
    let mut hand = Hand::active(fleet());
    let (_, name) = hand.running_with("t1", &[(SIGNAL_ENV, "default")]);
    hand.spot_in(120);
    hand.on(Event::Signalled(name.clone(), Err(OpFailure::Unreachable("connection reset".into()))));
    assert_eq!(submitted(&hand.exits(&name, 143)), None);
    assert_eq!(hand.leaving().withheld, 1);
}

#[test]
fn what_ended_before_it_was_to_be_killed_is_its_own() {
    let mut hand = Hand::active(with(|p| p.spot = Reaction::DrainWithDeadline));
    let (_, own) = hand.running("t1");
    let (_, killed) = hand.running("t2");
    hand.spot_in(120);
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    let ended = hand.now.after(MINUTE);
    hand.pass(2 * MINUTE);
    let seen = |at| Observation { finished_at: Some(at), ..seen(Running::Exited(Some(ExitCode(137)))) };
    assert!(submitted(&hand.on(Event::Observed(own, seen(ended)))).is_some(), "its event came late");
    assert_eq!(submitted(&hand.on(Event::Observed(killed, seen(hand.now)))), None);
}

/// A task with a sidecar that asks for warnings, both running under a spot interruption.
fn with_sidecar() -> (Hand, DockerName, DockerName) {
    let mut hand = Hand::active(fleet());
    let mut spec = spec("t1");
    let mut sidecar = ContainerSpec { essential: false, ..ContainerSpec::new("sidecar", "busybox") };
    sidecar.environment.insert(SIGNAL_ENV.into(), "default".into());
    spec.containers.push(sidecar);
    let names = [spec.docker_name(&spec.containers[0]), spec.docker_name(&spec.containers[1])];
    hand.run(&spec);
    for name in &names {
        hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
        hand.on(Event::Created(name.clone(), Ok(seen(Running::Created))));
        hand.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
    }
    hand.on(Event::Submitted(spec.arn, Ok(())));
    hand.spot_in(120);
    let [main, sidecar] = names;
    hand.on(Event::Signalled(sidecar.clone(), Ok(())));
    (hand, main, sidecar)
}

#[test]
fn what_a_sidecar_makes_of_its_warning_hides_no_end_of_the_jobs_own() {
    for code in [0, 1] {
        let (mut hand, main, sidecar) = with_sidecar();
        hand.exits(&main, code);
        hand.on(Event::Submitted(spec("t1").arn, Ok(())));
        hand.on(Event::Stopped(sidecar, Ok(seen(Running::Exited(Some(ExitCode(143)))))));
        assert_eq!(hand.leaving().withheld, 0, "{code}");
    }
}

#[test]
fn the_host_is_not_ended_before_it_is_known_whether_a_warning_was_heard() {
    let mut hand = Hand::active(fleet());
    let (_, name) = hand.running_with("t1", &[(SIGNAL_ENV, "default")]);
    hand.spot_in(120);
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.exits(&name, 143);
    assert_eq!((hand.phase(), hand.leaving().withheld), (Phase::Draining, 1));
    hand.on(Event::Signalled(name, Ok(())));
    assert_eq!(hand.phase(), Phase::Terminating);
}

#[test]
fn what_ended_before_the_shutdown_or_never_ran_was_not_killed_by_it() {
    let mut hand = Hand::active(fleet());
    let (_, name) = hand.running("t1");
    let ended = hand.now;
    hand.pass(MINUTE);
    hand.on(Event::Interruption(Interruption::Shutdown { deadline: None }));
    let seen = Observation { finished_at: Some(ended), ..seen(Running::Exited(Some(ExitCode(137)))) };
    assert!(submitted(&hand.on(Event::Observed(name, seen))).is_some());
}

#[test]
fn what_the_deadline_kept_from_running_is_withheld() {
    let mut hand = Hand::active(with(|p| p.spot = Reaction::DrainWithDeadline));
    hand.run(&spec("t1"));
    hand.spot_in(120);
    let mut commands = Vec::new();
    while hand.leaving().withheld == 0 {
        commands.extend(hand.next_due());
    }
    assert_eq!(submitted(&commands), None);
}
