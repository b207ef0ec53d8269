//! What the agent serves on this host.

pub(crate) mod admin;
pub(crate) mod credentials;
pub(crate) mod deadline;
pub(crate) mod endpoint;
pub(crate) mod metrics;
pub(crate) mod order;
pub(crate) mod report;
pub(crate) mod task;
