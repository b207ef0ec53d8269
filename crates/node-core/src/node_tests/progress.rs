//! A task on its way through Docker.

use super::*;

#[test]
fn a_job_runs_and_is_reported_step_by_step() {
    let mut hand = Hand::active(policy());
    let (spec, name) = hand.running("t1");
    let commands = hand.exits(&name, 7);
    let change = submitted(&commands).unwrap();
    assert_eq!((change.status, change.containers[0].exit_code), (TaskStatus::Stopped, Some(ExitCode(7))));
    assert_eq!(change.containers[0].runtime_id, Some(DockerId::new("d")));
    assert!(hand.on(Event::Submitted(spec.arn.clone(), Ok(()))).is_empty());
    let commands = hand.next_due();
    assert!(has(&commands, |c| matches!(c, Command::Remove { .. })), "{commands:?}");
    hand.on(Event::Removed(name, Ok(())));
    assert!(hand.node.status(hand.now).tasks.is_empty());
    assert!(!has(&hand.run(&spec), |c| matches!(c, Command::Pull { .. })), "a late repeat runs nothing");
}

#[test]
fn a_stop_ends_a_running_container_and_tells_its_exit_code() {
    let mut hand = Hand::active(policy());
    let (spec, name) = hand.running("t1");
    let commands =
        hand.payload(vec![PayloadTask { arn: spec.arn.clone(), work: Incoming::Stop(spec), credentials: Vec::new() }]);
    assert!(has(&commands, |c| matches!(c, Command::Stop { grace_secs: 30, .. })));
    let stopped = seen(Running::Exited(Some(ExitCode(143))));
    let commands = hand.on(Event::Stopped(name, Ok(stopped)));
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(143)));
}

#[test]
fn a_stop_while_docker_creates_waits_for_the_answer_and_starts_nothing() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    let stop = vec![PayloadTask { arn: spec.arn.clone(), work: Incoming::Stop(spec), credentials: Vec::new() }];
    assert!(submitted(&hand.payload(stop)).is_none());
    let commands = hand.on(Event::Created(name, Ok(seen(Running::Created))));
    assert!(!has(&commands, |c| matches!(c, Command::Start { .. })));
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Stopped);
}

#[test]
fn creates_and_starts_share_a_bounded_number_of_places_and_starts_go_first() {
    let mut hand = Hand::active(policy());
    let specs: Vec<_> = (0..4).map(|i| spec(&i.to_string())).collect();
    let names: Vec<_> = specs.iter().map(|s| s.docker_name(&s.containers[0])).collect();
    let mut created = 0;
    for (spec, name) in specs.iter().zip(&names) {
        hand.run(spec);
        let commands = hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
        created += commands.iter().filter(|c| matches!(c, Command::Create { .. })).count();
    }
    assert_eq!(created, 2, "the limit of the policy");
    let commands = hand.on(Event::Created(names[0].clone(), Ok(seen(Running::Created))));
    assert!(matches!(commands.as_slice(), [Command::Start { .. }]), "{commands:?}");
    let commands = hand.on(Event::Started(names[0].clone(), Ok(seen(Running::Running))));
    assert!(has(&commands, |c| matches!(c, Command::Create { name, .. } if *name == names[2])));
}

#[test]
fn what_docker_refuses_becomes_the_reason() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    let refused = OpFailure::Refused { name: "CannotCreateContainerError", text: "bad mount".into() };
    let commands = hand.on(Event::Created(name, Err(refused)));
    let change = submitted(&commands).unwrap();
    assert_eq!(change.containers[0].reason.as_deref(), Some("CannotCreateContainerError: bad mount"));
    assert_eq!(change.containers[0].exit_code, None);
}

#[test]
fn a_failed_pull_ends_the_task_only_where_the_behaviour_says_so() {
    for (behavior, goes_on) in [
        (PullBehavior::Default, true),
        (PullBehavior::PreferCached, true),
        (PullBehavior::Always, false),
        (PullBehavior::Once, false),
    ] {
        let mut hand = Hand::active(Policy { pull_behavior: behavior, ..policy() });
        let spec = spec("t1");
        let name = spec.docker_name(&spec.containers[0]);
        hand.run(&spec);
        let failure = OpFailure::Refused { name: "CannotPullContainerError", text: "not found".into() };
        let commands = hand.on(Event::Pulled(name.clone(), Err(failure)));
        assert_eq!(has(&commands, |c| matches!(c, Command::Create { .. })), goes_on, "{behavior:?}");
        let commands = if goes_on {
            let missing = OpFailure::Refused { name: "CannotCreateContainerError", text: "No such image".into() };
            hand.on(Event::Created(name, Err(missing)))
        } else {
            commands
        };
        let reason = submitted(&commands).unwrap().containers[0].reason.clone();
        assert_eq!(reason.as_deref(), Some("CannotPullContainerError: not found"), "the first error wins");
    }
}

