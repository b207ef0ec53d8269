use super::*;

fn ends(rung: Rung, result: Result<(), ApiFailure>) -> Event {
    Event::EndTried(rung, result)
}

/// Answers whatever is asked with `answer` until `wanted` is asked.
fn climb(hand: &mut Hand, first: Vec<Command>, failure: &ApiFailure, wanted: &Command) -> Vec<Command> {
    let mut asked = Vec::new();
    let mut commands = first;
    for _ in 0..10_000 {
        let mut more = Vec::new();
        for command in commands {
            let answer = match &command {
                Command::TerminateInGroup { .. } => ends(Rung::Group, Err(failure.clone())),
                Command::MarkUnhealthy => ends(Rung::Unhealthy, Err(failure.clone())),
                Command::Terminate => Event::Terminated(Err(failure.clone())),
                Command::PowerOff => ends(Rung::PowerOff, Err(failure.clone())),
                Command::Preflight => Event::Preflight(Ok(group(1, 3))),
                _ => continue,
            };
            asked.push(command.clone());
            if command == *wanted {
                return asked;
            }
            more.extend(hand.on(answer));
        }
        commands = if more.is_empty() { hand.next_due() } else { more };
    }
    panic!("{wanted:?} was never asked for: {}", hand.why());
}

#[test]
fn refused_everywhere_it_climbs_to_powering_off() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(1, 3));
    let first = hand.deregister();
    let mut asked = climb(&mut hand, first, &denied(), &Command::PowerOff);
    asked.retain(|c| *c != Command::Preflight);
    asked.dedup();
    let decrement = true;
    let order =
        [Command::TerminateInGroup { decrement }, Command::MarkUnhealthy, Command::Terminate, Command::PowerOff];
    assert_eq!(asked, order);
    assert_eq!(hand.count(Happening::RungFailed), 3);
}

#[test]
fn a_group_that_cannot_be_looked_up_is_why_the_host_is_still_there() {
    let mut hand = Hand::active(fleet());
    hand.on(Event::Order(Order::Drain { terminate: true, deadline: None }));
    hand.deregister();
    hand.on(Event::Preflight(Err(denied())));
    assert!(hand.why().contains("the Auto Scaling group cannot be looked up: "), "{}", hand.why());
}

#[test]
fn unreachable_apis_are_given_up_in_bounded_time_and_begun_again() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(1, 3));
    let from = hand.now;
    let first = hand.deregister();
    climb(&mut hand, first, &down(), &Command::PowerOff);
    assert!(hand.now.since(from) < 20 * MINUTE, "{:?}", hand.now.since(from));
    let first = hand.on(ends(Rung::PowerOff, Err(down())));
    climb(&mut hand, first, &down(), &Command::TerminateInGroup { decrement: true });
    assert!(hand.why().contains("TerminateInstanceInAutoScalingGroup"), "{}", hand.why());
}

#[test]
fn what_was_accepted_and_does_not_end_the_host_is_not_trusted_for_ever() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(1, 3));
    hand.deregister();
    hand.on(ends(Rung::Group, Ok(())));
    assert!(hand.why().contains("was accepted"), "{}", hand.why());
    let next = hand.until(|c| !matches!(c, Command::Reconcile));
    assert_eq!(next, Command::MarkUnhealthy, "and the group is not made smaller a second time");
}

#[test]
fn a_restart_goes_on_where_it_was_and_looks_before_it_shrinks_the_group_again() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(1, 3));
    hand.deregister();
    let mut hand = hand.crashes(fleet());
    assert_eq!(hand.identified(), [Command::Preflight]);
    let mut facts = group(1, 2);
    facts.group.as_mut().unwrap().terminating = true;
    assert_eq!(hand.on(Event::Preflight(Ok(facts))), [], "its last request had worked");
    assert_eq!(hand.phase(), Phase::Terminating);
    hand.on(Event::DockerUp(Vec::new()));
    let mut hand = hand.crashes(fleet());
    hand.identified();
    assert!(hand.why().contains("was accepted"), "{}", hand.why());
}

/// Every way of ending the host is refused, TerminateInstances as `instance` says, until the node is in another phase. Gives the
/// commands that it is in then.
fn refuse_all(hand: &mut Hand, mut instance: impl FnMut(Timestamp) -> ApiFailure) -> Vec<Command> {
    let mut commands = hand.deregister();
    for _ in 0..1_000 {
        if hand.phase() != Phase::Terminating {
            break;
        }
        let mut more = Vec::new();
        for command in commands {
            more.extend(match command {
                Command::TerminateInGroup { .. } => hand.on(ends(Rung::Group, Err(denied()))),
                Command::MarkUnhealthy => hand.on(ends(Rung::Unhealthy, Err(denied()))),
                Command::Terminate => hand.on(Event::Terminated(Err(instance(hand.now)))),
                Command::Preflight => hand.on(Event::Preflight(Ok(group(1, 3)))),
                Command::PowerOff => panic!("it was to rejoin"),
                _ => Vec::new(),
            });
        }
        commands = if more.is_empty() { hand.next_due() } else { more };
    }
    commands
}

