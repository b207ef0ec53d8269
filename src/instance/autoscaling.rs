//! The Auto Scaling group that this instance is in: its facts, its hook, and the host's end through it.

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{AutoScalingGroup, AutoScalingInstanceDetails, LifecycleHook};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use node_core::{ApiFailure, GroupFacts, Hook, InstanceId};
use std::time::Duration;

use crate::ecs::classify;

const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// Auto Scaling's own default of a hook's heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(3600);

/// What the group says of itself and of `instance`; `None` where the instance is in none, or where nobody speaks Auto Scaling.
pub(crate) async fn facts(client: &Client, instance: &InstanceId) -> Result<Option<GroupFacts>, ApiFailure> {
    let Some(member) = member(client, instance).await? else { return Ok(None) };
    let Some(name) = member.auto_scaling_group_name() else { return Ok(None) };
    let call = client.describe_auto_scaling_groups().auto_scaling_group_names(name);
    let answer = call.send().await.map_err(|error| classify(&error))?;
    Ok(answer.auto_scaling_groups().first().map(|group| read(name, group, &member)))
}

async fn member(client: &Client, instance: &InstanceId) -> Result<Option<AutoScalingInstanceDetails>, ApiFailure> {
    match client.describe_auto_scaling_instances().instance_ids(instance.as_str()).send().await {
        Ok(answer) => Ok(answer.auto_scaling_instances().first().cloned()),
        Err(error) if is_unknown(error.code(), error.raw_response().map(|r| r.status().as_u16())) => Ok(None),
        Err(error) => Err(classify(&error)),
    }
}

/// An endpoint that does not serve Auto Scaling has no groups. AWS's own refusals always have a code; a proxy's have other
/// statuses.
fn is_unknown(code: Option<&str>, status: Option<u16>) -> bool {
    match code {
        Some(code) => matches!(code, "InvalidAction" | "UnknownOperationException"),
        None => matches!(status, Some(400 | 401 | 404 | 501)),
    }
}

fn read(name: &str, group: &AutoScalingGroup, member: &AutoScalingInstanceDetails) -> GroupFacts {
    let size = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    let suspended = group.suspended_processes().iter().filter_map(|p| p.process_name());
    let state = member.lifecycle_state().unwrap_or_default();
    GroupFacts {
        name: name.to_owned(),
        min_size: size(group.min_size()),
        desired: size(group.desired_capacity()),
        terminate_suspended: suspended.into_iter().any(|process| process == "Terminate"),
        protected: member.protected_from_scale_in().unwrap_or_default(),
        terminating: state.starts_with("Terminat"),
    }
}

/// The termination hook that this agent keeps waiting and completes before the group ends `instance`: the one of this name,
/// else the only one, else the first.
pub(crate) async fn hook(
    client: &Client,
    instance: &InstanceId,
    named: Option<&str>,
) -> Result<Option<Hook>, ApiFailure> {
    let member = member(client, instance).await?;
    let Some(group) = member.as_ref().and_then(|m| m.auto_scaling_group_name()) else { return Ok(None) };
    let call = client.describe_lifecycle_hooks().auto_scaling_group_name(group);
    let answer = call.send().await.map_err(|error| classify(&error))?;
    let hooks = answer.lifecycle_hooks().iter().filter(|hook| hook.lifecycle_transition() == Some(TERMINATING));
    let hooks: Vec<Hook> = hooks.map(|hook| waiting(group, hook)).collect();
    let (chosen, remark) = choose(hooks, named);
    if let Some(remark) = remark {
        tracing::warn!("Auto Scaling group {group} {remark}");
    }
    Ok(chosen)
}

fn waiting(group: &str, hook: &LifecycleHook) -> Hook {
    let seconds = |n: Option<i32>| n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).map(Duration::from_secs);
    Hook {
        group: group.to_owned(),
        name: hook.lifecycle_hook_name().unwrap_or_default().to_owned(),
        heartbeat_timeout: seconds(hook.heartbeat_timeout()).unwrap_or(HEARTBEAT),
        global_timeout: seconds(hook.global_timeout()),
    }
}

