//! Container instances: registering, describing, draining, deregistering.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Paging, missing, shown};
use crate::api::Outcome;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::{Ec2Id, InstanceArn};
use crate::model::State;
use crate::model::cluster::{Attribute, InstanceStatus, Resource, Tag};
use crate::model::instances::Registration;

/// Instances in one UpdateContainerInstancesState, as ECS's API reference says.
const UPDATES_MOST: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Register {
    #[serde(default)]
    cluster: String,
    container_instance_arn: Option<InstanceArn>,
    #[serde(default)]
    instance_identity_document: String,
    client_token: Option<String>,
    #[serde(default)]
    total_resources: Vec<Resource>,
    #[serde(default)]
    attributes: Vec<Attribute>,
    #[serde(default)]
    platform_devices: Vec<PlatformDevice>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct PlatformDevice {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityDocument {
    instance_id: Ec2Id,
}

pub(super) fn register(hub: &Arc<Hub>, request: Register) -> Outcome {
    let gpus = request.platform_devices.into_iter().filter(|device| device.kind == "GPU").map(|device| device.id);
    let registration = Registration {
        cluster: request.cluster,
        arn: request.container_instance_arn,
        ec2_id: instance_of(&request.instance_identity_document)?,
        client_token: request.client_token,
        resources: request.total_resources,
        gpus: gpus.collect(),
        attributes: request.attributes,
        tags: request.tags,
    };
    hub.update(|state, now| {
        let arn = state.register_instance(registration, now)?;
        let instance = state.instances.get(&arn).map(|i| shown::instance(state, i));
        Ok(json!({"containerInstance": instance}))
    })
}

/// An agent off EC2 has no document; one that cannot be read is a mistake.
fn instance_of(document: &str) -> Result<Option<Ec2Id>, ApiError> {
    if document.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str::<IdentityDocument>(document)
        .map(|d| Some(d.instance_id))
        .map_err(|error| ApiError::invalid_parameter(format!("instanceIdentityDocument cannot be read: {error}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deregister {
    #[serde(default)]
    cluster: String,
    container_instance: String,
    #[serde(default)]
    force: bool,
}

pub(super) fn deregister(hub: &Arc<Hub>, which: &Deregister) -> Outcome {
    hub.update(|state, now| {
        let arn = state.instance_in(&which.cluster, &which.container_instance)?.arn.clone();
        state.deregister(&arn, which.force, now)?;
        Ok(json!({"containerInstance": state.instances.get(&arn).map(|i| shown::instance(state, i))}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateState {
    #[serde(default)]
    cluster: String,
    container_instances: Vec<String>,
    status: InstanceStatus,
}

pub(super) fn update_state(hub: &Arc<Hub>, change: &UpdateState) -> Outcome {
    if change.status == InstanceStatus::Inactive {
        return Err(ApiError::invalid_parameter(
            "status must be ACTIVE or DRAINING; deregister-container-instance makes it INACTIVE",
        ));
    }
    let named = change.container_instances.len();
    if !(1..=UPDATES_MOST).contains(&named) {
        return Err(ApiError::invalid_parameter(format!(
            "containerInstances must name 1 to {UPDATES_MOST}, not {named}"
        )));
    }
    hub.update(|state, _| {
        state.cluster(&change.cluster)?;
        let arns = find(state, &change.cluster, &change.container_instances);
        let (mut changed, mut failures) = (Vec::new(), Vec::new());
        for (arn, name) in arns.iter().zip(&change.container_instances) {
            match arn.as_ref().and_then(|arn| state.instances.get_mut(arn)) {
                // One that has been deregistered never changes again.
                Some(instance) if instance.status == InstanceStatus::Inactive => {
                    failures.push(json!({"arn": instance.arn, "reason": "INACTIVE"}));
                }
                Some(instance) => {
                    instance.status = change.status;
                    changed.push(instance.arn.clone());
                }
                None => failures.push(missing(name)),
            }
        }
        let shown = changed.iter().filter_map(|arn| state.instances.get(arn)).map(|i| shown::instance(state, i));
        Ok(json!({"containerInstances": shown.collect::<Vec<_>>(), "failures": failures}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    #[serde(default)]
    cluster: String,
    container_instances: Vec<String>,
}

pub(super) fn describe(hub: &Arc<Hub>, which: &Describe) -> Outcome {
    hub.read(|state| {
        state.cluster(&which.cluster)?;
        let arns = find(state, &which.cluster, &which.container_instances);
        Ok(described(state, &arns, &which.container_instances))
    })
}

fn find(state: &State, cluster: &str, names: &[String]) -> Vec<Option<InstanceArn>> {
    names.iter().map(|name| state.instance_in(cluster, name).ok().map(|i| i.arn.clone())).collect()
}

fn described(state: &State, arns: &[Option<InstanceArn>], names: &[String]) -> Value {
    let found = arns.iter().flatten().filter_map(|arn| state.instances.get(arn)).map(|i| shown::instance(state, i));
    let failures = arns.iter().zip(names).filter(|(arn, _)| arn.is_none()).map(|(_, name)| missing(name));
    json!({"containerInstances": found.collect::<Vec<_>>(), "failures": failures.collect::<Vec<_>>()})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    #[serde(default)]
    cluster: String,
    status: Option<InstanceStatus>,
    #[serde(flatten)]
    paging: Paging,
}

/// ACTIVE and DRAINING ones, unless a status is asked for.
pub(super) fn list(hub: &Arc<Hub>, which: &List) -> Outcome {
    let arns: Vec<Value> = hub.read(|state| {
        let cluster = &state.cluster(&which.cluster)?.name;
        let wanted = |status| which.status.map_or(status != InstanceStatus::Inactive, |asked| asked == status);
        let here = state.instances.values().filter(|i| i.cluster == *cluster && wanted(i.status));
        Ok::<_, ApiError>(here.map(|i| json!(i.arn)).collect())
    })?;
    which.paging.answer(arns, "containerInstanceArns")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTags {
    resource_arn: InstanceArn,
}

pub(super) fn list_tags(hub: &Arc<Hub>, which: &ListTags) -> Outcome {
    let tags = hub.read(|state| state.instances.get(&which.resource_arn).map(|i| i.tags.clone()));
    Ok(json!({"tags": tags.unwrap_or_default()}))
}
