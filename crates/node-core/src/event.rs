//! Everything that can happen to a node, as one closed enum.

use serde::{Deserialize, Serialize};

use crate::health::HealthSeen;
use crate::home::Home;
use crate::ids::{ClusterRef, ContainerInstanceArn, DockerId, DockerName, ExitCode, InstanceId, MessageId, TaskArn};
use crate::images::ImageEvent;
use crate::leaving::{Ailment, Facts, Finding, InstanceState, Interruption, Order, Rung, Source, Waiting};
use crate::pull::PullNews;
use crate::roles::Issued;
use crate::spec::{NetworkBinding, TaskSpec};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The host knows who it is and which cluster it belongs to: registration may start.
    Identified {
        instance: InstanceId,
        cluster: ClusterRef,
    },
    /// What Batch says of the compute environment, or why it says nothing of use. A text for people.
    Home(Result<Home, String>),
    Registered(Result<ContainerInstanceArn, ApiFailure>),
    SessionOpened,
    SessionClosed(CloseCause),
    Payload(Payload),
    /// Credentials for a task, new or refreshed (`IAMRoleCredentialsMessage`).
    Credentials {
        message: MessageId,
        task: TaskArn,
        issued: Issued,
    },
    /// What ECS believes should run here (`TaskManifestMessage`).
    Manifest {
        message: MessageId,
        cluster: ClusterRef,
        container_instance: ContainerInstanceArn,
        timeline: i64,
        running: Vec<TaskArn>,
    },
    /// ECS confirms that these tasks are to stop (`TaskStopVerificationAck`).
    StopsVerified {
        message: MessageId,
        tasks: Vec<TaskArn>,
    },
    /// The event stream is open, and this is every container Docker holds that carries a task's label.
    DockerUp(Vec<(DockerName, Observation)>),
    DockerDown(String),
    /// A container as Docker shows it, after an event about it or because the node asked.
    Observed(DockerName, Observation),
    /// Docker does not know a container of this name.
    Missing(DockerName),
    /// A pull is under way, and this far.
    Pulling(DockerName, PullNews),
    Pulled(DockerName, Result<ImagePulled, OpFailure>),
    /// The container exists. It may have existed before, in any state: then it is adopted, not made again.
    Created(DockerName, Result<Observation, OpFailure>),
    Started(DockerName, Result<Observation, OpFailure>),
    Stopped(DockerName, Result<Observation, OpFailure>),
    Removed(DockerName, Result<(), OpFailure>),
    Images(ImageEvent),
    Submitted(TaskArn, Result<(), ApiFailure>),
    InstanceStateSet(InstanceState, Result<(), ApiFailure>),
    Counted(Result<TaskCounts, ApiFailure>),
    Deregistered(Result<(), ApiFailure>),
    /// EC2's answer to `Terminate`.
    Terminated(Result<(), ApiFailure>),
    /// The answer to any other way of ending the host.
    EndTried(Rung, Result<(), ApiFailure>),
    WorkFound(Result<Waiting, ApiFailure>),
    Preflight(Result<Facts, ApiFailure>),
    HeartbeatRecorded(Result<(), ApiFailure>),
    /// The answer to `Protect`, and what was asked for.
    Protected(bool, Result<(), ApiFailure>),
    Signalled(DockerName, Result<(), OpFailure>),
    /// The world does something to the host. It may be told again and again.
    Interruption(Interruption),
    /// And does so no longer.
    InterruptionCancelled(Source),
    /// Which boot of the host this is, and when it was. Best told before `Identified`.
    HostBooted {
        id: String,
        at: Timestamp,
    },
    Health(Ailment, Finding),
    Order(Order),
}

/// One `PayloadMessage`, its tasks decoded one by one.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    pub message: MessageId,
    pub cluster: ClusterRef,
    pub container_instance: ContainerInstanceArn,
    pub seq_num: i64,
    pub tasks: Vec<PayloadTask>,
    /// Some task had no ARN: nothing can be said about it to ECS, so the message must not be acknowledged.
    pub unaddressed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PayloadTask {
    pub arn: TaskArn,
    pub work: Incoming,
    /// The credentials that came with it.
    pub credentials: Vec<Issued>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Run(TaskSpec),
    Stop(TaskSpec),
    /// The task cannot be understood; the text says why.
    Invalid(String),
    /// The task is understood, and can never run as it asks to; the text is the task's whole reason.
    Refused(String),
}

/// A task that this node runs and that ECS's manifest does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopCandidate {
    pub task: TaskArn,
    pub cluster: ClusterRef,
}

/// How far a container is, as Docker's inspect shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Running {
    /// Made and never started.
    Created,
    Running,
    /// Over. `None`: Docker holds no exit code (it was never started, or Docker lost it).
    Exited(Option<ExitCode>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub id: DockerId,
    pub running: Running,
    pub oom_killed: bool,
    /// Docker's `State.Error`; empty when it has none.
    pub error: String,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub bindings: Vec<NetworkBinding>,
    /// `None`: it has no health check, or nothing was seen of it.
    pub health: Option<HealthSeen>,
}

/// The image is here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImagePulled {
    /// From `RepoDigests`; a local image that no registry ever saw has none.
    pub digest: Option<String>,
    /// The registry was really asked: pull times are reported only then.
    pub from_registry: bool,
}

/// Why a Docker operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpFailure {
    /// The daemon cannot be reached: nobody's fault but the host's. Tried again once it is back.
    Unreachable(String),
    /// Docker (or the registry) refused: the reason goes to ECS as `<name>: <text>`.
    Refused { name: &'static str, text: String },
    /// The container is not there.
    Missing,
}

/// Why a call to an AWS API did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiFailure {
    /// Unreachable, 5xx: try again soon.
    Unavailable(String),
    /// Try again, but slower.
    Throttled(String),
    /// The service understood and said no (`InvalidParameterException`, `ClientException`): the same call will fail again.
    Rejected(String),
    /// No permission, or no credentials yet: try again, someone may mend it.
    Denied(String),
    /// The thing is gone already (container instance or cluster not found).
    Gone(String),
}

impl ApiFailure {
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Unavailable(t) | Self::Throttled(t) | Self::Rejected(t) | Self::Denied(t) | Self::Gone(t) => t,
        }
    }
}

/// What ended an ACS session; it decides how soon the next one is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseCause {
    /// Close code 1000, 1001, 1006 or 1011, a bare end of stream, or our own 30-minute renewal: reconnect at once.
    Clean,
    /// Anything else, from a refused connection to a missed heartbeat: back off.
    Failed(String),
    /// ECS holds this container instance to be deregistered.
    Inactive(String),
}

/// What ECS counts on this container instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCounts {
    pub running: u32,
    pub pending: u32,
}
