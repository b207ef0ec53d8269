//! The core's questions to AWS about leaving, and the ways of ending the host through it.

use node_core::{ApiFailure, Command, Event, Facts, OpFailure, Rung, Waiting};

use crate::agent::identify::Cloud;
use crate::config::{Config, Home};
use crate::host::gpu::GpuFinder;
use crate::host::resources;
use crate::instance::{autoscaling, ec2, queues};

/// After this command the host may be gone at any moment.
pub(super) fn ends_the_host(command: &Command) -> bool {
    matches!(command, Command::TerminateInGroup { .. } | Command::MarkUnhealthy | Command::CompleteHook(_))
}

pub(super) async fn ask(cloud: &Cloud, config: &Config, gpus: &GpuFinder, command: Command) -> Option<Event> {
    let (group, instance) = (&cloud.clients.autoscaling, &cloud.instance);
    Some(match command {
        Command::LookForWork => Event::WorkFound(waiting(cloud, config, gpus).await),
        Command::Preflight => Event::Preflight(facts(cloud).await),
        Command::TerminateInGroup { decrement } => {
            Event::EndTried(Rung::Group, autoscaling::terminate(group, instance, decrement).await)
        }
        Command::MarkUnhealthy => Event::EndTried(Rung::Unhealthy, autoscaling::mark_unhealthy(group, instance).await),
        Command::CompleteHook(hook) => Event::EndTried(Rung::Hook, autoscaling::complete(group, instance, &hook).await),
        Command::Heartbeat(hook) => Event::HeartbeatRecorded(autoscaling::heartbeat(group, instance, &hook).await),
        Command::Protect(on) => Event::Protected(on, autoscaling::protect(group, instance, on).await),
        _ => return None,
    })
}

pub(in crate::agent) async fn facts(cloud: &Cloud) -> Result<Facts, ApiFailure> {
    let (group, may_terminate) = tokio::join!(
        autoscaling::facts(&cloud.clients.autoscaling, &cloud.instance),
        ec2::may_terminate(&cloud.clients.ec2, &cloud.instance)
    );
    Ok(Facts { group: group?, may_terminate })
}

async fn waiting(cloud: &Cloud, config: &Config, gpus: &GpuFinder) -> Result<Waiting, ApiFailure> {
    let batch = &cloud.clients.batch;
    let name = match &config.home {
        Home::ComputeEnvironment(name) => Some(name.as_str()),
        Home::Cluster(_) => None,
    };
    let room = resources::detect(resources::Overrides {
        cpu_shares: config.cpu.map(crate::config::Vcpus::cpu_units),
        memory_mib: config.memory.map(|m| i32::try_from(m.0).unwrap_or(i32::MAX)),
        reserved_memory_mib: u32::try_from(config.reserved_memory.0).unwrap_or(u32::MAX),
    })
    .map_err(|error| ApiFailure::Rejected(error.to_string()))?;
    let room = queues::Room {
        vcpus: f64::from(room.cpu_shares) / 1024.0,
        memory_mib: f64::from(room.memory_mib),
        gpus: gpus.known().map_or(0.0, |gpus| gpus.devices.len() as f64),
    };
    match queues::environment(batch, name, cloud.cluster.as_str()).await? {
        Some(environment) => queues::waiting(batch, &environment, room).await,
        None => Ok(Waiting::default()),
    }
}

/// Before the host knows who it is.
pub(super) fn refusal(command: &Command) -> Option<Event> {
    let no = || ApiFailure::Unavailable("this host does not know who it is yet".to_owned());
    Some(match command {
        Command::LookForWork => Event::WorkFound(Err(no())),
        Command::Preflight => Event::Preflight(Err(no())),
        Command::TerminateInGroup { .. } => Event::EndTried(Rung::Group, Err(no())),
        Command::MarkUnhealthy => Event::EndTried(Rung::Unhealthy, Err(no())),
        Command::CompleteHook(_) => Event::EndTried(Rung::Hook, Err(no())),
        Command::Heartbeat(_) => Event::HeartbeatRecorded(Err(no())),
        Command::Protect(on) => Event::Protected(*on, Err(no())),
        Command::Signal { name, .. } => Event::Signalled(name.clone(), Err(OpFailure::Missing)),
        _ => return None,
    })
}
