//! RunInstances, DescribeInstances, TerminateInstances, StopInstances and DescribeTags.

use std::sync::Arc;

use super::form::{Filter, Form};
use super::xml::{element, set, text};
use crate::clock;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::{ACCOUNT, Arns, Ec2Id};
use crate::imds;
use crate::model::State;
use crate::model::cluster::Tag;
use crate::model::instances::unknown_node;
use crate::model::node::{NewNode, Node, NodeState};
use crate::model::notice;
use crate::nodes;

/// More at once than anybody means to make by hand.
const MAX_RUN: u32 = 100;
/// EC2's words for an instance that an API call ended.
const USER_INITIATED: &str = "User initiated";

/// EC2's code for a dry run that would have been carried out.
pub(super) const DRY_RUN: &str = "DryRunOperation";

type Xml = Result<String, ApiError>;

/// Makes instances without a process: their metadata service is up, and its address is their tag `imds-endpoint`.
pub(super) async fn run(hub: &Arc<Hub>, form: &Form) -> Xml {
    let number = |name: &str| match form.get(name).map(str::parse::<u32>) {
        None => Ok(1),
        Some(Ok(n)) if (1..=MAX_RUN).contains(&n) => Ok(n),
        Some(_) => Err(ApiError::new("InvalidParameterValue", format!("{name} must be 1 to {MAX_RUN}"))),
    };
    let count = number("MaxCount")?.max(number("MinCount")?);
    let mut ids = Vec::new();
    for _ in 0..count {
        let (listener, endpoint) = imds::bind(hub.config.listen.ip()).await.map_err(|error| {
            ApiError::new(
                "InsufficientInstanceCapacity",
                format!("no port for the instance's metadata service: {error}"),
            )
        })?;
        let new = NewNode {
            compute_environment: None,
            image_id: form.get("ImageId").map(ToOwned::to_owned),
            instance_type: form.get("InstanceType").map(ToOwned::to_owned),
            is_spot: form.get("InstanceMarketOptions.MarketType") == Some("spot"),
            tags: form.tags("TagSpecification.1.Tag").into_iter().map(|(key, value)| Tag { key, value }).collect(),
        };
        let id = hub.update(|state, now| state.run_instance(new, endpoint, now));
        hub.node_tracker.spawn(nodes::run_by_hand(hub.clone(), id.clone(), listener));
        ids.push(id);
    }
    let items = hub.read(|state| {
        set("instancesSet", ids.iter().filter_map(|id| state.nodes.get(id)).map(|n| instance(n, &hub.arns)))
    });
    Ok(reservation("r-0123456789abcdef0", &items))
}

fn reservation(id: &str, instances: &str) -> String {
    text("reservationId", id) + &text("ownerId", ACCOUNT) + "<groupSet/>" + instances
}

fn instance(node: &Node, arns: &Arns) -> String {
    let mut xml = text("instanceId", node.id.as_str());
    xml += &text("imageId", &node.image_id);
    xml += &element("instanceState", &state(node.state));
    xml += &text("privateIpAddress", &node.private_ip);
    xml += &text("reason", &node.reason);
    xml += &text("instanceType", &node.instance_type);
    xml += &text("launchTime", &clock::rfc3339(node.launched_at));
    xml += &element("placement", &text("availabilityZone", &arns.zone()));
    if node.is_spot {
        xml += &text("instanceLifecycle", "spot");
    }
    if !node.reason.is_empty() {
        let (code, words) = match node.reason.as_str() {
            USER_INITIATED => ("Client.UserInitiatedShutdown", "User initiated shutdown"),
            notice::SPOT => (notice::SPOT, "Spot instance termination"),
            other => (notice::SCHEDULED, other),
        };
        xml += &element("stateReason", &(text("code", code) + &text("message", &format!("{code}: {words}"))));
    }
    xml + &set("tagSet", node.tags.iter().map(|tag| text("key", &tag.key) + &text("value", &tag.value)))
}

fn state(state: NodeState) -> String {
    let (code, name) = state.ec2();
    text("code", &code.to_string()) + &text("name", name)
}

