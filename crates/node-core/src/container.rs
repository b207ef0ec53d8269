//! One container on its way from a payload to its exit code.

use serde::{Deserialize, Serialize};

use crate::command::TaskStatus;
use crate::event::{Observation, Running};
use crate::health::{Health, HealthStatus};
use crate::ids::{DockerId, DockerName, ExitCode};
use crate::pull::PullState;
use crate::restart::Restarts;
use crate::spec::{Condition, NetworkBinding};
use crate::time::Timestamp;

/// How far a container is. It only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Stage {
    Waiting,
    /// Its image is here, as far as policy cares.
    Pulled,
    Created,
    Running,
    Stopped,
}

impl Stage {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Pulled => "PULLED",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// The Docker operation that is under way for a container; lost in a crash, and derived again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Pull,
    /// Waits for one of the node's slots for creates and starts.
    Queued,
    Create,
    Start,
    Stop,
    Remove,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    pub docker_name: DockerName,
    pub docker_id: Option<DockerId>,
    pub stage: Stage,
    /// What ECS has confirmed about this container.
    pub sent: TaskStatus,
    pub exit_code: Option<ExitCode>,
    /// `<ErrorName>: <text>`: the first error wins.
    pub reason: Option<String>,
    pub image_digest: Option<String>,
    pub bindings: Vec<NetworkBinding>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub removed: bool,
    /// It has had its warning of the interruption that stands.
    #[serde(default)]
    pub warned: bool,
    /// It has ever been sent a warning: a failure after that may be the signal's doing.
    #[serde(default)]
    pub signalled: bool,
    /// Its end is kept from ECS, because the end of the host brought it about.
    #[serde(default)]
    pub withheld: bool,
    #[serde(default)]
    pub health: Health,
    #[serde(default)]
    pub restarts: Restarts,
    #[serde(skip)]
    pub(crate) op: Option<Op>,
    /// A warning is on its way, and this is what `signalled` was before it.
    #[serde(skip)]
    pub(crate) warning: Option<bool>,
    /// Not before this time is the next operation tried.
    #[serde(skip)]
    pub(crate) retry_at: Option<Timestamp>,
    /// Docker may be further than this record: a start had no answer, or the process began anew. Until Docker has shown the
    /// container (or shown that there is none) it is neither started nor given up.
    #[serde(skip)]
    pub(crate) unsure: bool,
    #[serde(skip)]
    pub(crate) failures: u32,
    #[serde(skip)]
    pub(crate) pull: PullState,
}

/// What a container became through an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Nowhere,
    Forward,
    /// It is over for this node, and yet Docker shows it running.
    Revived,
}

impl ContainerState {
    pub(crate) fn new(docker_name: DockerName) -> Self {
        Self {
            docker_name,
            docker_id: None,
            stage: Stage::Waiting,
            sent: TaskStatus::None,
            exit_code: None,
            reason: None,
            image_digest: None,
            bindings: Vec::new(),
            started_at: None,
            finished_at: None,
            removed: false,
            warned: false,
            signalled: false,
            withheld: false,
            health: Health::default(),
            restarts: Restarts::default(),
            op: None,
            warning: None,
            retry_at: None,
            unsure: false,
            failures: 0,
            pull: PullState::default(),
        }
    }

