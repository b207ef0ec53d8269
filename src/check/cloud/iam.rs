//! What the instance's role may do: tried by calls that change nothing, one action each.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use node_core::{ApiFailure, DrainReason, Facts, Permission};

use super::super::{Context, Outcome};
use crate::ecs::classify;
use crate::instance::{autoscaling, ec2};

/// A container instance and a job that do not exist: what may be asked is asked of them.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// Characters of a refusal that are worth a line; AWS adds a long encoded message.
const REFUSAL: usize = 240;

type Tried = Result<Outcome, Outcome>;

/// What an answer says about the permission for `action`. `need`: what does not work without.
fn verdict<T, E>(action: &str, need: &str, answer: Result<T, SdkError<E, HttpResponse>>) -> Outcome
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    judge(action, need, answer.map(drop).map_err(|error| (error.code().map(str::to_owned), classify(&error))))
}

fn judge(action: &str, need: &str, answer: Result<(), (Option<String>, ApiFailure)>) -> Outcome {
    match answer {
        Ok(()) => Outcome::ok("allowed"),
        Err((Some(code), _)) if matches!(code.as_str(), "InvalidAction" | "UnknownOperationException") => {
            Outcome::skipped("this endpoint does not serve the call")
        }
        // The permission is looked at before the arguments.
        Err((_, ApiFailure::Rejected(_) | ApiFailure::Gone(_))) => Outcome::ok("allowed"),
        Err((_, ApiFailure::Denied(text))) => {
            Outcome::failure(format!("denied, and without it {need}: {}", cut(&text)))
                .fix(format!("allow {action} to the instance's role; docs/leaving.md has a policy"))
        }
        Err((Some(code), _)) if code.ends_with("ValidationError") || code == "ClientException" => {
            Outcome::ok("allowed")
        }
        Err((_, ApiFailure::Throttled(_))) => Outcome::skipped("AWS throttles: try again"),
        Err((_, failure)) => Outcome::skipped(format!("no answer: {}", cut(failure.text()))),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(REFUSAL) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text.to_owned(),
    }
}

pub(in crate::check) async fn terminate(context: &Context) -> Tried {
    let (clients, instance) = (context.aws().await?, context.instance().await?);
    let may = ec2::may_terminate(&clients.ec2, instance).await;
    let in_group = autoscaling::facts(&clients.autoscaling, instance).await.is_ok_and(|group| group.is_some());
    Ok(match may {
        Permission::Ok => Outcome::ok("allowed, says a dry run"),
        Permission::Denied(why) if in_group => {
            Outcome::warning(format!("denied; the host leaves through its Auto Scaling group instead: {}", cut(&why)))
        }
        Permission::Denied(why) => {
            Outcome::failure(format!("denied: this host cannot terminate itself: {}", cut(&why)))
        }
        Permission::Unknown => Outcome::skipped("the dry run gave no clear answer"),
    })
}

pub(in crate::check) async fn describe_tags(context: &Context) -> Tried {
    if !context.config()?.propagate_ec2_tags {
        return Ok(Outcome::skipped("not needed: propagate_tags_from is none"));
    }
    let (clients, instance) = (context.aws().await?, context.instance().await?);
    Ok(match ec2::tags(&clients.ec2, instance).await {
        Ok(_) => Outcome::ok("allowed"),
        Err(failure) => judge("ec2:DescribeTags", "the host does not register", Err((None, failure))),
    })
}

pub(in crate::check) async fn group_of_instance(context: &Context) -> Tried {
    let (clients, instance) = (context.aws().await?, context.instance().await?);
    let answer = clients.autoscaling.describe_auto_scaling_instances().instance_ids(instance.as_str()).send().await;
    Ok(verdict("autoscaling:DescribeAutoScalingInstances", "the host does not leave by itself", answer))
}

pub(in crate::check) async fn groups(context: &Context) -> Tried {
    let answer = context.aws().await?.autoscaling.describe_auto_scaling_groups().max_records(1).send().await;
    Ok(verdict("autoscaling:DescribeAutoScalingGroups", "a host of a group does not leave by itself", answer))
}

pub(in crate::check) async fn hooks(context: &Context) -> Tried {
    let (clients, instance) = (context.aws().await?, context.instance().await?);
    let group = autoscaling::facts(&clients.autoscaling, instance).await.ok().flatten();
    let Some(group) = group else {
        return Ok(Outcome::skipped("not needed: this instance is in no Auto Scaling group"));
    };
    let answer = clients.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(group.name).send().await;
    Ok(verdict("autoscaling:DescribeLifecycleHooks", "a scale-in does not wait for jobs", answer))
}

