//! What EC2 means to do to an instance, as its metadata service tells it, and what EC2 then does.

use serde::{Deserialize, Serialize};

use super::State;
use super::node::NodeState;
use crate::clock::Millis;
use crate::error::ApiError;
use crate::events::PlaneEvent;
use crate::ids::{Ec2Id, hex32};

/// EC2's words for an instance that Spot took.
pub(crate) const SPOT: &str = "Server.SpotInstanceTermination";
/// And for one that an event of its host stopped.
pub(crate) const SCHEDULED: &str = "Server.ScheduledStop";
/// Between a scheduled event's NotBefore and its NotAfter.
const WINDOW: Millis = 2 * 3600 * 1000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Notices {
    pub(crate) spot: Option<SpotNotice>,
    /// When the rebalance recommendation was made.
    pub(crate) rebalance: Option<Millis>,
    pub(crate) maintenance: Vec<Maintenance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpotNotice {
    pub(crate) action: SpotAction,
    pub(crate) at: Millis,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SpotAction {
    #[default]
    Terminate,
    Stop,
    Hibernate,
}

impl SpotAction {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
        }
    }
}

/// A scheduled event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Maintenance {
    pub(crate) id: String,
    pub(crate) code: EventCode,
    pub(crate) not_before: Millis,
    pub(crate) not_after: Millis,
    pub(crate) state: EventState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EventCode {
    InstanceReboot,
    SystemReboot,
    SystemMaintenance,
    InstanceRetirement,
    InstanceStop,
}

impl EventCode {
    /// EC2's code, and its description.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::InstanceReboot => ("instance-reboot", "scheduled reboot"),
            Self::SystemReboot => ("system-reboot", "scheduled reboot"),
            Self::SystemMaintenance => ("system-maintenance", "scheduled maintenance"),
            Self::InstanceRetirement => ("instance-retirement", "The instance is running on degraded hardware"),
            Self::InstanceStop => ("instance-stop", "The instance is running on degraded hardware"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EventState {
    Active,
    Completed,
    Canceled,
}

/// What a user has the world do to an instance. Times are in seconds from now.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "interrupt", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Interrupt {
    Spot {
        seconds: u32,
        #[serde(default)]
        action: SpotAction,
    },
    Rebalance,
    Maintenance {
        code: EventCode,
        seconds: u32,
    },
    /// The group ends it, through its hooks.
    ScaleIn,
    Stop,
    /// Spot, rebalance and scheduled events are taken back.
    Cancel,
}

impl State {
    /// Carries an interruption out, or announces it, and says so.
    pub(crate) fn interrupt(&mut self, id: &Ec2Id, what: Interrupt, now: Millis) -> Result<String, ApiError> {
        let said = self.carry_out(id, what, now)?;
        self.emit(PlaneEvent::NodeInterrupted { instance_id: id.to_string(), said: said.clone() });
        Ok(said)
    }

    fn carry_out(&mut self, id: &Ec2Id, what: Interrupt, now: Millis) -> Result<String, ApiError> {
        let after = |seconds: u32| now.saturating_add(Millis::from(seconds).saturating_mul(1000));
        match what {
            Interrupt::ScaleIn => {
                self.terminate_in_group(id, true, now)?;
                return Ok("its group ends it".to_owned());
            }
            Interrupt::Stop => {
                self.stop_node(id, "User initiated", now)?;
                return Ok("stopping".to_owned());
            }
            _ => {}
        }
        let Some(node) = self.nodes.get_mut(id) else { return Err(super::instances::unknown_node(id)) };
        let notices = &mut node.notices;
        let said = match what {
            Interrupt::Spot { seconds, action } => {
                notices.spot = Some(SpotNotice { action, at: after(seconds) });
                node.is_spot = true;
                self.alarms.insert((after(seconds), id.clone()));
                format!("Spot will {} it in {seconds} s", action.as_str())
            }
            Interrupt::Rebalance => {
                notices.rebalance = Some(now);
                node.is_spot = true;
                "rebalance recommended".to_owned()
            }
            Interrupt::Maintenance { code, seconds } => {
                let event = Maintenance {
                    id: format!("instance-event-{}", &hex32()[..17]),
                    code,
                    not_before: after(seconds),
                    not_after: after(seconds).saturating_add(WINDOW),
                    state: EventState::Active,
                };
                let said = format!("{} in {seconds} s, as {}", code.words().0, event.id);
                notices.maintenance.push(event);
                self.alarms.insert((after(seconds), id.clone()));
                said
            }
            Interrupt::Cancel | Interrupt::ScaleIn | Interrupt::Stop => {
                let mut any = notices.spot.take().is_some();
                any |= notices.rebalance.take().is_some();
                for event in notices.maintenance.iter_mut().filter(|event| event.state == EventState::Active) {
                    event.state = EventState::Canceled;
                    any = true;
                }
                if !any {
                    let text =
                        "nothing is announced that could be taken back; Auto Scaling and a stop do not turn back";
                    return Err(ApiError::client(format!("{id}: {text}")));
                }
                "what was announced is taken back".to_owned()
            }
        };
        Ok(said)
    }

    /// Whether IAM denies this action, given in lower case.
    pub(crate) fn denies(&self, action: &str) -> bool {
        self.denied.keys().any(|denied| match denied.strip_suffix('*') {
            Some(prefix) => action.starts_with(prefix),
            None => action == denied,
        })
    }

    /// Does to instances what is due.
    pub(crate) fn ring_alarms(&mut self, now: Millis) {
        while self.alarms.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.alarms.pop_first() else { return };
            self.time_hooks(&id, now);
            self.take_spot(&id, now);
            self.maintain(&id, now);
        }
    }

    fn take_spot(&mut self, id: &Ec2Id, now: Millis) {
        let notice = self.nodes.get(id).filter(|node| node.state.is_live()).and_then(|node| node.notices.spot.clone());
        let Some(notice) = notice.filter(|notice| notice.at <= now) else { return };
        // It is known.
        match notice.action {
            SpotAction::Terminate => drop(self.terminate_node(id, SPOT, now)),
            SpotAction::Stop | SpotAction::Hibernate => drop(self.stop_node(id, SPOT, now)),
        }
    }

    fn maintain(&mut self, id: &Ec2Id, now: Millis) {
        let is_due = |event: &Maintenance| event.state == EventState::Active && event.not_before <= now;
        if !self.nodes.get(id).is_some_and(|node| node.notices.maintenance.iter().any(is_due)) {
            return;
        }
        let mut stops = false;
        if let Some(node) = self.nodes.get_mut(id) {
            for event in node.notices.maintenance.iter_mut().filter(|event| is_due(event)) {
                event.state = EventState::Completed;
                stops |= matches!(event.code, EventCode::InstanceRetirement | EventCode::InstanceStop);
            }
        }
        if stops && self.nodes.get(id).is_some_and(|node| node.state == NodeState::Running) {
            drop(self.stop_node(id, SCHEDULED, now));
        }
    }

    /// After a restart of the plane: what was announced still comes.
    pub(crate) fn set_alarms(&mut self) {
        for node in self.nodes.values().filter(|node| node.state.is_present()) {
            let mut set = |at| {
                self.alarms.insert((at, node.id.clone()));
            };
            if let Some(notice) = &node.notices.spot {
                set(notice.at);
            }
            for event in node.notices.maintenance.iter().filter(|event| event.state == EventState::Active) {
                set(event.not_before);
            }
            for wait in node.membership.iter().flat_map(|membership| &membership.waits) {
                set(wait.until);
            }
        }
    }
}
