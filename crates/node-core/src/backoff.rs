//! Delays that grow, with full jitter, and the small generator they draw from.

use std::time::Duration;

use crate::fault;

/// SplitMix64: the seed comes from the shell (or from a simulation), so the same seed gives the same run.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A delay between `low` and `high`, both included.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let (low, high) = (low.as_millis() as u64, high.as_millis() as u64);
        let span = high.saturating_sub(low).saturating_add(1);
        Duration::from_millis(low + self.next_u64() % span)
    }
}

/// Doubling delays with full jitter: attempt n waits anything up to `min(first * 2^n, cap)`, so that a fleet that failed in one
/// moment does not come back in one. Half of the first delay is the least, so that nothing is tried in a tight loop.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, attempts: 0 }
    }

    pub fn next(&mut self, rng: &mut Rng) -> Duration {
        let full = self.first.saturating_mul(1u32.checked_shl(self.attempts).unwrap_or(u32::MAX)).min(self.cap);
        self.attempts = self.attempts.saturating_add(1).min(30);
        rng.between(self.first.min(full) / 2, full) + Duration::from_millis(fault::noise())
    }

    /// As [`Backoff::next`], but from no wait at all on: a whole fleet that fails together does not come back together.
    pub fn full(&mut self, rng: &mut Rng) -> Duration {
        let full = self.next(rng).max(self.first);
        rng.between(Duration::ZERO, full)
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// How many delays were drawn since the last reset.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_never_pass_it() {
        let (first, cap) = (Duration::from_millis(100), Duration::from_secs(4));
        let mut rng = Rng::new(7);
        let mut backoff = Backoff::new(first, cap);
        for n in 0..40u32 {
            let full = first.saturating_mul(2u32.saturating_pow(n)).min(cap);
            let delay = backoff.next(&mut rng);
            assert!(delay >= first / 2 && delay <= full, "{n}: {delay:?}");
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) <= first);
    }
}
