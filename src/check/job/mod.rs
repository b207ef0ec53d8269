//! `check job`: would this job be placed on this host, and if not, why?
//!
//! [`ask`] is what a job asks for, read from Batch's own words; [`offer`] what this host offers, made by the very function that
//! registers it; [`compare`] lays one beside the other. Whether the image can be pulled is not looked at.

mod ask;
mod compare;
mod find;
mod needs;
mod offer;
mod place;
mod read;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::cloud::either;
use super::{Context, Finding, LONGEST, Outcome, Report, agent, cloud};
use find::Found;

/// All that is looked at, with the fix where the outcome has none.
pub(super) const ROWS: &[(&str, &str, &str)] = &[
    (
        "job.found",
        "The job or the job definition, as Batch knows it",
        "give a job definition's name, name:revision or ARN, or a job's id or ARN",
    ),
    (
        "job.state",
        "Of a job: whether Batch has placed it already, or waits with it",
        "see the job's dependsOn and statusReason",
    ),
    (
        "job.kind",
        "Whether it is a job for a container instance of ECS at all: multi-node parallel and EKS jobs never come to such a host",
        "submit it to another compute environment",
    ),
    ("job.platform", "It is not for Fargate", "register the job definition with platformCapabilities EC2"),
    ("job.architecture", "Its `runtimePlatform` is this host's", "use a host of that architecture"),
    (
        "job.vcpus",
        "Its vCPUs, against what this host offers in all",
        "lower the job's vCPUs, use a larger instance, or raise `cpu`",
    ),
    (
        "job.memory",
        "Its memory, against what this host offers in all: what an instance type has, less what the kernel and `reserved_memory` keep",
        "lower the job's memory, use a larger instance, or lower `reserved_memory`",
    ),
    ("job.gpus", "Its GPUs, against what this host offers", "use an instance with GPUs; see agent.gpus of `check`"),
    (
        "job.attributes",
        "The attributes that ECS asks of a host for it (log driver, roles, secrets, EFS, privileged containers), against those that this host registers; a line for each that is missing",
        "as the line says",
    ),
    (
        "job.paths",
        "The directories and devices of this host that it mounts: Docker makes an empty directory for one that is missing",
        "make or mount them before the agent starts",
    ),
    ("job.compute-environment", "As batch.compute-environment of `check`", "as there"),
    (
        "job.queue",
        "A queue that is ENABLED and VALID leads from the job to this host's compute environment; of a job, its own",
        "submit it to a queue of this compute environment",
    ),
    (
        "job.host",
        "Whether ECS places anything on this host now: an agent has registered it and is connected, and it is ACTIVE",
        "systemctl start batch-node-agent; see `batch-node-agent status`",
    ),
    (
        "job.room",
        "Whether there is room for it now, beside what runs already",
        "wait for running jobs to end, or add hosts",
    ),
];

/// Looks the job up, and compares. `name` is a job's id or ARN, or a job definition's name, name:revision or ARN.
pub(crate) async fn run(context: Context, name: &str) -> Report {
    let context = Arc::new(context);
    let checks = match timeout(LONGEST, look(&context, name)).await {
        Ok(checks) => checks,
        Err(_) => vec![row("job.found", Outcome::failure(late(LONGEST)))],
    };
    Report::new("job", checks)
}

fn late(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}

fn row(id: &str, outcome: Outcome) -> Finding {
    let fix = ROWS.iter().find(|(row, ..)| *row == id).map_or("", |(_, _, fix)| fix);
    Finding::new(id, outcome, fix)
}

async fn look(context: &Context, name: &str) -> Vec<Finding> {
    let Found { ask, queue, state, shown } = match find::find(context, name).await {
        Ok(found) => found,
        Err(outcome) => return vec![row("job.found", outcome)],
    };
    let (offered, environment, queues, registered) = tokio::join!(
        agent::offered(context),
        cloud::batch::environment(context),
        place::queue(context, queue.as_deref()),
        context.registered(),
    );
    let mut rows = vec![row("job.found", Outcome::ok(shown))];
    rows.extend(state.map(|state| row("job.state", state)));
    match offered {
        Ok(registration) => {
            let offer = offer::Offer::of(&registration);
            rows.extend(compare::compare(&ask, &offer).into_iter().map(|(id, outcome)| row(id, outcome)));
            rows.push(row("job.paths", compare::paths(&ask, |path| context.path(path).exists())));
            rows.push(row("job.compute-environment", either(environment)));
            rows.push(row("job.queue", either(queues)));
            rows.push(row("job.host", place::host(context.running().await, registered, &offer)));
            rows.push(row("job.room", place::room(&ask, registered)));
        }
        Err(outcome) => {
            let why = Outcome::failure(format!("what this host offers is not known: {}", outcome.found));
            rows.push(row("job.host", why.fix("mend what `batch-node-agent check` names first")));
        }
    }
    rows
}
