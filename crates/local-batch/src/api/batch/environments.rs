//! Compute environments. Only UNMANAGED ones: their instances are somebody else's to run, here the plane's own fleet.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{Outcome, json as wire, page};
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::name_of;
use crate::model::State;
use crate::model::batch::{ComputeEnvironment, Switch, Tags, valid_name};
use crate::model::cluster::Cluster;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    compute_environment_name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    state: Switch,
    #[serde(rename = "unmanagedvCpus")]
    unmanaged_vcpus: Option<i64>,
    service_role: Option<String>,
    #[serde(default)]
    tags: Tags,
    compute_resources: Option<Value>,
    eks_configuration: Option<Value>,
}

pub(super) fn create(hub: &Arc<Hub>, new: Create) -> Outcome {
    let name = new.compute_environment_name.clone();
    valid_name("computeEnvironmentName", &name)?;
    if new.kind != "UNMANAGED" {
        return Err(ApiError::client(format!(
            "type {:?}: only UNMANAGED compute environments are served here; the local plane launches the nodes itself",
            new.kind
        )));
    }
    if new.compute_resources.is_some() || new.eks_configuration.is_some() {
        return Err(ApiError::client(
            "computeResources and eksConfiguration must not be given for an UNMANAGED compute environment here",
        ));
    }
    hub.update(|state, _| {
        if state.environments.contains_key(&name) {
            return Err(ApiError::client("Object already exists"));
        }
        let uuid = Uuid::new_v4().to_string();
        let cluster = format!("{name}_Batch_{uuid}");
        let environment = ComputeEnvironment {
            compute_environment_arn: state.arns.batch("compute-environment", &name),
            ecs_cluster_arn: state.arns.ecs("cluster", &cluster),
            compute_environment_name: name.clone(),
            state: new.state,
            unmanaged_vcpus: new.unmanaged_vcpus,
            service_role: new.service_role,
            tags: new.tags,
            uuid,
            cluster: cluster.clone(),
        };
        let answer =
            json!({"computeEnvironmentName": name, "computeEnvironmentArn": environment.compute_environment_arn});
        state.clusters.insert(cluster.clone(), Cluster { arn: environment.ecs_cluster_arn.clone(), name: cluster });
        state.environments.insert(name, environment);
        Ok(answer)
    })
}

pub(super) fn find<'a>(state: &'a mut State, name_or_arn: &str) -> Result<&'a mut ComputeEnvironment, ApiError> {
    state.environments.get_mut(name_of(name_or_arn)).ok_or_else(|| {
        ApiError::client(format!(
            "ComputeEnvironment {name_or_arn} not found; describe-compute-environments shows those there are"
        ))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    compute_environment: String,
    state: Option<Switch>,
    #[serde(rename = "unmanagedvCpus")]
    unmanaged_vcpus: Option<i64>,
    service_role: Option<String>,
}

pub(super) fn update(hub: &Arc<Hub>, change: Update) -> Outcome {
    hub.update(|state, _| {
        let environment = find(state, &change.compute_environment)?;
        environment.state = change.state.unwrap_or(environment.state);
        environment.unmanaged_vcpus = change.unmanaged_vcpus.or(environment.unmanaged_vcpus);
        environment.service_role = change.service_role.or(environment.service_role.take());
        Ok(json!({"computeEnvironmentName": environment.compute_environment_name,
            "computeEnvironmentArn": environment.compute_environment_arn}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete {
    compute_environment: String,
}

pub(super) fn delete(hub: &Arc<Hub>, which: &Delete) -> Outcome {
    hub.update(|state, now| {
        let environment = find(state, &which.compute_environment)?;
        let (name, arn) = (environment.compute_environment_name.clone(), environment.compute_environment_arn.clone());
        if environment.state == Switch::Enabled {
            return Err(ApiError::client("Cannot delete, compute environment must be DISABLED first"));
        }
        let used =
            state.queues.values().any(|q| q.compute_environment_order.iter().any(|o| o.compute_environment == arn));
        if used {
            return Err(ApiError::client("Cannot delete, found existing JobQueue relationship"));
        }
        if let Some(environment) = state.environments.remove(&name) {
            state.drop_cluster(&environment.cluster, now);
        }
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    #[serde(default)]
    compute_environments: Vec<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(hub: &Arc<Hub>, which: &Describe) -> Outcome {
    let names: Vec<&str> = which.compute_environments.iter().map(|n| name_of(n)).collect();
    let found: Vec<Value> = hub.read(|state| {
        let wanted =
            |ce: &&ComputeEnvironment| names.is_empty() || names.contains(&ce.compute_environment_name.as_str());
        state.environments.values().filter(wanted).map(shown).collect()
    });
    Ok(page::page(found, which.max_results, which.next_token.as_deref(), 100)?.into_answer("computeEnvironments"))
}

fn shown(environment: &ComputeEnvironment) -> Value {
    let fixed = json!({"type": "UNMANAGED", "status": "VALID", "statusReason": "ComputeEnvironment Healthy",
        "containerOrchestrationType": "ECS"});
    wire::merge(wire::value(environment), fixed)
}
