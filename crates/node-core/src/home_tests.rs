use std::time::Duration;

use super::*;
use crate::node::tests::{Hand, has, policy, spec};
use crate::*;

fn found(cluster: &str) -> Event {
    Event::Home(Ok(Home { cluster: ClusterRef::new(cluster), remark: None }))
}

fn gone() -> ApiFailure {
    ApiFailure::Gone("ClusterNotFoundException: Cluster not found.".into())
}

fn inactive() -> Event {
    Event::SessionClosed(CloseCause::Inactive("InactiveInstanceException".into()))
}

fn join(cluster: &str, leave: Option<&str>) -> Command {
    Command::Join { cluster: ClusterRef::new(cluster), leave: leave.map(ContainerInstanceArn::new) }
}

fn asks(commands: &[Command]) -> bool {
    has(commands, |c| *c == Command::FindHome)
}

fn patient() -> Policy {
    Policy { idle_timeout: None, ..policy() }
}

fn passes_until_asked(hand: &mut Hand) -> Duration {
    let before = hand.now;
    while !asks(&hand.next_due()) {}
    hand.now.since(before)
}

#[test]
fn batch_is_asked_now_and_then_and_an_unchanged_answer_changes_nothing() {
    let mut hand = Hand::active(patient());
    for _ in 0..3 {
        let waited = passes_until_asked(&mut hand);
        assert!((LOOK_LOW..=LOOK_HIGH + Duration::from_secs(60)).contains(&waited), "{waited:?}");
        assert_eq!(hand.on(found("c")), []);
    }
}

#[test]
fn a_host_without_tasks_follows_at_once_after_its_session_has_ended() {
    let mut hand = Hand::active(patient());
    passes_until_asked(&mut hand);
    assert_eq!(hand.on(found("c2")), [join("c2", Some("ci"))]);
    assert_eq!(hand.node.phase(), Phase::Registering);
    // A payload that the old session still brought is not taken.
    assert_eq!(hand.run(&spec("late")), []);
    assert_eq!(hand.on(Event::SessionClosed(CloseCause::Clean)), [Command::Register { previous: None }]);
    let commands = hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci2"))));
    assert!(has(
        &commands,
        |c| matches!(c, Command::Connect { container_instance, .. } if container_instance.as_str() == "ci2")
    ));
    let status = hand.node.status(hand.now);
    assert_eq!((status.phase, status.cluster.unwrap().as_str().to_owned()), (Phase::Active, "c2".to_owned()));
}

#[test]
fn a_cluster_that_is_gone_is_asked_about_at_once_and_the_new_one_joined() {
    let mut hand = Hand::active(patient());
    assert!(asks(&hand.on(inactive())));
    assert_eq!(hand.on(Event::Registered(Err(gone()))), []);
    assert_eq!(hand.on(found("c2")), [join("c2", None), Command::Register { previous: None }]);
}

#[test]
fn a_follower_waits_for_the_answer_to_a_registration_under_way() {
    let mut hand = Hand::active(patient());
    assert!(asks(&hand.on(inactive())));
    assert_eq!(hand.on(found("c2")), []);
    let commands = hand.on(Event::Registered(Err(gone())));
    assert_eq!(commands, [join("c2", None), Command::Register { previous: None }]);
}

#[test]
fn tasks_end_first_and_no_new_ones_are_taken() {
    let mut hand = Hand::active(patient());
    let (first, name) = hand.running("t1");
    passes_until_asked(&mut hand);
    assert_eq!(hand.on(found("c2")), []);
    let why = hand.node.status(hand.now).why;
    assert!(why.contains("new cluster, c2") && why.contains("1 task(s)"), "{why}");
    let new = spec("t2");
    assert_eq!(hand.run(&new), [], "neither taken nor acknowledged");
    assert_eq!(hand.node.live_tasks(), 1);
    assert!(has(&hand.run(&first), |c| matches!(c, Command::Ack { .. })), "a repeat is acknowledged");
    assert!(has(&hand.exits(&name, 3), |c| matches!(c, Command::Submit(_))));
    assert_eq!(hand.on(Event::Submitted(first.arn.clone(), Ok(()))), [join("c2", Some("ci"))]);
}

#[test]
fn what_the_old_cluster_does_not_hear_any_more_does_not_hold_the_host() {
    let mut hand = Hand::active(patient());
    let (spec, name) = hand.running("t1");
    assert!(asks(&hand.on(inactive())));
    hand.on(found("c2"));
    assert!(has(&hand.exits(&name, 0), |c| matches!(c, Command::Submit(_))));
    let commands = hand.on(Event::Submitted(spec.arn, Err(gone())));
    assert_eq!(commands, [join("c2", Some("ci")), Command::Register { previous: None }]);
}

