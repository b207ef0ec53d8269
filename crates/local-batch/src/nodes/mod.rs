//! Instances in the world: a directory, a metadata service and, for those that the plane launched, the agent's process.

mod orphan;
mod process;
pub(crate) mod settings;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tracing::error;

use crate::docker;
use crate::events::PlaneEvent;
use crate::hub::Hub;
use crate::ids::Ec2Id;
use crate::imds;
use crate::model::cluster::{Tag, Task, TaskStatus};
use crate::model::node::NodeState;

/// Where whoever runs the agent of an instance finds its metadata service.
pub(crate) const ENDPOINT_TAG: &str = "imds-endpoint";

/// The life of an instance that the plane launched, from its first byte on disk to its end.
pub(crate) async fn run_launched(hub: Arc<Hub>, id: Ec2Id) {
    let Some(stop) = hub.read(|state| state.nodes.get(&id).map(|node| node.stop.clone())) else { return };
    match boot(&hub, &id).await {
        Ok((listener, endpoint, Some(files))) => {
            tokio::select! {
                () = imds::serve(hub.clone(), id.clone(), listener) => {}
                () = process::supervise(&hub, &id, &files, &endpoint, &stop) => {}
            }
        }
        Ok((listener, _, None)) => {
            tokio::select! {
                () = imds::serve(hub.clone(), id.clone(), listener) => {}
                () = stop.cancelled() => {}
            }
        }
        Err(cause) => {
            error!(instance = %id, %cause, "cannot launch an instance: no port, or no room under the data directory");
            process::stays_down(&hub, &id, cause.to_string());
            stop.cancelled().await;
        }
    }
    end(&hub, &id).await;
}

/// Without a compute environment there is no agent, and no files of one.
async fn boot(hub: &Arc<Hub>, id: &Ec2Id) -> io::Result<(TcpListener, String, Option<settings::NodeFiles>)> {
    let (listener, endpoint) = imds::bind(hub.config.listen.ip()).await?;
    let environment = hub.read(|state| state.nodes.get(id).and_then(|node| node.compute_environment.clone()));
    let files = match environment {
        Some(environment) => {
            let files = settings::prepare(&hub.config, id, &environment).await?;
            // The plane may have been killed, and its agent not.
            orphan::end(&files.config).await;
            Some(files)
        }
        None => None,
    };
    hub.update(|state, _| {
        if let Some(node) = state.nodes.get_mut(id) {
            node.imds = Some(endpoint.clone());
            if node.compute_environment.is_none() {
                node.tags.retain(|tag| tag.key != ENDPOINT_TAG);
                node.tags.push(Tag { key: ENDPOINT_TAG.into(), value: endpoint.clone() });
            }
            if node.state == NodeState::Pending {
                node.state = NodeState::Running;
            }
        }
        state.emit(PlaneEvent::NodeLaunched { instance_id: id.to_string() });
    });
    Ok((listener, endpoint, files))
}

/// The life of an instance made by hand: whoever made it runs its agent.
pub(crate) async fn run_by_hand(hub: Arc<Hub>, id: Ec2Id, listener: TcpListener) {
    let Some(stop) = hub.read(|state| state.nodes.get(&id).map(|node| node.stop.clone())) else { return };
    tokio::select! {
        () = imds::serve(hub.clone(), id.clone(), listener) => {}
        () = stop.cancelled() => {}
    }
    end(&hub, &id).await;
}

/// After a restart of the plane: the instances that there were have their metadata service again, and their agents.
pub(crate) async fn resume(hub: &Arc<Hub>) {
    let nodes = hub.read(|state| {
        let living = state.nodes.values().filter(|n| ![NodeState::Stopped, NodeState::Terminated].contains(&n.state));
        living.map(|node| (node.id.clone(), node.compute_environment.is_some(), node.imds.clone())).collect::<Vec<_>>()
    });
    for (id, is_launched, imds) in nodes {
        if is_launched {
            hub.node_tracker.spawn(run_launched(hub.clone(), id));
            continue;
        }
        match imds::bind_again(imds.as_deref().unwrap_or_default()).await {
            Ok(listener) => drop(hub.node_tracker.spawn(run_by_hand(hub.clone(), id, listener))),
            Err(cause) => {
                error!(instance = %id, %cause, "the port of an instance's metadata service is taken; terminate the instance");
                hub.node_tracker.spawn(run_without_metadata(hub.clone(), id));
            }
        }
    }
}

async fn run_without_metadata(hub: Arc<Hub>, id: Ec2Id) {
    let Some(stop) = hub.read(|state| state.nodes.get(&id).map(|node| node.stop.clone())) else { return };
    stop.cancelled().await;
    end(&hub, &id).await;
}

/// The disk goes with the host: its tasks' containers are removed, then its tasks are lost.
async fn end(hub: &Arc<Hub>, id: &Ec2Id) {
    let (tasks, coming) = hub.read(|state| {
        let on_node = |task: &&Task| {
            state.instances.get(&task.instance).is_some_and(|instance| instance.ec2_id.as_ref() == Some(id))
        };
        let tasks = state.tasks.values().filter(on_node);
        let (mut all, mut coming) = (BTreeSet::new(), BTreeSet::new());
        for task in tasks {
            all.insert(task.arn.clone());
            if task.was_sent && task.status == TaskStatus::Pending {
                coming.insert(task.arn.clone());
            }
        }
        (all, coming)
    });
    if let Some(docker) = hub.logs.docker.as_ref().filter(|_| !tasks.is_empty()) {
        docker::remove_containers(docker, &hub.logs, &tasks, coming).await;
    }
    hub.update(|state, now| match state.nodes.get(id).map(|node| node.state) {
        Some(NodeState::Stopping) => state.node_stopped(id, now),
        _ => state.node_gone(id, now),
    });
}
