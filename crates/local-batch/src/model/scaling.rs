//! What Auto Scaling does with a group's instances: keeps their number, and ends them through its hooks.

use super::cluster::Tag;
use super::group::{Membership, Stage, invalid};
use super::node::{NewNode, Node, NodeState};
use super::{Effect, State};
use crate::clock::Millis;
use crate::error::ApiError;
use crate::ids::Ec2Id;

/// EC2's reason for an instance that its group ended.
const BY_GROUP: &str = "User initiated";

impl State {
    /// Brings every group to its desired capacity.
    pub(crate) fn keep_capacity(&mut self, now: Millis) {
        self.found_groups(now);
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            self.replace_unhealthy(&name, now);
            self.scale_in(&name, now);
            self.fill_up(&name, now);
        }
    }

    /// Protection is no shield against a failed health check.
    fn replace_unhealthy(&mut self, name: &str, now: Millis) {
        let Some(group) = self.groups.get(name) else { return };
        if ["Terminate", "HealthCheck", "ReplaceUnhealthy"].iter().any(|process| group.is_suspended(process)) {
            return;
        }
        let is_sick = |id: &Ec2Id| {
            let node = self.nodes.get(id);
            node.is_some_and(|n| !n.state.is_live() || n.membership.as_ref().is_some_and(|m| m.is_unhealthy))
        };
        let sick: Vec<Ec2Id> = self.in_service(name).into_iter().filter(is_sick).collect();
        for id in sick {
            self.begin_end(&id, now);
        }
    }

    /// The oldest go first, of those that are not protected.
    fn scale_in(&mut self, name: &str, now: Millis) {
        let Some(group) = self.groups.get(name).filter(|group| !group.is_suspended("Terminate")) else { return };
        let there = self.in_service(name);
        let surplus = there.len().saturating_sub(count(group.desired));
        let is_open = |id: &Ec2Id| {
            let node = self.nodes.get(id);
            node.and_then(|node| node.membership.as_ref()).is_some_and(|membership| !membership.is_protected)
        };
        let chosen: Vec<Ec2Id> = there.into_iter().filter(is_open).take(surplus).collect();
        for id in chosen {
            self.begin_end(&id, now);
        }
    }

    fn fill_up(&mut self, name: &str, now: Millis) {
        let Some(group) = self.groups.get(name) else { return };
        if self.closing || group.is_suspended("Launch") {
            return;
        }
        for _ in self.in_service(name).len()..count(group.desired.min(group.max_size)) {
            self.launch_in(name, now);
        }
    }

    /// Launches for waiting jobs, within the group's limits.
    pub(crate) fn launch_for_jobs(&mut self, environment: &str, now: Millis) -> bool {
        let Some(group) = self.groups.values().find(|g| g.environment.as_deref() == Some(environment)) else {
            let tags = vec![Tag { key: "Name".into(), value: format!("{environment}-node") }];
            let new = NewNode { compute_environment: Some(environment.to_owned()), tags, ..NewNode::default() };
            self.launch(new, None, now);
            return true;
        };
        let name = group.name.clone();
        let there = self.in_service(&name).len();
        let Some(group) = self.groups.get_mut(&name) else { return false };
        if group.is_suspended("Launch") || there >= count(group.max_size) {
            return false;
        }
        group.desired = u32::try_from(there + 1).unwrap_or(u32::MAX).max(group.desired);
        self.launch_in(&name, now);
        true
    }

    fn launch_in(&mut self, name: &str, now: Millis) {
        let Some(group) = self.groups.get(name) else { return };
        let tags = vec![
            Tag { key: "Name".into(), value: format!("{name}-node") },
            Tag { key: "aws:autoscaling:groupName".into(), value: name.to_owned() },
        ];
        let new = NewNode { compute_environment: group.environment.clone(), tags, ..NewNode::default() };
        let membership = Membership::new(group);
        self.launch(new, Some(membership), now);
    }

    fn launch(&mut self, new: NewNode, membership: Option<Membership>, now: Millis) {
        let ordinal = self.next_ordinal();
        let node = Node { membership, ..Node::new(new, ordinal, now) };
        self.effect(Effect::Launch(node.id.clone()));
        self.nodes.insert(node.id.clone(), node);
    }

    /// An instance goes without its group having ended it: room that came with waiting jobs is not filled again.
    pub(crate) fn left_by_itself(&mut self, id: &Ec2Id) {
        let Some(node) = self.nodes.get(id) else { return };
        let Some(name) = node.membership.as_ref().filter(|m| m.stage == Stage::InService).map(|m| &m.group) else {
            return;
        };
        if let Some(group) = self.groups.get_mut(name) {
            group.desired = group.desired.saturating_sub(1).max(group.floor);
        }
    }

    /// `Terminating`: its hooks wait, or it goes at once.
    pub(crate) fn begin_end(&mut self, id: &Ec2Id, now: Millis) {
        let hooks = {
            let membership = self.nodes.get(id).and_then(|node| node.membership.as_ref());
            let group = membership.and_then(|membership| self.groups.get(&membership.group));
            group.map(|group| group.hooks.values().cloned().collect::<Vec<_>>()).unwrap_or_default()
        };
        let waits: Vec<_> = hooks.iter().map(|hook| hook.begin(uuid::Uuid::new_v4().to_string(), now)).collect();
        let alarms: Vec<Millis> = waits.iter().map(|wait| wait.until).collect();
        let Some(membership) = self.nodes.get_mut(id).and_then(|node| node.membership.as_mut()) else { return };
        membership.stage = Stage::Wait;
        membership.waits = waits;
        for at in alarms {
            self.alarms.insert((at, id.clone()));
        }
        self.go_on(id, now);
    }

    /// Ends what nothing holds any more.
    pub(crate) fn go_on(&mut self, id: &Ec2Id, now: Millis) {
        let Some(membership) = self.nodes.get_mut(id).and_then(|node| node.membership.as_mut()) else { return };
        if membership.stage == Stage::Wait && membership.waits.is_empty() {
            membership.stage = Stage::Proceed;
            // It is a member, so it is known.
            drop(self.terminate_node(id, BY_GROUP, now));
        }
    }

    /// TerminateInstanceInAutoScalingGroup.
    pub(crate) fn terminate_in_group(&mut self, id: &Ec2Id, decrement: bool, now: Millis) -> Result<(), ApiError> {
        let membership = self.member(id)?;
        let (name, stage) = (membership.group.clone(), membership.stage);
        if stage != Stage::InService {
            return Ok(());
        }
        let group = self.group_mut(&name)?;
        if group.is_suspended("Terminate") {
            return Err(invalid(format!("The process Terminate of AutoScalingGroup {name} is suspended.")));
        }
        if decrement {
            let min = group.min_size;
            if group.desired <= min {
                return Err(invalid(format!(
                    "Currently, desiredSize equals minSize ({min}). Terminating instance without replacement will violate \
                     group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size."
                )));
            }
            group.desired -= 1;
            group.floor = group.floor.min(group.desired);
        }
        self.begin_end(id, now);
        Ok(())
    }

    /// What an instance is to its group, while it is in one.
    pub(crate) fn member(&self, id: &Ec2Id) -> Result<&Membership, ApiError> {
        let node = self.nodes.get(id).filter(|node| node.state != NodeState::Terminated);
        node.and_then(|node| node.membership.as_ref())
            .ok_or_else(|| invalid(format!("Instance Id not found - No managed instance found for instance ID: {id}")))
    }

    /// Hooks of this instance whose time is over end with their default result: either lets it go.
    pub(crate) fn time_hooks(&mut self, id: &Ec2Id, now: Millis) {
        let is_due = |node: &Node| {
            node.membership.as_ref().is_some_and(|membership| membership.waits.iter().any(|wait| wait.until <= now))
        };
        if !self.nodes.get(id).is_some_and(is_due) {
            return;
        }
        if let Some(membership) = self.nodes.get_mut(id).and_then(|node| node.membership.as_mut()) {
            membership.waits.retain(|wait| wait.until > now);
        }
        self.go_on(id, now);
    }
}

fn count(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "scaling_tests.rs"]
mod tests;