#[test]
fn by_policy_a_refused_host_goes_back_to_work_and_tries_later() {
    let mut hand = Hand::active(with(|p| p.refused = Refused::Rejoin));
    hand.drains_idle(group(1, 3));
    let commands = refuse_all(&mut hand, |_| denied());
    assert!(has(&commands, |c| *c == Command::Register { previous: None }), "{commands:?}");
    hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci2"))));
    assert_eq!((hand.phase(), hand.count(Happening::Rejoined)), (Phase::Active, 1));
    let (spec, _) = hand.running("t9");
    assert!(hand.node.tasks[&spec.arn].record.live(), "and works");
}

#[test]
fn a_refusal_after_a_lost_answer_does_not_bring_the_host_back_at_once() {
    let mut hand = Hand::active(with(|p| p.refused = Refused::Rejoin));
    hand.drains_idle(group(1, 3));
    let mut lost_at = None;
    refuse_all(&mut hand, |now| match lost_at.replace(lost_at.unwrap_or(now)) {
        None => ApiFailure::Unavailable("timed out".into()),
        Some(_) => denied(),
    });
    assert_eq!(hand.phase(), Phase::Registering, "{}", hand.why());
    let waited = hand.now.since(lost_at.unwrap());
    assert!(waited >= LeavingPolicy::alone().rung_patience, "{waited:?}: the lost request may have been heard");
}

#[test]
fn a_group_that_shrank_meanwhile_takes_the_wish_back() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(1, 3));
    hand.deregister();
    let rejected = ApiFailure::Rejected("would violate the MinSize".into());
    let mut commands = hand.on(ends(Rung::Group, Err(rejected)));
    if commands.is_empty() {
        commands = vec![hand.until(|c| *c == Command::Preflight)];
    }
    assert_eq!(commands, [Command::Preflight]);
    let commands = hand.on(Event::Preflight(Ok(group(1, 1))));
    assert!(has(&commands, |c| matches!(c, Command::Register { .. })), "{commands:?}: {}", hand.why());
}

#[test]
fn without_a_group_ec2_is_asked_and_without_permission_to_deregister_too() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(Facts { group: None, may_terminate: Permission::Ok });
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.zero();
    hand.pass(Duration::from_secs(3));
    hand.zero();
    for _ in 0..1_000 {
        if hand.phase() == Phase::Terminating {
            break;
        }
        assert_eq!(hand.phase(), Phase::Deregistering);
        let commands = hand.on(Event::Deregistered(Err(denied())));
        if !has(&commands, |c| *c == Command::Terminate) && hand.phase() == Phase::Deregistering {
            hand.until(|c| *c == Command::Deregister);
        }
    }
    assert_eq!(hand.phase(), Phase::Terminating, "the end of the instance deregisters it");
}

#[test]
fn a_host_that_may_not_set_itself_draining_closes_its_intake_by_deregistering() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(0, 3));
    for _ in 0..1_000 {
        if hand.phase() == Phase::Idle {
            break;
        }
        let commands = hand.on(Event::InstanceStateSet(InstanceState::Draining, Err(denied())));
        if !has(&commands, |c| *c == Command::Count) {
            hand.next_due();
        }
    }
    assert_eq!(hand.phase(), Phase::Idle, "{}", hand.why());
    hand.zero();
    hand.pass(Duration::from_secs(3));
    assert_eq!(hand.zero(), [Command::Deregister]);
}

#[test]
fn an_instance_that_ecs_no_longer_knows_is_left_at_once() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(0, 3));
    let gone = || ApiFailure::Gone("container instance not found".into());
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Err(gone())));
    hand.until(|c| *c == Command::Count);
    hand.on(Event::Counted(Err(gone())));
    assert_eq!(hand.phase(), Phase::Deregistering);
}

#[test]
fn a_drain_whose_answer_was_lost_is_undone_at_ecs_too() {
    let mut hand = Hand::active(fleet());
    hand.spot_in(120);
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Err(down())));
    let mut hand = hand.crashes(fleet());
    hand.identified();
    hand.on(Event::DockerUp(Vec::new()));
    hand.on(Event::InterruptionCancelled(Source::Spot));
    let commands = hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Active)), "{commands:?}");
}

