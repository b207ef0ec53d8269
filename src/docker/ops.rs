//! What can be done with a container that exists.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    KillContainerOptions, ListContainersOptions, RemoveContainerOptions, StopContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use node_core::{DockerId, DockerName, Observation, OpFailure, Running, Timestamp};

use super::failure::{limited, names, status};
use super::{Docker, labels, observe};

// Limits: amazon-ecs-agent, agent/config/config_unix.go and agent/dockerclient/timeout.go.
/// On top of the grace between SIGTERM and SIGKILL.
const STOP_LIMIT: Duration = Duration::from_secs(2 * 60);
const INSPECT_LIMIT: Duration = Duration::from_secs(30);
const LIST_LIMIT: Duration = Duration::from_secs(10 * 60);
const REMOVE_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Inspects of one listing at a time: enough to hide the round trips, too few to slow down the daemon's other work.
const LIST_INSPECTS: usize = 8;

impl Docker {
    /// Starts a container; one that runs already is fine. With `published` the answer comes from an inspect, which knows the
    /// host ports that Docker chose; without, that round trip is saved, and the start time is this host's clock.
    ///
    /// # Errors
    /// A command that cannot be executed is refused here, and leaves the container behind, never started.
    pub(crate) async fn start(
        &self,
        name: &DockerName,
        id: &DockerId,
        published: bool,
    ) -> Result<Observation, OpFailure> {
        self.own_starts().insert(name.clone());
        let result = limited("started", self.container_limits.start, async {
            self.api
                .start_container(id.as_str(), None)
                .await
                .map_err(|e| self.failed_on_container(names::START, &e))?;
            if published {
                return self.inspect_id(id.as_str()).await;
            }
            let mut seen = observe::bare(id.clone(), Running::Running);
            seen.started_at = now();
            Ok(seen)
        })
        .await;
        if result.is_err() {
            self.own_starts().remove(name);
        }
        result
    }

    /// Sends SIGTERM (or the image's own stop signal), SIGKILL after `grace_secs`, and says what is left. Without any grace it
    /// is SIGKILL alone: Docker's own stop would send SIGTERM even then, and a job that heeds it may end with 0, half done.
    /// A container that does not run is fine.
    pub(crate) async fn stop(&self, id: &DockerId, grace_secs: u64) -> Result<Observation, OpFailure> {
        let grace = i32::try_from(grace_secs).unwrap_or(i32::MAX);
        let limit = Duration::from_secs(u64::from(grace.unsigned_abs())).saturating_add(STOP_LIMIT);
        limited("stopped", limit, async {
            let stopped = if grace == 0 {
                let options = KillContainerOptions { signal: "SIGKILL".to_owned() };
                // 409: it does not run.
                self.api.kill_container(id.as_str(), Some(options)).await.or_else(|error| match status(&error) {
                    Some(409) => Ok(()),
                    _ => Err(error),
                })
            } else {
                let options = StopContainerOptions { signal: None, t: Some(grace) };
                self.api.stop_container(id.as_str(), Some(options)).await
            };
            stopped.map_err(|e| self.failed_on_container(names::STOP, &e))?;
            self.inspect_id(id.as_str()).await
        })
        .await
    }

    /// Sends a signal to a running container.
    pub(crate) async fn signal(&self, id: &DockerId, signal: &str) -> Result<(), OpFailure> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        limited("signalled", INSPECT_LIMIT, async {
            let sent = self.api.kill_container(id.as_str(), Some(options)).await;
            sent.map_err(|e| self.failed_on_container(names::STOP, &e))
        })
        .await
    }

    /// Removes a stopped container and its anonymous volumes. One that is gone already is fine.
    pub(crate) async fn remove(&self, name: &DockerName) -> Result<(), OpFailure> {
        self.own_starts().remove(name);
        let options = RemoveContainerOptions { v: true, force: false, link: false };
        limited("removed", REMOVE_LIMIT, async {
            match self.api.remove_container(name.as_str(), Some(options)).await {
                Err(error) if status(&error) != Some(404) => Err(self.failed(names::REMOVE, &error)),
                _ => Ok(()),
            }
        })
        .await
    }

    pub(crate) async fn inspect(&self, name: &DockerName) -> Result<Observation, OpFailure> {
        limited("inspecting", INSPECT_LIMIT, self.inspect_id(name.as_str())).await
    }

    /// Every container that carries a task's label, whoever made it. One that vanishes meanwhile is left out; one that Docker
    /// can list and not inspect (its layers are damaged, its lock is stuck) is told as the listing has it.
    pub(crate) async fn list(&self) -> Result<Vec<(DockerName, Observation)>, OpFailure> {
        let found = limited("listed", LIST_LIMIT, self.summaries()).await?;
        stream::iter(found)
            .map(|(name, summary)| async move {
                match self.inspect(&name).await {
                    Ok(seen) => Ok(Some((name, seen))),
                    Err(OpFailure::Missing) => Ok(None),
                    Err(OpFailure::Refused { text, .. }) => {
                        tracing::warn!(container = %name, error = text, "Docker lists a container and cannot inspect it");
                        Ok(Some((name, observe::listed(&summary))))
                    }
                    Err(failure @ OpFailure::Unreachable(_)) => Err(failure),
                }
            })
            .buffered(LIST_INSPECTS)
            .try_filter_map(|found| async move { Ok(found) })
            .try_collect()
            .await
    }

    async fn summaries(&self) -> Result<Vec<(DockerName, ContainerSummary)>, OpFailure> {
        let filters = [("label".to_owned(), vec![labels::TASK_ARN.to_owned()])];
        let options = ListContainersOptions { all: true, filters: Some(filters.into()), ..Default::default() };
        let found = self.api.list_containers(Some(options)).await.map_err(|e| self.failed(names::LIST, &e))?;
        let named = |summary: ContainerSummary| Some((own_name(summary.names.as_deref()?)?, summary));
        Ok(found.into_iter().filter_map(named).collect())
    }

    /// By name or id, with no limit of its own.
    async fn inspect_id(&self, container: &str) -> Result<Observation, OpFailure> {
        match self.api.inspect_container(container, None).await {
            Ok(inspect) => Ok(observe::observation(&inspect)),
            Err(error) => Err(self.failed_on_container(names::INSPECT, &error)),
        }
    }
}

/// Of `/name` and the `/other/alias` that a link adds, the first kind.
fn own_name(names: &[String]) -> Option<DockerName> {
    let mut bare = names.iter().filter_map(|name| name.strip_prefix('/'));
    bare.find(|name| !name.contains('/')).map(DockerName::new)
}

/// The host's clock, for a time that Docker was not asked for.
fn now() -> Option<Timestamp> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(elapsed.as_millis()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_no_name() {
        let names = ["/web/db", "/db"].map(str::to_owned);
        assert_eq!(own_name(&names), Some(DockerName::new("db")));
        assert_eq!(own_name(&[]), None);
    }
}
