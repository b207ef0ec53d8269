//! One question to the world at a time: under way, or due at some time.

use std::time::Duration;

use crate::backoff::{Backoff, Rng};
use crate::time::Timestamp;

#[derive(Debug, Clone)]
pub(crate) struct Asking {
    under_way: bool,
    next: Option<Timestamp>,
    backoff: Backoff,
    failing_since: Option<Timestamp>,
    pub(crate) error: Option<String>,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            under_way: false,
            next: None,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            failing_since: None,
            error: None,
        }
    }
}

impl Asking {
    pub(crate) fn ready(&self, now: Timestamp) -> bool {
        !self.under_way && self.next.is_none_or(|at| at <= now)
    }

    pub(crate) fn begin(&mut self) {
        self.under_way = true;
        self.next = None;
    }

    /// An answer has come, good or bad.
    pub(crate) fn ended(&mut self) {
        self.under_way = false;
    }

    pub(crate) fn answered(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    pub(crate) fn again_at(&mut self, at: Timestamp) {
        self.next = Some(at);
    }

    /// Nothing is waited for any more; what is under way still is.
    pub(crate) fn restart(&mut self) {
        *self = Self { under_way: self.under_way, ..Self::default() };
    }

    /// Draws the pause before the next try.
    pub(crate) fn failed(&mut self, error: String, rng: &mut Rng, now: Timestamp) -> Duration {
        self.under_way = false;
        self.failing_since.get_or_insert(now);
        self.error = Some(error);
        let delay = self.backoff.full(rng);
        self.next = Some(now.after(delay));
        delay
    }

    pub(crate) fn failing_for(&self, now: Timestamp) -> Duration {
        self.failing_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    pub(crate) fn failing_since(&self) -> Option<Timestamp> {
        self.failing_since
    }

    /// While it is under way only an answer brings news.
    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        self.next.filter(|_| !self.under_way)
    }
}
