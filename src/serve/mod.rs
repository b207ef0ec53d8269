//! What the agent serves on this host.

pub(crate) mod admin;
pub(crate) mod report;
