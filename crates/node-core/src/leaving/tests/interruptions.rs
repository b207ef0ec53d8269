use super::*;

fn hook() -> Hook {
    Hook { group: "g".into(), name: "h".into(), heartbeat_timeout: 10 * MINUTE, global_timeout: None }
}

#[test]
fn a_spot_notice_drains_at_once_and_an_empty_host_waits_to_be_taken() {
    let mut hand = Hand::active(fleet());
    let commands = hand.spot_in(120);
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Draining)));
    assert!(has(&commands, |c| matches!(c, Command::PublishDeadline(Some(d)) if d.cause == Cause::Spot)));
    let again = hand.now;
    hand.on(Event::Interruption(Interruption::Spot {
        action: SpotAction::Terminate,
        at: again.after(Duration::from_secs(120)),
    }));
    assert_eq!(hand.count(Happening::Drain), 1, "told again, it is the same one");
    hand.deregister();
    hand.on(Event::Preflight(Ok(group(1, 3))));
    assert!(hand.why().contains("waiting to be taken"), "{}", hand.why());
}

#[test]
fn a_cancelled_interruption_is_undone_unless_another_stands() {
    let mut hand = Hand::active(with(|p| p.rebalance = Reaction::Drain));
    hand.spot_in(120);
    hand.on(Event::Interruption(Interruption::Rebalance));
    hand.on(Event::InterruptionCancelled(Source::Spot));
    assert_eq!(hand.leaving().reasons, [DrainReason::Rebalance]);
    assert!(matches!(hand.phase(), Phase::Draining | Phase::Idle));
    hand.on(Event::InterruptionCancelled(Source::Rebalance));
    assert_eq!((hand.phase(), hand.count(Happening::Undone)), (Phase::Active, 2));
    let commands = hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Active)));
}

#[test]
fn an_ignored_source_is_told_once_and_changes_nothing() {
    let mut hand = Hand::active(fleet());
    for _ in 0..5 {
        assert!(hand.on(Event::Interruption(Interruption::Rebalance)).is_empty());
    }
    assert_eq!((hand.phase(), hand.count(Happening::Ignored)), (Phase::Active, 1));
}

#[test]
fn maintenance_in_two_weeks_does_not_drain_today() {
    let mut hand = Hand::active(Policy { idle_timeout: None, ..fleet() });
    let not_before = hand.now.after(14 * 24 * 60 * MINUTE);
    hand.on(Event::Interruption(Interruption::Maintenance { code: "instance-retirement".into(), not_before }));
    assert_eq!(hand.phase(), Phase::Active);
    let drains = |commands: &[Command]| has(commands, |c| matches!(c, Command::SetInstanceState(_)));
    assert!(!drains(&hand.pass(not_before.since(hand.now) - 61 * MINUTE)));
    assert!(drains(&hand.pass(MINUTE)), "an hour before");
}

#[test]
fn for_a_reboot_the_host_waits_drained_and_works_again_afterwards() {
    let mut hand = Hand::active(fleet());
    hand.on(Event::HostBooted { id: "b1".into(), at: Timestamp(1) });
    let not_before = hand.now.after(MINUTE);
    hand.on(Event::Interruption(Interruption::Maintenance { code: "system-reboot".into(), not_before }));
    assert_eq!(hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(()))), []);
    assert!(hand.why().contains("stays until"), "{}", hand.why());
    let mut hand = hand.crashes(fleet());
    hand.on(Event::HostBooted { id: "b2".into(), at: hand.now });
    hand.identified();
    hand.on(Event::DockerUp(Vec::new()));
    let commands = hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Active)), "{commands:?}");
}

#[test]
fn a_hook_is_kept_waiting_while_jobs_finish_and_completed_at_the_end() {
    let mut hand = Hand::active(fleet());
    let (spec, name) = hand.running("t1");
    let commands = hand.on(Event::Interruption(Interruption::ScaleIn { hook: Some(hook()) }));
    assert!(has(&commands, |c| *c == Command::Heartbeat(hook())), "{commands:?}");
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    for _ in 0..20 {
        let before = hand.now;
        hand.on(Event::HeartbeatRecorded(Ok(())));
        hand.until(|c| matches!(c, Command::Heartbeat(_)));
        assert_eq!(hand.now.since(before), 5 * MINUTE, "two for each timeout");
    }
    hand.on(Event::HeartbeatRecorded(Err(down())));
    let before = hand.now;
    hand.until(|c| matches!(c, Command::Heartbeat(_)));
    assert!(hand.now.since(before) < MINUTE, "a lost one is made up for");
    hand.exits(&name, 0);
    let commands = hand.on(Event::Submitted(spec.arn, Ok(())));
    assert!(has(&commands, |c| *c == Command::Count));
    hand.zero();
    hand.pass(Duration::from_secs(3));
    hand.zero();
    hand.on(Event::Deregistered(Ok(())));
    let commands = hand.on(Event::Preflight(Ok(group(1, 2))));
    assert!(has(&commands, |c| *c == Command::CompleteHook(hook())), "{commands:?}");
    hand.on(Event::EndTried(Rung::Hook, Ok(())));
    assert_eq!(hand.count(Happening::HookCompleted), 1);
    assert!(hand.why().contains("waiting to be taken"), "{}", hand.why());
    hand.pass(6 * MINUTE);
    assert_eq!(hand.count(Happening::HookLost), 0);
}

