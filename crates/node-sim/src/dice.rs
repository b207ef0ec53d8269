//! What a seed decides, decision by decision.

use node_core::Rng;

#[derive(Debug)]
pub(crate) struct Dice(Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds are to share nothing.
        Self(Rng::new(Rng::new(seed).next_u64()))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 0 up to and without `limit`; 0 for 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit.max(1)
    }

    /// Both ends included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True with a chance of `n` in a thousand.
    pub(crate) fn permille(&mut self, n: u64) -> bool {
        n > 0 && self.below(1_000) < n
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.one_in(2)
    }

    /// Mostly small, now and then close to `high`: waits and lengths of every order of magnitude.
    pub(crate) fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).max(1);
        let bits = 64 - span.leading_zeros();
        let cap = 1u64 << self.below(u64::from(bits) + 1);
        low + self.below(cap.min(span + 1))
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T], or: T) -> T {
        let at = self.below(of.len() as u64) as usize;
        of.get(at).copied().unwrap_or(or)
    }
}
