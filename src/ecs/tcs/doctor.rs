//! Whether the container runtime answers: the one check that ECS is told of (amazon-ecs-agent, `agent/doctor`).

use std::time::Duration;

use ecs_wire::tcs::{InstanceStatus, InstanceStatusMetadata, PublishInstanceStatusRequest, Time};
use tokio::sync::{Notify, watch};

use super::now;
use super::pages::Sender;
use crate::docker::Docker;

/// amazon-ecs-agent's limit for this question.
const PING: Duration = Duration::from_secs(2);

/// What the last check has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    /// `None` before the first one.
    ok: Option<bool>,
    at: Time,
    /// When the check before it was made: the one that ECS is told, as amazon-ecs-agent tells it.
    before: Time,
    changed: Time,
}

impl Checked {
    /// Nothing was checked since `start`.
    pub(super) fn none(start: Time) -> Self {
        Self { ok: None, at: start, before: start, changed: start }
    }

    fn then(self, ok: bool, at: Time) -> Self {
        let changed = if self.ok == Some(ok) { self.changed } else { at };
        Self { ok: Some(ok), at, before: self.at, changed }
    }

    pub(super) fn message(self, sender: Sender<'_>, request_id: String) -> PublishInstanceStatusRequest {
        let status = match self.ok {
            None => "INITIALIZING",
            Some(true) => "OK",
            Some(false) => "IMPAIRED",
        };
        PublishInstanceStatusRequest {
            metadata: InstanceStatusMetadata {
                cluster: sender.cluster.to_owned(),
                container_instance: sender.container_instance.to_owned(),
                request_id,
            },
            statuses: vec![InstanceStatus {
                last_status_change: self.changed,
                last_updated: self.before,
                status: status.to_owned(),
                kind: "ContainerRuntime".to_owned(),
            }],
            timestamp: now(),
        }
    }
}

/// Checks at each heartbeat, for ever. Those that come during a check have one more check.
pub(super) async fn run(heartbeats: &Notify, docker: &Docker, checks: watch::Sender<Checked>) {
    loop {
        heartbeats.notified().await;
        let ok = docker.answers(PING).await;
        checks.send_modify(|last| *last = last.then(ok, now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_its_time_and_a_check_that_of_the_one_before() {
        let at = |epoch_ms| Time { epoch_ms };
        let sender = Sender { cluster: "c1", container_instance: "ci" };
        let told = |checked: Checked| {
            let status = checked.message(sender, "r".into()).statuses.remove(0);
            (status.status, status.last_updated.epoch_ms, status.last_status_change.epoch_ms)
        };
        let none = Checked::none(at(1));
        assert_eq!(told(none), ("INITIALIZING".to_owned(), 1, 1));
        let first = none.then(true, at(10));
        assert_eq!(told(first), ("OK".to_owned(), 1, 10));
        let second = first.then(true, at(20));
        assert_eq!(told(second), ("OK".to_owned(), 10, 10));
        assert_eq!(told(second.then(false, at(30))), ("IMPAIRED".to_owned(), 20, 30));
    }
}
