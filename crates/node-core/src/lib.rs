//! The brain of the agent, pure: no I/O, no clock, no async, no randomness of its own.
//!
//! [`Node`] owns all state. The shell feeds it [`Event`]s with the time they are handled at, makes what
//! [`Node::take_saves`] returns durable, and only then carries out the [`Command`]s of [`Node::next_command`]:
//!
//! ```text
//! Event ──> Node::handle(event, now) ──> take_saves()    made durable in one commit
//!                                    └─> next_command()  carried out after that
//! poll_timeout() ──> handle_timeout(now)
//! ```
//!
//! After a crash [`Node::restore`] takes the saved records, and the first [`Event::DockerUp`] says what Docker holds; the
//! node goes on from there. Whatever it wants done is derived from that state again, so nothing in flight need be saved.
#![forbid(unsafe_code)]

mod backoff;
mod command;
mod container;
mod docker;
mod event;
pub mod fault;
mod health;
mod home;
mod ids;
mod image_name;
mod images;
mod intake;
mod leaving;
mod node;
mod outbox;
mod progress;
mod pull;
mod reconnect;
mod record;
mod restart;
mod roles;
mod session;
mod spec;
mod status;
mod task;
mod telemetry;
mod time;
mod view;

pub use backoff::{Backoff, Rng};
pub use command::{Command, ContainerChange, Notice, PullMode, StateChange, TaskStatus};
pub use container::{ContainerState, Stage};
pub use docker::RESOURCE_ERROR;
pub use event::{
    ApiFailure, CloseCause, Event, ImagePulled, Incoming, Observation, OpFailure, Payload, PayloadTask, Running,
    StopCandidate, TaskCounts,
};
pub use health::{Health, HealthSeen, HealthStatus};
pub use home::Home;
pub use ids::{
    ClusterRef, ContainerInstanceArn, ContainerName, CredentialsId, DockerId, DockerName, EndpointId, EndpointKey,
    ExitCode, InstanceId, Mebibytes, MessageId, TaskArn,
};
pub use images::{HeldImage, ImageCommand, ImageEvent, ImageNotice, ImagePolicy, ImageUse};
pub use leaving::{
    Ailment, Announcement, AtMinSize, Boot, Cause, Deadline, DrainReason, Ending, Facts, Finding, GroupFacts,
    Happening, Hold, Hook, InstanceState, Interruption, JobNow, LEAD_ENV, LEAD_LABEL, Ladder, LeavingPolicy,
    LeavingRecord, LeavingStatus, Order, Permission, Phase, Plan, Reaction, Refused, Retries, Rung, SIGNAL_ENV,
    SIGNAL_LABEL, Signal, Source, SpotAction, Standing, UnknownSignal, Waiting,
};
pub use node::{Node, Policy, PullBehavior};
pub use pull::{PullNews, PullProgress};
pub use record::{NodeRecord, Save, Saved};
pub use restart::{RestartPolicy, Restarts};
pub use roles::{Issued, RoleKind, Roles};
pub use spec::{
    AsmAuth, Bind, Condition, ContainerSpec, Dependency, EcrAuth, JobLabel, MIN_CPU_SHARES, NetworkBinding,
    PortMapping, Protocol, RegistryAuth, SecretProvider, SecretRef, SecretTarget, TaskSpec,
};
pub use status::{ContainerView, NodeStatus, TaskView};
pub use task::TaskRecord;
pub use telemetry::{Reconnect, RunningContainer, RunningTask};
pub use time::Timestamp;
