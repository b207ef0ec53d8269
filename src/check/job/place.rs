//! The way from a job to this host: its queue, the registration, and the room that is left.

use aws_sdk_ecs::types::{ContainerInstance, Resource};

use super::super::cloud::batch;
use super::super::{Context, Outcome};
use super::ask::Ask;
use super::offer::Offer;
use crate::serve::report::StatusReport;

/// `queue`: the ARN of the one that a job is in; without, any queue of the compute environment will do.
pub(super) async fn queue(context: &Context, queue: Option<&str>) -> Result<Outcome, Outcome> {
    let Some(own) = queue else { return batch::queues(context).await };
    let environment = context.known_environment().await?.compute_environment_name().unwrap_or_default();
    let Ok(queues) = context.queues().await? else { return batch::queues(context).await };
    let name = own.rsplit('/').next().unwrap_or(own);
    Ok(match queues.iter().find(|queue| queue.job_queue_arn() == Some(own)) {
        None => Outcome::failure(format!("its queue {name} does not feed {environment}")),
        Some(found) => match batch::closed(found) {
            Some(why) => {
                Outcome::failure(why).fix(format!("aws batch update-job-queue --state ENABLED --job-queue {name}"))
            }
            None => Outcome::ok(format!("its queue {name} is ENABLED and VALID, and feeds {environment}")),
        },
    })
}

/// Whether ECS gives this host anything at all.
pub(super) fn host(agent: Option<&StatusReport>, registered: Option<&ContainerInstance>, offer: &Offer) -> Outcome {
    let Some(agent) = agent else { return Outcome::warning("no agent runs here: nothing is placed on this host yet") };
    if let Some(instance) = registered {
        let status = instance.status().unwrap_or_default();
        if status != "ACTIVE" {
            let why = agent.state.why.as_deref().unwrap_or("see `batch-node-agent status`");
            return Outcome::failure(format!("ECS has this host as {status}: {why}"))
                .fix("`batch-node-agent drain --cancel` takes an operator's drain back");
        }
        let total = |name| of(instance.registered_resources(), name);
        if total("CPU") != Some(offer.cpu_shares) || total("MEMORY") != Some(offer.memory_mib) {
            return Outcome::warning("the agent has registered other resources than it would now")
                .fix("systemctl restart batch-node-agent");
        }
    }
    match agent.state.acs_connected {
        true => Outcome::ok("registered, ACTIVE and connected"),
        false => {
            let why = agent.state.why.as_deref().unwrap_or("see `batch-node-agent status`");
            Outcome::failure(format!("the agent is not connected to ACS: {why}"))
        }
    }
}

/// What is free now. `registered`: what ECS holds of this host.
pub(super) fn room(ask: &Ask, registered: Option<&ContainerInstance>) -> Outcome {
    let Some(instance) = registered else { return Outcome::skipped("ECS does not say what is free here now") };
    let left = |name| of(instance.remaining_resources(), name);
    let (Some(cpu), Some(memory)) = (left("CPU"), left("MEMORY")) else {
        return Outcome::skipped("ECS does not say what is free here now");
    };
    let free = format!("{} vCPU and {memory} MiB are free now", cpu as f64 / 1024.0);
    match cpu >= ask.cpu_shares() && memory >= ask.memory_mib() {
        true => Outcome::ok(free),
        false => Outcome::warning(format!("it waits for room: {free}")),
    }
}

fn of(resources: &[Resource], name: &str) -> Option<i64> {
    let found = resources.iter().find(|resource| resource.name() == Some(name))?;
    Some(found.integer_value().into())
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::super::ask::Container;
    use super::*;

    fn instance(status: &str, free: i32) -> ContainerInstance {
        let resource = |name: &str, value| Resource::builder().name(name).integer_value(value).build();
        ContainerInstance::builder()
            .status(status)
            .registered_resources(resource("CPU", 2048))
            .registered_resources(resource("MEMORY", 4096))
            .remaining_resources(resource("CPU", 2048))
            .remaining_resources(resource("MEMORY", free))
            .build()
    }

    fn agent(connected: bool) -> StatusReport {
        let mut report = crate::serve::report::sample::report();
        report.state.acs_connected = connected;
        report
    }

    #[test]
    fn a_host_takes_jobs_when_ecs_has_it_as_the_agent_registers_it() {
        let offer = Offer { cpu_shares: 2048, memory_mib: 4096, ..Offer::default() };
        let of =
            |agent: Option<&StatusReport>, instance: &ContainerInstance| host(agent, Some(instance), &offer).status;
        assert_eq!(of(Some(&agent(true)), &instance("ACTIVE", 1)), Status::Ok);
        assert_eq!(of(Some(&agent(false)), &instance("ACTIVE", 1)), Status::Failure);
        assert_eq!(of(Some(&agent(true)), &instance("DRAINING", 1)), Status::Failure);
        assert_eq!(of(None, &instance("ACTIVE", 1)), Status::Warning);
        let other = Offer { memory_mib: 2048, ..offer.clone() };
        assert_eq!(host(Some(&agent(true)), Some(&instance("ACTIVE", 1)), &other).status, Status::Warning);
    }

    #[test]
    fn what_runs_already_takes_room() {
        let job = Ask {
            containers: vec![Container { memory_mib: 512, vcpus: 1.0, ..Container::default() }],
            ..Ask::default()
        };
        assert_eq!(room(&job, Some(&instance("ACTIVE", 512))).status, Status::Ok);
        let full = room(&job, Some(&instance("ACTIVE", 511)));
        assert_eq!((full.status, full.found.contains("511 MiB")), (Status::Warning, true));
        assert_eq!(room(&job, None).status, Status::Skipped);
    }
}
