//! When a session is to be given up: silence, and old age.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Each limit is `base` plus a random share of `spread`, so that a fleet does not reconnect in step
/// (amazon-ecs-agent, `ecs-agent/acs/session/session.go`).
#[derive(Debug, Clone, Copy)]
pub(in crate::ecs) struct Limits {
    /// Silence: no message of a known type. It lies below amazon-ecs-agent's read deadline of 3 minutes, which
    /// therefore never comes to pass and is not kept here.
    pub(in crate::ecs) silence: Span,
    /// Age at which the session is closed and opened anew.
    pub(in crate::ecs) age: Span,
    /// How long the answer to our close frame may take.
    pub(in crate::ecs) goodbye: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::ecs) struct Span {
    pub(in crate::ecs) base: Duration,
    pub(in crate::ecs) spread: Duration,
}

impl Limits {
    pub(in crate::ecs) const ACS: Self = Self {
        silence: Span { base: Duration::from_secs(60), spread: Duration::from_secs(60) },
        age: Span { base: Duration::from_secs(30 * 60), spread: Duration::from_secs(5 * 60) },
        goodbye: Duration::from_secs(10),
    };
}

impl Span {
    fn draw(self) -> Duration {
        // 32 of a version 4 UUID's random bits.
        let bits = Uuid::new_v4().as_fields().0;
        self.base + self.spread.mul_f64(f64::from(bits) / f64::from(u32::MAX))
    }
}

/// What has come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ecs) enum Due {
    Silent,
    Old,
    /// We said goodbye, and the other side did not.
    Unanswered,
}

#[derive(Debug)]
pub(in crate::ecs) struct Liveness {
    limits: Limits,
    silent_at: Instant,
    old_at: Instant,
    goodbye_until: Option<Instant>,
}

impl Liveness {
    pub(in crate::ecs) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, silent_at: now + limits.silence.draw(), old_at: now + limits.age.draw(), goodbye_until: None }
    }

    /// A message of a known type came in.
    pub(in crate::ecs) fn heard(&mut self, now: Instant) {
        self.silent_at = now + self.limits.silence.draw();
    }

    /// We sent a close frame: all that is left to wait for is the answer.
    pub(in crate::ecs) fn closing(&mut self, now: Instant) {
        self.goodbye_until = Some(now + self.limits.goodbye);
    }

    pub(in crate::ecs) fn is_closing(&self) -> bool {
        self.goodbye_until.is_some()
    }

    /// What comes next, and when.
    pub(in crate::ecs) fn next(&self) -> (Instant, Due) {
        if let Some(until) = self.goodbye_until {
            (until, Due::Unanswered)
        } else if self.silent_at <= self.old_at {
            (self.silent_at, Due::Silent)
        } else {
            (self.old_at, Due::Old)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_comes_first_and_every_message_puts_it_off() {
        let start = Instant::now();
        let mut liveness = Liveness::new(Limits::ACS, start);
        let (at, due) = liveness.next();
        assert_eq!(due, Due::Silent);
        assert!(at >= start + Duration::from_secs(60) && at <= start + Duration::from_secs(120));
        liveness.heard(start + Duration::from_secs(50));
        assert!(liveness.next().0 >= start + Duration::from_secs(110));
    }

    #[test]
    fn a_session_grows_old_however_lively_it_is() {
        let start = Instant::now();
        let mut liveness = Liveness::new(Limits::ACS, start);
        liveness.heard(start + Duration::from_secs(35 * 60));
        let (at, due) = liveness.next();
        assert_eq!(due, Due::Old);
        assert!(at >= start + Duration::from_secs(1800) && at <= start + Duration::from_secs(2100));
    }

    #[test]
    fn after_our_goodbye_only_the_answer_counts() {
        let start = Instant::now();
        let mut liveness = Liveness::new(Limits::ACS, start);
        assert!(!liveness.is_closing());
        liveness.closing(start);
        assert_eq!(liveness.next(), (start + Limits::ACS.goodbye, Due::Unanswered));
        assert!(liveness.is_closing());
    }
}
