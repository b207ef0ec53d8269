use super::*;

#[test]
fn a_hold_beats_idleness_even_in_the_middle_of_a_drain_and_a_release_undoes_it() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(0, 2));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.on(Event::Order(Order::Hold { why: "looking at it".into() }));
    assert_eq!(hand.phase(), Phase::Active);
    assert!(hand.why().contains("looking at it"));
    let mut hand = hand.crashes(fleet());
    hand.identified();
    hand.on(Event::DockerUp(Vec::new()));
    hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
    hand.on(Event::SessionOpened);
    for _ in 0..100 {
        assert!(
            !has(&hand.next_due(), |c| matches!(c, Command::LookForWork | Command::Preflight)),
            "it survives a crash"
        );
    }
    let commands = hand.on(Event::Order(Order::Release));
    assert!(has(&commands, |c| *c == Command::LookForWork), "{commands:?}");
}

#[test]
fn a_hold_never_beats_the_world_or_an_order() {
    let mut hand = Hand::active(fleet());
    hand.on(Event::Order(Order::Hold { why: String::new() }));
    hand.spot_in(120);
    assert_ne!(hand.phase(), Phase::Active);
    let mut hand = Hand::active(fleet());
    hand.on(Event::Order(Order::Drain { terminate: true, deadline: None }));
    hand.on(Event::Order(Order::Hold { why: String::new() }));
    assert_eq!(hand.phase(), Phase::Draining);
}

#[test]
fn a_hold_calls_back_a_host_that_is_deregistered_but_not_yet_ended() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(0, 2));
    assert_eq!(hand.deregister(), [Command::TerminateInGroup { decrement: true }]);
    let commands = hand.on(Event::Order(Order::Hold { why: String::new() }));
    assert_eq!((commands, hand.phase()), (Vec::new(), Phase::Terminating), "its end is being asked for");
    let commands = hand.on(Event::EndTried(Rung::Group, Err(denied())));
    assert!(has(&commands, |c| matches!(c, Command::Register { .. })), "{commands:?}");
}

#[test]
fn a_host_whose_end_was_asked_for_takes_no_work_until_it_is_clear_that_it_lives_on() {
    let mut hand = Hand::active(fleet());
    hand.on(Event::Order(Order::Drain { terminate: true, deadline: None }));
    hand.deregister();
    assert_eq!(hand.on(Event::Preflight(Ok(Facts::default()))), [Command::Terminate]);
    hand.on(Event::Terminated(Err(down())));
    hand.on(Event::Order(Order::Cancel));
    assert_eq!(hand.phase(), Phase::Terminating, "the request may have been heard");
    let asked = hand.until(|c| matches!(c, Command::Terminate | Command::Register { .. }));
    assert!(matches!(asked, Command::Register { .. }), "and it is not asked for again");
}

#[test]
fn drain_without_terminate_stays_until_it_is_cancelled() {
    let mut hand = Hand::active(fleet());
    hand.on(Event::Order(Order::Drain { terminate: false, deadline: None }));
    assert_eq!(hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(()))), []);
    for _ in 0..50 {
        assert!(!has(&hand.next_due(), |c| !matches!(c, Command::Reconcile | Command::FindHome)), "{}", hand.why());
    }
    assert!(hand.why().contains("the operator said drain"), "{}", hand.why());
    let commands = hand.on(Event::Order(Order::Cancel));
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Active)));
}

#[test]
fn an_ordered_termination_asks_nobody_for_work_and_leaves_at_min_size_by_replacement() {
    let mut hand = Hand::active(fleet());
    let commands = hand.on(Event::Order(Order::Drain { terminate: true, deadline: None }));
    assert_eq!(commands, [Command::SetInstanceState(InstanceState::Draining)]);
    assert_eq!(hand.deregister(), [Command::Preflight]);
    assert_eq!(hand.on(Event::Preflight(Ok(group(2, 2)))), [Command::TerminateInGroup { decrement: false }]);
}

