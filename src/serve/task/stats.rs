//! Docker's statistics, for containers that ask: one question to dockerd at a time for a container, few at a time for all, and
//! none where an answer is at hand. What the reading before said gives the differences, so that dockerd need not look twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use node_core::DockerId;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::docker::{Docker, Look};

/// amazon-ecs-agent samples once a second, and answers from that.
const FRESH: Duration = Duration::from_secs(1);
/// A reading this old is no measure of the present any more: dockerd looks twice, a second apart, as for a first question.
const STALE: Duration = Duration::from_secs(60);
/// Questions to dockerd under way at once.
const QUESTIONS: usize = 8;

#[derive(Clone)]
struct Reading {
    at: Instant,
    answer: Value,
}

type Place = Arc<tokio::sync::Mutex<Option<Reading>>>;

/// Every clone is the same.
#[derive(Clone)]
pub(crate) struct Statistics {
    docker: Docker,
    questions: Arc<Semaphore>,
    known: Arc<Mutex<BTreeMap<DockerId, (Instant, Place)>>>,
}

impl Statistics {
    pub(crate) fn new(docker: Docker) -> Self {
        Self { docker, questions: Arc::new(Semaphore::new(QUESTIONS)), known: Arc::default() }
    }

    /// In Docker's words, with `network_rate_stats` where there is a network of its own; `None` where there is nothing to tell.
    pub(super) async fn of(&self, id: &DockerId) -> Option<Value> {
        let place = self.place(id);
        let mut last = place.lock().await;
        let age = last.as_ref().map(|reading| reading.at.elapsed());
        if let Some(reading) = last.as_ref().filter(|_| age.is_some_and(|age| age < FRESH)) {
            return Some(reading.answer.clone());
        }
        let before = last.take().filter(|_| age.is_some_and(|age| age < STALE));
        let _place = self.questions.acquire().await.ok()?;
        let look = if before.is_some() { Look::Once } else { Look::Twice };
        let mut answer = self.docker.statistics(id, look).await?;
        let at = Instant::now();
        if let Some(before) = before {
            difference(&mut answer, &before.answer, at.duration_since(before.at));
        }
        *last = Some(Reading { at, answer: answer.clone() });
        Some(answer)
    }

    /// Nobody's reading is kept for long.
    fn place(&self, id: &DockerId) -> Place {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (asked, _)| now.duration_since(*asked) < STALE);
        let (asked, place) = known.entry(id.clone()).or_insert_with(|| (now, Place::default()));
        *asked = now;
        Arc::clone(place)
    }
}

/// Lays the reading before under this one, as Docker's own second look does, and adds amazon-ecs-agent's rates.
fn difference(answer: &mut Value, before: &Value, apart: Duration) {
    let (received, sent) = (traffic(answer, "rx_bytes"), traffic(answer, "tx_bytes"));
    let then = (traffic(before, "rx_bytes"), traffic(before, "tx_bytes"));
    let Some(fields) = answer.as_object_mut() else { return };
    for (key, of) in [("preread", "read"), ("precpu_stats", "cpu_stats")] {
        if let Some(value) = before.get(of) {
            fields.insert(key.to_owned(), value.clone());
        }
    }
    if let ((Some(rx), Some(tx)), (Some(rx_then), Some(tx_then))) = ((received, sent), then) {
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / apart.as_secs_f64();
        let rates = json!({"rx_bytes_per_sec": rate(rx, rx_then), "tx_bytes_per_sec": rate(tx, tx_then)});
        fields.insert("network_rate_stats".to_owned(), rates);
    }
}

/// Over all interfaces; `None` for a container that has none of its own.
fn traffic(answer: &Value, direction: &str) -> Option<u64> {
    let networks = answer.get("networks")?.as_object().filter(|networks| !networks.is_empty())?;
    Some(networks.values().filter_map(|network| network.get(direction)?.as_u64()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_readings_make_docker_statistics_with_rates() {
        let reading = |at: &str, cpu: u64, bytes: u64| {
            json!({"read": at, "preread": "0001-01-01T00:00:00Z", "cpu_stats": {"cpu_usage": {"total_usage": cpu}},
                "precpu_stats": {"cpu_usage": {"total_usage": 0}}, "networks": {"eth0": {"rx_bytes": bytes, "tx_bytes": 7}}})
        };
        let mut answer = reading("2026-01-01T00:00:02Z", 30, 300);
        difference(&mut answer, &reading("2026-01-01T00:00:00Z", 10, 100), Duration::from_secs(2));
        assert_eq!(
            (&answer["preread"], &answer["read"]),
            (&json!("2026-01-01T00:00:00Z"), &json!("2026-01-01T00:00:02Z"))
        );
        assert_eq!(answer["precpu_stats"]["cpu_usage"]["total_usage"], 10);
        assert_eq!(answer["network_rate_stats"], json!({"rx_bytes_per_sec": 100.0, "tx_bytes_per_sec": 0.0}));
    }

    #[test]
    fn the_hosts_network_has_no_rates() {
        let reading = json!({"read": "t", "cpu_stats": {}});
        let mut answer = reading.clone();
        difference(&mut answer, &reading, Duration::from_secs(1));
        assert_eq!(answer.get("network_rate_stats"), None);
    }
}
