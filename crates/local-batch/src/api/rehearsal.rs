//! `/local/interrupts` and `/local/denials`: what the world does to hosts, and what IAM keeps them from, on order.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::faults::answer;
use super::{Outcome, json as wire};
use crate::clock::Millis;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::Ec2Id;
use crate::model::State;
use crate::model::notice::{EventCode, Interrupt, SpotAction};
use crate::nodes::settings;

#[derive(Deserialize)]
struct Order {
    #[serde(flatten)]
    what: Interrupt,
    /// The end of an instance's id; the only one there is when absent.
    instance: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denial {
    /// As in a policy: `ec2:TerminateInstances`, `autoscaling:*`.
    action: String,
}

/// POST: `{"done", "follows", "instance", "socket"}`, in words; `socket`: of the agent, where the plane runs it.
pub(super) async fn interrupt(Shared(hub): Shared<Arc<Hub>>, body: Bytes) -> Response {
    let order = wire::read::<Order>(&body, "ClientException");
    answer(order.and_then(|order| {
        hub.update(|state, now| {
            let id = meant(state, order.instance.as_deref())?;
            let follows = follows(state, &id, &order.what);
            let said = state.interrupt(&id, order.what, now)?;
            let is_launched = state.nodes.get(&id).is_some_and(|node| node.compute_environment.is_some());
            let socket = is_launched.then(|| settings::socket(&hub.config, &id));
            Ok(json!({"done": format!("{id}: {said}"), "follows": follows, "instance": id.as_str(), "socket": socket}))
        })
    }))
}

/// What the world does next.
fn follows(state: &State, id: &Ec2Id, what: &Interrupt) -> String {
    let ends = |how: &str| format!("then the jobs that still run there end with \"Host EC2 (instance {id}) {how}.\"");
    match what {
        Interrupt::Spot { action: SpotAction::Terminate, .. } => ends("terminated"),
        Interrupt::Spot { .. } | Interrupt::Stop => ends("stopped"),
        Interrupt::Rebalance => {
            "nothing else follows; agents ignore it unless told otherwise (rebalance=drain)".to_owned()
        }
        Interrupt::Maintenance { code: EventCode::InstanceRetirement | EventCode::InstanceStop, .. } => {
            format!("at its NotBefore EC2 stops the instance; {}", ends("stopped"))
        }
        Interrupt::Maintenance { .. } => "at its NotBefore the event is completed; no reboot is played".to_owned(),
        Interrupt::ScaleIn => match waits(state, id) {
            Some((hook, seconds)) => {
                format!(
                    "hook {hook} waits {seconds} s at a time for the agent's heartbeats, until the agent completes it"
                )
            }
            None => format!("no hook waits, it goes at once; {}", ends("terminated")),
        },
        Interrupt::Cancel => "an agent that drained for it goes back to work".to_owned(),
    }
}

/// A hook of the instance's group, and its heartbeat timeout in seconds.
fn waits<'a>(state: &'a State, id: &Ec2Id) -> Option<(&'a str, Millis)> {
    let group = &state.nodes.get(id)?.membership.as_ref()?.group;
    let hook = state.groups.get(group)?.hooks.values().next()?;
    Some((&hook.name, hook.heartbeat_timeout / 1000))
}

fn meant(state: &State, end: Option<&str>) -> Result<Ec2Id, ApiError> {
    let there = state.nodes.values().filter(|node| node.state.is_live());
    let found: Vec<&Ec2Id> =
        there.map(|node| &node.id).filter(|id| end.is_none_or(|end| id.as_str().ends_with(end))).collect();
    match (found.as_slice(), end) {
        ([id], _) => Ok((*id).clone()),
        ([], Some(end)) => Err(ApiError::client(format!("no running instance has an id that ends in {end:?}"))),
        ([], None) => Err(ApiError::client("no instance is running; submit a job first")),
        (several, _) => {
            let ids: Vec<&str> = several.iter().map(|id| id.as_str()).collect();
            Err(ApiError::client(format!("which instance? there are {}", ids.join(", "))))
        }
    }
}

/// POST `{"action"}`: denied to every key that the plane has issued, until it is allowed again.
pub(super) async fn deny(Shared(hub): Shared<Arc<Hub>>, body: Bytes) -> Response {
    let denial = wire::read::<Denial>(&body, "ClientException");
    answer(denial.and_then(|denial| {
        let action = checked(&denial.action)?;
        hub.update(|state, now| state.denied.insert(action, now));
        Ok(json!({"done": format!("denied to nodes and jobs: {}", denial.action)}))
    }))
}

fn checked(action: &str) -> Result<String, ApiError> {
    let action = action.to_ascii_lowercase();
    match action.split_once(':') {
        Some((service, name)) if !service.is_empty() && !name.is_empty() => Ok(action),
        _ => Err(ApiError::client(
            "an action is a service and an operation, ec2:TerminateInstances or autoscaling:* for one",
        )),
    }
}

/// GET: `{"denied": [..]}`.
pub(super) async fn denied(Shared(hub): Shared<Arc<Hub>>) -> Response {
    answer(Ok(hub.read(|state| json!({"denied": state.denied.keys().collect::<Vec<_>>()}))))
}

/// DELETE `{"action"}`; without a body, of all.
pub(super) async fn allow(Shared(hub): Shared<Arc<Hub>>, body: Bytes) -> Response {
    answer(allowed(&hub, &body))
}

fn allowed(hub: &Arc<Hub>, body: &[u8]) -> Outcome {
    let one = if body.is_empty() { None } else { Some(wire::read::<Denial>(body, "ClientException")?.action) };
    let one = one.map(|action| action.to_ascii_lowercase());
    hub.update(|state, _| {
        let all: Vec<String> =
            state.denied.keys().filter(|action| one.as_ref().is_none_or(|one| one == *action)).cloned().collect();
        if let (Some(one), true) = (&one, all.is_empty()) {
            return Err(ApiError::client(format!("{one} is not denied")));
        }
        for action in &all {
            state.denied.remove(action);
        }
        Ok(json!({"done": format!("allowed again: {}", if all.is_empty() { "nothing".to_owned() } else { all.join(", ") })}))
    })
}
