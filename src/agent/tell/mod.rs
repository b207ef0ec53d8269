//! Telling those who want to know of each step of leaving. Beside everything else: the departure waits for them no longer than
//! it says itself.

mod command;
mod webhook;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use node_core::{Announcement, Backoff, Rng};
use serde::Serialize;
use tokio::sync::watch;

use crate::config::Config;
use crate::serve::report::Deliveries;

/// Steps that wait to be told; a host takes a few dozen in its life.
const WAITING_MAX: usize = 64;
/// Between the tries of one step.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(15));

/// Where a step comes from, for whoever is told of many hosts.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Origin {
    pub(super) instance: Option<String>,
    pub(super) region: Option<String>,
    pub(super) cluster: Option<String>,
}

#[derive(Serialize)]
struct Step<'a> {
    /// The same in each try: who is told twice can tell.
    id: String,
    at_ms: u64,
    #[serde(flatten)]
    origin: &'a Origin,
    #[serde(flatten)]
    news: &'a Announcement,
}

/// Everyone who is told. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<[Listener]>);

struct Listener {
    /// The key that names it.
    key: &'static str,
    waiting: watch::Sender<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    steps: VecDeque<Arc<str>>,
    /// The first of them is being told.
    count: Deliveries,
    /// Others are told from now on, by another queue.
    last: bool,
}

/// What becomes of a try.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// It may work the next time.
    Passing(String),
    /// It will never.
    Lasting(String),
}

/// A way of telling.
enum Way {
    Command(command::Hook),
    Webhook(Box<webhook::Webhook>),
}

impl Way {
    async fn tell(&mut self, step: &str) -> Result<(), Failure> {
        match self {
            Self::Command(hook) => hook.run(step).await,
            Self::Webhook(webhook) => webhook.post(step).await,
        }
    }

    fn tries(&self) -> u32 {
        match self {
            Self::Command(_) => command::TRIES,
            Self::Webhook(_) => webhook::TRIES,
        }
    }
}

impl Listeners {
    /// Must be called within a tokio runtime. They are told until it ends.
    pub(super) fn start(config: &Config) -> Self {
        let command = config.event_command.clone().map(|path| ("event_command", Way::Command(command::Hook(path))));
        let webhook = config.event_webhook.clone().map(|url| {
            let webhook = webhook::Webhook::new(url, config.proxies.clone(), config.ca_bundle.clone());
            ("event_webhook", Way::Webhook(Box::new(webhook)))
        });
        Self(command.into_iter().chain(webhook).map(|(key, way)| Listener::start(key, way, PAUSES)).collect())
    }

    pub(super) fn tell(&self, news: &Announcement, origin: &Origin, at_ms: u64) {
        if self.0.is_empty() {
            return;
        }
        match serde_json::to_string(&Step { id: uuid::Uuid::new_v4().to_string(), at_ms, origin, news }) {
            Ok(step) => self.0.iter().for_each(|listener| listener.add(Arc::from(step.as_str()))),
            Err(error) => tracing::warn!(%error, "a step of leaving cannot be told"),
        }
    }

    /// Waits until everyone has been told everything, but no longer than `limit`.
    pub(super) async fn settled(&self, limit: Duration) {
        let all = self.0.iter().map(Listener::settled);
        // Whoever is not told by then is told later, or not at all.
        let _ = tokio::time::timeout(limit, futures_util::future::join_all(all)).await;
    }

    pub(super) fn deliveries(&self) -> BTreeMap<String, Deliveries> {
        self.0.iter().map(|listener| (listener.key.to_owned(), listener.waiting.borrow().count)).collect()
    }
}

impl Listener {
    fn start(key: &'static str, way: Way, pauses: Backoff) -> Self {
        let waiting = watch::Sender::new(Waiting::default());
        tokio::spawn(serve(key, waiting.clone(), way, pauses));
        Self { key, waiting }
    }

    /// The oldest step that is not being told yet gives way: the last ones tell how the host ended.
    fn add(&self, step: Arc<str>) {
        self.waiting.send_modify(|waiting| {
            if waiting.steps.len() >= WAITING_MAX {
                waiting.steps.remove(1);
                waiting.count.dropped += 1;
                tracing::warn!("{} is too slow: it is not told of a step", self.key);
            }
            waiting.steps.push_back(step);
        });
    }

    async fn settled(&self) {
        // It ends with the process only.
        let _ = self.waiting.subscribe().wait_for(|waiting| waiting.steps.is_empty()).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.waiting.send_modify(|waiting| waiting.last = true);
    }
}

async fn serve(key: &'static str, waiting: watch::Sender<Waiting>, mut way: Way, pauses: Backoff) {
    let mut news = waiting.subscribe();
    let mut rng = Rng::new(uuid::Uuid::new_v4().as_u64_pair().0);
    loop {
        let next = news.wait_for(|waiting| waiting.last || !waiting.steps.is_empty()).await;
        let Some(step) = next.ok().and_then(|waiting| waiting.steps.front().cloned()) else { return };
        let told = deliver(key, &mut way, &step, pauses, &mut rng).await;
        waiting.send_modify(|waiting| {
            waiting.steps.pop_front();
            match told {
                true => waiting.count.delivered += 1,
                false => waiting.count.failed += 1,
            }
        });
    }
}

async fn deliver(key: &str, way: &mut Way, step: &str, mut pauses: Backoff, rng: &mut Rng) -> bool {
    let tries = way.tries();
    for attempt in 1..=tries {
        match way.tell(step).await {
            Ok(()) => return true,
            Err(Failure::Passing(why)) if attempt < tries => {
                tracing::info!(attempt, "{key} failed and is tried again: {why}");
                tokio::time::sleep(pauses.next(rng)).await;
            }
            Err(Failure::Passing(why) | Failure::Lasting(why)) => {
                tracing::warn!(attempt, "{key} failed, and is not told of this step: {why}");
                return false;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests;
