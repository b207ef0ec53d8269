//! What must survive a crash.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterRef, ContainerInstanceArn, InstanceId, TaskArn};
use crate::images::ImageUse;
use crate::leaving::{InstanceState, LeavingRecord, Phase};
use crate::task::TaskRecord;
use crate::time::Timestamp;

/// One change of the durable record. The shell makes all of a step's changes durable in one commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Save {
    Node(Box<NodeRecord>),
    Task(Box<TaskRecord>),
    Forget(TaskArn),
    /// Everything saved so far belongs to another machine: drop it.
    Clear,
}

/// Everything a restart needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Saved {
    pub node: Option<NodeRecord>,
    pub tasks: Vec<TaskRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub instance: InstanceId,
    pub cluster: ClusterRef,
    /// The compute environment's new cluster, while tasks of the old one are left here.
    #[serde(default)]
    pub moving_to: Option<ClusterRef>,
    pub container_instance: Option<ContainerInstanceArn>,
    pub phase: Phase,
    pub phase_since: Timestamp,
    /// What ECS last confirmed about this container instance.
    pub confirmed_state: InstanceState,
    /// Since when the host has had nothing to do.
    pub idle_since: Timestamp,
    /// The newest task manifest that was acted on.
    pub manifest_seq: i64,
    /// Images that this node has pulled itself: pull behaviour `once` pulls each a single time.
    pub pulled_images: BTreeSet<String>,
    #[serde(default)]
    pub leaving: LeavingRecord,
    /// The images that this node may remove, by name and by digest.
    #[serde(default)]
    pub images: BTreeMap<String, ImageUse>,
}