#[test]
fn once_asks_the_registry_a_single_time() {
    let mut hand = Hand::active(Policy { pull_behavior: PullBehavior::Once, ..policy() });
    let mode = |commands: &[Command]| {
        commands.iter().find_map(|c| match c {
            Command::Pull { mode, .. } => Some(*mode),
            _ => None,
        })
    };
    let first = spec("t1");
    assert_eq!(mode(&hand.run(&first)), Some(PullMode::Always));
    let name = first.docker_name(&first.containers[0]);
    let pulled = ImagePulled { digest: Some("sha256:ab".into()), from_registry: true };
    hand.on(Event::Pulled(name, Ok(pulled)));
    assert_eq!(mode(&hand.run(&spec("t2"))), Some(PullMode::IfMissing));
}

/// A task whose main container waits for the success of `init`, and the names of both.
fn after_init() -> (Hand, TaskSpec, Vec<DockerName>) {
    let mut hand = Hand::active(policy());
    let mut spec = spec("t1");
    let mut main = spec.containers[0].clone();
    main.depends_on = vec![Dependency { container: ContainerName::new("init"), condition: Condition::Success }];
    let init = ContainerSpec { name: ContainerName::new("init"), essential: false, ..spec.containers[0].clone() };
    spec.containers = vec![main, init];
    let names = spec.containers.iter().map(|c| spec.docker_name(c)).collect();
    hand.run(&spec);
    (hand, spec, names)
}

#[test]
fn containers_wait_for_each_other_and_end_with_the_essential_one() {
    let (mut hand, _, names) = after_init();
    hand.on(Event::Pulled(names[0].clone(), Ok(ImagePulled::default())));
    let commands = hand.on(Event::Pulled(names[1].clone(), Ok(ImagePulled::default())));
    assert!(has(&commands, |c| matches!(c, Command::Create { name, .. } if *name == names[1])));
    assert!(!has(&commands, |c| matches!(c, Command::Create { name, .. } if *name == names[0])));
    hand.on(Event::Created(names[1].clone(), Ok(seen(Running::Created))));
    hand.on(Event::Started(names[1].clone(), Ok(seen(Running::Running))));
    let ok = hand.exits(&names[1], 0);
    assert!(has(&ok, |c| matches!(c, Command::Create { name, .. } if *name == names[0])), "{ok:?}");
}

#[test]
fn a_dependency_that_failed_fails_the_one_that_waits() {
    let (mut hand, spec, names) = after_init();
    for name in &names {
        hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    }
    hand.on(Event::Created(names[1].clone(), Ok(seen(Running::Created))));
    hand.on(Event::Started(names[1].clone(), Ok(seen(Running::Running))));
    hand.on(Event::Submitted(spec.arn, Ok(())));
    let commands = hand.exits(&names[1], 1);
    let change = submitted(&commands).unwrap();
    assert_eq!(change.status, TaskStatus::Stopped);
    let main = change.containers.iter().find(|c| c.name.as_str() == "default").unwrap();
    assert_eq!(main.exit_code, Some(ExitCode(143)));
    assert!(main.reason.as_deref().unwrap().contains("init"), "{main:?}");
}

#[test]
fn a_jitter_keeps_containers_longer_each_its_own_while_and_the_same_after_a_restart() {
    let jitter = Duration::from_secs(1000);
    let mut hand = Hand::active(policy());
    hand.node = hand.node.spreading_removals(jitter);
    let waits: Vec<Duration> = ["t1", "t2", "t3"].map(|id| hand.removed_after(id)).to_vec();
    assert!(
        waits.iter().all(|wait| (policy().cleanup_wait..=policy().cleanup_wait + jitter).contains(wait)),
        "{waits:?}"
    );
    assert!(waits[0] != waits[1] && waits[1] != waits[2], "{waits:?}");
    let mut again = Hand::active(policy());
    again.node = again.node.spreading_removals(jitter);
    assert_eq!(again.removed_after("t1"), waits[0]);
}

impl Hand {
    /// How long after its end a job's container is removed.
    fn removed_after(&mut self, id: &str) -> Duration {
        let (spec, name) = self.running(id);
        self.exits(&name, 0);
        self.on(Event::Submitted(spec.arn, Ok(())));
        let ended = self.now;
        while !has(&self.next_due(), |c| matches!(c, Command::Remove { .. })) {}
        self.on(Event::Removed(name, Ok(())));
        self.now.since(ended)
    }
}
