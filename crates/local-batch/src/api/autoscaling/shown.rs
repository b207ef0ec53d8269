//! Groups and instances as Auto Scaling shows them.

use crate::api::ec2::xml::{element, text};
use crate::clock;
use crate::ids::ACCOUNT;
use crate::model::State;
use crate::model::group::{Group, Hook};
use crate::model::node::Node;

/// The fixed parts of what the plane launches from.
const TEMPLATE: &str = "lt-0123456789abcdef0";

/// A list as Auto Scaling writes it: `<name><member>..</member>..</name>`.
pub(super) fn list(name: &str, members: impl Iterator<Item = String>) -> String {
    element(name, &members.map(|member| element("member", &member)).collect::<String>())
}

pub(super) fn group(state: &State, group: &Group) -> String {
    let arns = &state.arns;
    let arn = arns.service("autoscaling", &format!("autoScalingGroup:0:autoScalingGroupName/{}", group.name));
    let mut xml = text("AutoScalingGroupName", &group.name);
    xml += &text("AutoScalingGroupARN", &arn);
    xml += &template();
    xml += &text("MinSize", &group.min_size.to_string());
    xml += &text("MaxSize", &group.max_size.to_string());
    xml += &text("DesiredCapacity", &group.desired.to_string());
    xml += &text("DefaultCooldown", "300");
    xml += &list("AvailabilityZones", std::iter::once(arns.zone()));
    xml += "<LoadBalancerNames/><TargetGroupARNs/>";
    xml += &text("HealthCheckType", "EC2");
    xml += &text("HealthCheckGracePeriod", "0");
    xml += &list("Instances", members(state, &group.name).map(|node| instance(node, state, false)));
    xml += &text("CreatedTime", &clock::rfc3339(group.created_at));
    let suspended = group
        .suspended
        .iter()
        .map(|process| text("ProcessName", process) + &text("SuspensionReason", "User suspended at the local plane"));
    xml += &list("SuspendedProcesses", suspended);
    xml += "<EnabledMetrics/><Tags/>";
    xml += &list("TerminationPolicies", std::iter::once("Default".to_owned()));
    xml += &text("NewInstancesProtectedFromScaleIn", &group.protects_new.to_string());
    let role =
        format!("arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling");
    xml + &text("ServiceLinkedRoleARN", &role)
}

fn template() -> String {
    let inner = text("LaunchTemplateId", TEMPLATE) + &text("LaunchTemplateName", "local") + &text("Version", "1");
    element("LaunchTemplate", &inner)
}

/// The instances of a group that are there.
pub(super) fn members<'a>(state: &'a State, group: &str) -> impl Iterator<Item = &'a Node> {
    state.nodes.values().filter(move |node| node.is_of(group))
}

/// `alone`: as DescribeAutoScalingInstances shows it, with its group.
pub(super) fn instance(node: &Node, state: &State, alone: bool) -> String {
    let Some(membership) = &node.membership else { return String::new() };
    let is_healthy = !membership.is_unhealthy && (node.state.is_live() || !node.state.is_present());
    let health = match (is_healthy, alone) {
        (true, true) => "HEALTHY",
        (true, false) => "Healthy",
        (false, true) => "UNHEALTHY",
        (false, false) => "Unhealthy",
    };
    let mut xml = text("InstanceId", node.id.as_str());
    if alone {
        xml += &text("AutoScalingGroupName", &membership.group);
    }
    xml += &text("InstanceType", &node.instance_type);
    xml += &text("AvailabilityZone", &state.arns.zone());
    xml += &text("LifecycleState", node.lifecycle_state().unwrap_or_default());
    xml += &text("HealthStatus", health);
    xml += &template();
    xml + &text("ProtectedFromScaleIn", &membership.is_protected.to_string())
}

pub(super) fn hook(group: &str, hook: &Hook) -> String {
    let seconds = |millis: clock::Millis| (millis / 1000).to_string();
    text("LifecycleHookName", &hook.name)
        + &text("AutoScalingGroupName", group)
        + &text("LifecycleTransition", super::hooks::TERMINATING)
        + &text("HeartbeatTimeout", &seconds(hook.heartbeat_timeout))
        + &text("GlobalTimeout", &seconds(hook.global_timeout()))
        + &text("DefaultResult", &hook.default_result)
}

/// What TerminateInstanceInAutoScalingGroup has begun.
pub(super) fn activity(group: &str, id: &str, cause: &str) -> String {
    let now = clock::rfc3339(clock::now());
    let inner = text("ActivityId", &uuid::Uuid::new_v4().to_string())
        + &text("AutoScalingGroupName", group)
        + &text("Description", &format!("Terminating EC2 instance: {id}"))
        + &text("Cause", &format!("At {now} {cause}"))
        + &text("StartTime", &now)
        + &text("StatusCode", "InProgress")
        + &text("Progress", "0");
    element("Activity", &inner)
}
