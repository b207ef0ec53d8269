//! Docker away, back, and not saying everything.

use super::*;

#[test]
fn while_docker_is_away_tasks_wait_and_go_on_when_it_is_back() {
    let mut hand = Hand::active(policy());
    let (running, running_name) = hand.running("t1");
    hand.on(Event::DockerDown("gone".into()));
    let waiting = spec("t2");
    assert!(!has(&hand.run(&waiting), |c| matches!(c, Command::Pull { .. })));
    let died = (running_name, seen(Running::Exited(Some(ExitCode(137)))));
    let commands = hand.on(Event::DockerUp(vec![died]));
    assert_eq!(submitted(&commands).unwrap().task, running.arn);
    assert!(has(&commands, |c| matches!(c, Command::Pull { .. })));
}

#[test]
fn a_container_missing_from_a_listing_is_looked_at_before_it_is_given_up() {
    let mut hand = Hand::active(policy());
    let (_, name) = hand.running("t1");
    let commands = hand.on(Event::DockerUp(Vec::new()));
    assert!(submitted(&commands).is_none());
    assert!(has(&commands, |c| matches!(c, Command::Inspect { .. })));
    let commands = hand.on(Event::Missing(name));
    let reason = submitted(&commands).unwrap().containers[0].reason.clone().unwrap();
    assert!(reason.starts_with("ContainerVanishedError"), "{reason}");
}

#[test]
fn a_start_without_an_answer_is_not_repeated_blindly() {
    let mut hand = Hand::active(policy());
    let (_, name) = hand.created("t1");
    let commands = hand.on(Event::Started(name.clone(), Err(OpFailure::Unreachable("reset".into()))));
    assert_eq!(commands, []);
    let looks = [hand.next_due(), hand.next_due()];
    assert!(looks.iter().all(|c| matches!(c.as_slice(), [Command::Inspect { .. }])), "until Docker answers: {looks:?}");
    let commands = hand.on(Event::Observed(name, seen(Running::Exited(Some(ExitCode(0))))));
    assert!(!has(&commands, |c| matches!(c, Command::Start { .. })), "it had run: {commands:?}");
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Stopped);
}

#[test]
fn docker_down_at_start_is_told_once_and_its_return_is_not_waited_out() {
    let mut hand = Hand::restored(policy(), Saved::default());
    let told = |node: &mut Node| {
        std::iter::from_fn(|| node.next_command())
            .filter(|c| matches!(c, Command::Notice(Notice::DockerDown(_))))
            .count()
    };
    for expected in [1, 0] {
        hand.node.handle(Event::DockerDown("no socket".into()), hand.now);
        assert_eq!(told(&mut hand.node), expected);
    }
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    hand.on(Event::Registered(Err(ApiFailure::Unavailable("Docker must answer first".into()))));
    hand.on(Event::DockerUp(Vec::new()));
    assert_eq!(hand.pass(Duration::ZERO), [Command::Register { previous: None }]);
}

#[test]
fn what_a_task_needs_and_does_not_get_is_its_own_reason() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    let refused = OpFailure::Refused { name: RESOURCE_ERROR, text: "Fetching secret data: no".into() };
    let commands = hand.on(Event::Created(name, Err(refused)));
    let change = submitted(&commands).unwrap();
    assert_eq!((change.reason.as_str(), change.containers[0].reason.as_deref()), ("Fetching secret data: no", None));
}

#[test]
fn containers_of_another_agent_are_counted_and_left_alone() {
    let mut hand = Hand::active(policy());
    let (_, own) = hand.running("t1");
    let strange = |running| (DockerName::new("ecs-other-1-web-0a1b2c3d4e"), seen(running));
    let list = |running| vec![(own.clone(), seen(Running::Running)), strange(running)];
    hand.node.handle(Event::DockerUp(list(Running::Running)), hand.now);
    let told: Vec<_> = std::iter::from_fn(|| hand.node.next_command()).collect();
    assert!(told.contains(&Command::Notice(Notice::Strangers { containers: 1 })), "{told:?}");
    assert!(told.iter().all(|c| matches!(c, Command::Notice(_))), "nothing is done about it: {told:?}");
    assert_eq!(hand.node.status(hand.now).strangers, 1);
    assert_eq!(hand.on(Event::Observed(strange(Running::Running).0, strange(Running::Exited(None)).1)), []);
    hand.on(Event::DockerUp(list(Running::Exited(Some(ExitCode(0))))));
    assert_eq!(hand.node.status(hand.now).strangers, 0, "only what runs uses anything");
}
