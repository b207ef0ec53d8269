//! Watching the metadata service for what the world does to this host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use node_core::{Event, Interruption, Rng, Source, Timestamp};

use crate::agent::Agent;
use crate::agent::identify::Cloud;
use crate::host::notices::{self, Seen, Target};
use crate::instance::autoscaling;

/// Looks at the metadata service are up to this much later than configured, so that a fleet does not ask in step.
const JITTER: Duration = Duration::from_secs(2);
/// A group that ends the host and does not tell its hooks is asked this often before it is taken to have none.
const HOOK_TRIES: u32 = 6;

impl Agent {
    /// Watches the metadata service and the host's health, until the agent stops.
    pub(in crate::agent) fn watch_host(&self, cloud: Arc<Cloud>) {
        self.watch_health();
        let (events, stop) = (self.events.clone(), self.stop.clone());
        let (newest, clock, place) = (self.newest.subscribe(), self.clock, self.place.subscribe());
        self.work.spawn(stop.run_until_cancelled_owned(async move {
            let mut rng = Rng::new(uuid::Uuid::new_v4().as_u64_pair().0);
            let mut watch = Watch::default();
            loop {
                let named = newest.borrow().lifecycle_hook.clone();
                let registered = place.borrow().container_instance.is_some();
                for event in watch.look(&cloud, registered, named.as_deref(), clock.now()).await {
                    // The loop is gone only when the agent stops.
                    let _ = events.send(event).await;
                }
                let every = newest.borrow().notice_interval;
                tokio::time::sleep(every + rng.between(Duration::ZERO, JITTER.min(every))).await;
            }
        }));
    }
}

/// What the core was last told of each source. Of a source that it was told nothing of, it may know from before a restart.
#[derive(Default)]
struct Watch {
    told: BTreeMap<Source, bool>,
    hook_tries: u32,
}

impl Watch {
    async fn look(&mut self, cloud: &Cloud, registered: bool, hook: Option<&str>, now: Timestamp) -> Vec<Event> {
        let mut seen = notices::look(&cloud.imds, now).await;
        match notices::target(&cloud.imds).await {
            Ok(Some(Target::Terminated)) => seen.extend(self.scale_in(cloud, hook).await),
            // Back into the warm pool: the group takes the host's work away as if it ended it.
            Ok(Some(Target::Warmed(_))) if registered => seen.extend(self.scale_in(cloud, hook).await),
            // It has left the group's work, or never had a part in it.
            Ok(Some(Target::Warmed(_))) | Err(_) => {}
            Ok(Some(Target::Other(_)) | None) => {
                self.hook_tries = 0;
                seen.push((Source::ScaleIn, None));
            }
        }
        self.news(seen)
    }

    /// The first look tells the core what does not stand, too: a former process may have told it otherwise.
    fn news(&mut self, seen: Vec<Seen>) -> Vec<Event> {
        let mut events = Vec::new();
        for (source, found) in seen {
            let before = self.told.insert(source, found.is_some());
            match found {
                Some(interruption) => events.push(Event::Interruption(interruption)),
                None if before != Some(false) => events.push(Event::InterruptionCancelled(source)),
                None => {}
            }
        }
        events
    }

    async fn scale_in(&mut self, cloud: &Cloud, named: Option<&str>) -> Option<Seen> {
        // It was told already, with its hook: that does not change.
        if self.told.get(&Source::ScaleIn) == Some(&true) {
            return None;
        }
        let hook = match autoscaling::hook(&cloud.clients.autoscaling, &cloud.instance, named).await {
            Ok(hook) => hook,
            Err(failure) => {
                self.hook_tries += 1;
                tracing::warn!("the group ends this host, and does not tell its hooks: {}", failure.text());
                if self.hook_tries < HOOK_TRIES {
                    return None;
                }
                None
            }
        };
        Some((Source::ScaleIn, Some(Interruption::ScaleIn { hook })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_process_says_what_does_not_stand_and_says_it_once() {
        let mut watch = Watch::default();
        let gone = |source| Event::InterruptionCancelled(source);
        let nothing = || vec![(Source::Spot, None), (Source::Maintenance, None)];
        assert_eq!(watch.news(nothing()), [gone(Source::Spot), gone(Source::Maintenance)]);
        assert_eq!(watch.news(nothing()), []);
        let recommended = || vec![(Source::Rebalance, Some(Interruption::Rebalance))];
        assert_eq!(watch.news(recommended()), [Event::Interruption(Interruption::Rebalance)]);
        assert_eq!(watch.news(vec![(Source::Rebalance, None)]), [gone(Source::Rebalance)]);
    }

    #[test]
    fn a_source_without_an_answer_is_no_all_clear() {
        let mut watch = Watch::default();
        assert_eq!(watch.news(Vec::new()), []);
        assert_eq!(watch.news(vec![(Source::Spot, None)]), [Event::InterruptionCancelled(Source::Spot)]);
    }
}
