//! When to open the next session after one has ended: of ACS and of TCS alike.

use std::time::Duration;

use crate::backoff::{Backoff, Rng};

/// A session that lived this long was a good one: the next failure starts with the shortest delay again.
const GOOD: Duration = Duration::from_secs(60);
/// A clean close is followed at once, unless sessions end one after the other before they are this old.
const SHORT: Duration = Duration::from_secs(1);
/// The least pause between such sessions, and as much again at random: an endpoint that closes each at once is not hammered, and
/// one that has recovered is found within a second.
const LOOP: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Pace {
    backoff: Backoff,
    /// How many sessions in a row ended cleanly and early.
    short: u32,
}

impl Pace {
    /// `first` and `cap` are of failures.
    pub(crate) const fn new(first: Duration, cap: Duration) -> Self {
        Self { backoff: Backoff::new(first, cap), short: 0 }
    }

    /// The pause after a session that ended `clean`ly or failed; `lived` is zero for one that was never opened.
    pub(crate) fn after(&mut self, clean: bool, lived: Duration, rng: &mut Rng) -> Duration {
        if clean || lived >= GOOD {
            self.backoff.reset();
        }
        if !clean {
            return self.backoff.next(rng);
        }
        self.short = if lived < SHORT { self.short.saturating_add(1) } else { 0 };
        if self.short < 2 { Duration::ZERO } else { rng.between(LOOP, LOOP * 2) }
    }

    pub(crate) fn reset(&mut self) {
        self.backoff.reset();
        self.short = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn clean_closes_are_followed_at_once_and_a_loop_of_them_at_a_steady_pace() {
        let (mut pace, mut rng) = (Pace::new(ms(250), ms(120_000)), Rng::new(1));
        for lived in [ms(20), ms(5_000), ms(20), ms(1_000)] {
            assert_eq!(pace.after(true, lived, &mut rng), AT_ONCE, "{lived:?}");
        }
        assert_eq!(pace.after(true, ms(20), &mut rng), AT_ONCE);
        for _ in 0..50 {
            let pause = pace.after(true, ms(20), &mut rng);
            assert!((LOOP..=LOOP * 2).contains(&pause), "{pause:?}");
        }
        assert_eq!(pace.after(true, SHORT, &mut rng), AT_ONCE, "the endpoint is well again");
        assert_eq!(pace.after(true, ms(20), &mut rng), AT_ONCE);
    }

    #[test]
    fn failures_wait_longer_each_time_until_a_session_was_good_or_ended_cleanly() {
        let (mut pace, mut rng) = (Pace::new(ms(250), ms(120_000)), Rng::new(2));
        let mut fail = |pace: &mut Pace, lived| pace.after(false, lived, &mut rng);
        let longest = (0..20).map(|_| fail(&mut pace, ms(2_000))).max().unwrap_or_default();
        assert!(longest > ms(30_000) && longest <= ms(120_000), "{longest:?}");
        assert!(fail(&mut pace, GOOD) <= ms(250));
        let grown = (0..10).map(|_| fail(&mut pace, AT_ONCE)).max();
        assert!(grown > Some(ms(250)), "{grown:?}");
        assert_eq!(pace.after(true, ms(20), &mut Rng::new(3)), AT_ONCE);
        assert!(fail(&mut pace, AT_ONCE) <= ms(250));
    }
}
