//! A job's own container: the definition's, with the overrides and parameters of its submission.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::reserved_names;
use super::{ContainerProperties, KeyValue, ResourceRequirement};
use crate::error::ApiError;

/// `containerOverrides` of SubmitJob.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerOverrides {
    pub(crate) vcpus: Option<i64>,
    pub(crate) memory: Option<i64>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) instance_type: Option<String>,
    pub(crate) environment: Vec<KeyValue>,
    pub(crate) resource_requirements: Vec<ResourceRequirement>,
}

impl ContainerProperties {
    /// The properties of one job: overrides laid over the definition's, and `Ref::name` replaced by its parameter.
    pub(crate) fn with(
        &self,
        overrides: &ContainerOverrides,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, ApiError> {
        reserved_names(&overrides.environment)?;
        let mut job = self.clone();
        if let Some(command) = &overrides.command {
            job.command.clone_from(command);
        }
        job.command = job.command.iter().map(|word| substitute(word, parameters)).collect();
        job.vcpus = overrides.vcpus.or(job.vcpus);
        job.memory = overrides.memory.or(job.memory);
        for (kind, given) in [("VCPU", overrides.vcpus), ("MEMORY", overrides.memory)] {
            if given.is_some() {
                job.resource_requirements.retain(|r| r.kind != kind);
            }
        }
        for requirement in &overrides.resource_requirements {
            match requirement.kind.as_str() {
                "VCPU" => job.vcpus = None,
                "MEMORY" => job.memory = None,
                _ => {}
            }
            job.resource_requirements.retain(|r| r.kind != requirement.kind);
            job.resource_requirements.push(requirement.clone());
        }
        for variable in &overrides.environment {
            job.environment.retain(|v| v.name != variable.name);
            job.environment.push(variable.clone());
        }
        job.instance_type = overrides.instance_type.clone().or(job.instance_type);
        job.validate()?;
        Ok(job)
    }
}

/// Longer names first, so that `Ref::input` leaves `Ref::inputfile` alone. A placeholder without a parameter stays.
fn substitute(word: &str, parameters: &BTreeMap<String, String>) -> String {
    if !word.contains("Ref::") {
        return word.to_owned();
    }
    let mut names: Vec<_> = parameters.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names.iter().fold(word.to_owned(), |text, (name, value)| text.replace(&format!("Ref::{name}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(json: serde_json::Value) -> ContainerProperties {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn overrides_and_parameters_make_the_job() {
        let p = properties(serde_json::json!({"image": "i", "vcpus": 1, "memory": 64,
            "command": ["cp", "Ref::from", "Ref::fromage"], "environment": [{"name": "A", "value": "1"}]}));
        let overrides: ContainerOverrides = serde_json::from_value(serde_json::json!({"memory": 32,
            "environment": [{"name": "A", "value": "2"}]}))
        .unwrap();
        let parameters = [("from".to_owned(), "a".to_owned()), ("fromage".to_owned(), "brie".to_owned())].into();
        let job = p.with(&overrides, &parameters).unwrap();
        assert_eq!(job.command, ["cp", "a", "brie"]);
        assert_eq!(job.environment[0].value, "2");
        assert_eq!(job.shape().unwrap().memory, 32);
    }
}
