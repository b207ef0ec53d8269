//! The one owner of the plane's state: every change goes through [`Hub::update`], which settles it and carries out its effects.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{self, Millis};
use crate::config::PlaneConfig;
use crate::events::PlaneEvent;
use crate::faults::Faults;
use crate::ids::Arns;
use crate::journal::Journal;
use crate::logs::LogKeeper;
use crate::model::{Effect, State};
use crate::nodes;

/// Events kept for a slow listener: a large array submits several for each child at once.
const EVENTS_KEPT: usize = 65_536;

/// The state, and where it is saved, if it is.
struct Kept {
    state: State,
    journal: Option<Journal>,
}

pub(crate) struct Hub {
    pub(crate) config: PlaneConfig,
    /// `http://address`: the APIs.
    pub(crate) endpoint: String,
    /// `http://address`: ACS and TCS.
    pub(crate) poll_endpoint: String,
    pub(crate) arns: Arns,
    pub(crate) logs: LogKeeper,
    pub(crate) faults: Arc<Faults>,
    /// Everything that runs in the background, and the word to end it.
    pub(crate) tracker: TaskTracker,
    pub(crate) closing: CancellationToken,
    /// Nodes, which take longer to end.
    pub(crate) node_tracker: TaskTracker,
    state: Mutex<Kept>,
    events: broadcast::Sender<PlaneEvent>,
    deadline_moved: Notify,
}

impl Hub {
    pub(crate) fn new(
        config: PlaneConfig,
        state: State,
        journal: Option<Journal>,
        endpoint: String,
        poll_endpoint: String,
        logs: LogKeeper,
    ) -> Arc<Self> {
        Arc::new(Self {
            arns: Arns { region: config.region.clone() },
            config,
            endpoint,
            poll_endpoint,
            logs,
            faults: Faults::new(),
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            node_tracker: TaskTracker::new(),
            state: Mutex::new(Kept { state, journal }),
            events: broadcast::Sender::new(EVENTS_KEPT),
            deadline_moved: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().state)
    }

    /// Changes the state, brings it to rest, and carries out what follows from it.
    pub(crate) fn update<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Millis) -> T) -> T {
        let mut kept = self.lock();
        let Kept { state, journal } = &mut *kept;
        let before = state.next_deadline();
        let now = clock::now();
        let result = change(state, now);
        state.settle(now);
        match journal {
            // Before anybody hears of it.
            Some(journal) => journal.save(state),
            None => state.forget_changes(),
        }
        // None of them waits. Under the lock, so that who sees a job over also finds its output being collected.
        for effect in state.take_effects() {
            self.carry_out(effect);
        }
        if before != state.next_deadline() {
            self.deadline_moved.notify_one();
        }
        result
    }

    fn carry_out(self: &Arc<Self>, effect: Effect) {
        match effect {
            // Nobody listening is no fault.
            Effect::Event(event) => drop(self.events.send(event)),
            Effect::Launch(id) => drop(self.node_tracker.spawn(nodes::run_launched(self.clone(), id))),
            Effect::CollectLog { task, runtime_id, stream } => self.logs.collect(task, runtime_id, stream),
        }
    }

    pub(crate) fn publish(&self, event: PlaneEvent) {
        drop(self.events.send(event));
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<PlaneEvent> {
        self.events.subscribe()
    }

    /// Settles the state whenever an attempt's time is up.
    pub(crate) async fn watch_deadlines(self: Arc<Self>) {
        while !self.closing.is_cancelled() {
            let next = self.read(State::next_deadline);
            let wait = async {
                match next {
                    Some(at) => {
                        let millis = u64::try_from(at - clock::now()).unwrap_or_default();
                        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => self.update(|_, _| ()),
                () = self.deadline_moved.notified() => {}
                () = self.closing.cancelled() => {}
            }
        }
    }
}
