//! Registration and the ACS session.

use super::*;

#[test]
fn a_baked_image_of_another_host_starts_clean() {
    let mut first = Hand::active(policy());
    let (_, _) = first.running("t1");
    let record = first.node.record.clone();
    let tasks = first.node.tasks.values().map(|t| t.record.clone()).collect();
    let mut hand = Hand::restored(policy(), Saved { node: record, tasks });
    let commands = hand.on(Event::Identified { instance: InstanceId::new("i-2"), cluster: ClusterRef::new("c") });
    assert_eq!(commands, [Command::Register { previous: None }]);
    assert!(matches!(hand.node.take_saves().first(), Some(Save::Clear)));
    assert!(hand.node.status(hand.now).tasks.is_empty());
}

#[test]
fn a_restart_registers_with_the_arn_it_had() {
    let first = Hand::active(policy());
    let saved = Saved { node: first.node.record, tasks: Vec::new() };
    let mut hand = Hand::restored(policy(), saved);
    let commands = hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    assert_eq!(commands, [Command::Register { previous: Some(ContainerInstanceArn::new("ci")) }]);
    hand.on(Event::Registered(Err(ApiFailure::Gone("INACTIVE".into()))));
    assert_eq!(hand.next_due(), [Command::Register { previous: None }]);
}

/// The shell cannot carry out a command before it knows who it is, and one that is not answered would wait for ever.
#[test]
fn a_restarted_node_asks_for_nothing_until_it_is_identified() {
    let mut first = Hand::active(policy());
    let (spec, name) = first.running("t1");
    let tasks = vec![first.node.tasks[&spec.arn].record.clone()];
    let node = first.node.record.clone();
    let mut hand = Hand::restored(policy(), Saved { node, tasks });
    let ended = (name, seen(Running::Exited(Some(ExitCode(3)))));
    assert_eq!(hand.on(Event::DockerUp(vec![ended])), []);
    assert_eq!(hand.pass(Duration::from_secs(3600)), []);
    assert_eq!(hand.node.poll_timeout(), None);
    let commands = hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    assert!(has(&commands, |c| matches!(c, Command::Register { .. })), "{commands:?}");
    let change = submitted(&commands).unwrap();
    assert_eq!((change.status, change.containers[0].exit_code), (TaskStatus::Stopped, Some(ExitCode(3))));
}

#[test]
fn a_refused_registration_ends_the_process_for_good() {
    let mut hand = Hand::restored(policy(), Saved::default());
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    let commands = hand.on(Event::Registered(Err(ApiFailure::Rejected("bad".into()))));
    assert!(matches!(commands.as_slice(), [Command::Exit { code: 5, .. }]));
}

#[test]
fn what_may_yet_be_mended_is_tried_until_ecs_takes_the_host() {
    let failures: [fn(String) -> ApiFailure; 4] =
        [ApiFailure::Unavailable, ApiFailure::Throttled, ApiFailure::Denied, ApiFailure::Gone];
    for failure in failures {
        let mut hand = Hand::restored(policy(), Saved::default());
        hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let before = hand.now;
            hand.on(Event::Registered(Err(failure("refused".into()))));
            while !has(&hand.next_due(), |c| *c == Command::Register { previous: None }) {}
            longest = longest.max(hand.now.since(before));
        }
        assert!((Duration::from_secs(30)..=Duration::from_secs(60)).contains(&longest), "{longest:?}");
    }
}

/// amazon-ecs-agent's message for a host whose instance type was changed while it was stopped.
#[test]
fn a_changed_instance_type_ends_the_process_and_a_void_registration_does_not() {
    let register = |failure: ApiFailure| {
        let first = Hand::active(policy());
        let mut hand = Hand::restored(policy(), Saved { node: first.node.record, tasks: Vec::new() });
        hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
        let mut commands = hand.on(Event::Registered(Err(failure)));
        commands.extend(hand.next_due());
        commands
    };
    let changed = "ClientException: Container instance type changes are not supported.";
    let ended = register(ApiFailure::Rejected(changed.into()));
    assert!(has(&ended, |c| matches!(c, Command::Exit { code: 5, reason } if reason.contains("type changes"))));
    for void in [ApiFailure::Rejected("ClientException: no".into()), ApiFailure::Gone("INACTIVE".into())] {
        let again = register(void);
        assert!(has(&again, |c| *c == Command::Register { previous: None }), "{again:?}");
        assert!(!has(&again, |c| matches!(c, Command::Exit { .. })));
    }
}

#[test]
fn a_lost_session_is_opened_again_with_growing_patience() {
    let mut hand = Hand::active(policy());
    hand.pass(Duration::from_secs(2));
    hand.on(Event::SessionClosed(CloseCause::Clean));
    assert!(has(&hand.next_due(), |c| matches!(c, Command::Connect { send_credentials: false, .. })));
    let mut longest = Duration::ZERO;
    for _ in 0..12 {
        let before = hand.now;
        hand.on(Event::SessionClosed(CloseCause::Failed("refused".into())));
        while !has(&hand.next_due(), |c| matches!(c, Command::Connect { .. })) {}
        longest = longest.max(hand.now.since(before));
    }
    assert!(longest >= Duration::from_secs(30) && longest <= Duration::from_secs(120), "{longest:?}");
}

#[test]
fn a_deregistered_host_without_tasks_registers_anew_at_once() {
    let mut hand = Hand::active(policy());
    let commands = hand.on(Event::SessionClosed(CloseCause::Inactive("InactiveInstanceException".into())));
    assert_eq!(commands, [Command::Register { previous: None }, Command::FindHome]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut hand = Hand::active(policy());
        hand.on(Event::SessionClosed(CloseCause::Failed("x".into())));
        hand.node.poll_timeout()
    };
    assert_eq!(run(), run());
}
