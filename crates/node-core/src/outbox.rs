//! State changes on their way to ECS: in order for each task, one request at a time for each, ten in all.
//!
//! What there is to tell is not queued but derived from the task's record ([`crate::TaskRecord::report`]), which is durable before any
//! request goes out, but for RUNNING, which Docker would tell again. So nothing can be lost between a queue and the disk, and a short
//! job's RUNNING is skipped by itself.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::command::{Command, Notice};
use crate::event::ApiFailure;
use crate::ids::TaskArn;
use crate::node::Node;
use crate::time::Timestamp;

/// Requests in flight at once: amazon-ecs-agent's own limit (agent/eventhandler/task_handler.go).
const IN_FLIGHT_MAX: usize = 10;
/// The longest wait stays under 5 s, so that reports flow again within seconds of the service's recovery.
pub(crate) const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_millis(4_000));
/// A throttled fleet must not hammer on: each waits up to this much longer.
const THROTTLED_EXTRA: Duration = Duration::from_secs(2);
/// Without permission there is no hurry, as someone has to act first: up to this much longer.
const DENIED_EXTRA: Duration = Duration::from_secs(15);

impl Node {
    /// Requests that may be added to those in flight; none before the host is registered, unless its registration is gone
    /// with a cluster that it is about to leave.
    fn outbox_room(&self) -> usize {
        if self.record.as_ref().is_none_or(|r| r.container_instance.is_none() && r.moving_to.is_none()) {
            return 0;
        }
        let in_flight = self.tasks.values().filter(|t| t.in_flight.is_some()).count();
        IN_FLIGHT_MAX.saturating_sub(in_flight)
    }

    pub(crate) fn can_submit(&self) -> bool {
        self.outbox_room() > 0
    }

    /// Sends what is due and fits, oldest task first.
    pub(crate) fn pump_outbox(&mut self, now: Timestamp) {
        let mut room = self.outbox_room();
        if room == 0 {
            return;
        }
        let mut ready: Vec<_> = self
            .tasks
            .values()
            .filter(|t| t.in_flight.is_none() && t.submit_after <= now && t.record.live())
            .map(|t| (t.record.order, t.record.arn().clone()))
            .collect();
        ready.sort();
        for (_, arn) in ready {
            let Some(task) = self.tasks.get_mut(&arn) else {
                continue;
            };
            let Some(change) = task.report() else {
                continue;
            };
            if room == 0 {
                break;
            }
            room -= 1;
            task.in_flight = Some(change.clone());
            self.commands.push_back(Command::Submit(change));
        }
    }

    pub(crate) fn on_submitted(&mut self, arn: &TaskArn, result: Result<(), ApiFailure>, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(arn) else {
            return;
        };
        let Some(change) = task.in_flight.take() else {
            return;
        };
        match result {
            Ok(()) => {
                task.backoff.reset();
                self.commands.push_back(Command::Notice(Notice::Reported(arn.clone(), change.status)));
            }
            // Refused for good, or nobody is left to tell: the cluster itself is gone.
            Err(ApiFailure::Rejected(error) | ApiFailure::Gone(error)) => {
                task.backoff.reset();
                self.commands.push_back(Command::Notice(Notice::ReportDropped(arn.clone(), error)));
            }
            Err(failure) => {
                let extra = match &failure {
                    ApiFailure::Throttled(_) => THROTTLED_EXTRA,
                    ApiFailure::Denied(_) => DENIED_EXTRA,
                    ApiFailure::Unavailable(_) | ApiFailure::Rejected(_) | ApiFailure::Gone(_) => Duration::ZERO,
                };
                let extra = self.rng.between(Duration::ZERO, extra);
                let delay = task.backoff.next(&mut self.rng) + extra;
                task.submit_after = now.after(delay);
                self.commands.push_back(Command::Notice(Notice::ReportRetried {
                    task: arn.clone(),
                    error: failure.text().to_owned(),
                    attempt: task.backoff.attempts(),
                }));
                return;
            }
        }
        task.record.confirm(&change);
        self.touch(arn);
        self.save_task(arn);
        if self.live_tasks() == 0 {
            self.note_idle(now);
        }
    }
}
