//! A job and its attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::{JobTimeout, Tags};
use super::container::{ContainerProperties, Shape};
use super::retry::RetryStrategy;
use crate::clock::Millis;
use crate::events::JobStatus;
use crate::ids::JobId;

/// What was submitted: the same for every child of an array.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct JobSpec {
    pub(crate) name: String,
    /// The queue's name.
    pub(crate) queue: String,
    pub(crate) queue_arn: String,
    pub(crate) definition_name: String,
    pub(crate) definition_arn: String,
    pub(crate) revision: u32,
    /// With overrides and parameters applied.
    pub(crate) container: ContainerProperties,
    pub(crate) shape: Shape,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) retry: RetryStrategy,
    pub(crate) timeout: Option<JobTimeout>,
    pub(crate) depends_on: Vec<JobDependency>,
    pub(crate) tags: Tags,
    pub(crate) propagate_tags: Option<bool>,
    pub(crate) share_identifier: Option<String>,
    pub(crate) scheduling_priority: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDependency {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job_id: Option<JobId>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<DependencyKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum DependencyKind {
    NToN,
    Sequential,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum JobKind {
    Single,
    /// Runs nothing itself; `summary` counts its children by status, in the order of `JobStatus::ALL`.
    Parent {
        size: u32,
        summary: [u32; 7],
    },
    Child {
        parent: JobId,
        index: u32,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    /// The order of submission, over all queues.
    pub(crate) seq: u64,
    /// Saved beside it, once for a whole array.
    #[serde(skip)]
    pub(crate) spec: Arc<JobSpec>,
    pub(crate) kind: JobKind,
    pub(crate) status: JobStatus,
    pub(crate) status_reason: Option<String>,
    pub(crate) created_at: Millis,
    pub(crate) started_at: Option<Millis>,
    pub(crate) stopped_at: Option<Millis>,
    /// Jobs that must succeed first.
    pub(crate) waiting_on: BTreeSet<JobId>,
    pub(crate) attempts: Vec<Attempt>,
    /// The attempt under way, or the last one.
    pub(crate) run: Option<ContainerRun>,
    /// Somebody wants it stopped: when its task ends the job fails with this reason and is not retried.
    pub(crate) stop_reason: Option<String>,
    pub(crate) is_cancelled: bool,
    pub(crate) is_terminated: bool,
}

/// Where an attempt runs and how its container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerRun {
    pub(crate) container_instance_arn: String,
    pub(crate) task_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_stream_name: Option<String>,
    /// Always empty: jobs share their host's network.
    pub(crate) network_interfaces: [(); 0],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) container: ContainerRun,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Millis>,
    pub(crate) stopped_at: Millis,
    pub(crate) status_reason: String,
}

impl Job {
    pub(crate) fn new(id: JobId, seq: u64, spec: Arc<JobSpec>, kind: JobKind, now: Millis) -> Self {
        Self {
            id,
            seq,
            spec,
            kind,
            status: JobStatus::Submitted,
            status_reason: None,
            created_at: now,
            started_at: None,
            stopped_at: None,
            waiting_on: BTreeSet::new(),
            attempts: Vec::new(),
            run: None,
            stop_reason: None,
            is_cancelled: false,
            is_terminated: false,
        }
    }

    pub(crate) fn is_parent(&self) -> bool {
        matches!(self.kind, JobKind::Parent { .. })
    }

    /// Whether it waits for its turn: what CancelJob can still stop.
    pub(crate) fn is_waiting(&self) -> bool {
        self.status < JobStatus::Starting
    }
}
