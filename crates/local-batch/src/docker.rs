//! The machine's Docker, as the plane uses it: to read jobs' output and to take containers down with their host.

use std::collections::{BTreeSet, HashMap};

use bollard::Docker;
use bollard::query_parameters::{KillContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use futures_util::future::join_all;
use tracing::warn;

use crate::config::PlaneError;
use crate::ids::TaskArn;
use crate::logs::LogKeeper;

/// The label by which ECS's containers name their task.
const TASK_LABEL: &str = "com.amazonaws.ecs.task-arn";

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
pub(crate) async fn remove_containers(docker: &Docker, logs: &LogKeeper, tasks: &BTreeSet<TaskArn>) {
    let filters = HashMap::from([("label", vec![TASK_LABEL])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = match docker.list_containers(Some(options)).await {
        Ok(containers) => containers,
        Err(error) => return warn!(%error, "cannot list containers: those of terminated instances may be left"),
    };
    let of_tasks = containers.into_iter().filter(|container| {
        let task = container.labels.as_ref().and_then(|labels| labels.get(TASK_LABEL));
        task.is_some_and(|task| tasks.contains(&TaskArn(task.clone())))
    });
    let ids: Vec<String> = of_tasks.filter_map(|container| container.id).collect();
    // Killing what has ended already is refused; that is as good.
    join_all(ids.iter().map(|id| docker.kill_container(id, None::<KillContainerOptions>))).await;
    logs.finished(tasks).await;
    let removals = ids.iter().map(|id| async move {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        if let Err(error) = docker.remove_container(id, Some(options)).await {
            warn!(container = id, %error, "cannot remove a container of a terminated instance");
        }
    });
    join_all(removals).await;
}
