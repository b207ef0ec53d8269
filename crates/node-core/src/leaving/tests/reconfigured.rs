//! Another policy while the node runs.

use super::*;

impl Hand {
    fn reconfigure(&mut self, change: impl FnOnce(&mut Policy)) {
        let mut policy = self.node.policy;
        change(&mut policy);
        self.node.reconfigure(policy, None);
    }

    fn causes(&self) -> Vec<Cause> {
        self.leaving().reasons.iter().map(DrainReason::cause).collect()
    }
}

#[test]
fn a_shorter_idle_time_counts_from_the_last_job_and_none_keeps_the_host() {
    let mut hand = Hand::active(Policy { idle_timeout: Some(60 * MINUTE), ..policy() });
    hand.pass(10 * MINUTE);
    hand.reconfigure(|p| p.idle_timeout = None);
    hand.pass(90 * MINUTE);
    assert_eq!(hand.phase(), Phase::Active, "{}", hand.why());
    hand.reconfigure(|p| p.idle_timeout = Some(100 * MINUTE + MINUTE));
    hand.pass(Duration::ZERO);
    assert_eq!(hand.phase(), Phase::Active, "{}", hand.why());
    hand.reconfigure(|p| p.idle_timeout = Some(5 * MINUTE));
    let commands = hand.pass(Duration::ZERO);
    assert_eq!((hand.phase(), hand.causes()), (Phase::Draining, vec![Cause::Idle]));
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Draining)), "{commands:?}");
}

#[test]
fn a_reason_that_stands_outlives_a_policy_under_which_it_would_not_have_come() {
    let mut hand = Hand::active(with(|p| p.spot = Reaction::DrainWithDeadline));
    hand.running("t1");
    hand.spot_in(120);
    hand.reconfigure(|p| {
        p.leaving.spot = Reaction::Ignore;
        p.idle_timeout = None;
    });
    // The metadata service tells it anew each time it is asked.
    for _ in 0..3 {
        hand.spot_in(120);
        hand.pass(Duration::from_secs(20));
    }
    assert_eq!((hand.phase(), hand.causes()), (Phase::Draining, vec![Cause::Spot]));
    let commands = hand.pass(2 * MINUTE);
    assert!(!has(&commands, |c| matches!(c, Command::Stop { .. })), "it no longer kills: {commands:?}");
    hand.on(Event::InterruptionCancelled(Source::Spot));
    assert_eq!((hand.phase(), hand.causes()), (Phase::Active, vec![]));
    hand.spot_in(120);
    assert_eq!(hand.phase(), Phase::Active, "by now it is ignored");
}

#[test]
fn a_deadline_that_stands_kills_once_the_policy_says_so() {
    let mut hand = Hand::active(fleet());
    hand.running("t1");
    hand.spot_in(120);
    hand.pass(3 * MINUTE);
    hand.reconfigure(|p| p.leaving.spot = Reaction::DrainWithDeadline);
    let commands = hand.pass(Duration::ZERO);
    assert!(has(&commands, |c| matches!(c, Command::Stop { grace_secs: 0, .. })), "{commands:?}");
}
