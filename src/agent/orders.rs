//! The operator's orders: handed to the core, and confirmed once they are durable.

use node_core::{Event, Interruption};
use tokio::sync::oneshot;

use super::Agent;
use crate::serve::order::{Asked, Outcome};

/// Who waits for what.
pub(super) type Answered = oneshot::Sender<Result<Outcome, String>>;

impl Agent {
    pub(super) fn order(&mut self, asked: Asked, reply: Answered) {
        let now = self.clock.now();
        let event = match asked {
            Asked::Plan(order) => {
                let mut outcome = self.outcome();
                outcome.plan = Some(self.node.plan(&order, now));
                // Whoever asked may have gone away.
                let _ = reply.send(Ok(outcome));
                return;
            }
            Asked::Order(order) => Event::Order(order),
            Asked::Shutdown => {
                Event::Interruption(Interruption::Shutdown { deadline: Some(now.after(self.config.shutdown_wait)) })
            }
        };
        if self.node.record().is_none() {
            let _ = reply.send(Err("this host does not know who it is yet: try again".to_owned()));
            return;
        }
        self.node.handle(event, now);
        self.ordered.push(reply);
    }

    /// What was ordered in this turn is on disk.
    pub(super) fn orders_are_durable(&mut self) {
        for reply in std::mem::take(&mut self.ordered) {
            let _ = reply.send(Ok(self.outcome()));
        }
    }

    fn outcome(&self) -> Outcome {
        let node = self.node.status(self.clock.now());
        Outcome { phase: node.phase.to_string(), why: node.why, plan: None }
    }
}