/// And what is to be said of it. The group waits for all of its hooks, so any one that is kept waiting keeps the host.
fn choose(mut hooks: Vec<Hook>, named: Option<&str>) -> (Option<Hook>, Option<String>) {
    let names = hooks.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ");
    match named {
        Some(name) => {
            let at = hooks.iter().position(|hook| hook.name == name);
            let missing = format!("has no termination hook {name} (`lifecycle_hook`); it has: {names}");
            (at.map(|at| hooks.swap_remove(at)), at.is_none().then_some(missing))
        }
        None if hooks.len() > 1 => {
            let first = hooks.swap_remove(0);
            let several = format!(
                "has several termination hooks ({names}): set `lifecycle_hook` to the one that is this agent's to complete; \
                 for now it takes {}",
                first.name
            );
            (Some(first), Some(several))
        }
        None => (hooks.pop(), None),
    }
}

pub(crate) async fn terminate(client: &Client, instance: &InstanceId, decrement: bool) -> Result<(), ApiFailure> {
    let call = client
        .terminate_instance_in_auto_scaling_group()
        .instance_id(instance.as_str())
        .should_decrement_desired_capacity(decrement);
    call.send().await.map(drop).map_err(|error| refused(&error, error.code()))
}

pub(crate) async fn mark_unhealthy(client: &Client, instance: &InstanceId) -> Result<(), ApiFailure> {
    let call = client
        .set_instance_health()
        .instance_id(instance.as_str())
        .health_status("Unhealthy")
        .should_respect_grace_period(false);
    call.send().await.map(drop).map_err(|error| refused(&error, error.code()))
}

pub(crate) async fn complete(client: &Client, instance: &InstanceId, hook: &Hook) -> Result<(), ApiFailure> {
    let call = client
        .complete_lifecycle_action()
        .auto_scaling_group_name(&hook.group)
        .lifecycle_hook_name(&hook.name)
        .instance_id(instance.as_str())
        .lifecycle_action_result("CONTINUE");
    call.send().await.map(drop).map_err(|error| refused(&error, error.code()))
}

pub(crate) async fn heartbeat(client: &Client, instance: &InstanceId, hook: &Hook) -> Result<(), ApiFailure> {
    let call = client
        .record_lifecycle_action_heartbeat()
        .auto_scaling_group_name(&hook.group)
        .lifecycle_hook_name(&hook.name)
        .instance_id(instance.as_str());
    call.send().await.map(drop).map_err(|error| refused(&error, error.code()))
}

/// Without a group there is nothing to be protected from.
pub(crate) async fn protect(client: &Client, instance: &InstanceId, on: bool) -> Result<(), ApiFailure> {
    let member = member(client, instance).await?;
    let Some(group) = member.as_ref().and_then(|m| m.auto_scaling_group_name()) else { return Ok(()) };
    let call = client
        .set_instance_protection()
        .auto_scaling_group_name(group)
        .instance_ids(instance.as_str())
        .protected_from_scale_in(on);
    call.send().await.map(drop).map_err(|error| refused(&error, error.code()))
}

