//! How often a client may ask: a token bucket each (amazon-ecs-agent, `ECS_TASK_METADATA_RPS_LIMIT`).
//!
//! amazon-ecs-agent counts by address alone, so that all jobs on the host's network share one bucket. Here a client is an
//! address and what it asks for, and an address as a whole has [`PER_ADDRESS`] times as much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Clients told apart at a time. Beyond it only the address counts.
const CLIENTS_MAX: usize = 4_096;
/// What all clients of one address may ask together, in shares of one of them.
const PER_ADDRESS: f64 = 10.0;

/// Requests a second, and at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) steady: u32,
    pub(crate) burst: u32,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, share: f64, at: Instant) -> Self {
        Self { tokens: f64::from(rate.burst) * share, at }
    }

    fn refill(&mut self, rate: Rate, share: f64, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(rate.steady) * share;
        self.tokens = (self.tokens + earned).min(f64::from(rate.burst) * share);
        self.at = now;
    }

    fn take(&mut self) -> bool {
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

type Client = (IpAddr, Option<String>);

#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    clients: Mutex<HashMap<Client, Bucket>>,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, clients: Mutex::default() }
    }

    /// Whether `address` may now ask for `subject`, a credentials id or a container's.
    pub(crate) fn allow(&self, address: IpAddr, subject: Option<&str>, now: Instant) -> bool {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let (rate, own) = (self.rate, (address, subject.map(str::to_owned)));
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&own) {
            // Who has been away long enough for a full bucket need not be remembered.
            clients.retain(|client, bucket| {
                let share = share(client);
                bucket.refill(rate, share, now);
                bucket.tokens < f64::from(rate.burst) * share
            });
        }
        let whole = (address, None);
        let room = clients.len() < CLIENTS_MAX;
        let mut take = |client: Client| {
            let share = share(&client);
            let bucket = clients.entry(client).or_insert_with(|| Bucket::full(rate, share, now));
            bucket.refill(rate, share, now);
            bucket.take()
        };
        take(whole) && (subject.is_none() || !room || take(own))
    }
}

fn share(client: &Client) -> f64 {
    if client.1.is_none() { PER_ADDRESS } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_burst_is_allowed_and_then_the_steady_rate() {
        let limiter = Limiter::new(Rate { steady: 40, burst: 60 });
        let start = Instant::now();
        let allowed = |at: Instant| (0..100).filter(|_| limiter.allow(HERE, Some("c-1"), at)).count();
        assert_eq!(allowed(start), 60);
        assert_eq!(allowed(start + Duration::from_secs(1)), 40);
        assert!(limiter.allow(HERE, Some("c-2"), start), "another job of the same address has its own");
    }

    #[test]
    fn an_address_as_a_whole_has_a_limit() {
        let limiter = Limiter::new(Rate { steady: 1, burst: 2 });
        let start = Instant::now();
        let allowed = (0..100).filter(|n| limiter.allow(HERE, Some(&n.to_string()), start)).count();
        assert_eq!(allowed, 20);
        assert!(limiter.allow(Ipv4Addr::new(172, 17, 0, 2).into(), Some("0"), start));
    }

    #[test]
    fn the_table_has_an_end() {
        let limiter = Limiter::new(Rate { steady: 1_000, burst: 10_000 });
        let start = Instant::now();
        for n in 0..2 * CLIENTS_MAX {
            limiter.allow(HERE, Some(&n.to_string()), start);
        }
        assert!(limiter.clients.lock().unwrap().len() <= CLIENTS_MAX + 1);
    }
}
