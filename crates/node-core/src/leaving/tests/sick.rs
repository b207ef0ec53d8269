use super::*;

fn full() -> Event {
    Event::Health(Ailment::DiskFull, Finding::Sick("/ is 98 % full".into()))
}

#[test]
fn a_sick_host_stops_its_intake_finishes_its_jobs_and_is_replaced() {
    let mut hand = Hand::active(fleet());
    let (spec, name) = hand.running("t1");
    assert!(has(&hand.on(full()), |c| *c == Command::SetInstanceState(InstanceState::Draining)));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    assert!(hand.why().contains("98 % full"), "{}", hand.why());
    hand.exits(&name, 0);
    hand.on(Event::Submitted(spec.arn, Ok(())));
    hand.zero();
    hand.pass(Duration::from_secs(3));
    hand.zero();
    hand.on(Event::Deregistered(Ok(())));
    let commands = hand.on(Event::Preflight(Ok(group(1, 4))));
    assert_eq!(commands, [Command::TerminateInGroup { decrement: false }]);
}

#[test]
fn a_host_that_is_well_again_before_it_has_left_works_on() {
    for (recovers, phase) in [(true, Phase::Active), (false, Phase::Draining)] {
        let mut hand = Hand::active(with(|p| p.recovers = recovers));
        hand.on(full());
        hand.on(Event::Health(Ailment::DiskFull, Finding::Well));
        assert_eq!(hand.phase(), phase);
    }
}

#[test]
fn docker_gone_for_minutes_makes_the_host_sick_and_its_return_well() {
    let mut hand = Hand::active(fleet());
    hand.running("t1");
    hand.on(Event::DockerDown("no socket".into()));
    assert!(hand.pass(4 * MINUTE).is_empty());
    assert!(has(&hand.pass(MINUTE), |c| *c == Command::SetInstanceState(InstanceState::Draining)));
    hand.on(Event::DockerUp(Vec::new()));
    assert_eq!(hand.phase(), Phase::Active);
}

#[test]
fn a_dead_docker_does_not_keep_the_host_for_ever() {
    let mut hand = Hand::active(fleet());
    hand.running("t1");
    let from = hand.now;
    hand.on(Event::DockerDown("no socket".into()));
    hand.until(|c| matches!(c, Command::SetInstanceState(_)));
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    hand.until(|c| *c == Command::Preflight);
    assert_eq!(hand.phase(), Phase::Terminating);
    let waited = hand.now.since(from);
    assert!(waited >= 60 * MINUTE && waited <= 62 * MINUTE, "{waited:?}");
}

#[test]
fn without_a_session_for_long_the_host_is_sick_until_there_is_one() {
    let mut hand = Hand::active(Policy { idle_timeout: None, ..fleet() });
    hand.on(Event::SessionClosed(CloseCause::Failed("refused".into())));
    let from = hand.now;
    while hand.phase() == Phase::Active {
        let closed = hand.next_due().iter().any(|c| matches!(c, Command::Connect { .. }));
        if closed {
            hand.on(Event::SessionClosed(CloseCause::Failed("refused".into())));
        }
    }
    assert_eq!(hand.now.since(from), 30 * MINUTE);
    hand.on(Event::SessionOpened);
    assert_eq!(hand.phase(), Phase::Active);
}

#[test]
fn a_docker_that_came_back_is_not_dead_even_where_the_host_stays_sick() {
    let mut hand = Hand::active(with(|p| p.recovers = false));
    hand.running("t1");
    hand.on(Event::DockerDown("no socket".into()));
    hand.pass(6 * MINUTE);
    let runs = || Event::DockerUp(vec![(spec("t1").docker_name(&spec("t1").containers[0]), seen(Running::Running))]);
    hand.on(runs());
    hand.pass(120 * MINUTE);
    hand.on(Event::DockerDown("no socket".into()));
    hand.pass(MINUTE);
    hand.on(runs());
    assert_eq!((hand.phase(), hand.count(Happening::CutOff)), (Phase::Draining, 0));
}
