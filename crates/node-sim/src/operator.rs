//! The operator's orders, and the ailments of the host.

use std::collections::BTreeSet;

use node_core::{Ailment, Event, Finding, Order, Timestamp};

use crate::queue::Happening;
use crate::story::Actor;
use crate::world::World;

#[derive(Debug, Default)]
pub(crate) struct Operator {
    /// The host is held; `None`: nobody can know, for the agent died over the order.
    pub(crate) held: Option<bool>,
    /// In this turn, and not saved yet.
    pub(crate) pending: Option<bool>,
    pub(crate) ailing: BTreeSet<Ailment>,
}

impl World {
    /// An order over the agent's socket: only a living agent hears it, and one that knows where to write it down.
    pub(crate) fn order(&mut self) {
        if self.agent.node.as_ref().is_none_or(|node| node.record().is_none()) {
            return;
        }
        let now = self.node_now().0;
        let order = match self.dice.below(8) {
            0 | 1 => Order::Hold { why: "debugging".into() },
            2 => Order::Release,
            3 | 4 => Order::Cancel,
            n => {
                let deadline = self.dice.coin().then(|| Timestamp(now + self.dice.skewed(1_000, 1_800_000)));
                Order::Drain { terminate: n > 5, deadline }
            }
        };
        if let Order::Drain { deadline: Some(at), .. } = order {
            self.truth.deadline(at, true);
        }
        self.tell(Actor::Fate, || format!("the operator: {order:?}"));
        self.hand_over(self.agent.life, Event::Order(order));
    }

    /// The host falls ill, and may be well again; each process of the agent finds out anew.
    pub(crate) fn falls_ill(&mut self) {
        let kind = self.dice.pick(&[Ailment::DiskFull, Ailment::InodesFull, Ailment::GpuError], Ailment::DiskFull);
        self.operator.ailing.insert(kind);
        self.tell(Actor::Fate, || format!("the host is ill: {kind:?}"));
        self.hand_over(self.agent.life, Event::Health(kind, Finding::Sick("found by a check".into())));
        if self.dice.coin() {
            let wait = self.dice.skewed(1_000, 600_000);
            self.at(wait, Happening::GetsWell);
        }
    }

    pub(crate) fn gets_well(&mut self) {
        let Some(kind) = self.operator.ailing.pop_first() else { return };
        self.tell(Actor::Fate, || format!("well again: {kind:?}"));
        self.hand_over(self.agent.life, Event::Health(kind, Finding::Well));
    }

    /// What a new process finds out about the host.
    pub(crate) fn examine_host(&mut self) {
        let life = self.agent.life;
        for kind in [Ailment::DiskFull, Ailment::InodesFull, Ailment::GpuError] {
            let sick = self.operator.ailing.contains(&kind);
            let finding = if sick { Finding::Sick("found by a check".into()) } else { Finding::Well };
            self.deliver(life, Event::Health(kind, finding));
        }
    }
}