pub(in crate::check) async fn list_jobs(context: &Context) -> Tried {
    if !context.config()?.leaving.look_for_work {
        return Ok(Outcome::skipped("not needed: look_for_work is false"));
    }
    let queues =
        context.queues().await?.as_ref().map_err(|_| Outcome::skipped("no queue is known: see batch.queues"))?;
    let queue = queues.first().and_then(|queue| queue.job_queue_arn());
    let queue = queue.ok_or_else(|| Outcome::skipped("there is no queue to ask for: see batch.queues"))?;
    let answer = context.aws().await?.batch.list_jobs().job_queue(queue).max_results(1).send().await;
    Ok(verdict("batch:ListJobs", "an idle host leaves although work waits for it", answer))
}

pub(in crate::check) async fn describe_jobs(context: &Context) -> Tried {
    if !context.config()?.leaving.look_for_work {
        return Ok(Outcome::skipped("not needed: look_for_work is false"));
    }
    let answer = context.aws().await?.batch.describe_jobs().jobs(NOBODY).send().await;
    Ok(verdict("batch:DescribeJobs", "an idle host leaves although work waits for it", answer))
}

pub(in crate::check) async fn container_instances(context: &Context) -> Tried {
    let (cluster, clients) = (context.cluster().await?, context.aws().await?);
    let known = context.running().await.and_then(|report| report.instance.container_instance.clone());
    let call = clients.ecs.describe_container_instances().cluster(cluster.as_str());
    let answer = call.container_instances(known.unwrap_or_else(|| NOBODY.to_owned())).send().await;
    Ok(verdict(
        "ecs:DescribeContainerInstances",
        "the host does not end: ECS is to confirm first that it has no task",
        answer,
    ))
}

/// What the agent needs besides, whose trial would have an effect.
pub(in crate::check) const NOT_TRIED: &[&str] = &[
    "ecs:RegisterContainerInstance",
    "ecs:Poll",
    "ecs:StartTelemetrySession",
    "ecs:SubmitTaskStateChange",
    "ecs:UpdateContainerInstancesState",
    "ecs:DeregisterContainerInstance",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
    "autoscaling:SetInstanceHealth",
    "autoscaling:SetInstanceProtection",
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:RecordLifecycleActionHeartbeat",
    "ecr:GetAuthorizationToken",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
];

pub(in crate::check) async fn not_tried(context: &Context) -> Tried {
    let connected = context.running().await.is_some_and(|report| report.state.acs_connected);
    let shown = NOT_TRIED.join(", ");
    Ok(Outcome::skipped(match connected {
        true => format!("not tried, since it would have an effect (the agent here has registered and polls): {shown}"),
        false => format!("not tried, since it would have an effect: {shown}"),
    }))
}

/// Whether a host with nothing to do would get away.
pub(in crate::check) async fn leaves(context: &Context) -> Tried {
    let config = context.config()?;
    let Some(idle) = config.idle_timeout else {
        return Ok(Outcome::ok("idle_timeout is never: this host does not leave for want of work"));
    };
    let (clients, instance) = (context.aws().await?, context.instance().await?);
    let (group, may_terminate) =
        tokio::join!(autoscaling::facts(&clients.autoscaling, instance), ec2::may_terminate(&clients.ec2, instance));
    let group = match group {
        Ok(group) => group,
        Err(failure) => {
            return Ok(Outcome::failure(format!(
                "the Auto Scaling group cannot be looked up: {}",
                cut(failure.text())
            ))
            .fix("allow the autoscaling:Describe.. actions of docs/leaving.md to the instance's role"));
        }
    };
    let through = group.as_ref().map(|group| format!(", through its Auto Scaling group {}", group.name));
    Ok(match (Facts { group, may_terminate }).judge(&config.leaving, &DrainReason::IdleFor(idle)) {
        Ok(()) => Outcome::ok(format!("after {} s without work{}", idle.as_secs(), through.unwrap_or_default())),
        Err(why) => Outcome::warning(format!("it would stay: {why}")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    #[test]
    fn a_refusal_of_the_arguments_is_a_permission() {
        let of = |code: Option<&str>, failure: fn(String) -> ApiFailure| {
            judge("a:B", "nothing works", Err((code.map(str::to_owned), failure("words".into()))))
        };
        assert_eq!(judge("a:B", "nothing works", Ok(())).status, Status::Ok);
        assert_eq!(of(Some("InvalidParameterException"), ApiFailure::Rejected).status, Status::Ok);
        assert_eq!(of(Some("ClientException"), ApiFailure::Unavailable).status, Status::Ok);
        assert_eq!(of(Some("UnknownOperationException"), ApiFailure::Unavailable).status, Status::Skipped);
        assert_eq!(of(None, ApiFailure::Unavailable).status, Status::Skipped);
        let denied = of(Some("AccessDeniedException"), ApiFailure::Denied);
        assert!(denied.status == Status::Failure && denied.found.contains("nothing works"));
        assert!(denied.fix.is_some_and(|fix| fix.contains("a:B")));
    }

    #[test]
    fn long_refusals_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ä".repeat(300)), format!("{}..", "ä".repeat(REFUSAL)));
    }
}
