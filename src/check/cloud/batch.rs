//! The compute environment and the queues that feed it.

use aws_sdk_batch::types::{CeState, CeStatus, CeType, ComputeEnvironmentDetail, JobQueueDetail, JqState, JqStatus};

use super::super::{Context, Outcome};
use crate::config::Home;

const MAY_NOT_ASK: &str =
    "allow batch:DescribeComputeEnvironments and batch:DescribeJobQueues to the instance's role; see docs/leaving.md";

pub(in crate::check) async fn environment(context: &Context) -> Result<Outcome, Outcome> {
    let found = context.environment().await?;
    let home = context.settings.home.as_ref();
    Ok(match (found, home) {
        (Ok(Some(found)), _) => judge(found),
        (Ok(None), Some(Home::Cluster(cluster))) => Outcome::warning(format!(
            "no compute environment has the cluster {cluster}: only tasks of ECS itself come here"
        ))
        .fix("set compute_environment instead of cluster"),
        (Ok(None), _) => {
            Outcome::failure(format!("there is no compute environment {:?} in this account and region", name(home)))
                .fix("see that `compute_environment` and `region` are right, and that the role is of the same account")
        }
        (Err(failure), _) => Outcome::failure(format!("Batch could not be asked: {}", failure.text())).fix(MAY_NOT_ASK),
    })
}

fn name(home: Option<&Home>) -> &str {
    match home {
        Some(Home::ComputeEnvironment(name)) => name,
        Some(Home::Cluster(cluster)) => cluster.as_str(),
        None => "",
    }
}

fn judge(found: &ComputeEnvironmentDetail) -> Outcome {
    let name = found.compute_environment_name().unwrap_or_default();
    if found.r#type() == Some(&CeType::Managed) {
        return Outcome::failure(format!("{name} is MANAGED: Batch runs its own hosts there"))
            .fix("name an UNMANAGED compute environment");
    }
    match found.status() {
        Some(CeStatus::Valid) => {}
        Some(status) => {
            let reason = found.status_reason().unwrap_or("no reason given");
            return Outcome::failure(format!("{name} is {status}: {reason}"))
                .fix("mend what the reason names (most often its service role), or create it again");
        }
        None => return Outcome::failure(format!("{name} has no status")),
    }
    if found.state() == Some(&CeState::Disabled) {
        return Outcome::failure(format!("{name} is DISABLED: its queues place nothing there"))
            .fix(format!("aws batch update-compute-environment --compute-environment {name} --state ENABLED"));
    }
    match found.ecs_cluster_arn() {
        Some(cluster) if !cluster.is_empty() => {
            Outcome::ok(format!("{name} is UNMANAGED, VALID and ENABLED; its cluster is {}", last(cluster)))
        }
        _ => {
            Outcome::failure(format!("{name} has no ECS cluster yet: Batch is still creating it")).fix("wait a minute")
        }
    }
}

fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

pub(in crate::check) async fn queues(context: &Context) -> Result<Outcome, Outcome> {
    let environment = context.known_environment().await?.compute_environment_name().unwrap_or_default();
    Ok(match context.queues().await? {
        Ok(queues) => judge_queues(environment, queues),
        Err(failure) => Outcome::failure(format!("Batch could not be asked: {}", failure.text())).fix(MAY_NOT_ASK),
    })
}

fn judge_queues(environment: &str, queues: &[JobQueueDetail]) -> Outcome {
    if queues.is_empty() {
        return Outcome::failure(format!("no job queue feeds {environment}: no job can come here")).fix(format!(
            "aws batch create-job-queue --priority 1 --compute-environment-order order=1,computeEnvironment={environment} --job-queue-name <name>"
        ));
    }
    let shut: Vec<String> = queues.iter().filter_map(closed).collect();
    let open: Vec<&str> =
        queues.iter().filter(|queue| closed(queue).is_none()).filter_map(|queue| queue.job_queue_name()).collect();
    let fix = "aws batch update-job-queue --state ENABLED --job-queue <name>";
    match (open.is_empty(), shut.is_empty()) {
        (false, true) => Outcome::ok(format!("{} ENABLED and VALID", open.join(", "))),
        (false, false) => {
            Outcome::warning(format!("{} ENABLED and VALID, but {}", open.join(", "), shut.join(", "))).fix(fix)
        }
        (true, _) => Outcome::failure(format!("no job can come here: {}", shut.join(", "))).fix(fix),
    }
}

/// What is wrong with a queue.
pub(in crate::check) fn closed(queue: &JobQueueDetail) -> Option<String> {
    let name = queue.job_queue_name().unwrap_or_default();
    match (queue.state(), queue.status()) {
        (Some(JqState::Disabled), _) => Some(format!("{name} is DISABLED")),
        (_, Some(status)) if *status != JqStatus::Valid => {
            Some(format!("{name} is {status} ({})", queue.status_reason().unwrap_or("no reason given")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    fn environment() -> aws_sdk_batch::types::builders::ComputeEnvironmentDetailBuilder {
        ComputeEnvironmentDetail::builder()
            .compute_environment_name("ce")
            .r#type(CeType::Unmanaged)
            .status(CeStatus::Valid)
            .state(CeState::Enabled)
            .ecs_cluster_arn("arn:aws:ecs:us-east-1:1:cluster/ce_Batch_1")
    }

    #[test]
    fn each_thing_that_is_wrong_with_an_environment_is_named() {
        assert_eq!(judge(&environment().build()).status, Status::Ok);
        let failures = [
            (environment().r#type(CeType::Managed).build(), "MANAGED"),
            (environment().status(CeStatus::Invalid).status_reason("no role").build(), "INVALID: no role"),
            (environment().state(CeState::Disabled).build(), "DISABLED"),
            (environment().set_ecs_cluster_arn(None).build(), "no ECS cluster yet"),
        ];
        for (environment, words) in failures {
            let outcome = judge(&environment);
            assert!(outcome.status == Status::Failure && outcome.found.contains(words), "{outcome:?}");
        }
    }

    #[test]
    fn one_open_queue_is_enough() {
        let queue = |name: &str, state: JqState, status: JqStatus| {
            JobQueueDetail::builder().job_queue_name(name).state(state).status(status).build()
        };
        let open = queue("a", JqState::Enabled, JqStatus::Valid);
        let off = queue("b", JqState::Disabled, JqStatus::Valid);
        let broken = queue("c", JqState::Enabled, JqStatus::Invalid);
        let of = |queues: &[JobQueueDetail]| judge_queues("ce", queues).status;
        assert_eq!(of(&[]), Status::Failure);
        assert_eq!(of(std::slice::from_ref(&open)), Status::Ok);
        assert_eq!(of(&[open, off.clone()]), Status::Warning);
        assert_eq!(of(&[off, broken]), Status::Failure);
    }
}
