//! What the plane tells whoever listens: one event for each thing a person or a benchmark wants to see.

use std::fmt;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// A job's status, in the order in which a job passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobStatus {
    Submitted,
    Pending,
    Runnable,
    Starting,
    Running,
    Succeeded,
    Failed,
}

impl JobStatus {
    /// In the order of a job's life.
    pub const ALL: [Self; 7] =
        [Self::Submitted, Self::Pending, Self::Runnable, Self::Starting, Self::Running, Self::Succeeded, Self::Failed];

    /// As Batch writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "SUBMITTED",
            Self::Pending => "PENDING",
            Self::Runnable => "RUNNABLE",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that happened in the plane. `Display` gives one line for a person.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PlaneEvent {
    /// A job changed its status.
    JobState {
        job_id: String,
        job_name: String,
        status: JobStatus,
        reason: Option<String>,
        exit_code: Option<i32>,
        at: Instant,
    },
    /// A payload that starts this task went onto the agent's websocket.
    PayloadSent {
        task_arn: String,
        at: Instant,
    },
    /// An agent submitted this state of a task.
    TaskState {
        task_arn: String,
        status: String,
        at: Instant,
    },
    /// An instance exists; its agent's process was started, unless it was made by hand.
    NodeLaunched {
        instance_id: String,
    },
    /// A node's agent ended by itself.
    NodeProcessExited {
        instance_id: String,
        /// The exit code, or the signal.
        how: String,
        restarting: bool,
    },
    /// EC2 or Auto Scaling interrupts an instance, on order: what they say.
    NodeInterrupted {
        instance_id: String,
        said: String,
    },
    /// An instance is gone: its process, its containers and its tasks.
    NodeTerminated {
        instance_id: String,
        reason: String,
    },
    /// An agent registered its instance with a cluster.
    InstanceRegistered {
        instance_id: String,
        container_instance_arn: String,
    },
    AgentConnected {
        container_instance_arn: String,
    },
    AgentDisconnected {
        container_instance_arn: String,
    },
    /// An agent published telemetry, signed as it must be: `kind` is the message's type, and `message` the frame's JSON as it came.
    Telemetry {
        container_instance_arn: String,
        kind: &'static str,
        message: String,
    },
}

impl fmt::Display for PlaneEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JobState { job_id, job_name, status, reason, exit_code, .. } => {
                write!(f, "job   {job_id}  {job_name}  {status}")?;
                if let Some(code) = exit_code {
                    write!(f, "  exit code {code}")?;
                }
                match reason {
                    Some(reason) if matches!(status, JobStatus::Failed | JobStatus::Runnable) => {
                        write!(f, "  ({reason})")
                    }
                    _ => Ok(()),
                }
            }
            Self::PayloadSent { task_arn, .. } => write!(f, "task  {task_arn}  sent to its agent"),
            Self::TaskState { task_arn, status, .. } => write!(f, "task  {task_arn}  {status}"),
            Self::NodeLaunched { instance_id } => write!(f, "node  {instance_id}  launched"),
            Self::NodeProcessExited { instance_id, how, restarting } => {
                let then = if *restarting { "restarting it" } else { "it stays down, see its agent.log" };
                write!(f, "node  {instance_id}  agent ended ({how}); {then}")
            }
            Self::NodeInterrupted { instance_id, said } => write!(f, "node  {instance_id}  {said}"),
            Self::NodeTerminated { instance_id, reason } => {
                write!(f, "node  {instance_id}  terminated ({reason})")
            }
            Self::InstanceRegistered { instance_id, .. } => {
                write!(f, "node  {instance_id}  registered")
            }
            Self::AgentConnected { container_instance_arn } => {
                write!(f, "agent {container_instance_arn}  connected")
            }
            Self::AgentDisconnected { container_instance_arn } => {
                write!(f, "agent {container_instance_arn}  disconnected")
            }
            Self::Telemetry { container_instance_arn, kind, .. } => {
                write!(f, "agent {container_instance_arn}  {kind}")
            }
        }
    }
}
