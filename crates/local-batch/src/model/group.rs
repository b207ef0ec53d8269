//! Auto Scaling groups: sizes, life-cycle hooks, suspended processes, and what an instance is to its group.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::State;
use super::node::Node;
use crate::clock::Millis;
use crate::error::ApiError;
use crate::ids::Ec2Id;

/// The parts of a group's work that can be suspended, as AWS names them.
pub(crate) const PROCESSES: [&str; 9] = [
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
];
/// A hook waits for so long at most, whatever the heartbeats: 48 hours, or 100 heartbeat timeouts if that is less.
const WAIT_MOST: Millis = 48 * 3600 * 1000;
const TIMEOUTS_MOST: Millis = 100;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// The compute environment that its instances serve; without one they have no agent.
    pub(crate) environment: Option<String>,
    pub(crate) min_size: u32,
    pub(crate) max_size: u32,
    pub(crate) desired: u32,
    /// The capacity that is kept up without waiting jobs, too. What is above it came with jobs, and goes with its instances.
    pub(crate) floor: u32,
    pub(crate) created_at: Millis,
    pub(crate) hooks: BTreeMap<String, Hook>,
    pub(crate) suspended: BTreeSet<String>,
    pub(crate) protects_new: bool,
}

/// A hook of the transition `autoscaling:EC2_INSTANCE_TERMINATING`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) heartbeat_timeout: Millis,
    /// `CONTINUE` or `ABANDON`: at its end either lets the instance go.
    pub(crate) default_result: String,
}

/// How far an instance is on its way out of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    InService,
    /// `Terminating:Wait`: hooks hold it.
    Wait,
    /// `Terminating:Proceed`: EC2 is told to terminate it.
    Proceed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) group: String,
    pub(crate) stage: Stage,
    pub(crate) is_protected: bool,
    pub(crate) is_unhealthy: bool,
    pub(crate) waits: Vec<Wait>,
}

/// A life-cycle action that is not complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wait {
    pub(crate) hook: String,
    pub(crate) token: String,
    pub(crate) heartbeat_timeout: Millis,
    /// When it is over without another heartbeat.
    pub(crate) until: Millis,
    /// When it is over with or without.
    pub(crate) latest: Millis,
}

impl Hook {
    pub(crate) fn global_timeout(&self) -> Millis {
        self.heartbeat_timeout.saturating_mul(TIMEOUTS_MOST).min(WAIT_MOST)
    }

    pub(crate) fn begin(&self, token: String, now: Millis) -> Wait {
        let latest = now.saturating_add(self.global_timeout());
        let until = now.saturating_add(self.heartbeat_timeout).min(latest);
        Wait { hook: self.name.clone(), token, heartbeat_timeout: self.heartbeat_timeout, until, latest }
    }
}

impl Group {
    pub(crate) fn is_suspended(&self, process: &str) -> bool {
        self.suspended.contains(process)
    }
}

impl Membership {
    pub(crate) fn new(group: &Group) -> Self {
        Self {
            group: group.name.clone(),
            stage: Stage::InService,
            is_protected: group.protects_new,
            is_unhealthy: false,
            waits: Vec::new(),
        }
    }
}

impl Node {
    /// Auto Scaling's word for where it is in its group.
    pub(crate) fn lifecycle_state(&self) -> Option<&'static str> {
        use super::node::NodeState::{Pending, ShuttingDown, Terminated};
        let membership = self.membership.as_ref()?;
        Some(match (self.state, membership.stage) {
            (Terminated, _) => "Terminated",
            (_, Stage::Wait) => "Terminating:Wait",
            (_, Stage::Proceed) => "Terminating:Proceed",
            (ShuttingDown, _) => "Terminating",
            (Pending, _) => "Pending",
            _ => "InService",
        })
    }

    /// It is there, and in this group.
    pub(crate) fn is_of(&self, group: &str) -> bool {
        self.state != super::node::NodeState::Terminated && self.membership.as_ref().is_some_and(|m| m.group == group)
    }

    /// Its group is ending it.
    pub(crate) fn is_ending(&self) -> bool {
        self.membership.as_ref().is_some_and(|membership| membership.stage != Stage::InService)
    }

    /// It counts for its group's desired capacity.
    pub(crate) fn is_in_service(&self, group: &str) -> bool {
        self.state.is_present()
            && self.membership.as_ref().is_some_and(|m| m.group == group && m.stage == Stage::InService)
    }
}

impl State {
    pub(crate) fn group(&self, name: &str) -> Result<&Group, ApiError> {
        self.groups.get(name).ok_or_else(|| unknown_group(name))
    }

    pub(crate) fn group_mut(&mut self, name: &str) -> Result<&mut Group, ApiError> {
        self.groups.get_mut(name).ok_or_else(|| unknown_group(name))
    }

    /// The instances of a group that count for its desired capacity, oldest first.
    pub(crate) fn in_service(&self, group: &str) -> Vec<Ec2Id> {
        let mut found: Vec<&Node> = self.nodes.values().filter(|node| node.is_in_service(group)).collect();
        found.sort_by_key(|node| (node.launched_at, node.private_ip.clone()));
        found.into_iter().map(|node| node.id.clone()).collect()
    }

    /// Each compute environment that nodes are launched for has a group of its name.
    pub(crate) fn found_groups(&mut self, now: Millis) {
        let Some(min_size) = self.fleet.group.filter(|_| self.fleet.max_nodes > 0) else { return };
        let missing: Vec<String> =
            self.environments.keys().filter(|name| !self.groups.contains_key(*name)).cloned().collect();
        self.drop_groups();
        for name in missing {
            let min_size = min_size.min(self.fleet.max_nodes);
            let group = Group {
                name: name.clone(),
                environment: Some(name.clone()),
                min_size,
                max_size: self.fleet.max_nodes,
                desired: min_size,
                floor: min_size,
                created_at: now,
                hooks: BTreeMap::new(),
                suspended: BTreeSet::new(),
                protects_new: false,
            };
            self.groups.insert(name, group);
        }
    }

    /// A group goes with its compute environment, when its instances have gone.
    fn drop_groups(&mut self) {
        let is_orphan = |group: &&Group| group.environment.as_ref().is_some_and(|e| !self.environments.contains_key(e));
        let orphans: Vec<String> = self.groups.values().filter(is_orphan).map(|group| group.name.clone()).collect();
        for name in orphans {
            if self.nodes.values().any(|node| node.is_of(&name)) {
                if let Some(group) = self.groups.get_mut(&name) {
                    (group.min_size, group.desired, group.floor) = (0, 0, 0);
                }
            } else {
                self.groups.remove(&name);
            }
        }
    }

    /// SetDesiredCapacity and UpdateAutoScalingGroup.
    pub(crate) fn set_capacity(&mut self, name: &str, desired: u32) -> Result<(), ApiError> {
        let group = self.group_mut(name)?;
        if desired > group.max_size {
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.",
                group.max_size
            )));
        }
        if desired < group.min_size {
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.",
                group.min_size
            )));
        }
        group.desired = desired;
        group.floor = desired;
        Ok(())
    }
}

/// Auto Scaling's name for nearly every refusal.
pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", message)
}

fn unknown_group(name: &str) -> ApiError {
    invalid(format!("AutoScalingGroup name not found - AutoScalingGroup {name} not found"))
}
