use super::*;

#[test]
fn only_jobs_that_ask_are_warned_once_with_the_signal_they_named() {
    let mut hand = Hand::active(fleet());
    hand.running("plain");
    let (_, name) = hand.running_with("asks", &[(SIGNAL_ENV, "SIGUSR1")]);
    let commands = hand.spot_in(120);
    assert_eq!(signal(&commands), Some(Signal::Usr1));
    assert_eq!(commands.iter().filter(|c| matches!(c, Command::Signal { .. })).count(), 1);
    hand.on(Event::Signalled(name, Ok(())));
    for _ in 0..5 {
        let commands = hand.pass(Duration::from_secs(20));
        assert_eq!(signal(&commands), None, "exactly once");
    }
}

#[test]
fn a_label_asks_like_a_variable_and_a_lead_waits_until_the_end_is_near() {
    let mut hand = Hand::active(fleet());
    let mut spec = spec("t1");
    let labels = format!("{{\"Labels\":{{\"{SIGNAL_LABEL}\":\"default\",\"{LEAD_LABEL}\":\"30\"}}}}");
    spec.containers[0].docker_config = Some(labels);
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    hand.on(Event::Created(name.clone(), Ok(seen(Running::Created))));
    hand.on(Event::Started(name, Ok(seen(Running::Running))));
    hand.on(Event::Submitted(spec.arn.clone(), Ok(())));
    assert_eq!(signal(&hand.spot_in(120)), None);
    let from = hand.now;
    let sent = hand.until(|c| matches!(c, Command::Signal { .. }));
    assert!(matches!(sent, Command::Signal { signal: Signal::Term, .. }));
    assert_eq!(hand.now.since(from), Duration::from_secs(90));
}

#[test]
fn a_warning_that_docker_did_not_confirm_is_sent_again_even_after_a_crash_and_a_confirmed_one_never() {
    let mut hand = Hand::active(fleet());
    let (_, name) = hand.running_with("t1", &[(SIGNAL_ENV, "default")]);
    assert!(signal(&hand.spot_in(120)).is_some());
    let late = OpFailure::Refused { name: "DockerTimeoutError", text: "30 s".into() };
    for failure in [OpFailure::Unreachable("gone".into()), late] {
        hand.on(Event::Signalled(name.clone(), Err(failure)));
        hand.until(|c| matches!(c, Command::Signal { .. }));
    }
    let here = || Event::DockerUp(vec![(name.clone(), seen(Running::Running))]);
    let mut hand = hand.crashes(fleet());
    hand.identified();
    assert!(signal(&hand.on(here())).is_some(), "nobody knows whether it was sent");
    hand.on(Event::Signalled(name.clone(), Ok(())));
    let mut hand = hand.crashes(fleet());
    hand.identified();
    assert_eq!(signal(&hand.on(here())), None);
}

#[test]
fn a_job_that_starts_after_the_notice_is_warned_as_well_and_a_new_notice_warns_again() {
    let mut hand = Hand::active(fleet());
    hand.spot_in(600);
    hand.running_with("t1", &[(SIGNAL_ENV, "default"), (LEAD_ENV, "3600")]);
    assert_eq!(hand.count(Happening::Warned), 1);
    let name = spec("t1").docker_name(&spec("t1").containers[0]);
    hand.on(Event::InterruptionCancelled(Source::Spot));
    hand.on(Event::Signalled(name, Ok(())));
    assert!(signal(&hand.spot_in(600)).is_some());
}

#[test]
fn nothing_is_killed_at_the_deadline_unless_the_policy_says_so() {
    for (reaction, kills) in [(Reaction::Drain, false), (Reaction::DrainWithDeadline, true)] {
        let mut hand = Hand::active(with(|p| p.spot = reaction));
        hand.running("t1");
        hand.spot_in(120);
        assert!(!has(&hand.pass(Duration::from_secs(119)), |c| matches!(c, Command::Stop { .. })));
        let commands = hand.pass(Duration::from_secs(2));
        assert_eq!(has(&commands, |c| matches!(c, Command::Stop { grace_secs: 0, .. })), kills, "{reaction:?}");
    }
}

#[test]
fn the_deadline_is_told_and_untold() {
    let mut hand = Hand::active(fleet());
    hand.spot_in(120);
    let at = hand.now.after(Duration::from_secs(120));
    assert_eq!(hand.node.deadline().map(|d| (d.at, d.kills)), Some((at, false)));
    let commands = hand.on(Event::InterruptionCancelled(Source::Spot));
    assert!(has(&commands, |c| *c == Command::PublishDeadline(None)));
}
