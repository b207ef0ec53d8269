//! A rehearsal on paper: what an order would do here and now, and why.

use serde::{Deserialize, Serialize};

use super::facts::{Order, Permission};
use super::news::JobNow;
use super::phase::Phase;
use super::reason::{DrainReason, Ending};
use super::warn::asked;
use crate::node::Node;
use crate::time::Timestamp;

/// What an order would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order in which they would happen.
    pub steps: Vec<String>,
    /// What might stand in the way.
    pub doubts: Vec<String>,
    /// The jobs that would be waited for.
    pub jobs: Vec<JobNow>,
    pub deadline: Option<Timestamp>,
}

impl Node {
    /// What `order` would do now. Changes nothing.
    #[must_use]
    pub fn plan(&self, order: &Order, now: Timestamp) -> Plan {
        let mut plan = Plan { steps: Vec::new(), doubts: Vec::new(), jobs: self.jobs_now(), deadline: None };
        match order {
            Order::Drain { terminate, deadline } => self.plan_drain(*terminate, *deadline, now, &mut plan),
            Order::Cancel => self.plan_cancel(&mut plan),
            Order::Hold { .. } => {
                plan.steps.push("keep this host however idle or old it is, until `release`".to_owned());
                if !self.only_wishes() {
                    plan.doubts.push(format!("{}: a hold does not stop that", self.why(now)));
                }
            }
            Order::Release => plan.steps.push("let this host leave again when it is idle, old or done".to_owned()),
        }
        plan
    }

    fn plan_drain(&self, terminate: bool, deadline: Option<Timestamp>, now: Timestamp, plan: &mut Plan) {
        plan.deadline = deadline;
        match self.phase() {
            Phase::Active => {}
            Phase::Booting | Phase::Registering => {
                plan.doubts.push("it has not joined yet: ECS places nothing here".to_owned());
            }
            phase => plan.doubts.push(format!("the node is {phase} already")),
        }
        let others = self.standing().map(|s| &s.reason).filter(|r| !matches!(r, DrainReason::Operator { .. }));
        plan.doubts.extend(others.map(|reason| format!("this stands, too, and the stronger reason rules: {reason}")));
        plan.steps.push("set this container instance DRAINING, so that ECS places nothing here".to_owned());
        let jobs = plan.jobs.len();
        plan.steps.push(match (jobs, deadline) {
            (0, _) => "nothing runs here: nothing to wait for".to_owned(),
            (n, None) => format!("wait for {n} task(s) to end and be reported, however long they take"),
            (n, Some(at)) => {
                format!(
                    "wait for {n} task(s) to end and be reported; SIGKILL what still runs in {} s",
                    at.since(now).as_secs()
                )
            }
        });
        if deadline.is_some() {
            plan.steps.extend(self.plan_warnings());
        }
        if !terminate {
            plan.steps.push("stay, drained, until `drain --cancel`".to_owned());
            return;
        }
        plan.steps.push("ask ECS twice what it counts here, and deregister once that is zero".to_owned());
        self.plan_end(&DrainReason::Operator { terminate, deadline }, plan);
    }

    fn plan_warnings(&self) -> Vec<String> {
        let running = self.tasks.values().map(|t| &t.record).filter(|r| r.stopped_at.is_none());
        let asking = running.flat_map(|r| {
            r.spec.containers.iter().filter_map(|c| asked(c, &self.policy.leaving)).map(|(signal, lead)| {
                let when =
                    lead.map_or_else(|| "at once".to_owned(), |l| format!("{} s before the deadline", l.as_secs()));
                format!("send {signal} to {}, {when}: it asked for a warning", r.arn().id())
            })
        });
        asking.collect()
    }

    fn plan_end(&self, reason: &DrainReason, plan: &mut Plan) {
        let facts = self.leaving_record().and_then(|r| r.facts.as_ref());
        match facts.and_then(|f| f.group.as_ref()) {
            Some(group) => {
                let name = &group.name;
                let how = if facts.is_some_and(|f| f.decrement(Some(reason))) {
                    "one fewer host in its desired capacity"
                } else {
                    "the group starts another host in its place"
                };
                plan.steps.push(format!("terminate this host in Auto Scaling group {name}: {how}"));
                if group.terminate_suspended {
                    plan.doubts.push(format!("the Terminate process of {name} is suspended: EC2 is asked instead"));
                }
                if group.protected {
                    plan.doubts.push(
                        "this host is protected from scale-in; that does not stop its own termination".to_owned(),
                    );
                }
            }
            None if facts.is_none() => {
                plan.steps.push("terminate this host".to_owned());
                plan.doubts.push("its Auto Scaling group was not looked up yet".to_owned());
            }
            None => plan.steps.push("terminate this host: EC2 TerminateInstances".to_owned()),
        }
        if let Some(Permission::Denied(why)) = facts.map(|f| &f.may_terminate) {
            plan.doubts.push(format!("this host may not terminate itself: {why}"));
        }
    }

    fn plan_cancel(&self, plan: &mut Plan) {
        let ordered = self.standing().map(|s| &s.reason).find(|r| matches!(r, DrainReason::Operator { .. }));
        match ordered {
            None => plan.steps.push("nothing: no drain was ordered".to_owned()),
            Some(reason) => plan.steps.push(format!("take back: {reason}")),
        }
        let others: Vec<_> =
            self.standing().map(|s| &s.reason).filter(|r| !matches!(r, DrainReason::Operator { .. })).collect();
        for reason in others {
            plan.doubts.push(format!("it goes on draining all the same: {reason}"));
        }
        if ordered.is_some_and(|r| r.ending() == Ending::Terminate) && self.phase() == Phase::Terminating {
            plan.doubts.push("the host may be past saving".to_owned());
        }
    }
}