    /// The stage in ECS's words. Before it runs, a container is worth a word only once its image's digest is known.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        match self.stage {
            Stage::Stopped => TaskStatus::Stopped,
            Stage::Running => TaskStatus::Running,
            Stage::Waiting | Stage::Pulled | Stage::Created if self.image_digest.is_some() => TaskStatus::Pending,
            Stage::Waiting | Stage::Pulled | Stage::Created => TaskStatus::None,
        }
    }

    /// Nothing is under way that must be waited for.
    pub(crate) fn free(&self, now: Timestamp) -> bool {
        matches!(self.op, None | Some(Op::Queued)) && self.retry_at.is_none_or(|at| at <= now)
    }

    /// Takes in what Docker shows. Late and repeated observations change nothing.
    pub(crate) fn observe(&mut self, seen: &Observation, now: Timestamp) -> Moved {
        self.unsure = false;
        self.docker_id.get_or_insert_with(|| seen.id.clone());
        if self.bindings.is_empty() {
            self.bindings.clone_from(&seen.bindings);
        }
        if self.started_at.is_none() {
            self.started_at = seen.started_at;
        }
        let next = match seen.running {
            Running::Created => Stage::Created,
            Running::Running => Stage::Running,
            Running::Exited(_) => Stage::Stopped,
        };
        if self.stage == Stage::Stopped && next == Stage::Running {
            return Moved::Revived;
        }
        if next <= self.stage {
            return Moved::Nowhere;
        }
        if let Running::Exited(code) = seen.running {
            self.exit_code = code;
            self.finished_at = seen.finished_at.or(Some(now));
            self.blame_docker(seen);
            self.end();
        } else {
            self.stage = next;
            if next == Stage::Running && self.started_at.is_none() {
                self.started_at = Some(now);
            }
        }
        Moved::Forward
    }

    fn blame_docker(&mut self, seen: &Observation) {
        if self.reason.is_some() {
            return;
        }
        if seen.oom_killed {
            self.reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
        } else if !seen.error.is_empty() {
            self.reason = Some(format!("DockerStateError: {}", seen.error));
        }
    }

    /// Over without an exit code: it was refused, never started, or has vanished.
    pub(crate) fn fail(&mut self, reason: Option<String>, now: Timestamp) {
        if self.stage == Stage::Stopped {
            return;
        }
        if self.reason.is_none() {
            self.reason = reason;
        }
        self.finished_at = Some(now);
        self.end();
    }

    fn end(&mut self) {
        self.stage = Stage::Stopped;
        self.retry_at = None;
        self.failures = 0;
    }

    /// Does this container, as it stands now, satisfy one that waits for it? `Err` when it never can.
    pub(crate) fn satisfies(&self, condition: Condition) -> Result<bool, &'static str> {
        let over = self.stage == Stage::Stopped;
        match (condition, self.exit_code) {
            (Condition::Start, _) => Ok(self.stage >= Stage::Running),
            (Condition::Complete, Some(_)) => Ok(over),
            (Condition::Complete, None) if over => Err("it never ran to its end"),
            (Condition::Success, Some(ExitCode(0))) => Ok(over),
            (Condition::Success, _) if over => Err("it did not end with exit code 0"),
            (Condition::Healthy, _) if self.health.status == HealthStatus::Healthy => Ok(true),
            (Condition::Healthy, _) if over => Err("it ended before it was healthy"),
            (Condition::Complete | Condition::Success | Condition::Healthy, _) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(running: Running) -> Observation {
        Observation {
            id: DockerId::new("d1"),
            running,
            oom_killed: false,
            error: String::new(),
            started_at: None,
            finished_at: None,
            bindings: Vec::new(),
            health: None,
        }
    }

    #[test]
    fn a_container_never_moves_backwards() {
        let mut container = ContainerState::new(DockerName::new("n"));
        let now = Timestamp(5);
        assert_eq!(container.observe(&seen(Running::Running), now), Moved::Forward);
        assert_eq!(container.observe(&seen(Running::Created), now), Moved::Nowhere);
        let exited = seen(Running::Exited(Some(ExitCode(3))));
        assert_eq!(container.observe(&exited, now), Moved::Forward);
        let other = seen(Running::Exited(Some(ExitCode(0))));
        assert_eq!(container.observe(&other, now), Moved::Nowhere);
        assert_eq!(container.exit_code, Some(ExitCode(3)));
        assert_eq!(container.observe(&seen(Running::Running), now), Moved::Revived);
    }

    #[test]
    fn oom_docker_error_and_plain_exit_are_told_apart() {
        let reason = |oom_killed, error: &str| {
            let mut container = ContainerState::new(DockerName::new("n"));
            let seen = Observation { oom_killed, error: error.into(), ..seen(Running::Exited(Some(ExitCode(137)))) };
            container.observe(&seen, Timestamp(1));
            container.reason
        };
        assert_eq!(reason(true, "").as_deref(), Some("OutOfMemoryError: Container killed due to memory usage"));
        assert_eq!(reason(false, "boom").as_deref(), Some("DockerStateError: boom"));
        assert_eq!(reason(false, ""), None);
    }
}
