//! The pulls under way, each shared by all who want its image.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, PoisonError, Weak};

use node_core::{ImagePulled, OpFailure, PullNews};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

pub(super) type Outcome = Result<ImagePulled, OpFailure>;

/// The last pull of one image: when it was begun, and how it ended; and what is to be told of the one under way.
pub(super) struct Slot {
    pub(super) last: Mutex<Option<(Instant, Outcome)>>,
    pub(super) news: watch::Sender<PullNews>,
}

/// The images being pulled now. A slot lives as long as someone waits for its image.
#[derive(Default)]
pub(super) struct Pulls(Lock<HashMap<String, Weak<Slot>>>);

impl Pulls {
    pub(super) fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(name).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot { last: Mutex::default(), news: watch::Sender::default() });
        slots.insert(name.to_owned(), Arc::downgrade(&slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_shared_while_it_is_wanted_and_forgotten_after() {
        let pulls = Pulls::default();
        let (one, two) = (pulls.slot("a"), pulls.slot("a"));
        assert!(Arc::ptr_eq(&one, &two));
        drop((one, two));
        let _other = pulls.slot("b");
        assert_eq!(pulls.0.lock().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    }
}
