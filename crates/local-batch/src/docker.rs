//! The machine's Docker, as the plane uses it: to read jobs' output and to take containers down with their host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{KillContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use futures_util::future::join_all;
use tracing::warn;

use crate::config::PlaneError;
use crate::ids::TaskArn;
use crate::logs::LogKeeper;

/// The label by which ECS's containers name their task.
const TASK_LABEL: &str = "com.amazonaws.ecs.task-arn";
/// How often, and at what pace, containers are looked for that a dead agent may have asked for: a second in all.
const SWEEPS: u32 = 10;
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// Connects to `host`, or to Docker's default. Without a default Docker the plane still works, but keeps no logs.
pub(crate) fn connect(host: Option<&str>) -> Result<Option<Docker>, PlaneError> {
    match host {
        Some(host) => Docker::connect_with_host(host)
            .map(Some)
            .map_err(|source| PlaneError::Docker { host: host.to_owned(), source }),
        None => Ok(Docker::connect_with_defaults()
            .inspect_err(|error| warn!(%error, "no Docker here: job output will not be collected"))
            .ok()),
    }
}

/// Removes the containers of these tasks, running or not, as they would vanish with their host. What they wrote is kept.
///
/// A dead agent's last request may still be on its way through Docker: containers of the tasks in `coming` are waited for.
pub(crate) async fn remove_containers(
    docker: &Docker,
    logs: &LogKeeper,
    tasks: &BTreeSet<TaskArn>,
    mut coming: BTreeSet<TaskArn>,
) {
    for _ in 0..SWEEPS {
        let found = match containers_of(docker, tasks).await {
            Ok(found) => found,
            Err(error) => return warn!(%error, "cannot list containers: those of terminated instances may be left"),
        };
        let ids: Vec<&String> = found.keys().collect();
        // Killing what has ended already is refused; that is as good.
        join_all(ids.iter().map(|id| docker.kill_container(id, None::<KillContainerOptions>))).await;
        logs.finished(&found.values().cloned().collect()).await;
        let removed =
            join_all(found.iter().map(|(id, task)| async move { remove(docker, id).await.then_some(task) })).await;
        let removed: BTreeSet<&TaskArn> = removed.into_iter().flatten().collect();
        coming.retain(|task| !removed.contains(task));
        if coming.is_empty() && removed.len() == found.len() {
            return;
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
}

/// By container, the task among `tasks` that it belongs to.
async fn containers_of(docker: &Docker, tasks: &BTreeSet<TaskArn>) -> Result<BTreeMap<String, TaskArn>, Error> {
    let filters = HashMap::from([("label", vec![TASK_LABEL])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let all = docker.list_containers(Some(options)).await?;
    let of_tasks = all.into_iter().filter_map(|container| {
        let task = TaskArn(container.labels?.remove(TASK_LABEL)?);
        tasks.contains(&task).then_some((container.id?, task))
    });
    Ok(of_tasks.collect())
}

/// Whether it is gone now.
async fn remove(docker: &Docker, id: &str) -> bool {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => true,
        Err(error) => {
            warn!(container = id, %error, "cannot remove a container of a terminated instance yet");
            false
        }
    }
}
