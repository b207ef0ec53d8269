//! State changes on their way to ECS.

use super::*;

#[test]
fn running_is_reported_without_waiting_for_the_disk_and_saved_right_after() {
    let mut hand = Hand::active(policy());
    let (_, name) = hand.created("t1");
    hand.node.take_saves();
    let commands = hand.on(Event::Started(name, Ok(seen(Running::Running))));
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Running);
    assert!(hand.node.take_saves().is_empty());
    assert!(hand.node.poll_timeout().unwrap() <= hand.now, "the next turn is due at once");
    let saves = hand.node.take_saves();
    assert!(matches!(saves.as_slice(), [Save::Task(t)] if t.containers[0].stage == Stage::Running));
}

#[test]
fn reports_are_tried_until_ecs_takes_them_and_never_more_than_ten_at_once() {
    let mut hand = Hand::active(policy());
    for i in 0..12 {
        let spec = spec(&format!("{i:02}"));
        hand.payload(vec![PayloadTask { arn: spec.arn.clone(), work: Incoming::Stop(spec), credentials: Vec::new() }]);
    }
    let in_flight = hand.node.tasks.values().filter(|t| t.in_flight.is_some()).count();
    assert_eq!(in_flight, 10);
    let first = spec("00").arn;
    for i in 1..12 {
        hand.on(Event::Submitted(spec(&format!("{i:02}")).arn, Ok(())));
    }
    for _ in 0..50 {
        hand.on(Event::Submitted(first.clone(), Err(ApiFailure::Unavailable("500".into()))));
        let mut waited = Duration::ZERO;
        while hand.node.tasks[&first].in_flight.is_none() {
            let before = hand.now;
            hand.next_due();
            waited += hand.now.since(before);
        }
        assert!(waited <= Duration::from_secs(5), "delivered within 5 s of a recovery, waited {waited:?}");
    }
    let dropped = ApiFailure::Rejected("InvalidParameterException".into());
    hand.on(Event::Submitted(first.clone(), Err(dropped)));
    assert!(!hand.node.tasks[&first].record.live());
}
