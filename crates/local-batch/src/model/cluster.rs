//! The ECS side of the state: clusters, container instances, tasks.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use ecs_wire::task::Task as WireTask;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::container::Shape;
use super::roles::Grant;
use super::table::Table;
use crate::clock::Millis;
use crate::ids::{Ec2Id, InstanceArn, JobId, TaskArn};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) arn: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum InstanceStatus {
    Active,
    Draining,
    Inactive,
}

/// A resource as ECS lists it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Resource {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) double_value: f64,
    pub(crate) long_value: i64,
    pub(crate) integer_value: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) string_set_value: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContainerInstance {
    pub(crate) arn: InstanceArn,
    /// The cluster's name.
    pub(crate) cluster: String,
    pub(crate) ec2_id: Option<Ec2Id>,
    pub(crate) status: InstanceStatus,
    pub(crate) resources: Vec<Resource>,
    pub(crate) gpus: Vec<String>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) client_token: Option<String>,
    pub(crate) registered_at: Millis,
    /// The order of registration.
    pub(crate) seq: u64,
    #[serde(skip)]
    pub(crate) session: Option<Session>,
    /// Tasks that are not STOPPED.
    pub(crate) tasks: BTreeSet<TaskArn>,
    pub(crate) used: Shape,
    pub(crate) gpus_used: BTreeSet<String>,
}

/// The agent's ACS websocket, as the state sees it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Tells a session from the one that replaced it.
    pub(crate) id: u64,
    /// There may be payloads to send.
    pub(crate) wake: Arc<Notify>,
    pub(crate) close: CancellationToken,
    /// What a fault does to this session.
    pub(crate) orders: mpsc::Sender<SessionOrder>,
}

/// Something that a well-behaved ACS would not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionOrder {
    /// A Close frame of this code.
    Close(u16),
    /// This text, as it is.
    Frame(String),
}

impl ContainerInstance {
    /// CPU units and MiB as registered.
    pub(crate) fn capacity(&self) -> Shape {
        let amount = |name: &str| {
            let found = self.resources.iter().find(|r| r.name == name);
            found.and_then(|r| u32::try_from(r.integer_value).ok()).unwrap_or_default()
        };
        Shape { cpu: amount("CPU"), memory: amount("MEMORY"), gpus: u32::try_from(self.gpus.len()).unwrap_or_default() }
    }

    pub(crate) fn free(&self) -> Shape {
        self.capacity().minus(self.used)
    }

    pub(crate) fn wake(&self) {
        if let Some(session) = &self.session {
            session.wake.notify_one();
        }
    }
}

impl Shape {
    pub(crate) fn fits(self, room: Self) -> bool {
        self.cpu <= room.cpu && self.memory <= room.memory && self.gpus <= room.gpus
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum TaskStatus {
    Pending,
    Running,
    Stopped,
}

impl TaskStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// How far the latest order about a task has come on its way to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Delivery {
    Due,
    Sent { message_id: String, at: Millis },
    Acked,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) arn: TaskArn,
    pub(crate) instance: InstanceArn,
    pub(crate) cluster: String,
    pub(crate) job: JobId,
    pub(crate) shape: Shape,
    pub(crate) gpus: Vec<String>,
    pub(crate) wire: WireTask,
    pub(crate) stop_wanted: bool,
    pub(crate) grants: Vec<Grant>,
    pub(crate) delivery: Delivery,
    /// Whether the agent may have heard of it.
    pub(crate) was_sent: bool,
    pub(crate) status: TaskStatus,
    pub(crate) created_at: Millis,
    pub(crate) started_at: Option<Millis>,
    pub(crate) stopped_at: Option<Millis>,
    pub(crate) pull_started_at: Option<Millis>,
    pub(crate) pull_stopped_at: Option<Millis>,
    pub(crate) stop_code: Option<Cow<'static, str>>,
    pub(crate) stopped_reason: Option<String>,
    pub(crate) runtime_id: Option<String>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) container_reason: Option<String>,
    pub(crate) image_digest: Option<String>,
    /// The log stream that the plane fills from Docker; absent where the job's own log driver takes the output elsewhere.
    pub(crate) log_stream: Option<String>,
}

/// Resources keyed by nothing: what a describe lists as remaining.
pub(crate) fn remaining(instance: &ContainerInstance) -> Vec<Resource> {
    let free = instance.free();
    let mut list = instance.resources.clone();
    for resource in &mut list {
        match resource.name.as_str() {
            "CPU" => resource.integer_value = free.cpu.into(),
            "MEMORY" => resource.integer_value = free.memory.into(),
            _ => {}
        }
    }
    list
}

pub(crate) type Tasks = Table<TaskArn, Task>;
