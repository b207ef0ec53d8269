//! The embedded control plane: AWS Batch, and what of ECS, EC2, IMDS and CloudWatch Logs a node of its needs, on one machine.
//!
//! It speaks AWS's own protocols only: the Batch, ECS, EC2 and Logs APIs on one HTTP port, ACS and TCS websockets on another,
//! and a metadata service (IMDSv2) for each instance. Nodes are separate processes of the agent, launched and terminated as an
//! Auto Scaling group and EC2 would. Its state is in memory,
//! and in a file of the data directory where it is to outlive the process ([`Plane::resume`]).
#![forbid(unsafe_code)]

mod acs;
mod api;
mod clock;
mod config;
mod docker;
mod error;
mod events;
mod faults;
mod hub;
mod ids;
mod imds;
mod journal;
mod keys;
mod logs;
mod model;
mod nodes;
mod plane;
mod record;
mod sigv4;

pub use config::{GroupTemplate, NodeTemplate, PlaneConfig, PlaneError};
pub use error::ApiError;
pub use events::{JobStatus, PlaneEvent};
pub use plane::{Plane, control_socket};