#[test]
fn a_restart_in_between_lets_the_tasks_of_the_old_cluster_end() {
    let mut first = Hand::active(patient());
    let (spec, name) = first.running("t1");
    let tasks: Vec<TaskRecord> = first.node.task_records().into_iter().cloned().collect();
    let observed = Observation {
        id: DockerId::new("d"),
        running: Running::Running,
        oom_killed: false,
        error: String::new(),
        started_at: None,
        finished_at: None,
        bindings: Vec::new(),
        health: None,
    };
    for moving_to in [None, Some(ClusterRef::new("c2"))] {
        let node = first.node.record().cloned().map(|record| NodeRecord { moving_to, ..record });
        let mut hand = Hand::restored(patient(), Saved { node, tasks: tasks.clone() });
        let commands = hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c2") });
        let previous = Some(ContainerInstanceArn::new("ci"));
        assert_eq!(commands, [join("c", None), Command::Register { previous }], "it speaks to the old one");
        hand.on(Event::DockerUp(vec![(name.clone(), observed.clone())]));
        assert!(!has(&hand.on(Event::Registered(Err(gone()))), |c| matches!(c, Command::Register { .. })));
        assert!(has(&hand.exits(&name, 0), |c| matches!(c, Command::Submit(_))), "reports need no registration");
        let commands = hand.on(Event::Submitted(spec.arn.clone(), Err(gone())));
        assert_eq!(commands[..2], [join("c2", None), Command::Register { previous: None }]);
    }
}

#[test]
fn a_move_that_was_saved_is_the_registration_of_the_next_start() {
    let mut hand = Hand::active(patient());
    passes_until_asked(&mut hand);
    hand.on(found("c2"));
    let saved = hand.node.take_saves();
    let record = saved.iter().find_map(|save| if let Save::Node(record) = save { Some(record) } else { None }).unwrap();
    assert_eq!((record.cluster.as_str(), &record.container_instance, &record.moving_to), ("c2", &None, &None));
    let mut again = Hand::restored(patient(), Saved { node: Some((**record).clone()), tasks: Vec::new() });
    let commands = again.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c2") });
    assert_eq!(commands, [Command::Register { previous: None }]);
}

#[test]
fn a_move_that_is_taken_back_is_forgotten() {
    let mut hand = Hand::active(patient());
    let (_, _) = hand.running("t1");
    assert!(asks(&hand.on(inactive())));
    hand.on(found("c2"));
    passes_until_asked(&mut hand);
    hand.on(found("c"));
    assert!(!hand.node.status(hand.now).why.contains("new cluster"));
    assert!(has(&hand.run(&spec("t2")), |c| matches!(c, Command::Ack { .. })));
}

#[test]
fn trouble_is_told_once_shown_and_asked_about_with_patience() {
    let mut hand = Hand::active(patient());
    let notices = |hand: &mut Hand, event: Event| {
        hand.node.handle(event, hand.now);
        let all: Vec<Command> = std::iter::from_fn(|| hand.node.next_command()).collect();
        all.iter().filter(|c| matches!(c, Command::Notice(Notice::HomeTrouble(_)))).count()
    };
    hand.on(inactive());
    hand.on(Event::Registered(Err(gone())));
    let trouble = || Event::Home(Err("compute environment \"ce\" is INVALID (no role)".into()));
    assert_eq!(notices(&mut hand, trouble()), 1);
    assert!(hand.node.status(hand.now).why.ends_with("; compute environment \"ce\" is INVALID (no role)"));
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        longest = longest.max(passes_until_asked(&mut hand));
        assert_eq!(notices(&mut hand, trouble()), 0);
        hand.on(Event::Registered(Err(gone())));
    }
    assert!(longest > Duration::from_secs(15) && longest <= Duration::from_secs(60), "{longest:?}");
    passes_until_asked(&mut hand);
    hand.on(Event::Registered(Err(gone())));
    assert!(has(&hand.on(found("c2")), |c| matches!(c, Command::Join { .. })));
}

#[test]
fn many_failures_at_once_ask_once() {
    let mut hand = Hand::active(patient());
    let tasks: Vec<_> = (0..5).map(|i| hand.running(&format!("t{i}"))).collect();
    let mut asked = 0;
    for (spec, name) in &tasks {
        hand.exits(name, 0);
        asked += usize::from(asks(&hand.on(Event::Submitted(spec.arn.clone(), Err(gone())))));
        if asked == 1 {
            hand.on(found("c"));
        }
    }
    assert_eq!(asked, 1);
}