#[test]
fn what_no_kill_has_ended_is_not_left_behind_once_the_interruption_is_over() {
    let mut hand = Hand::active(with(|p| (p.spot, p.max_jobs) = (Reaction::DrainWithDeadline, Some(1))));
    hand.running("t1");
    hand.on(Event::Preflight(Ok(Facts::default())));
    hand.spot_in(120);
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.until(|c| matches!(c, Command::Stop { grace_secs: 0, .. }));
    hand.on(Event::InterruptionCancelled(Source::Spot));
    for _ in 0..100 {
        let commands = hand.next_due();
        assert!(!has(&commands, |c| matches!(c, Command::Terminate | Command::Deregister)), "{}", hand.why());
    }
}

#[test]
fn a_protection_whose_answer_was_lost_is_lifted_all_the_same() {
    let mut hand = Hand::active(with(|p| p.protect_while_busy = true));
    hand.on(Event::Protected(false, Ok(())));
    let (spec, name) = hand.running("t1");
    hand.on(Event::Protected(true, Err(down())));
    hand.exits(&name, 0);
    let mut commands = hand.on(Event::Submitted(spec.arn, Ok(())));
    while !has(&commands, |c| matches!(c, Command::Protect(_))) {
        commands = hand.next_due();
    }
    assert!(has(&commands, |c| *c == Command::Protect(false)), "{commands:?}");
}

#[test]
fn a_container_that_no_kill_ends_does_not_keep_the_host_past_the_deadline() {
    let mut hand = Hand::active(fleet());
    hand.running("t1");
    let deadline = hand.now.after(MINUTE);
    hand.on(Event::Order(Order::Drain { terminate: true, deadline: Some(deadline) }));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.until(|c| matches!(c, Command::Stop { grace_secs: 0, .. }));
    hand.until(|c| *c == Command::Preflight);
    assert_eq!(hand.phase(), Phase::Terminating);
    assert!(hand.now.since(deadline) >= MINUTE);
}

#[test]
fn a_rehearsal_says_what_would_be_done_and_changes_nothing() {
    let mut hand = Hand::active(fleet());
    hand.running_with("t1", &[(SIGNAL_ENV, "SIGINT")]);
    let before = (hand.node.record.clone(), hand.phase());
    let order = Order::Drain { terminate: true, deadline: Some(hand.now.after(5 * MINUTE)) };
    let plan = hand.node.plan(&order, hand.now);
    let text = plan.steps.join("\n");
    assert!(text.contains("SIGKILL what still runs in 300 s"), "{text}");
    assert!(text.contains("send SIGINT to t1, 120 s before the deadline"), "{text}");
    assert_eq!((plan.jobs.len(), plan.doubts.len()), (1, 1), "{plan:?}");
    assert_eq!(before, (hand.node.record.clone(), hand.phase()));
    assert!(hand.commands().is_empty());
}

#[test]
fn protection_follows_the_work() {
    let mut hand = Hand::active(with(|p| p.protect_while_busy = true));
    assert!(hand.node.record.is_some());
    hand.on(Event::Protected(false, Ok(())));
    let spec = spec("t1");
    let commands = hand.run(&spec);
    assert!(has(&commands, |c| *c == Command::Protect(true)), "{commands:?}");
    hand.on(Event::Protected(true, Ok(())));
    let name = spec.docker_name(&spec.containers[0]);
    hand.on(Event::Pulled(name.clone(), Err(OpFailure::Missing)));
    hand.on(Event::Created(name.clone(), Ok(seen(Running::Created))));
    hand.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
    hand.on(Event::Submitted(spec.arn.clone(), Ok(())));
    hand.exits(&name, 0);
    let commands = hand.on(Event::Submitted(spec.arn, Ok(())));
    assert!(has(&commands, |c| *c == Command::Protect(false)), "{commands:?}");
}