#[test]
fn a_hook_is_completed_whatever_stronger_reason_stands() {
    let mut hand = Hand::active(with(|p| p.check_first = false));
    hand.spot_in(120);
    hand.deregister();
    assert!(hand.why().contains("waiting to be taken"), "{}", hand.why());
    let commands = hand.on(Event::Interruption(Interruption::ScaleIn { hook: Some(hook()) }));
    assert!(has(&commands, |c| *c == Command::CompleteHook(hook())), "{commands:?}");
}

#[test]
fn a_hook_that_no_longer_waits_is_told_loudly() {
    let mut hand = Hand::active(fleet());
    hand.running("t1");
    hand.on(Event::Interruption(Interruption::ScaleIn { hook: Some(hook()) }));
    hand.on(Event::HeartbeatRecorded(Err(ApiFailure::Rejected("No active Lifecycle Action found".into()))));
    assert_eq!(hand.count(Happening::HookLost), 1);
}

#[test]
fn the_hook_that_the_nodes_own_end_sets_off_is_completed_too() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(0, 2));
    hand.deregister();
    hand.on(Event::EndTried(Rung::Group, Ok(())));
    let mut commands = hand.on(Event::Interruption(Interruption::ScaleIn { hook: Some(hook()) }));
    if has(&commands, |c| *c == Command::Preflight) {
        let mut facts = group(0, 1);
        facts.group.as_mut().unwrap().terminating = true;
        commands = hand.on(Event::Preflight(Ok(facts)));
    }
    assert!(has(&commands, |c| *c == Command::CompleteHook(hook())), "{commands:?}");
}

#[test]
fn a_host_that_never_joined_completes_its_hook_at_once() {
    let mut hand = Hand::restored(fleet(), Saved::default());
    hand.identified();
    hand.on(Event::DockerUp(Vec::new()));
    let commands = hand.on(Event::Interruption(Interruption::ScaleIn { hook: Some(hook()) }));
    assert!(has(&commands, |c| *c == Command::Preflight), "{commands:?}");
    let commands = hand.on(Event::Preflight(Ok(group(1, 2))));
    assert!(has(&commands, |c| *c == Command::CompleteHook(hook())), "{commands:?}");
}

#[test]
fn a_shutdown_is_let_go_on_once_jobs_are_over_and_reported() {
    let mut hand = Hand::active(fleet());
    let (spec, name) = hand.running("t1");
    let deadline = Some(hand.now.after(5 * MINUTE));
    hand.on(Event::Interruption(Interruption::Shutdown { deadline }));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    let commands = hand.exits(&name, 0);
    assert!(!has(&commands, |c| *c == Command::LetGo) && submitted(&commands).is_some());
    let mut commands = hand.on(Event::Submitted(spec.arn, Ok(())));
    if !has(&commands, |c| *c == Command::LetGo) {
        commands.extend(hand.on(Event::Preflight(Ok(group(1, 2)))));
    }
    assert!(has(&commands, |c| *c == Command::LetGo), "{commands:?}");
    assert!(!has(&commands, |c| *c == Command::Deregister), "it will be back under the same name");
}

#[test]
fn a_shutdown_that_comes_in_the_last_phases_has_nothing_to_wait_for() {
    let mut hand = Hand::active(with(|p| p.check_first = false));
    hand.until(|c| *c == Command::LookForWork);
    hand.on(Event::WorkFound(Ok(Waiting::default())));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.zero();
    hand.pass(Duration::from_secs(3));
    assert_eq!(hand.zero(), [Command::Deregister]);
    let deadline = Some(hand.now.after(2 * MINUTE));
    hand.on(Event::Interruption(Interruption::Shutdown { deadline }));
    assert_eq!((hand.phase(), hand.node.live_tasks()), (Phase::Deregistering, 0));
    let commands = hand.on(Event::Deregistered(Ok(())));
    assert!(has(&commands, |c| *c == Command::LetGo), "{commands:?}");
    assert_eq!(hand.phase(), Phase::Terminating);
    hand.on(Event::Interruption(Interruption::Shutdown { deadline: deadline.map(|at| at.after(MINUTE)) }));
    hand.pass(MINUTE);
    assert_eq!((hand.phase(), hand.node.live_tasks()), (Phase::Terminating, 0), "{}", hand.why());
}

#[test]
fn work_that_slips_in_under_an_interruption_runs_to_its_end_and_the_drain_stands() {
    let mut hand = Hand::active(fleet());
    hand.spot_in(600);
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    assert_eq!(hand.phase(), Phase::Idle);
    let commands = hand.run(&spec("t1"));
    assert!(has(&commands, |c| matches!(c, Command::Pull { .. })));
    assert_eq!(hand.phase(), Phase::Draining);
}

#[test]
fn what_was_survived_is_not_taken_up_again_when_it_is_told_again() {
    let mut hand = Hand::active(with(|p| p.check_first = false));
    let at = hand.now.after(2 * MINUTE);
    let told = || Event::Interruption(Interruption::Spot { action: SpotAction::Hibernate, at });
    hand.on(told());
    hand.deregister();
    hand.until(|c| matches!(c, Command::Register { .. }));
    hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci2"))));
    assert_eq!((hand.phase(), hand.count(Happening::Survived)), (Phase::Active, 1));
    for _ in 0..5 {
        hand.on(told());
        hand.pass(Duration::from_secs(5));
    }
    assert_eq!((hand.count(Happening::Drain), hand.count(Happening::Survived)), (1, 1));
}