/// Auto Scaling's word for every argument it does not like: an action that no longer waits, an instance that is not there.
fn refused<E>(
    error: &aws_smithy_runtime_api::client::result::SdkError<
        E,
        aws_smithy_runtime_api::client::orchestrator::HttpResponse,
    >,
    code: Option<&str>,
) -> ApiFailure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let failure = classify(error);
    match code {
        Some("ValidationError" | "InvalidAction" | "UnknownOperationException") => {
            ApiFailure::Rejected(failure.text().to_owned())
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::config::{BehaviorVersion, Region};
    use axum::Router;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::*;

    /// A client of an Auto Scaling that answers as `answer` says: an HTTP status and XML.
    async fn client(answer: fn(&str) -> (u16, String)) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = post(move |body: String| async move {
            let (status, xml) = answer(&body);
            (http::StatusCode::from_u16(status).unwrap(), xml)
        });
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", served)).await });
        let config = aws_sdk_autoscaling::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(aws_credential_types::Credentials::new("AKIDTEST", "s3cret", None, None, "test"))
            .endpoint_url(url)
            .http_client(crate::aws::http_client())
            .build();
        Client::from_conf(config)
    }

    fn error(code: &str, text: &str) -> (u16, String) {
        let body =
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>");
        (400, body)
    }

    fn result(action: &str, inner: &str) -> (u16, String) {
        (200, format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"))
    }

    fn group(body: &str) -> (u16, String) {
        let action = body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap();
        match action {
            "DescribeAutoScalingInstances" => result(
                action,
                "<AutoScalingInstances><member><InstanceId>i-1</InstanceId><AutoScalingGroupName>g</AutoScalingGroupName>\
                 <LifecycleState>Terminating:Wait</LifecycleState><ProtectedFromScaleIn>true</ProtectedFromScaleIn></member>\
                 </AutoScalingInstances>",
            ),
            "DescribeAutoScalingGroups" => result(
                action,
                "<AutoScalingGroups><member><AutoScalingGroupName>g</AutoScalingGroupName><MinSize>1</MinSize>\
                 <MaxSize>4</MaxSize><DesiredCapacity>2</DesiredCapacity><SuspendedProcesses><member>\
                 <ProcessName>Terminate</ProcessName></member></SuspendedProcesses></member></AutoScalingGroups>",
            ),
            "DescribeLifecycleHooks" => result(
                action,
                "<LifecycleHooks><member><LifecycleHookName>up</LifecycleHookName>\
                 <LifecycleTransition>autoscaling:EC2_INSTANCE_LAUNCHING</LifecycleTransition></member>\
                 <member><LifecycleHookName>bye</LifecycleHookName><HeartbeatTimeout>300</HeartbeatTimeout>\
                 <GlobalTimeout>900</GlobalTimeout>\
                 <LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition></member></LifecycleHooks>",
            ),
            "TerminateInstanceInAutoScalingGroup" if body.contains("ShouldDecrementDesiredCapacity=true") => {
                result(action, "")
            }
            _ => error("ValidationError", "No active Lifecycle Action found"),
        }
    }

    #[tokio::test]
    async fn a_group_tells_its_facts_and_its_hook() {
        let (client, id) = (client(group).await, InstanceId::new("i-1"));
        let expected = GroupFacts {
            name: "g".into(),
            min_size: 1,
            desired: 2,
            terminate_suspended: true,
            protected: true,
            terminating: true,
        };
        assert_eq!(facts(&client, &id).await, Ok(Some(expected)));
        let hook = hook(&client, &id, None).await.unwrap().unwrap();
        assert_eq!((hook.name.as_str(), hook.heartbeat_timeout.as_secs()), ("bye", 300));
        assert_eq!(hook.longest_wait().as_secs(), 900);
        assert_eq!(terminate(&client, &id, true).await, Ok(()));
        assert!(matches!(heartbeat(&client, &id, &hook).await, Err(ApiFailure::Rejected(_))));
        assert!(matches!(complete(&client, &id, &hook).await, Err(ApiFailure::Rejected(_))));
    }

    #[test]
    fn the_hook_that_was_named_is_taken_and_else_the_only_one() {
        let hook = |name: &str| Hook {
            group: "g".into(),
            name: name.into(),
            heartbeat_timeout: HEARTBEAT,
            global_timeout: None,
        };
        let both = || vec![hook("logs"), hook("jobs")];
        assert_eq!(choose(both(), Some("jobs")), (Some(hook("jobs")), None));
        assert_eq!(choose(vec![hook("logs")], None), (Some(hook("logs")), None));
        assert_eq!(choose(Vec::new(), None), (None, None));
        let (first, remark) = choose(both(), None);
        assert_eq!(first, Some(hook("logs")));
        assert!(remark.is_some_and(|text| text.contains("logs, jobs")));
        let (none, remark) = choose(both(), Some("mine"));
        assert!(none.is_none() && remark.is_some_and(|text| text.contains("no termination hook mine")));
    }

    #[tokio::test]
    async fn where_nobody_speaks_auto_scaling_there_is_no_group() {
        let client = client(|_| error("InvalidAction", "not served")).await;
        let id = InstanceId::new("i-1");
        assert_eq!(facts(&client, &id).await, Ok(None));
        assert_eq!(hook(&client, &id, None).await, Ok(None));
        assert_eq!(protect(&client, &id, true).await, Ok(()));
        let other =
            self::client(|_| (401, "<Response><Errors><Error><Code>Other</Code></Error></Errors></Response>".into()));
        assert_eq!(facts(&other.await, &id).await, Ok(None));
        assert!(matches!(terminate(&client, &id, true).await, Err(ApiFailure::Rejected(_))));
    }

    #[tokio::test]
    async fn a_denied_look_is_no_missing_group() {
        let client = client(|_| error("AccessDenied", "not authorized")).await;
        assert!(matches!(facts(&client, &InstanceId::new("i-1")).await, Err(ApiFailure::Denied(_))));
    }
}
