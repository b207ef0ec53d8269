//! Job definitions and their revisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Outcome, json as wire, page};
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::name_of;
use crate::model::batch::{DefinitionStatus, JobDefinition, JobTimeout, Tags, valid_name};
use crate::model::container::ContainerProperties;
use crate::model::retry::RetryStrategy;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Register {
    job_definition_name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    scheduling_priority: Option<i64>,
    container_properties: Option<ContainerProperties>,
    node_properties: Option<Value>,
    eks_properties: Option<Value>,
    ecs_properties: Option<Value>,
    retry_strategy: Option<RetryStrategy>,
    propagate_tags: Option<bool>,
    timeout: Option<JobTimeout>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    platform_capabilities: Vec<String>,
}

pub(super) fn register(hub: &Arc<Hub>, new: Register) -> Outcome {
    let name = new.job_definition_name.clone();
    let container = new.check()?.clone();
    hub.update(|state, _| {
        let revision =
            state.definitions.get(&name).and_then(|revisions| revisions.last()).map_or(1, |d| d.revision + 1);
        let definition = JobDefinition {
            job_definition_arn: state.arns.batch("job-definition", &format!("{name}:{revision}")),
            job_definition_name: name.clone(),
            revision,
            status: DefinitionStatus::Active,
            scheduling_priority: new.scheduling_priority,
            parameters: new.parameters,
            retry_strategy: new.retry_strategy,
            container_properties: container,
            timeout: new.timeout,
            tags: new.tags,
            propagate_tags: new.propagate_tags,
            platform_capabilities: new.platform_capabilities,
        };
        let answer = json!({"jobDefinitionName": definition.job_definition_name,
            "jobDefinitionArn": definition.job_definition_arn, "revision": revision});
        state.definitions.get_or_insert_with(name, Vec::new).push(definition);
        Ok(answer)
    })
}

impl Register {
    fn check(&self) -> Result<&ContainerProperties, ApiError> {
        valid_name("jobDefinitionName", &self.job_definition_name)?;
        if self.kind != "container" || self.node_properties.is_some() {
            return Err(ApiError::client(format!(
                "type {:?}: only container jobs are served here, no multi-node parallel ones",
                self.kind
            )));
        }
        if self.eks_properties.is_some() || self.ecs_properties.is_some() {
            return Err(ApiError::client(
                "eksProperties and ecsProperties are not served here; use containerProperties",
            ));
        }
        if self.platform_capabilities.iter().any(|p| p != "EC2") {
            return Err(ApiError::client("platformCapabilities: only EC2 is served here, no Fargate"));
        }
        if let Some(retry) = &self.retry_strategy {
            retry.validate()?;
        }
        if let Some(timeout) = self.timeout {
            timeout.validate()?;
        }
        let container = self.container_properties.as_ref().ok_or_else(|| {
            ApiError::client("containerProperties is required for a job definition of type container")
        })?;
        container.validate()?;
        Ok(container)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deregister {
    job_definition: String,
}

/// Needs the revision: `name:revision` or an ARN.
pub(super) fn deregister(hub: &Arc<Hub>, which: &Deregister) -> Outcome {
    hub.update(|state, _| {
        let unknown =
            || ApiError::client(format!("JobDefinition {} not found; give name:revision", which.job_definition));
        let (name, revision) = name_of(&which.job_definition).rsplit_once(':').ok_or_else(unknown)?;
        let revision: u32 = revision.parse().map_err(|_| unknown())?;
        let revisions = state.definitions.get_mut(name).ok_or_else(unknown)?;
        let definition = revisions.iter_mut().find(|d| d.revision == revision).ok_or_else(unknown)?;
        definition.status = DefinitionStatus::Inactive;
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    #[serde(default)]
    job_definitions: Vec<String>,
    job_definition_name: Option<String>,
    status: Option<DefinitionStatus>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// Newest revisions first, as Batch lists them.
pub(super) fn describe(hub: &Arc<Hub>, which: &Describe) -> Outcome {
    let names: Vec<&str> = which.job_definitions.iter().map(|n| name_of(n)).collect();
    let wanted = |d: &&JobDefinition| {
        let full = format!("{}:{}", d.job_definition_name, d.revision);
        (names.is_empty() || names.contains(&full.as_str()) || names.contains(&d.job_definition_name.as_str()))
            && which.job_definition_name.as_ref().is_none_or(|name| *name == d.job_definition_name)
            && which.status.is_none_or(|status| status == d.status)
    };
    let fixed = || json!({"type": "container", "containerOrchestrationType": "ECS"});
    let found: Vec<Value> = hub.read(|state| {
        let all = state.definitions.values().flat_map(|revisions| revisions.iter().rev());
        all.filter(wanted).map(|d| wire::merge(wire::value(d), fixed())).collect()
    });
    Ok(page::page(found, which.max_results, which.next_token.as_deref(), 100)?.into_answer("jobDefinitions"))
}
