//! What is not certain: after a restart, after an answer that was lost, or while ECS hangs up.

use std::time::Duration;

use super::tests::{Hand, has, policy, seen, spec, submitted};
use crate::*;

/// Through JSON, as the store does it: what is under way does not survive.
fn restarted(first: &Hand) -> Hand {
    let on_disk = |task: &task::Task| serde_json::to_string(&task.record).unwrap();
    let tasks = first.node.tasks.values().map(|t| serde_json::from_str(&on_disk(t)).unwrap()).collect();
    let mut hand = Hand::restored(policy(), Saved { node: first.node.record.clone(), tasks });
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    hand
}

#[test]
fn a_restarted_node_gives_no_container_up_before_docker_has_told() {
    let mut first = Hand::active(policy());
    let (spec, name) = first.created("t1");
    first.node.want_stop(&spec.arn);
    let mut hand = restarted(&first);
    assert!(submitted(&hand.pass(Duration::from_secs(60))).is_none());
    let commands = hand.on(Event::DockerUp(vec![(name, seen(Running::Running))]));
    assert!(has(&commands, |c| matches!(c, Command::Stop { .. })), "it had been started: {commands:?}");
}

#[test]
fn a_restarted_node_reports_nothing_older_than_what_was_told() {
    let mut first = Hand::active(policy());
    let (spec, name) = first.created("t1");
    // What it says of its container was not saved when it was sent.
    first.node.tasks.get_mut(&spec.arn).unwrap().record.containers[0].image_digest = Some("sha256:ab".into());
    let mut hand = restarted(&first);
    assert!(submitted(&hand.pass(Duration::from_secs(60))).is_none());
    let commands = hand.on(Event::DockerUp(vec![(name, seen(Running::Running))]));
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Running);
}

#[test]
fn a_container_that_is_over_before_its_start_is_answered_does_not_keep_the_loop_busy() {
    let mut hand = Hand::active(policy());
    let (spec, name) = hand.created("t1");
    let ended = seen(Running::Exited(Some(ExitCode(0))));
    hand.on(Event::Observed(name.clone(), ended.clone()));
    hand.on(Event::Submitted(spec.arn, Ok(())));
    // Hand::pass sees to it that the node then has nothing due.
    assert!(!has(&hand.pass(policy().cleanup_wait), |c| matches!(c, Command::Remove { .. })));
    let commands = hand.on(Event::Started(name, Ok(ended)));
    assert!(has(&commands, |c| matches!(c, Command::Remove { .. })), "{commands:?}");
}

#[test]
fn a_node_that_deregisters_does_not_register_again_when_ecs_hangs_up() {
    let mut hand = Hand::active(policy());
    hand.pass(Duration::from_secs(60));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 0 })));
    while !has(&hand.next_due(), |c| *c == Command::Count) {}
    let commands = hand.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 0 })));
    assert!(has(&commands, |c| *c == Command::Deregister), "{commands:?}");
    let commands = hand.on(Event::SessionClosed(CloseCause::Inactive("InactiveInstanceException".into())));
    assert!(!has(&commands, |c| matches!(c, Command::Register { .. })), "{commands:?}");
    assert_eq!(hand.on(Event::Deregistered(Ok(()))), [Command::Terminate]);
}

#[test]
fn what_docker_does_not_list_is_looked_for_before_its_task_is_reported_on() {
    let mut first = Hand::active(policy());
    let mut spec = spec("t1");
    spec.containers[0].image = "one".into();
    spec.containers.push(ContainerSpec { essential: false, ..ContainerSpec::new("side", "two") });
    let [main, side] = [0, 1].map(|i| spec.docker_name(&spec.containers[i]));
    first.run(&spec);
    let digest = ImagePulled { digest: Some("sha256:ab".into()), ..ImagePulled::default() };
    for name in [&main, &side] {
        first.on(Event::Pulled(name.clone(), Ok(digest.clone())));
        first.on(Event::Created(name.clone(), Ok(seen(Running::Created))));
    }
    first.on(Event::Submitted(spec.arn.clone(), Ok(())));
    // Both run and RUNNING was sent when the process dies, before it has written that down; then someone removes one of them.
    let mut hand = restarted(&first);
    let commands = hand.on(Event::DockerUp(vec![(side, seen(Running::Running))]));
    assert!(submitted(&commands).is_none(), "{commands:?}");
    assert!(has(&commands, |c| *c == Command::Inspect { name: main.clone() }), "{commands:?}");
    let commands = hand.on(Event::Missing(main));
    assert!(submitted(&commands).is_none_or(|change| change.status >= TaskStatus::Running), "{commands:?}");
}
