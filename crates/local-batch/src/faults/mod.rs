//! Faults on order: the plane misbehaves as AWS or a network may, so that a user can rehearse and a test can prove.

mod line;
mod order;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use self::line::{Cut, Lines};
pub(crate) use self::line::{Gate, Label, Line};
pub(crate) use self::order::{Ending, ErrorKind, Order};
use crate::error::ApiError;

/// Faults that may stand at once.
const FAULTS_MOST: usize = 100;
/// A call that is not answered is let go after so long at the latest; AWS's clients give up long before.
const HANG_MOST: Duration = Duration::from_secs(600);

/// What is wrong at present.
pub(crate) struct Faults {
    standing: Mutex<Standing>,
    lines: Lines,
    /// Counts changes, so that whoever waits looks again.
    changed: watch::Sender<u64>,
    /// Counts clears: what a fault that is over still holds is let go by them.
    cleared: watch::Sender<u64>,
}

#[derive(Default)]
struct Standing {
    last: u64,
    faults: BTreeMap<u64, Fault>,
}

struct Fault {
    order: Order,
    left: Option<u32>,
    until: Option<Instant>,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mishap {
    Error(ErrorKind),
    /// Not answered while the fault stands.
    Hang(u64),
    Delay(Duration),
}

impl Fault {
    fn is_over(&self) -> bool {
        self.left == Some(0) || self.until.is_some_and(|until| until <= Instant::now())
    }

    fn shown(&self, id: u64) -> Value {
        let left = match (self.left, self.until) {
            (Some(times), _) => format!("{times} more times"),
            (None, Some(until)) => format!("{:.0} s more", until.duration_since(Instant::now()).as_secs_f64().ceil()),
            (None, None) => "until cleared".to_owned(),
        };
        json!({"id": id, "fault": self.order.text(), "left": left})
    }
}

impl Faults {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            standing: Mutex::default(),
            lines: Lines::default(),
            changed: watch::Sender::new(0),
            cleared: watch::Sender::new(0),
        })
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.faults.retain(|_, fault| !fault.is_over());
        standing
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Takes a fault that stands for a while, and says how it is listed.
    pub(crate) fn stand(self: &Arc<Self>, order: Order) -> Result<Value, ApiError> {
        let (times, seconds) = order.limits();
        let until = seconds.map(|seconds| Instant::now() + order::duration(seconds));
        let fault = Fault { left: times, until, order };
        let away = match fault.order {
            Order::Away { silent, .. } => Some(silent),
            _ => None,
        };
        let shown = {
            let mut standing = self.standing();
            if standing.faults.len() >= FAULTS_MOST {
                return Err(ApiError::client(format!("{FAULTS_MOST} faults stand already; clear some first")));
            }
            standing.last += 1;
            let id = standing.last;
            let shown = fault.shown(id);
            standing.faults.insert(id, fault);
            shown
        };
        self.tell();
        match away {
            Some(true) => self.lines.freeze(),
            Some(false) => self.lines.cut_all(Cut::Fin),
            None => {}
        }
        Ok(shown)
    }

    pub(crate) fn list(&self) -> Vec<Value> {
        self.standing().faults.iter().map(|(id, fault)| fault.shown(*id)).collect()
    }

    /// Ends one fault, or all, and says how many.
    pub(crate) fn clear(&self, id: Option<u64>) -> usize {
        let cleared = {
            let faults = &mut self.standing().faults;
            match id {
                Some(id) => usize::from(faults.remove(&id).is_some()),
                None => std::mem::take(faults).len(),
            }
        };
        self.tell();
        self.cleared.send_modify(|n| *n += 1);
        if self.away().is_none() {
            self.lines.thaw();
        }
        cleared
    }

    /// What is to happen to a call of this operation: the oldest fault that meets it decides.
    pub(crate) fn on_call(&self, operation: &str) -> Option<Mishap> {
        self.met(|order| order.meets(operation))
    }

    /// What is to happen to a frame of this type. Never an error.
    pub(crate) fn on_frame(&self, kind: &str) -> Option<Mishap> {
        self.met(|order| order.meets_frame(kind))
    }

    fn met(&self, meets: impl Fn(&Order) -> bool) -> Option<Mishap> {
        let mut standing = self.standing();
        let (id, fault) = standing.faults.iter_mut().find(|(_, fault)| meets(&fault.order))?;
        fault.left = fault.left.map(|left| left.saturating_sub(1));
        match &fault.order {
            Order::Error { error, .. } => Some(Mishap::Error(*error)),
            Order::Hang { .. } => Some(Mishap::Hang(*id)),
            Order::Delay { delay_seconds, .. } => Some(Mishap::Delay(order::duration(*delay_seconds))),
            _ => None,
        }
    }

    /// Whether this payload goes out twice.
    pub(crate) fn doubles(&self) -> bool {
        let mut standing = self.standing();
        let found = standing.faults.values_mut().find(|fault| matches!(fault.order, Order::Duplicate { .. }));
        found.inspect(|_| ()).is_some_and(|fault| {
            fault.left = fault.left.map(|left| left.saturating_sub(1));
            true
        })
    }

    /// Ends when a call or frame that hangs may be let go: the fault was cleared, its time is up, or nobody can be waiting any
    /// more. Counts from this call on, not from the first look.
    pub(crate) fn unhang(self: &Arc<Self>, id: u64) -> impl Future<Output = ()> + Send + use<> {
        let faults = Arc::clone(self);
        let mut cleared = self.cleared.subscribe();
        let (until, seen) = {
            let standing = self.standing();
            // One that counts may be over with this very call: it is let go when anything is cleared.
            (standing.faults.get(&id).and_then(|fault| fault.until), standing.faults.contains_key(&id))
        };
        let latest = Instant::now() + HANG_MOST;
        let until = until.map_or(latest, |until| until.min(latest));
        async move {
            let over = async {
                while cleared.changed().await.is_ok() && seen && faults.standing().faults.contains_key(&id) {}
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = over => {}
            }
        }
    }

    /// Whether the plane is away, silently or not, and until when.
    fn away(&self) -> Option<(bool, Instant)> {
        self.standing().faults.values().find_map(|fault| match fault.order {
            Order::Away { silent, .. } => Some((silent, fault.until?)),
            _ => None,
        })
    }

    /// Waits until the plane is there again.
    pub(crate) async fn back(&self) {
        let mut changed = self.changed.subscribe();
        while let Some((_, until)) = self.away() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                _ = changed.changed() => {}
            }
        }
    }

    /// Waits until the plane refuses connections.
    async fn refusing(&self) {
        let mut changed = self.changed.subscribe();
        while !matches!(self.away(), Some((false, _))) {
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The time of silence is over.
    pub(crate) fn thaw(&self) {
        self.lines.thaw();
    }

    /// Ends websockets under their protocol, and says how many.
    pub(crate) fn cut_agents(&self, how: Ending, instance: Option<&str>) -> usize {
        let cut = if how == Ending::Rst { Cut::Rst } else { Cut::Fin };
        self.lines.cut_agents(cut, instance)
    }
}

#[cfg(test)]
mod tests;
