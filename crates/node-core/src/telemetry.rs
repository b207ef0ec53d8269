//! What telemetry needs of the node: which containers run, and when to open the next session.
//!
//! A telemetry session has no part in any decision about tasks, so its reconnects are kept outside the node's state.

use std::time::Duration;

use crate::backoff::{Backoff, Rng};
use crate::container::Stage;
use crate::event::CloseCause;
use crate::health::HealthStatus;
use crate::ids::{ContainerName, DockerId, TaskArn};
use crate::node::Node;
use crate::time::Timestamp;

/// A session that lived this long was a good one: the next failure starts with the shortest delay again.
const GOOD_SESSION: Duration = Duration::from_secs(60);
/// A clean close is followed at once, unless the session was so short that it looks like a loop.
const LOOPING_SESSION: Duration = Duration::from_secs(1);
/// amazon-ecs-agent's delays (`ecs-agent/tcs/handler/handler.go`).
const RECONNECT: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// A task of which at least one container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTask {
    pub arn: TaskArn,
    pub family: String,
    pub version: String,
    /// Those that run, in the order of the task definition.
    pub containers: Vec<RunningContainer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningContainer {
    pub name: ContainerName,
    pub id: DockerId,
    /// Where its health check is to be reported. `None` for the time of a status that has not changed yet.
    pub health: Option<(HealthStatus, Option<Timestamp>)>,
    /// Where it has a restart policy: how often it was restarted.
    pub restarts: Option<u32>,
}

impl Node {
    /// The tasks with running containers, in the order of their ARNs.
    #[must_use]
    pub fn running_tasks(&self) -> Vec<RunningTask> {
        let running = |task: &crate::task::Task| {
            let record = &task.record;
            let pairs = record.spec.containers.iter().zip(&record.containers);
            let containers: Vec<_> = pairs
                .filter(|(_, state)| state.stage == Stage::Running)
                .filter_map(|(spec, state)| {
                    Some(RunningContainer {
                        name: spec.name.clone(),
                        id: state.docker_id.clone()?,
                        health: spec.health_check.then_some((state.health.status, state.health.since)),
                        restarts: spec.restart_policy.as_ref().map(|_| state.restarts.count),
                    })
                })
                .collect();
            (!containers.is_empty()).then(|| RunningTask {
                arn: record.spec.arn.clone(),
                family: record.spec.family.clone(),
                version: record.spec.version.clone(),
                containers,
            })
        };
        self.tasks.values().filter_map(running).collect()
    }
}

/// How long to wait between two telemetry sessions.
#[derive(Debug)]
pub struct Reconnect {
    backoff: Backoff,
    rng: Rng,
}

impl Reconnect {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { backoff: RECONNECT, rng: Rng::new(seed) }
    }

    /// The pause after a session that ended for `cause`; `lived` is zero for one that was never opened. A deregistered instance
    /// goes on asking: whether it registers again is decided by the ACS session.
    pub fn after(&mut self, cause: &CloseCause, lived: Duration) -> Duration {
        let clean = *cause == CloseCause::Clean && lived >= LOOPING_SESSION;
        if clean || lived >= GOOD_SESSION {
            self.backoff.reset();
        }
        if clean { Duration::ZERO } else { self.backoff.next(&mut self.rng) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> CloseCause {
        CloseCause::Failed("refused".into())
    }

    #[test]
    fn a_clean_end_is_followed_at_once_and_a_loop_is_not() {
        let mut reconnect = Reconnect::new(1);
        assert_eq!(reconnect.after(&CloseCause::Clean, Duration::from_secs(2)), Duration::ZERO);
        assert!(reconnect.after(&CloseCause::Clean, Duration::from_millis(10)) >= Duration::from_millis(500));
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_a_minute_and_a_good_session_forgives_them() {
        let mut reconnect = Reconnect::new(2);
        let delays: Vec<_> = (0..12).map(|_| reconnect.after(&failed(), Duration::ZERO)).collect();
        assert!(delays[0] <= Duration::from_secs(1), "{delays:?}");
        assert!(delays[11] >= Duration::from_secs(30) && delays[11] <= Duration::from_secs(60), "{delays:?}");
        assert!(reconnect.after(&failed(), Duration::from_secs(61)) <= Duration::from_secs(1));
        let inactive = CloseCause::Inactive("gone".into());
        assert!(reconnect.after(&inactive, Duration::ZERO) > Duration::ZERO, "it goes on trying");
    }
}
