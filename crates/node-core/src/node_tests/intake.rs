//! Work coming in: payloads, stops, manifests.

use super::*;

#[test]
fn a_payload_is_saved_before_it_is_acknowledged() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let work = Incoming::Run(spec.clone());
    hand.node.handle(
        Event::Payload(Payload {
            message: MessageId::new("m"),
            cluster: ClusterRef::new("c"),
            container_instance: ContainerInstanceArn::new("ci"),
            seq_num: 1,
            tasks: vec![PayloadTask { arn: spec.arn.clone(), work, credentials: Vec::new() }],
            unaddressed: false,
        }),
        hand.now,
    );
    let saves = hand.node.take_saves();
    assert!(saves.iter().any(|s| matches!(s, Save::Task(t) if *t.arn() == spec.arn)));
    assert!(has(&hand.commands(), |c| matches!(c, Command::Ack { .. })));
}

#[test]
fn a_repeated_payload_changes_nothing_and_is_acknowledged() {
    let mut hand = Hand::active(policy());
    let (spec, _) = hand.running("t1");
    let commands = hand.run(&spec);
    assert!(matches!(commands.as_slice(), [Command::Ack { .. }]), "{commands:?}");
}

#[test]
fn an_unreadable_task_is_reported_as_stopped_beside_a_good_one() {
    let mut hand = Hand::active(policy());
    let good = spec("good");
    let bad = TaskArn::new("arn:aws:ecs:us-east-1:1:task/c/bad");
    let commands = hand.payload(vec![
        PayloadTask { arn: bad.clone(), work: Incoming::Invalid("no such volume".into()), credentials: Vec::new() },
        PayloadTask { arn: good.arn.clone(), work: Incoming::Run(good), credentials: Vec::new() },
    ]);
    let change = submitted(&commands).unwrap();
    assert_eq!((&change.task, change.status), (&bad, TaskStatus::Stopped));
    assert_eq!(change.reason, "UnrecogniedTaskError: Error loading task - no such volume");
    assert!(has(&commands, |c| matches!(c, Command::Pull { .. })));
    assert!(has(&commands, |c| matches!(c, Command::Ack { .. })));
}

#[test]
fn a_stop_for_a_task_never_seen_is_reported_as_stopped() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let commands =
        hand.payload(vec![PayloadTask { arn: spec.arn.clone(), work: Incoming::Stop(spec), credentials: Vec::new() }]);
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Stopped);
    assert!(!has(&commands, |c| matches!(c, Command::Pull { .. } | Command::Stop { .. })));
}

#[test]
fn a_manifest_that_misses_a_task_is_asked_about_before_anything_is_stopped() {
    let mut hand = Hand::active(policy());
    let (kept, _) = hand.running("kept");
    let (lost, _) = hand.running("lost");
    let manifest = |timeline| Event::Manifest {
        message: MessageId::new("m9"),
        cluster: ClusterRef::new("c"),
        container_instance: ContainerInstanceArn::new("ci"),
        timeline,
        running: vec![kept.arn.clone()],
    };
    assert!(hand.on(manifest(1)).is_empty(), "not newer than the payload");
    let commands = hand.on(manifest(2));
    assert!(has(&commands, |c| matches!(c, Command::VerifyStops { candidates, .. } if candidates.len() == 1)));
    assert!(!has(&commands, |c| matches!(c, Command::Stop { .. })));
    let stale = Event::StopsVerified { message: MessageId::new("m8"), tasks: vec![lost.arn.clone()] };
    assert!(hand.on(stale).is_empty());
    let commands = hand.on(Event::StopsVerified { message: MessageId::new("m9"), tasks: vec![lost.arn.clone()] });
    assert!(has(&commands, |c| matches!(c, Command::Stop { task, .. } if *task == lost.arn)));
}

#[test]
fn a_task_that_can_never_run_is_reported_with_its_own_words() {
    let mut hand = Hand::active(policy());
    let arn = spec("t1").arn;
    let reason = format!("Task dependencies cannot be resolved, taskArn: {arn}");
    let work = Incoming::Refused(reason.clone());
    let commands = hand.payload(vec![PayloadTask { arn, work, credentials: Vec::new() }]);
    let change = submitted(&commands).unwrap();
    assert_eq!((change.status, &change.reason), (TaskStatus::Stopped, &reason));
    assert!(has(&commands, |c| matches!(c, Command::Ack { .. })));
}

#[test]
fn a_manifest_does_not_ask_about_what_is_ending_anyway() {
    let mut hand = Hand::active(policy());
    let mut spec = spec("t1");
    let side = ContainerSpec { name: ContainerName::new("side"), essential: false, ..spec.containers[0].clone() };
    spec.containers.push(side);
    let names: Vec<_> = spec.containers.iter().map(|c| spec.docker_name(c)).collect();
    hand.run(&spec);
    for name in &names {
        hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
        hand.on(Event::Created(name.clone(), Ok(seen(Running::Created))));
        hand.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
    }
    hand.exits(&names[0], 0);
    let commands = hand.on(Event::Manifest {
        message: MessageId::new("m9"),
        cluster: ClusterRef::new("c"),
        container_instance: ContainerInstanceArn::new("ci"),
        timeline: 9,
        running: Vec::new(),
    });
    assert!(matches!(commands.as_slice(), [Command::Ack { .. }]), "{commands:?}");
}
