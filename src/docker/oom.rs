//! Who ran short of memory. Docker tells it in an event of its own and marks the container, but on a busy host (Engine 20.10)
//! only a quarter of a second after it told the container's end, and then the mark may never come.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use node_core::DockerName;
use tokio::sync::Notify;

/// How long an end by SIGKILL that nothing explains yet waits for its explanation: twice what was seen with every core busy.
const LATE: Duration = Duration::from_millis(500);

/// The containers in which the kernel killed something for want of memory, until their end has been told.
#[derive(Debug, Default)]
pub(super) struct Shortages {
    names: Mutex<BTreeSet<DockerName>>,
    more: Notify,
}

impl Shortages {
    pub(super) fn note(&self, name: DockerName) {
        self.names().insert(name);
        self.more.notify_waiters();
    }

    /// Whether the container is one of them; it is then forgotten.
    pub(super) fn take(&self, name: &DockerName) -> bool {
        self.names().remove(name)
    }

    /// As [`take`](Self::take), for an end that only a shortage would explain: a late event is waited for.
    pub(super) async fn take_late(&self, name: &DockerName) -> bool {
        let told = async {
            loop {
                let more = self.more.notified();
                if self.take(name) {
                    return;
                }
                more.await;
            }
        };
        tokio::time::timeout(LATE, told).await.is_ok()
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<DockerName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shortage_told_after_the_end_still_explains_it() {
        let shortages = Shortages::default();
        let name = DockerName::new("n");
        assert!(!shortages.take(&name));
        let told = async { shortages.note(name.clone()) };
        let (late, ()) = tokio::join!(shortages.take_late(&name), told);
        assert!(late);
        assert!(!shortages.take(&name), "it is told once");
    }

    #[tokio::test]
    async fn an_end_without_a_shortage_is_not_held_for_ever() {
        assert!(!Shortages::default().take_late(&DockerName::new("n")).await);
    }
}
