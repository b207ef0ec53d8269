//! What Docker's health check says of a container (amazon-ecs-agent, `agent/api/container/container.go`, `SetHealthStatus`).

use serde::{Deserialize, Serialize};

use crate::ids::ExitCode;
use crate::time::Timestamp;

/// In ECS's words. A check that has not yet had its say (`starting`) leaves it unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthStatus {
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

/// What one look at Docker shows of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthSeen {
    pub status: HealthStatus,
    /// Of the last probe.
    pub exit_code: Option<ExitCode>,
    pub output: String,
}

/// A container's health, since its last change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    /// `None` before the first change.
    pub since: Option<Timestamp>,
    /// Of the probe that made it unhealthy.
    pub exit_code: Option<ExitCode>,
    /// Of the probe that changed it. The container wrote it, so it is not kept on disk.
    #[serde(skip)]
    pub output: String,
}

impl Health {
    /// Whether the status is another than before.
    pub(crate) fn take_in(&mut self, seen: &HealthSeen, now: Timestamp) -> bool {
        if self.status == seen.status {
            return false;
        }
        let exit_code = seen.exit_code.filter(|_| seen.status == HealthStatus::Unhealthy);
        *self = Self { status: seen.status, since: Some(now), exit_code, output: seen.output.clone() };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::{Hand, has, policy, seen, spec, submitted};
    use crate::{
        Command, Condition, ContainerName, Dependency, Event, ImagePulled, Observation, Running, Save, TaskSpec,
    };

    fn shown(status: HealthStatus) -> Observation {
        let health = Some(HealthSeen { status, ..HealthSeen::default() });
        Observation { health, ..seen(Running::Running) }
    }

    /// `web` waits for `db` to be healthy.
    fn ordered(checked: bool) -> TaskSpec {
        let mut spec = spec("t1");
        let mut db = spec.containers[0].clone();
        (db.name, db.health_check, db.essential) = (ContainerName::new("db"), checked, false);
        spec.containers[0].depends_on = vec![Dependency { container: db.name.clone(), condition: Condition::Healthy }];
        spec.containers.push(db);
        spec
    }

    #[test]
    fn a_container_waits_for_the_health_of_another() {
        let mut hand = Hand::active(policy());
        let spec = ordered(true);
        let [web, db] = [0, 1].map(|i| spec.docker_name(&spec.containers[i]));
        hand.run(&spec);
        hand.on(Event::Pulled(web.clone(), Ok(ImagePulled::default())));
        hand.on(Event::Pulled(db.clone(), Ok(ImagePulled::default())));
        hand.on(Event::Created(db.clone(), Ok(seen(Running::Created))));
        hand.on(Event::Started(db.clone(), Ok(seen(Running::Running))));
        let creates =
            |commands: &[Command]| has(commands, |c| matches!(c, Command::Create { name, .. } if *name == web));
        for status in [HealthStatus::Unknown, HealthStatus::Unhealthy] {
            assert!(!creates(&hand.on(Event::Observed(db.clone(), shown(status)))));
        }
        while !hand.node.take_saves().is_empty() {}
        let commands = hand.on(Event::Observed(db, shown(HealthStatus::Healthy)));
        assert!(creates(&commands), "{commands:?}");
        hand.node.take_saves();
        let saves = hand.node.take_saves();
        assert!(saves.iter().any(|s| matches!(s, Save::Task(t) if t.containers[1].health.since == Some(hand.now))));
        assert_eq!(hand.node.running_tasks()[0].containers[0].health, Some((HealthStatus::Healthy, Some(hand.now))));
    }

    #[test]
    fn health_that_can_never_come_ends_the_wait() {
        let mut hand = Hand::active(policy());
        let spec = ordered(false);
        let web = spec.docker_name(&spec.containers[0]);
        hand.run(&spec);
        let commands = hand.on(Event::Pulled(web, Ok(ImagePulled::default())));
        let container = &submitted(&commands).unwrap().containers[0];
        assert_eq!(container.exit_code, Some(ExitCode(143)));
        assert!(container.reason.as_ref().unwrap().ends_with("container db has no health check"), "{container:?}");
    }

    #[test]
    fn only_a_change_has_a_time() {
        let seen = |status, code| HealthSeen { status, exit_code: Some(ExitCode(code)), output: code.to_string() };
        let mut health = Health::default();
        assert!(!health.take_in(&seen(HealthStatus::Unknown, 1), Timestamp(1)), "it was unknown before");
        assert!(health.take_in(&seen(HealthStatus::Healthy, 0), Timestamp(2)));
        assert!(!health.take_in(&seen(HealthStatus::Healthy, 0), Timestamp(3)));
        assert_eq!((health.since, health.exit_code), (Some(Timestamp(2)), None));
        assert!(health.take_in(&seen(HealthStatus::Unhealthy, 7), Timestamp(4)));
        assert_eq!(
            (health.since, health.exit_code, health.output.as_str()),
            (Some(Timestamp(4)), Some(ExitCode(7)), "7")
        );
    }
}