pub(super) fn describe(hub: &Arc<Hub>, form: &Form) -> Xml {
    let ids = form.list("InstanceId");
    let filters = form.filters();
    hub.read(|state| {
        if let Some(unknown) = ids.iter().map(|id| Ec2Id(id.clone())).find(|id| !state.nodes.contains_key(id)) {
            return Err(unknown_node(&unknown));
        }
        let mut found = Vec::new();
        for node in state.nodes.values().filter(|node| ids.is_empty() || ids.iter().any(|id| id == node.id.as_str())) {
            if filters
                .iter()
                .map(|filter| holds(filter, node))
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .all(|held| held)
            {
                found.push(node);
            }
        }
        found.sort_by_key(|node| node.launched_at);
        let reservations = found.into_iter().map(|node| {
            let id = node.id.as_str().replacen('i', "r", 1);
            reservation(&id, &set("instancesSet", std::iter::once(instance(node, &hub.arns))))
        });
        Ok(set("reservationSet", reservations))
    })
}

fn holds(filter: &Filter, node: &Node) -> Result<bool, ApiError> {
    let one_of = |text: &str| filter.values.iter().any(|value| value == text);
    Ok(match filter.name.as_str() {
        "instance-id" => one_of(node.id.as_str()),
        "instance-state-name" => one_of(node.state.ec2().1),
        "instance-lifecycle" => node.is_spot && one_of("spot"),
        "instance-state-code" => one_of(&node.state.ec2().0.to_string()),
        "instance-type" => one_of(&node.instance_type),
        "image-id" => one_of(&node.image_id),
        "private-ip-address" => one_of(&node.private_ip),
        "tag-key" => node.tags.iter().any(|tag| one_of(&tag.key)),
        other => match other.strip_prefix("tag:") {
            Some(key) => node.tags.iter().any(|tag| tag.key == key && one_of(&tag.value)),
            None => return Err(ApiError::new("InvalidParameterValue", format!("The filter '{other}' is invalid"))),
        },
    })
}

pub(super) fn terminate(hub: &Arc<Hub>, form: &Form) -> Xml {
    change(hub, form, State::terminate_node)
}

/// Their processes get SIGTERM, and their containers go.
pub(super) fn stop(hub: &Arc<Hub>, form: &Form) -> Xml {
    change(hub, form, State::stop_node)
}

type Change = fn(&mut State, &Ec2Id, &str, clock::Millis) -> Result<NodeState, ApiError>;

fn change(hub: &Arc<Hub>, form: &Form, how: Change) -> Xml {
    let ids: Vec<Ec2Id> = form.list("InstanceId").into_iter().map(Ec2Id).collect();
    if ids.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter InstanceId"));
    }
    let is_dry = form.get("DryRun").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    hub.update(|all, now| {
        if let Some(unknown) = ids.iter().find(|id| !all.nodes.contains_key(*id)) {
            return Err(unknown_node(unknown));
        }
        if is_dry {
            let text = "Request would have succeeded, but DryRun flag is set.";
            return Err(ApiError::new(DRY_RUN, text));
        }
        let mut changes = Vec::new();
        for id in &ids {
            let before = how(all, id, USER_INITIATED, now)?;
            let after = all.nodes.get(id).map_or(NodeState::Terminated, |node| node.state);
            changes.push(
                text("instanceId", id.as_str())
                    + &element("currentState", &state(after))
                    + &element("previousState", &state(before)),
            );
        }
        Ok(set("instancesSet", changes.into_iter()))
    })
}

pub(super) fn describe_tags(hub: &Arc<Hub>, form: &Form) -> Xml {
    let filters = form.filters();
    let wanted = |node: &Node, tag: &Tag| {
        filters.iter().all(|filter| {
            let one_of = |text: &str| filter.values.iter().any(|value| value == text);
            match filter.name.as_str() {
                "resource-id" => one_of(node.id.as_str()),
                "resource-type" => one_of("instance"),
                "key" => one_of(&tag.key),
                "value" => one_of(&tag.value),
                _ => false,
            }
        })
    };
    Ok(hub.read(|state| {
        let all = state.nodes.values().flat_map(|node| node.tags.iter().map(move |tag| (node, tag)));
        let found = all.filter(|(node, tag)| wanted(node, tag)).map(|(node, tag)| {
            text("resourceId", node.id.as_str())
                + &text("resourceType", "instance")
                + &text("key", &tag.key)
                + &text("value", &tag.value)
        });
        set("tagSet", found)
    }))
}
