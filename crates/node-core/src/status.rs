//! What an operator may ask of a node at any time.

use serde::{Deserialize, Serialize};

use crate::command::TaskStatus;
use crate::container::{Op, Stage};
use crate::health::HealthStatus;
use crate::ids::{ClusterRef, ContainerInstanceArn, ContainerName, DockerId, ExitCode, InstanceId, TaskArn};
use crate::leaving::{LeavingStatus, Phase};
use crate::node::Node;
use crate::pull::PullProgress;
use crate::spec::JobLabel;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub instance: Option<InstanceId>,
    pub cluster: Option<ClusterRef>,
    pub container_instance: Option<ContainerInstanceArn>,
    pub phase: Phase,
    pub since: Timestamp,
    /// Why the node is in this phase, and what it waits for.
    pub why: String,
    pub session_open: bool,
    pub docker_up: bool,
    /// Running containers of another ECS agent.
    #[serde(default)]
    pub strangers: usize,
    #[serde(default)]
    pub leaving: LeavingStatus,
    /// Tasks that are not over, or not yet reported, or whose containers are still here; oldest first.
    pub tasks: Vec<TaskView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    pub task: TaskArn,
    pub job: Option<JobLabel>,
    pub family: String,
    pub stop_wanted: bool,
    pub known: TaskStatus,
    pub sent: TaskStatus,
    /// ECS has not heard the latest yet.
    pub unreported: bool,
    /// Its failure is kept back, because the end of the host has killed it.
    #[serde(default)]
    pub withheld: bool,
    pub accepted_at: Timestamp,
    pub stopped_at: Option<Timestamp>,
    pub containers: Vec<ContainerView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerView {
    pub name: ContainerName,
    pub docker_id: Option<DockerId>,
    pub stage: Stage,
    pub exit_code: Option<ExitCode>,
    pub reason: Option<String>,
    pub started_at: Option<Timestamp>,
    /// Where it has a health check.
    #[serde(default)]
    pub health: Option<HealthStatus>,
    /// Where it has a restart policy.
    #[serde(default)]
    pub restarts: Option<u32>,
    /// While its image is pulled.
    pub pull: Option<PullProgress>,
}

impl Node {
    #[must_use]
    pub fn status(&self, now: Timestamp) -> NodeStatus {
        let record = self.record.as_ref();
        let mut tasks: Vec<_> =
            self.tasks.values().filter(|t| !t.record.cleaned).map(|t| (t.record.order, view(t))).collect();
        tasks.sort_by_key(|(order, _)| *order);
        NodeStatus {
            instance: record.map(|r| r.instance.clone()),
            cluster: record.map(|r| r.cluster.clone()),
            container_instance: record.and_then(|r| r.container_instance.clone()),
            phase: self.phase(),
            since: record.map_or(self.started_at, |r| r.phase_since),
            why: self.why(now) + &self.home_remark(),
            session_open: self.session.open,
            docker_up: self.docker_up,
            strangers: self.strangers,
            leaving: self.leaving_status(),
            tasks: tasks.into_iter().map(|(_, view)| view).collect(),
        }
    }
}

fn view(task: &crate::task::Task) -> TaskView {
    let record = &task.record;
    TaskView {
        task: record.arn().clone(),
        job: record.spec.job(),
        family: record.spec.family.clone(),
        stop_wanted: record.stop_wanted,
        known: record.known(),
        sent: record.sent,
        unreported: record.report().is_some(),
        withheld: record.withheld(),
        accepted_at: record.accepted_at,
        stopped_at: record.stopped_at,
        containers: record
            .spec
            .containers
            .iter()
            .zip(&record.containers)
            .map(|(spec, state)| ContainerView {
                name: spec.name.clone(),
                docker_id: state.docker_id.clone(),
                stage: state.stage,
                exit_code: state.exit_code,
                reason: state.reason.clone(),
                started_at: state.started_at,
                health: spec.health_check.then_some(state.health.status),
                restarts: spec.restart_policy.as_ref().map(|_| state.restarts.count),
                pull: state.pull.progress.clone().filter(|_| state.op == Some(Op::Pull)),
            })
            .collect(),
    }
}
