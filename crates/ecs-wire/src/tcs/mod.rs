//! The messages of a TCS session: what an agent measures, and how ECS answers. Shapes follow `tcs-api-2.json` of
//! amazon-ecs-agent, in its order of fields; what the EC2 agent never sends is left out.

mod numbers;
mod signed;

use serde::{Deserialize, Serialize};

use crate::acs::{messages, texts};
use crate::frame::{self, FrameError};

pub use numbers::{DoubleStats, LongStats, Time};
pub use signed::{SignedFrame, SignedFrameError};

messages! {
    /// What TCS sends to an agent.
    ToAgent {
        AckPublishMetric, AckPublishHealth, AckPublishInstanceStatus, HeartbeatMessage, StopTelemetrySessionMessage,
        ServerException, BadRequestException, ResourceValidationException, InvalidParameterException,
    }
}

messages! {
    /// What an agent sends to TCS, each in a frame that is signed by itself ([`SignedFrame`]).
    FromAgent { PublishMetricsRequest, PublishHealthRequest, PublishInstanceStatusRequest }
}

impl ToAgent {
    /// Reads a frame that came from TCS.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        let (kind, message) = frame::open(text)?;
        Self::from_parts(&kind, message)
    }
}

impl FromAgent {
    /// Reads the JSON of a frame that an agent sent: the embedded plane's side.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        let (kind, message) = frame::open(text)?;
        Self::from_parts(&kind, message)
    }
}

texts!(
    AckPublishMetric,
    AckPublishHealth,
    AckPublishInstanceStatus,
    StopTelemetrySessionMessage,
    ServerException,
    BadRequestException,
    ResourceValidationException,
    InvalidParameterException
);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
}

/// One page of measurements. Pages that belong together share their `message_id`; the last one has `fin`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishMetricsRequest {
    pub metadata: MetricsMetadata,
    /// At most ten, the model says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_metrics: Vec<TaskMetric>,
    pub timestamp: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsMetadata {
    pub cluster: String,
    pub container_instance: String,
    pub fin: bool,
    /// No container runs here: the message only says that the instance lives.
    pub idle: bool,
    pub message_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskMetric {
    pub container_metrics: Vec<ContainerMetric>,
    pub task_arn: String,
    pub task_definition_family: String,
    pub task_definition_version: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerMetric {
    pub container_name: String,
    /// Percent of the whole instance, 0 to 100.
    pub cpu_stats_set: DoubleStats,
    /// Whole MiB.
    pub memory_stats_set: DoubleStats,
    /// Not of containers that share the host's network, or have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_stats_set: Option<NetworkStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_stats_set: Option<StorageStats>,
    /// Only of containers with a restart policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_stats_set: Option<RestartStats>,
}

/// Restarts by the container's policy since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartStats {
    pub restart_count: u32,
}

/// Counters since the container's start, summed over its interfaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStats {
    pub rx_bytes: LongStats,
    pub rx_bytes_per_second: DoubleStats,
    pub rx_dropped: LongStats,
    pub rx_errors: LongStats,
    pub rx_packets: LongStats,
    pub tx_bytes: LongStats,
    pub tx_bytes_per_second: DoubleStats,
    pub tx_dropped: LongStats,
    pub tx_errors: LongStats,
    pub tx_packets: LongStats,
}

/// Bytes since the container's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageStats {
    pub read_size_bytes: LongStats,
    pub write_size_bytes: LongStats,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishHealthRequest {
    pub metadata: HealthMetadata,
    pub tasks: Vec<TaskHealth>,
    pub timestamp: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthMetadata {
    pub cluster: String,
    pub container_instance: String,
    pub fin: bool,
    pub message_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskHealth {
    pub containers: Vec<ContainerHealth>,
    pub task_arn: String,
    pub task_definition_family: String,
    pub task_definition_version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerHealth {
    pub container_name: String,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health_status: String,
    pub status_since: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishInstanceStatusRequest {
    pub metadata: InstanceStatusMetadata,
    pub statuses: Vec<InstanceStatus>,
    pub timestamp: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatusMetadata {
    pub cluster: String,
    pub container_instance: String,
    pub request_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    pub last_status_change: Time,
    pub last_updated: Time,
    /// `OK`, `IMPAIRED`, `INSUFFICIENT_DATA` or `INITIALIZING`.
    pub status: String,
    /// What was checked: `ContainerRuntime`.
    #[serde(rename = "type")]
    pub kind: String,
}

#[cfg(test)]
mod tests;
