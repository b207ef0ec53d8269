//! Instances of groups: how they are, whether they may be chosen, and their end.

use std::sync::Arc;

use super::{Inner, flag, required, shown};
use crate::api::ec2::form::Form;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::Ec2Id;
use crate::model::State;
use crate::model::cluster::Tag;
use crate::model::group::{Membership, Stage, invalid};
use crate::model::node::{Node, NodeState};

/// One that is unknown, or in no group, is left out.
pub(super) fn describe(hub: &Arc<Hub>, form: &Form) -> Inner {
    let ids = form.list("InstanceIds.member");
    Ok(hub.read(|state| {
        let is_member = |node: &&Node| node.membership.is_some() && node.state != NodeState::Terminated;
        let wanted = |node: &&Node| ids.is_empty() || ids.iter().any(|id| id == node.id.as_str());
        let found = state.nodes.values().filter(is_member).filter(wanted);
        shown::list("AutoScalingInstances", found.map(|node| shown::instance(node, state, true)))
    }))
}

/// The group's desired capacity rises with them.
pub(super) fn attach(hub: &Arc<Hub>, form: &Form) -> Inner {
    let name = required(form, "AutoScalingGroupName")?;
    let ids: Vec<Ec2Id> = form.list("InstanceIds.member").into_iter().map(Ec2Id).collect();
    hub.update(|state, _| {
        for id in &ids {
            let node = state.nodes.get(id).filter(|node| node.state == NodeState::Running);
            let node = node.ok_or_else(|| invalid(format!("Invalid Instance ID(s): [{id}] specified. Instance(s) should be in running state.")))?;
            if let Some(membership) = &node.membership {
                return Err(invalid(format!("Instance {id} is already part of AutoScalingGroup:{}", membership.group)));
            }
        }
        let group = state.group_mut(name)?;
        let desired = group.desired.saturating_add(u32::try_from(ids.len()).unwrap_or(u32::MAX));
        if desired > group.max_size {
            return Err(invalid(format!(
                "AutoScalingGroup {name} has min-size={}, max-size={}, and desired-size={}. To attach {} more instance, please update the AutoScalingGroup sizes appropriately.",
                group.min_size, group.max_size, group.desired, ids.len()
            )));
        }
        (group.desired, group.floor) = (desired, desired);
        let membership = Membership::new(group);
        for id in &ids {
            if let Some(node) = state.nodes.get_mut(id) {
                node.tags.push(Tag { key: "aws:autoscaling:groupName".into(), value: name.to_owned() });
                node.membership = Some(membership.clone());
            }
        }
        Ok(String::new())
    })
}

pub(super) fn terminate(hub: &Arc<Hub>, form: &Form) -> Inner {
    let id = Ec2Id(required(form, "InstanceId")?.to_owned());
    required(form, "ShouldDecrementDesiredCapacity")?;
    let decrement = flag(form, "ShouldDecrementDesiredCapacity")?.unwrap_or_default();
    hub.update(|state, now| {
        let group = state.member(&id)?.group.clone();
        state.terminate_in_group(&id, decrement, now)?;
        let cause = if decrement {
            format!("instance {id} was taken out of service in response to a user request, shrinking the capacity.")
        } else {
            format!("instance {id} was taken out of service in response to a user request.")
        };
        Ok(shown::activity(&group, id.as_str(), &cause))
    })
}

pub(super) fn set_health(hub: &Arc<Hub>, form: &Form) -> Inner {
    let id = Ec2Id(required(form, "InstanceId")?.to_owned());
    let is_unhealthy = match required(form, "HealthStatus")? {
        "Healthy" => false,
        "Unhealthy" => true,
        other => return Err(invalid(format!("Valid instance health states are: [Healthy, Unhealthy], not {other}"))),
    };
    hub.update(|state, _| {
        state.member(&id)?;
        member_mut(state, &id, |membership| membership.is_unhealthy = is_unhealthy);
        Ok(String::new())
    })
}

pub(super) fn set_protection(hub: &Arc<Hub>, form: &Form) -> Inner {
    let name = required(form, "AutoScalingGroupName")?;
    required(form, "ProtectedFromScaleIn")?;
    let is_protected = flag(form, "ProtectedFromScaleIn")?.unwrap_or_default();
    let ids: Vec<Ec2Id> = form.list("InstanceIds.member").into_iter().map(Ec2Id).collect();
    hub.update(|state, _| {
        state.group(name)?;
        for id in &ids {
            may_be_protected(state, name, id)?;
        }
        for id in &ids {
            member_mut(state, id, |membership| membership.is_protected = is_protected);
        }
        Ok(String::new())
    })
}

fn may_be_protected(state: &State, group: &str, id: &Ec2Id) -> Result<(), ApiError> {
    let node = state.nodes.get(id).filter(|node| node.is_of(group));
    let node = node.ok_or_else(|| invalid(format!("The instance {id} is not part of Auto Scaling group {group}.")))?;
    let is_in_service = node.membership.as_ref().is_some_and(|membership| membership.stage == Stage::InService);
    if is_in_service && node.state == NodeState::Running {
        return Ok(());
    }
    Err(invalid(format!("The instance {id} is not in InService or EnteringStandby or Standby.")))
}

fn member_mut(state: &mut State, id: &Ec2Id, change: impl FnOnce(&mut Membership)) {
    if let Some(membership) = state.nodes.get_mut(id).and_then(|node| node.membership.as_mut()) {
        change(membership);
    }
}
