//! Life-cycle hooks, and the actions that wait for them.

use std::sync::Arc;

use super::{Inner, number, required, shown};
use crate::api::ec2::form::Form;
use crate::clock::Millis;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::Ec2Id;
use crate::model::State;
use crate::model::group::{Hook, Wait, invalid};

pub(super) const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// AWS's limits and default of a heartbeat timeout, in seconds. AWS wants 30 at least; here a test need not wait so long.
const TIMEOUT: std::ops::RangeInclusive<u32> = 1..=7_200;
const TIMEOUT_DEFAULT: u32 = 3_600;

pub(super) fn put(hub: &Arc<Hub>, form: &Form) -> Inner {
    let (group, name) = (required(form, "AutoScalingGroupName")?, required(form, "LifecycleHookName")?);
    let timeout = number(form, "HeartbeatTimeout")?;
    if timeout.is_some_and(|timeout| !TIMEOUT.contains(&timeout)) {
        return Err(invalid("HeartbeatTimeout must be 1 to 7200 seconds; AWS wants 30 at least"));
    }
    let result = form.get("DefaultResult");
    if result.is_some_and(|result| !["CONTINUE", "ABANDON"].contains(&result)) {
        return Err(invalid("Lifecycle Action Result must be one of: [CONTINUE,ABANDON]"));
    }
    hub.update(|state, _| {
        let group = state.group_mut(group)?;
        let known = group.hooks.get(name);
        match form.get("LifecycleTransition") {
            Some(TERMINATING) => {}
            None if known.is_some() => {}
            _ => return Err(invalid(format!("LifecycleTransition: the local plane waits for {TERMINATING} only"))),
        }
        let hook = Hook {
            name: name.to_owned(),
            heartbeat_timeout: timeout.map_or_else(
                || known.map_or(Millis::from(TIMEOUT_DEFAULT) * 1000, |hook| hook.heartbeat_timeout),
                |timeout| Millis::from(timeout) * 1000,
            ),
            default_result: result.map_or_else(
                || known.map_or_else(|| "ABANDON".to_owned(), |hook| hook.default_result.clone()),
                ToOwned::to_owned,
            ),
        };
        group.hooks.insert(name.to_owned(), hook);
        Ok(String::new())
    })
}

/// What waits for it waits no longer.
pub(super) fn delete(hub: &Arc<Hub>, form: &Form) -> Inner {
    let (group, name) = (required(form, "AutoScalingGroupName")?, required(form, "LifecycleHookName")?);
    hub.update(|state, now| {
        if state.group_mut(group)?.hooks.remove(name).is_none() {
            return Err(unknown_hook(name));
        }
        let held: Vec<Ec2Id> = shown::members(state, group).map(|node| node.id.clone()).collect();
        for id in held {
            if let Some(membership) = state.nodes.get_mut(&id).and_then(|node| node.membership.as_mut()) {
                membership.waits.retain(|wait| wait.hook != name);
            }
            state.go_on(&id, now);
        }
        Ok(String::new())
    })
}

pub(super) fn describe(hub: &Arc<Hub>, form: &Form) -> Inner {
    let name = required(form, "AutoScalingGroupName")?;
    let names = form.list("LifecycleHookNames.member");
    hub.read(|state| {
        let hooks = state.group(name)?.hooks.values();
        let wanted = hooks.filter(|hook| names.is_empty() || names.contains(&hook.name));
        Ok(shown::list("LifecycleHooks", wanted.map(|hook| shown::hook(name, hook))))
    })
}

/// Each gives the action another heartbeat timeout, until its global one.
pub(super) fn heartbeat(hub: &Arc<Hub>, form: &Form) -> Inner {
    hub.update(|state, now| {
        let (id, at) = find(state, form)?;
        let waits = state.nodes.get_mut(&id).and_then(|node| node.membership.as_mut()).map(|m| &mut m.waits);
        if let Some(wait) = waits.and_then(|waits| waits.get_mut(at)) {
            wait.until = now.saturating_add(wait.heartbeat_timeout).min(wait.latest);
            let until = wait.until;
            state.alarms.insert((until, id));
        }
        Ok(String::new())
    })
}

/// At the end of an instance CONTINUE and ABANDON both let it go; ABANDON does so whatever other hooks wait.
pub(super) fn complete(hub: &Arc<Hub>, form: &Form) -> Inner {
    let result = required(form, "LifecycleActionResult")?;
    let abandons = match result {
        "CONTINUE" => false,
        "ABANDON" => true,
        _ => return Err(invalid("Lifecycle Action Result must be one of: [CONTINUE,ABANDON]")),
    };
    hub.update(|state, now| {
        let (id, at) = find(state, form)?;
        if let Some(membership) = state.nodes.get_mut(&id).and_then(|node| node.membership.as_mut()) {
            membership.waits.remove(at);
            if abandons {
                membership.waits.clear();
            }
        }
        state.go_on(&id, now);
        Ok(String::new())
    })
}

/// The action that waits: by instance or token.
fn find(state: &State, form: &Form) -> Result<(Ec2Id, usize), ApiError> {
    let (group, hook) = (required(form, "AutoScalingGroupName")?, required(form, "LifecycleHookName")?);
    let (id, token) = (form.get("InstanceId"), form.get("LifecycleActionToken"));
    if id.is_none() && token.is_none() {
        return Err(invalid("Either LifecycleActionToken or InstanceId must be specified"));
    }
    if !state.group(group)?.hooks.contains_key(hook) {
        return Err(unknown_hook(hook));
    }
    let is_meant = |wait: &Wait| wait.hook == hook && token.is_none_or(|token| wait.token == token);
    let mut held = shown::members(state, group).filter(|node| id.is_none_or(|id| id == node.id.as_str()));
    let found = held.find_map(|node| {
        let waits = &node.membership.as_ref()?.waits;
        Some((node.id.clone(), waits.iter().position(is_meant)?))
    });
    found.ok_or_else(|| {
        invalid(match (token, id) {
            (Some(token), _) => format!("No active Lifecycle Action found with token {token}"),
            (None, id) => format!("No active Lifecycle Action found with instance ID {}", id.unwrap_or_default()),
        })
    })
}

fn unknown_hook(name: &str) -> ApiError {
    invalid(format!("No Lifecycle Hook found with name {name}"))
}
