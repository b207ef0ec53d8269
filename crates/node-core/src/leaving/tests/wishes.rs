use super::*;

#[test]
fn an_idle_host_asks_for_work_and_for_its_group_before_it_drains() {
    let mut hand = Hand::active(fleet());
    let commands = hand.drains_idle(group(1, 3));
    assert_eq!(commands, [Command::SetInstanceState(InstanceState::Draining)]);
    assert!(matches!(hand.leaving().reasons.as_slice(), [DrainReason::IdleFor(_)]));
    assert_eq!(hand.deregister(), [Command::TerminateInGroup { decrement: true }]);
}

#[test]
fn waiting_work_keeps_an_idle_host_but_not_for_ever() {
    let mut hand = Hand::active(fleet());
    hand.until(|c| *c == Command::LookForWork);
    let started = hand.now;
    let mut asked = 0;
    let waiting = Waiting { runnable: 3, example: Some("job-1".into()), ..Waiting::default() };
    while hand.now.since(started) < 29 * MINUTE {
        hand.on(Event::WorkFound(Ok(waiting.clone())));
        assert!(hand.why().contains("3 RUNNABLE"), "{}", hand.why());
        let before = hand.now;
        hand.until(|c| *c == Command::LookForWork);
        let gap = hand.now.since(before);
        assert!(gap >= Duration::from_secs(30) && gap <= MINUTE, "{gap:?}");
        asked += 1;
    }
    assert!(asked > 20);
    hand.on(Event::WorkFound(Ok(waiting)));
    assert_eq!(hand.until(|c| !matches!(c, Command::LookForWork | Command::Reconcile)), Command::Preflight);
    assert_eq!(hand.count(Happening::WorkWaits), 1, "it is told once, not each time");
}

#[test]
fn queues_that_cannot_be_asked_do_not_keep_the_host() {
    let mut hand = Hand::active(fleet());
    hand.until(|c| *c == Command::LookForWork);
    let started = hand.now;
    loop {
        hand.on(Event::WorkFound(Err(denied())));
        let next = hand.until(|c| matches!(c, Command::LookForWork | Command::Preflight));
        if next == Command::Preflight {
            break;
        }
    }
    let waited = hand.now.since(started);
    assert!(waited >= 10 * MINUTE && waited < 12 * MINUTE, "{waited:?}");
}

#[test]
fn a_question_about_work_that_is_never_answered_does_not_keep_the_host_either() {
    let mut hand = Hand::active(fleet());
    hand.until(|c| *c == Command::LookForWork);
    assert_eq!(hand.until(|c| !matches!(c, Command::Reconcile | Command::FindHome)), Command::Preflight);
}

#[test]
fn at_min_size_it_stays_says_so_and_asks_again_later_each_time() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(2, 2));
    assert_eq!(hand.phase(), Phase::Active);
    assert!(hand.why().contains("at its MinSize"), "{}", hand.why());
    let first = hand.now;
    hand.drains_idle(group(2, 2));
    let second = hand.now;
    for _ in 0..6 {
        hand.drains_idle(group(2, 2));
    }
    let late = hand.now;
    hand.drains_idle(group(2, 2));
    assert!(second.since(first) <= 2 * MINUTE);
    assert!(hand.now.since(late) >= 14 * MINUTE, "{:?}", hand.now.since(late));
    hand.drains_idle(group(2, 3));
    assert_eq!(hand.phase(), Phase::Draining, "as soon as there is one to spare");
}

#[test]
fn at_min_size_it_is_replaced_where_the_policy_says_so() {
    let mut hand = Hand::active(with(|p| p.at_min_size = AtMinSize::Replace));
    hand.drains_idle(group(2, 2));
    assert_eq!(hand.deregister(), [Command::TerminateInGroup { decrement: false }]);
}

#[test]
fn a_suspended_terminate_process_is_seen_before_the_drain() {
    let mut hand = Hand::active(fleet());
    let mut facts = group(0, 2);
    facts.group.as_mut().unwrap().terminate_suspended = true;
    hand.drains_idle(facts);
    assert_eq!(hand.phase(), Phase::Active);
    assert!(hand.why().contains("Terminate process of Auto Scaling group g is suspended"), "{}", hand.why());
}

#[test]
fn a_preflight_that_fails_for_long_does_not_keep_the_host() {
    let mut hand = Hand::active(fleet());
    hand.until(|c| *c == Command::LookForWork);
    hand.on(Event::WorkFound(Ok(Waiting::default())));
    hand.on(Event::Preflight(Err(denied())));
    for _ in 0..10_000 {
        if hand.phase() != Phase::Active {
            break;
        }
        for command in hand.next_due() {
            match command {
                Command::Preflight => drop(hand.on(Event::Preflight(Err(denied())))),
                Command::LookForWork => drop(hand.on(Event::WorkFound(Ok(Waiting::default())))),
                _ => {}
            }
        }
    }
    assert_eq!(hand.phase(), Phase::Draining, "{}", hand.why());
}

#[test]
fn enough_jobs_close_the_intake_and_the_last_one_runs_to_its_end() {
    let mut hand = Hand::active(with(|p| p.max_jobs = Some(2)));
    hand.running("t1");
    assert!(hand.leaving().reasons.is_empty());
    let (spec, name) = hand.created("t2");
    hand.on(Event::Preflight(Ok(group(0, 5))));
    assert_eq!(hand.leaving().reasons, [DrainReason::JobsDone(2)]);
    let (_, third) = hand.created("t3");
    assert_eq!(hand.phase(), Phase::Draining, "what ECS still sent runs; the reason stands");
    assert_ne!(name, third);
    assert!(hand.node.tasks[&spec.arn].record.live());
}

#[test]
fn age_is_counted_from_the_boot_and_a_host_of_age_is_replaced() {
    let mut hand = Hand::active(with(|p| p.max_age = Some(10 * MINUTE)));
    let booted = Timestamp(hand.now.0 - 9 * 60_000);
    hand.on(Event::HostBooted { id: "b1".into(), at: booted });
    hand.running("t1");
    assert_eq!(hand.until(|c| *c == Command::Preflight), Command::Preflight);
    hand.on(Event::Preflight(Ok(group(2, 2))));
    assert!(
        matches!(hand.leaving().reasons.as_slice(), [DrainReason::Age(_)]),
        "MinSize is no obstacle to a replacement"
    );
}

#[test]
fn the_idle_time_starts_anew_with_the_end_of_each_job() {
    let mut hand = Hand::active(fleet());
    hand.pass(Duration::from_secs(50));
    let (spec, name) = hand.running("t1");
    hand.pass(10 * MINUTE);
    assert_eq!(hand.phase(), Phase::Active);
    hand.exits(&name, 0);
    hand.on(Event::Submitted(spec.arn, Ok(())));
    let end = hand.now;
    hand.until(|c| *c == Command::LookForWork);
    assert_eq!(hand.now.since(end), MINUTE);
}

#[test]
fn a_clock_set_back_does_not_put_a_wish_off() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(1, 3));
    let mut hand = hand.crashes(fleet());
    hand.now = Timestamp(hand.now.0 - 60_000);
    hand.identified();
    assert_eq!(hand.phase(), Phase::Draining, "{}", hand.why());
}

#[test]
fn a_host_that_asks_once_more_still_says_why_it_has_stayed() {
    let mut hand = Hand::active(fleet());
    hand.drains_idle(group(2, 2));
    assert!(hand.why().contains("MinSize"), "{}", hand.why());
    hand.until(|c| *c == Command::LookForWork);
    assert!(hand.why().contains("MinSize"), "{}", hand.why());
}