/// A node in its last phase that waits to be taken, with a task whose failure it keeps back.
fn withholding(policy: Policy) -> Hand {
    let mut hand = Hand::active(policy);
    hand.on(Event::HostBooted { id: "b1".into(), at: Timestamp(1) });
    let (_, name) = hand.running_with("t1", &[(SIGNAL_ENV, "default")]);
    hand.spot_in(120);
    hand.on(Event::Signalled(name.clone(), Ok(())));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.exits(&name, 143);
    assert_eq!(hand.phase(), Phase::Terminating);
    hand
}

#[test]
fn what_must_be_reported_after_all_is_reported_before_the_host_is_ended() {
    let hand = withholding(with(|p| p.max_jobs = Some(1)));
    let mut hand = hand.crashes(with(|p| p.max_jobs = Some(1)));
    hand.node
        .record
        .as_mut()
        .unwrap()
        .leaving
        .reasons
        .insert(0, Standing { reason: DrainReason::JobsDone(1), since: Timestamp(1), over: false });
    hand.on(Event::HostBooted { id: "b2".into(), at: hand.now });
    let mut commands = hand.identified();
    assert_eq!(hand.phase(), Phase::Draining, "the boot has ended the interruption, and a wish is left");
    assert!(submitted(&commands).is_some(), "{commands:?}");
    commands.extend(hand.on(Event::DockerUp(Vec::new())));
    commands.extend(hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci")))));
    assert!(has(&commands, |c| matches!(c, Command::Connect { .. })), "{commands:?}");
    assert!(!has(&commands, |c| matches!(c, Command::Terminate | Command::Deregister)), "{commands:?}");
}

#[test]
fn a_drained_host_that_is_to_stay_is_not_ended_when_a_shutdown_is_taken_back() {
    let mut hand = Hand::active(fleet());
    hand.on(Event::Order(Order::Drain { terminate: false, deadline: None }));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.on(Event::Interruption(Interruption::Shutdown { deadline: None }));
    hand.on(Event::Preflight(Ok(Facts::default())));
    assert_eq!(hand.phase(), Phase::Terminating);
    hand.on(Event::InterruptionCancelled(Source::Shutdown));
    assert_eq!(hand.phase(), Phase::Draining);
    for _ in 0..50 {
        assert!(!has(&hand.next_due(), |c| *c == Command::Terminate), "{}", hand.why());
    }
    assert!(hand.why().contains("the operator said drain"), "{}", hand.why());
}

#[test]
fn a_process_that_began_in_the_last_phase_joins_again_when_it_comes_back() {
    let hand = withholding(fleet());
    let mut hand = hand.crashes(fleet());
    hand.identified();
    let commands = hand.on(Event::InterruptionCancelled(Source::Spot));
    assert!(has(&commands, |c| matches!(c, Command::Register { previous: Some(_) })), "{commands:?}");
    let mut hand = withholding(fleet());
    hand.on(Event::SessionClosed(CloseCause::Clean));
    let commands = hand.on(Event::InterruptionCancelled(Source::Spot));
    assert!(has(&commands, |c| matches!(c, Command::Connect { .. })), "{commands:?}");
}

#[test]
fn work_that_comes_in_the_last_phase_is_not_accepted() {
    let mut hand = withholding(fleet());
    let commands = hand.run(&spec("t2"));
    assert!(!has(&commands, |c| matches!(c, Command::Ack { .. } | Command::Pull { .. })), "{commands:?}");
    hand.on(Event::InterruptionCancelled(Source::Spot));
    let commands = hand.run(&spec("t2"));
    assert!(has(&commands, |c| matches!(c, Command::Ack { .. })), "sent again, it is: {commands:?}");
}

#[test]
fn a_registration_under_way_when_the_end_begins_brings_no_work() {
    let mut hand = Hand::active(fleet());
    hand.on(Event::SessionClosed(CloseCause::Inactive("by hand".into())));
    assert!(hand.node.record.as_ref().unwrap().container_instance.is_none());
    hand.node.record.as_mut().unwrap().phase = Phase::Terminating;
    hand.node.record.as_mut().unwrap().leaving.reasons =
        vec![Standing { reason: DrainReason::JobsDone(1), since: Timestamp(1), over: false }];
    let commands = hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci2"))));
    assert!(!has(&commands, |c| matches!(c, Command::Connect { .. })), "{commands:?}");
}

#[test]
fn a_clock_that_was_set_between_two_processes_ends_no_wait() {
    let mut hand = Hand::active(with(|p| p.refused = Refused::Rejoin));
    hand.drains_idle(group(1, 3));
    hand.deregister();
    hand.now = hand.now.after(24 * 60 * MINUTE);
    let mut hand = hand.crashes(with(|p| p.refused = Refused::Rejoin));
    hand.identified();
    assert_eq!((hand.phase(), hand.count(Happening::RungFailed)), (Phase::Terminating, 0), "{}", hand.why());
}
