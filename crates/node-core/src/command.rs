//! Everything a node can ask of the world, as one closed enum.

use serde::{Deserialize, Serialize};

use crate::event::StopCandidate;
use crate::ids::{
    ClusterRef, ContainerInstanceArn, ContainerName, CredentialsId, DockerId, DockerName, ExitCode, MessageId, TaskArn,
};
use crate::images::{ImageCommand, ImageNotice};
use crate::leaving::{Announcement, Deadline, Hook, InstanceState, Phase, Signal};
use crate::pull::PullProgress;
use crate::spec::{ContainerSpec, NetworkBinding, RegistryAuth, TaskSpec};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Which cluster does the compute environment have? Answered by `Home`.
    FindHome,
    /// Speak for this cluster from now on, and end the ACS session. `leave` is the container instance in the one before,
    /// which may be gone.
    Join {
        cluster: ClusterRef,
        leave: Option<ContainerInstanceArn>,
    },
    /// RegisterContainerInstance; `previous` makes it a re-registration.
    Register {
        previous: Option<ContainerInstanceArn>,
    },
    /// Open the ACS session. `send_credentials` until this process has had one.
    Connect {
        container_instance: ContainerInstanceArn,
        send_credentials: bool,
    },
    /// Acknowledge an ACS message: what it brought is on disk.
    Ack {
        message: MessageId,
        cluster: ClusterRef,
        container_instance: ContainerInstanceArn,
    },
    /// Acknowledge credentials: the task knows of them.
    AckCredentials {
        message: MessageId,
        id: CredentialsId,
        expiration: String,
    },
    /// Nobody may have these credentials any more.
    DropCredentials(CredentialsId),
    /// Ask ECS whether these tasks are really to stop.
    VerifyStops {
        message: MessageId,
        candidates: Vec<StopCandidate>,
    },
    Pull {
        name: DockerName,
        task: TaskArn,
        image: String,
        mode: PullMode,
        /// Without asking for the image's digest first.
        by_tag: bool,
        auth: Option<RegistryAuth>,
        execution_role: Option<CredentialsId>,
    },
    Create {
        name: DockerName,
        task: Box<TaskSpec>,
        container: Box<ContainerSpec>,
    },
    Start {
        name: DockerName,
        id: DockerId,
        task: TaskArn,
        /// It publishes ports, so Docker must be asked which it chose.
        published: bool,
    },
    Stop {
        name: DockerName,
        id: DockerId,
        task: TaskArn,
        grace_secs: u64,
    },
    /// Remove a stopped container and its anonymous volumes.
    Remove {
        name: DockerName,
        task: TaskArn,
    },
    /// Look at one container: it should be there, and a listing did not show it.
    Inspect {
        name: DockerName,
    },
    /// List every container again: events may have been missed. Answered by `DockerUp`.
    Reconcile,
    /// Cleaning up images.
    Images(ImageCommand),
    Submit(StateChange),
    SetInstanceState(InstanceState),
    /// DescribeContainerInstances: what does ECS count here?
    Count,
    Deregister,
    /// EC2 TerminateInstances, on this very instance.
    Terminate,
    /// Ask whether RUNNABLE or STARTING jobs that would fit this host wait in the queues of its compute environment. Answered
    /// by `WorkFound`.
    LookForWork,
    /// Find out what can be known before a termination. Answered by `Preflight`.
    Preflight,
    /// TerminateInstanceInAutoScalingGroup on this very instance. Answered by `EndTried(Rung::Group, ..)`.
    TerminateInGroup {
        /// And take one from the group's desired capacity; else it starts another host.
        decrement: bool,
    },
    /// SetInstanceHealth(Unhealthy, no grace period). Answered by `EndTried(Rung::Unhealthy, ..)`.
    MarkUnhealthy,
    /// Power this host off. Answered by `EndTried(Rung::PowerOff, ..)`; only ever asked where the policy allows it.
    PowerOff,
    /// CompleteLifecycleAction(CONTINUE). Answered by `EndTried(Rung::Hook, ..)`.
    CompleteHook(Hook),
    /// RecordLifecycleActionHeartbeat. Answered by `HeartbeatRecorded`.
    Heartbeat(Hook),
    /// SetInstanceProtection. Answered by `Protected`.
    Protect(bool),
    /// Let the shutdown of the host go on (release the inhibitor). Not answered.
    LetGo,
    /// Send a signal to a running container. Answered by `Signalled`.
    Signal {
        name: DockerName,
        id: DockerId,
        task: TaskArn,
        signal: Signal,
    },
    /// Write down for jobs when this host will be gone, or remove what was written. Not answered.
    PublishDeadline(Option<Deadline>),
    /// Something an operator should read: logged, and nothing else.
    Notice(Notice),
    /// The process is to end with this exit code.
    Exit {
        code: u8,
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullMode {
    /// Ask the registry, whatever the host holds.
    Always,
    /// Ask the registry only if the host does not hold the image.
    IfMissing,
}

/// ECS's three words for a task's or a container's state, and the time before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskStatus {
    #[default]
    None,
    Pending,
    Running,
    Stopped,
}

impl TaskStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// One `SubmitTaskStateChange`.
#[derive(Debug, Clone, PartialEq)]
pub struct StateChange {
    pub task: TaskArn,
    pub status: TaskStatus,
    pub reason: String,
    pub containers: Vec<ContainerChange>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ContainerChange {
    pub name: ContainerName,
    pub status: TaskStatus,
    pub runtime_id: Option<DockerId>,
    pub exit_code: Option<ExitCode>,
    pub reason: Option<String>,
    pub image_digest: Option<String>,
    pub bindings: Vec<NetworkBinding>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    Accepted(TaskArn),
    /// A payload brought again a task that is already here, or already over.
    Repeated(TaskArn),
    Rejected(TaskArn, String),
    StopRequested(TaskArn),
    Running(TaskArn, ContainerName),
    Exited {
        task: TaskArn,
        container: ContainerName,
        exit_code: Option<ExitCode>,
        reason: Option<String>,
    },
    /// By its restart policy.
    Restarting {
        task: TaskArn,
        container: ContainerName,
        exit_code: ExitCode,
        restarts: u32,
    },
    /// Reported to ECS.
    Reported(TaskArn, TaskStatus),
    /// ECS refused the report for good; it is not sent again.
    ReportDropped(TaskArn, String),
    ReportRetried {
        task: TaskArn,
        error: String,
        attempt: u32,
    },
    PullFailed(TaskArn, String),
    PullRetried {
        task: TaskArn,
        error: String,
        retry_ms: u64,
    },
    /// A pull that takes long is under way.
    Pulling(TaskArn, PullProgress),
    CleanedUp(TaskArn),
    Images(ImageNotice),
    CleanUpFailed(TaskArn, String),
    DockerDown(String),
    DockerUp {
        containers: usize,
    },
    /// So many containers of another ECS agent run on this host now.
    Strangers {
        containers: usize,
    },
    PhaseChanged {
        from: Phase,
        to: Phase,
        why: String,
    },
    SessionLost {
        cause: String,
        retry_ms: u64,
    },
    /// The compute environment has another cluster; the node follows when its live tasks are over.
    HomeMoved {
        from: ClusterRef,
        to: ClusterRef,
        live: usize,
    },
    /// The compute environment is not as it should be.
    HomeTrouble(String),
    /// A task that came while the node was about to leave for another cluster.
    TurnedAway(TaskArn),
    ApiRetried {
        call: &'static str,
        error: String,
        retry_ms: u64,
    },
    /// A step of leaving, with all that a hook or a webhook is to be told.
    Leaving(Box<Announcement>),
}
