//! What will happen, and when: the simulated world's only clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use node_core::{DockerId, DockerName, Event, MessageId};

/// One process of the agent: what was meant for a dead one reaches nobody.
pub(crate) type Life = u32;

/// Why a container's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its work is done, or it ran out of memory.
    Itself,
    /// It gave in to SIGTERM.
    Term,
    /// It took its warning to heart.
    Warned,
    /// SIGKILL after the grace period.
    Kill,
}

/// How the host comes to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// As the agent has asked.
    Asked,
    /// The world has taken it.
    Taken,
    /// From one moment to the next.
    Lost,
}

#[derive(Debug)]
pub(crate) enum Happening {
    // The agent's process.
    AgentStarts(Life),
    AgentKilled,
    Deliver(Life, Event),
    Turn(Life),
    Committed(Life),
    // Docker.
    Attach(Life),
    Reach(u64),
    Limit(u64),
    PullNews(u64),
    PullDone(u64),
    Ends { name: DockerName, id: DockerId, how: Ending },
    Look(Life, DockerName),
    DockerStops,
    DockerStarts,
    DockerHangs,
    DockerWakes,
    ContainerVanishes,
    // AWS.
    Call(u64),
    Frame { life: Life, session: u64, event: Event },
    AckArrives(MessageId),
    AskArrives { session: u64, message: MessageId, candidates: Vec<node_core::TaskArn> },
    SessionOpens { life: Life, instance: String, send_credentials: bool },
    SessionDrops(u64),
    ManifestDue(u64),
    RefreshDue(u64),
    Resend(MessageId),
    JobArrives,
    JobStopped(usize),
    OutageBegins,
    OutageEnds,
    DeregisteredByHand,
    // The machine and the run.
    HostReboots,
    HostGone(Gone),
    FoundUnhealthy,
    HookBeatMissed(u32),
    HookTimeOver,
    ScaleIn,
    Poll(Life),
    SpotNotice,
    SpotTakes(u32),
    Rebalance,
    Maintenance,
    MaintenanceChanges(u32),
    MaintenanceComes(u32),
    ShutdownBegins,
    ShutDown(u32),
    Ordered,
    FallsIll,
    GetsWell,
    DockerDies,
    AcsGone,
    Calm,
    Check,
}

#[derive(Debug)]
struct Due {
    at: u64,
    order: u64,
    what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Due>>,
    next: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: u64, what: Happening) {
        self.next += 1;
        self.heap.push(Reverse(Due { at, order: self.next, what }));
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Happening)> {
        self.heap.pop().map(|Reverse(due)| (due.at, due.what))
    }
}
