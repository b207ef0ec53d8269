//! `batch-node-agent`: runs the jobs of AWS Batch UNMANAGED compute environments on self-managed hosts.
#![forbid(unsafe_code)]

mod agent;
mod aws;
mod check;
mod cli;
mod config;
mod docker;
mod ecs;
mod exit;
mod guard;
mod host;
mod instance;
mod logging;
mod net;
mod secrets;
mod serve;
mod store;
mod systemd;

fn main() -> std::process::ExitCode {
    cli::main().into()
}
