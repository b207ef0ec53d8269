//! Deliberate faults, one for each promise of this crate, with which the simulation shows that it would find such a thing
//! (crates/node-sim/tests/teeth.rs). Without the feature `faults`, which no build of the agent has, none of this is there.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Reports no exit code.
    NoCode,
    /// Acknowledges work that is not on disk.
    SavesNothing,
    /// Reports news of a container as if its task had not run yet.
    StepsBack,
    /// Leaves without waiting for its reports.
    LeavesEarly,
    /// Starts again after a start without an answer.
    StartsTwice,
    /// Never removes a container.
    NeverCleansUp,
    /// Keeps a task's credentials when it is over.
    KeepsCredentials,
    /// Writes to disk what came with the credentials.
    SavesSecret,
    /// Draws on something that the seed does not decide.
    Random,
    /// Asks for its termination only once.
    AsksOnce,
    /// Does not say why it is alive.
    Silent,
    /// Goes on with a wish when work has come.
    KeepsWish,
    /// Takes every reason back when work has come.
    WorkUndoes,
    /// Wishes to leave though it is held.
    IgnoresHold,
    /// Warns containers that did not ask for it.
    WarnsAll,
    /// Warns again and again.
    WarnsOften,
    /// Kills before the deadline.
    KillsEarly,
    /// Sends one heartbeat, and no other.
    BeatsOnce,
    /// Never lifts the protection from scale-in.
    StaysProtected,
    /// Keeps back what ended well, too.
    WithholdsSuccess,
    /// Keeps back what failed by itself.
    WithholdsOwn,
    /// Reports what the end of the host has killed.
    ReportsKilled,
    /// Comes back from its last phase without a session.
    StaysAway,
    /// Does not take a cancelled interruption back.
    NeverUndoes,
}

#[cfg(feature = "faults")]
mod chosen {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Fault;

    thread_local! {
        static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    }
    static DRAWN: AtomicU64 = AtomicU64::new(0);

    /// Every node of this thread has this fault from now on.
    pub fn choose(fault: Option<Fault>) {
        FAULT.set(fault);
    }

    pub(crate) fn is(fault: Fault) -> bool {
        FAULT.get() == Some(fault)
    }

    /// Another number each time in the life of the process.
    pub(crate) fn noise() -> u64 {
        if is(Fault::Random) { DRAWN.fetch_add(1, Ordering::Relaxed) % 7 } else { 0 }
    }
}

#[cfg(feature = "faults")]
pub use chosen::choose;
#[cfg(feature = "faults")]
pub(crate) use chosen::{is, noise};

#[cfg(not(feature = "faults"))]
pub(crate) const fn is(_: Fault) -> bool {
    false
}

#[cfg(not(feature = "faults"))]
pub(crate) const fn noise() -> u64 {
    0
}
