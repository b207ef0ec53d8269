//! Idle, drained, deregistered, gone.

use super::*;

#[test]
fn an_idle_node_drains_asks_twice_deregisters_and_terminates() {
    let mut hand = Hand::active(policy());
    let commands = hand.next_due();
    assert!(has(&commands, |c| matches!(c, Command::Reconcile)), "a minute is also time to look at Docker");
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Draining)));
    let commands = hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    assert_eq!(commands, [Command::Count]);
    let zero = || Event::Counted(Ok(TaskCounts { running: 0, pending: 0 }));
    assert!(hand.on(zero()).is_empty(), "once is not enough");
    assert_eq!(hand.next_due(), [Command::Count]);
    assert_eq!(hand.on(zero()), [Command::Deregister]);
    assert_eq!(hand.on(Event::Deregistered(Ok(()))), [Command::Terminate]);
    hand.on(Event::Terminated(Err(ApiFailure::Denied("not allowed".into()))));
    assert_eq!(hand.next_due(), [Command::Terminate], "it is asked for until the host is gone");
    assert!(hand.node.status(hand.now).why.contains("terminating"));
}

#[test]
fn work_that_slips_in_takes_an_idle_drain_back() {
    let mut hand = Hand::active(policy());
    hand.next_due();
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    assert_eq!(hand.phase(), Phase::Idle);
    let commands = hand.run(&spec("t1"));
    assert_eq!(hand.phase(), Phase::Active);
    assert!(has(&commands, |c| matches!(c, Command::Pull { .. })));
    let commands = hand.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 0 })));
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Active)), "{commands:?}");
}

#[test]
fn ecs_counting_a_task_here_keeps_the_node_from_leaving() {
    let mut hand = Hand::active(policy());
    hand.next_due();
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    for _ in 0..5 {
        hand.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 0 })));
        hand.next_due();
        hand.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 1 })));
        assert_eq!(hand.phase(), Phase::Idle);
        hand.next_due();
    }
    assert!(hand.node.status(hand.now).why.contains("1 pending"));
}

#[test]
fn a_refused_deregistration_goes_back_to_draining() {
    let mut hand = Hand::active(policy());
    hand.next_due();
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    let zero = || Event::Counted(Ok(TaskCounts { running: 0, pending: 0 }));
    hand.on(zero());
    hand.next_due();
    hand.on(zero());
    assert_eq!(hand.phase(), Phase::Deregistering);
    hand.on(Event::Deregistered(Err(ApiFailure::Rejected("Found running tasks on the instance.".into()))));
    assert_eq!(hand.phase(), Phase::Draining);
    assert_eq!(hand.next_due(), [Command::Count]);
}

#[test]
fn an_unreported_stop_keeps_the_node_alive() {
    let mut hand = Hand::active(policy());
    let (spec, name) = hand.running("t1");
    hand.exits(&name, 0);
    hand.on(Event::Submitted(spec.arn.clone(), Err(ApiFailure::Unavailable("down".into()))));
    for _ in 0..100 {
        hand.next_due();
        hand.on(Event::Submitted(spec.arn.clone(), Err(ApiFailure::Unavailable("down".into()))));
    }
    assert_eq!(hand.phase(), Phase::Active);
    assert!(hand.now.since(Timestamp(1_000_000)) > Duration::from_secs(120));
}

#[test]
fn a_restarted_node_goes_on_leaving_once_it_is_identified() {
    let mut record = Hand::active(policy()).node.record;
    if let Some(record) = &mut record {
        (record.phase, record.container_instance) = (Phase::Terminating, None);
        let reason = DrainReason::IdleFor(Duration::from_secs(60));
        record.leaving.reasons = vec![Standing { reason, since: Timestamp(1), over: false }];
    }
    let mut hand = Hand::restored(policy(), Saved { node: record, tasks: Vec::new() });
    assert_eq!(hand.on(Event::DockerUp(Vec::new())), []);
    let commands = hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    assert_eq!(commands, [Command::Terminate]);
}

#[test]
fn a_host_that_was_slow_to_register_has_not_been_idle() {
    let mut hand = Hand::restored(policy(), Saved::default());
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    hand.pass(Duration::from_secs(3600));
    hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
    hand.pass(Duration::from_secs(59));
    assert_eq!(hand.phase(), Phase::Active);
    // Nor has one whose agent did not run.
    let saved = Saved { node: hand.node.record.clone(), tasks: Vec::new() };
    let mut hand = Hand::restored(policy(), saved);
    hand.now = hand.now.after(Duration::from_secs(7200));
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
    hand.pass(Duration::from_secs(59));
    assert_eq!(hand.phase(), Phase::Active);
    hand.pass(Duration::from_secs(1));
    assert_eq!(hand.phase(), Phase::Draining);
}
