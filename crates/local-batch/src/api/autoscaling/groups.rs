//! Groups: their sizes and suspended processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Inner, flag, number, required, shown};
use crate::api::ec2::form::Form;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::model::State;
use crate::model::group::{Group, PROCESSES, invalid};

/// A group of instances without agents, for those that somebody else runs.
pub(super) fn create(hub: &Arc<Hub>, form: &Form) -> Inner {
    let name = required(form, "AutoScalingGroupName")?.to_owned();
    let need =
        |name: &str| number(form, name)?.ok_or_else(|| required(form, name).err().unwrap_or_else(|| invalid(name)));
    let (min_size, max_size) = (need("MinSize")?, need("MaxSize")?);
    let desired = number(form, "DesiredCapacity")?.unwrap_or(min_size);
    let protects_new = flag(form, "NewInstancesProtectedFromScaleIn")?.unwrap_or_default();
    in_bounds(desired, min_size, max_size)?;
    hub.update(|state, now| {
        if state.groups.contains_key(&name) {
            let text = "AutoScalingGroup by this name already exists - A group with the name ".to_owned();
            return Err(ApiError::new("AlreadyExists", format!("{text}{name} already exists")));
        }
        let group = Group {
            name: name.clone(),
            environment: None,
            min_size,
            max_size,
            desired,
            floor: desired,
            created_at: now,
            hooks: BTreeMap::new(),
            suspended: BTreeSet::new(),
            protects_new,
        };
        state.groups.insert(name, group);
        Ok(String::new())
    })
}

fn in_bounds(desired: u32, min_size: u32, max_size: u32) -> Result<(), ApiError> {
    if min_size > max_size {
        return Err(invalid(format!("Max bound, {max_size}, must be greater than or equal to min bound, {min_size}")));
    }
    if !(min_size..=max_size).contains(&desired) {
        return Err(invalid(format!(
            "Desired capacity:{desired} must be between the specified min size:{min_size} and max size:{max_size}"
        )));
    }
    Ok(())
}

/// A desired capacity that is not given is moved into the new bounds.
pub(super) fn update(hub: &Arc<Hub>, form: &Form) -> Inner {
    let name = required(form, "AutoScalingGroupName")?;
    let (min, max) = (number(form, "MinSize")?, number(form, "MaxSize")?);
    let desired = number(form, "DesiredCapacity")?;
    let protects_new = flag(form, "NewInstancesProtectedFromScaleIn")?;
    hub.update(|state, _| {
        let group = state.group_mut(name)?;
        let (min_size, max_size) = (min.unwrap_or(group.min_size), max.unwrap_or(group.max_size));
        let wanted = desired.unwrap_or_else(|| group.desired.max(min_size).min(max_size));
        in_bounds(wanted, min_size, max_size)?;
        (group.min_size, group.max_size, group.desired) = (min_size, max_size, wanted);
        group.floor = if desired.is_some() { wanted } else { group.floor.clamp(min_size, max_size) };
        group.protects_new = protects_new.unwrap_or(group.protects_new);
        Ok(String::new())
    })
}

pub(super) fn set_desired_capacity(hub: &Arc<Hub>, form: &Form) -> Inner {
    let name = required(form, "AutoScalingGroupName")?;
    required(form, "DesiredCapacity")?;
    let desired = number(form, "DesiredCapacity")?.unwrap_or_default();
    hub.update(|state, _| state.set_capacity(name, desired))?;
    Ok(String::new())
}

pub(super) fn describe(hub: &Arc<Hub>, form: &Form) -> Inner {
    let names = form.list("AutoScalingGroupNames.member");
    Ok(hub.read(|state| {
        let wanted = |group: &&Group| names.is_empty() || names.contains(&group.name);
        shown::list("AutoScalingGroups", state.groups.values().filter(wanted).map(|group| shown::group(state, group)))
    }))
}

pub(super) fn suspend(hub: &Arc<Hub>, form: &Form) -> Inner {
    switch(hub, form, |group, process| {
        group.suspended.insert(process);
    })
}

pub(super) fn resume(hub: &Arc<Hub>, form: &Form) -> Inner {
    switch(hub, form, |group, process| {
        group.suspended.remove(&process);
    })
}

/// The processes named, or all.
fn switch(hub: &Arc<Hub>, form: &Form, how: impl Fn(&mut Group, String)) -> Inner {
    let name = required(form, "AutoScalingGroupName")?;
    let named = form.list("ScalingProcesses.member");
    let unknown: Vec<&str> = named.iter().map(String::as_str).filter(|process| !PROCESSES.contains(process)).collect();
    if !unknown.is_empty() {
        return Err(invalid(format!("Invalid process type(s): {}", unknown.join(", "))));
    }
    let processes = if named.is_empty() { PROCESSES.map(str::to_owned).to_vec() } else { named };
    hub.update(|state: &mut State, _| {
        let group = state.group_mut(name)?;
        processes.into_iter().for_each(|process| how(group, process));
        Ok(String::new())
    })
}
