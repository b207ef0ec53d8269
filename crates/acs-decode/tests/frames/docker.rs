//! A Docker that remembers what was ever done to it.

use std::collections::BTreeMap;

use node_core::{Command, DockerId, DockerName, Event, ExitCode, ImagePulled, Observation, OpFailure, Running};

use crate::world::Outcome;

#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) running: Running,
    pub(crate) starts: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Docker {
    pub(crate) containers: BTreeMap<DockerName, Container>,
    made: BTreeMap<DockerName, u32>,
}

impl Docker {
    pub(crate) fn list(&self) -> Vec<(DockerName, Observation)> {
        self.containers.keys().filter_map(|name| Some((name.clone(), self.seen(name)?))).collect()
    }

    pub(crate) fn seen(&self, name: &DockerName) -> Option<Observation> {
        self.containers.get(name).map(|c| Observation {
            id: DockerId::new(format!("id-{name}")),
            running: c.running,
            oom_killed: false,
            error: String::new(),
            started_at: None,
            finished_at: None,
            bindings: Vec::new(),
            health: None,
        })
    }

    /// Of a container that ran and is over.
    pub(crate) fn exit_code(&self, name: &DockerName) -> Option<ExitCode> {
        match self.containers.get(name)?.running {
            Running::Exited(code) => code,
            Running::Created | Running::Running => None,
        }
    }

    pub(crate) fn runs(&self, name: &DockerName) -> bool {
        self.containers.get(name).is_some_and(|c| c.running == Running::Running)
    }

    /// Ends one of the running containers; `None` if none runs.
    pub(crate) fn end(&mut self, which: usize, code: i64) -> Option<DockerName> {
        let running: Vec<_> =
            self.containers.iter().filter(|(_, c)| c.running == Running::Running).map(|(n, _)| n.clone()).collect();
        let name = running.get(which % running.len().max(1))?.clone();
        self.containers.get_mut(&name)?.running = Running::Exited(Some(ExitCode(code)));
        Some(name)
    }

    /// What the command did: invariant 3, no container is made or started twice, and none is removed while it runs.
    pub(crate) fn take_effect(&mut self, command: &Command) {
        match command {
            Command::Create { name, .. } if !self.containers.contains_key(name) => {
                let made = self.made.entry(name.clone()).or_insert(0);
                *made += 1;
                assert_eq!(*made, 1, "{name} was made again after it had been removed");
                self.containers.insert(name.clone(), Container { running: Running::Created, starts: 0 });
            }
            Command::Start { name, .. } => {
                let container = self.containers.get_mut(name).unwrap();
                if container.running != Running::Running {
                    container.starts += 1;
                    assert_eq!(container.starts, 1, "{name} was run twice");
                    container.running = Running::Running;
                }
            }
            Command::Stop { name, .. } => {
                if let Some(container) = self.containers.get_mut(name)
                    && container.running == Running::Running
                {
                    container.running = Running::Exited(Some(ExitCode(143)));
                }
            }
            Command::Remove { name, .. } => {
                let gone = self.containers.remove(name);
                assert!(gone.is_none_or(|c| c.running != Running::Running), "{name} was removed while it ran");
            }
            _ => {}
        }
    }

    /// What the node hears of an operation on a container.
    pub(crate) fn told(&self, command: &Command, outcome: Outcome) -> Option<Event> {
        let observed = |name: &DockerName| self.seen(name).ok_or(OpFailure::Missing);
        Some(match command {
            Command::Pull { name, .. } => {
                let pulled = ImagePulled { digest: Some("sha256:ab".into()), from_registry: true };
                Event::Pulled(name.clone(), failure(outcome, "CannotPullContainerError").map_or(Ok(pulled), Err))
            }
            Command::Create { name, .. } => {
                let failed = failure(outcome, "CannotCreateContainerError");
                Event::Created(name.clone(), failed.map_or_else(|| observed(name), Err))
            }
            Command::Start { name, .. } => {
                let failed = failure(outcome, "CannotStartContainerError");
                Event::Started(name.clone(), failed.map_or_else(|| observed(name), Err))
            }
            Command::Stop { name, .. } => {
                let failed = failure(outcome, "CannotStopContainerError");
                Event::Stopped(name.clone(), failed.map_or_else(|| observed(name), Err))
            }
            Command::Remove { name, .. } => {
                Event::Removed(name.clone(), failure(outcome, "CannotRemoveContainerError").map_or(Ok(()), Err))
            }
            Command::Inspect { name } if outcome == Outcome::Done => match self.seen(name) {
                Some(seen) => Event::Observed(name.clone(), seen),
                None => Event::Missing(name.clone()),
            },
            Command::Reconcile if outcome == Outcome::Done => Event::DockerUp(self.list()),
            _ => return None,
        })
    }
}

fn failure(outcome: Outcome, name: &'static str) -> Option<OpFailure> {
    match outcome {
        Outcome::Done => None,
        Outcome::Refused => Some(OpFailure::Refused { name, text: "no".into() }),
        Outcome::TimedOut { .. } => Some(OpFailure::Refused { name: "DockerTimeoutError", text: "late".into() }),
        Outcome::Unreachable { .. } => Some(OpFailure::Unreachable("reset".into())),
    }
}
