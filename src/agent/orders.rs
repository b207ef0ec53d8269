//! The operator's orders: handed to the core, and confirmed once they are durable.

use std::time::Duration;

use node_core::{DrainReason, Event, Interruption, LeavingStatus, Order};
use tokio::sync::oneshot;

use super::Agent;
use super::leaving::facts;
use crate::serve::admin::AdminRequest;
use crate::serve::order::{Asked, Outcome};

/// An operator waits for what EC2 and the group say; a plan can do without.
const FACTS_WITHIN: Duration = Duration::from_secs(5);

type Reply = oneshot::Sender<Result<Outcome, String>>;

/// Who waits for what, and what it will be told was done.
pub(super) type Answered = (String, Reply);

impl Agent {
    pub(super) fn order(&mut self, asked: Asked, reply: Reply) {
        let now = self.clock.now();
        let (event, done) = match asked {
            Asked::Plan(order) => return self.look_first(order, reply),
            Asked::PlanNow(order) => {
                let mut outcome = self.outcome(String::new());
                outcome.plan = Some(self.node.plan(&order, now));
                // Whoever asked may have gone away.
                let _ = reply.send(Ok(outcome));
                return;
            }
            Asked::Order(order) => {
                let done = done(&order, &self.node.status(now).leaving);
                (Event::Order(order), done)
            }
            Asked::Shutdown => {
                let deadline = Some(now.after(self.config.shutdown_wait));
                let done = format!("The shutdown waits for jobs, for at most {:?}.", self.config.shutdown_wait);
                (Event::Interruption(Interruption::Shutdown { deadline }), done)
            }
        };
        if self.node.record().is_none() {
            let _ = reply.send(Err("this host does not know who it is yet: try again".to_owned()));
            return;
        }
        self.node.handle(event, now);
        self.ordered.push((done, reply));
    }

    /// A plan to terminate the host rests on its group and its permissions, which nobody may have looked at yet.
    fn look_first(&self, order: Order, reply: Reply) {
        let wanted = matches!(order, Order::Drain { terminate: true, .. });
        let cloud = self.cloud.clone().filter(|_| wanted);
        let (events, questions) = (self.events.clone(), self.questions.clone());
        self.spawn(tracing::Span::current(), async move {
            if let Some(cloud) = cloud
                && let Ok(Ok(facts)) = tokio::time::timeout(FACTS_WITHIN, facts(&cloud)).await
            {
                // The loop is gone only when the agent stops.
                let _ = events.send(Event::Preflight(Ok(facts))).await;
                events_are_taken(&events).await;
            }
            let _ = questions.send(AdminRequest::Order(Asked::PlanNow(order), reply)).await;
            None
        });
    }

    /// What was ordered in this turn is on disk.
    pub(super) fn orders_are_durable(&mut self) {
        for (done, reply) in std::mem::take(&mut self.ordered) {
            let _ = reply.send(Ok(self.outcome(done)));
        }
    }

    fn outcome(&self, done: String) -> Outcome {
        let node = self.node.status(self.clock.now());
        Outcome { done, phase: node.phase.to_string(), why: node.why, plan: None }
    }
}

/// Questions go before events in the loop: this one is to come after what was sent.
async fn events_are_taken(events: &tokio::sync::mpsc::Sender<Event>) {
    const LOOK: Duration = Duration::from_millis(5);
    const LOOKS: u32 = 100;
    for _ in 0..LOOKS {
        if events.capacity() == events.max_capacity() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// `before`: as it stood when the order came.
fn done(order: &Order, before: &LeavingStatus) -> String {
    let drained = before.reasons.iter().any(|reason| matches!(reason, DrainReason::Operator { .. }));
    match order {
        Order::Drain { terminate, .. } => {
            let then = if *terminate { "and then terminates itself" } else { "and then stays" };
            let again = if drained { ", instead of the drain ordered before" } else { "" };
            format!("This host takes no new work, {then}{again}.")
        }
        Order::Cancel if drained => "The drain is taken back.".to_owned(),
        Order::Cancel => "No drain was ordered: nothing to take back.".to_owned(),
        Order::Hold { why } if why.is_empty() => "This host is held until `release`.".to_owned(),
        Order::Hold { why } => format!("This host is held until `release`: {why}."),
        Order::Release if before.hold.is_some() => "This host is no longer held.".to_owned(),
        Order::Release => "This host was not held.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_changes_nothing_says_so() {
        let idle = LeavingStatus::default();
        assert_eq!(done(&Order::Release, &idle), "This host was not held.");
        assert_eq!(done(&Order::Cancel, &idle), "No drain was ordered: nothing to take back.");
        let drain = Order::Drain { terminate: false, deadline: None };
        assert_eq!(done(&drain, &idle), "This host takes no new work, and then stays.");
        let reasons = vec![DrainReason::Operator { terminate: false, deadline: None }];
        let drained = LeavingStatus { reasons, hold: Some(String::new()), ..idle };
        assert_eq!(done(&Order::Cancel, &drained), "The drain is taken back.");
        assert_eq!(done(&Order::Release, &drained), "This host is no longer held.");
    }
}
