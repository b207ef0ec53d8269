//! Compute environments, job queues and job definitions, as the describes show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::ContainerProperties;
use super::retry::RetryStrategy;
use crate::error::ApiError;

pub(crate) type Tags = BTreeMap<String, String>;

/// `ENABLED` or `DISABLED`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Switch {
    #[default]
    Enabled,
    Disabled,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ComputeEnvironment {
    pub(crate) compute_environment_name: String,
    pub(crate) compute_environment_arn: String,
    pub(crate) ecs_cluster_arn: String,
    pub(crate) state: Switch,
    #[serde(rename = "unmanagedvCpus", skip_serializing_if = "Option::is_none")]
    pub(crate) unmanaged_vcpus: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_role: Option<String>,
    pub(crate) tags: Tags,
    pub(crate) uuid: String,
    #[serde(skip)]
    pub(crate) cluster: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobQueue {
    pub(crate) job_queue_name: String,
    pub(crate) job_queue_arn: String,
    pub(crate) state: Switch,
    pub(crate) priority: i64,
    /// In order; the environments' ARNs.
    pub(crate) compute_environment_order: Vec<ComputeEnvironmentOrder>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ComputeEnvironmentOrder {
    pub(crate) order: i64,
    pub(crate) compute_environment: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum DefinitionStatus {
    Active,
    Inactive,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDefinition {
    pub(crate) job_definition_name: String,
    pub(crate) job_definition_arn: String,
    pub(crate) revision: u32,
    pub(crate) status: DefinitionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scheduling_priority: Option<i64>,
    pub(crate) parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_strategy: Option<RetryStrategy>,
    pub(crate) container_properties: ContainerProperties,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<JobTimeout>,
    pub(crate) tags: Tags,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) propagate_tags: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) platform_capabilities: Vec<String>,
}

/// Counted from the start of each attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobTimeout {
    pub(crate) attempt_duration_seconds: i64,
}

impl JobTimeout {
    /// Batch's floor.
    const MIN_SECONDS: i64 = 60;

    pub(crate) fn validate(self) -> Result<(), ApiError> {
        if self.attempt_duration_seconds < Self::MIN_SECONDS {
            return Err(ApiError::client(format!(
                "timeout.attemptDurationSeconds must be at least {}, and is {}",
                Self::MIN_SECONDS,
                self.attempt_duration_seconds
            )));
        }
        Ok(())
    }
}

/// The characters that Batch allows in a name: letters, digits, `-` and `_`, at most 128, beginning with a letter or digit.
pub(crate) fn valid_name(what: &str, name: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() <= 128 && name.chars().all(good) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(ApiError::client(format!(
        "{what} {name:?}: use 1 to 128 letters, digits, hyphens and underscores, beginning with a letter or digit"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_batchs() {
        assert!(valid_name("jobName", "a-b_C9").is_ok());
        for bad in ["", "-a", "a b", "ä", &"x".repeat(129)] {
            assert!(valid_name("jobName", bad).is_err(), "{bad}");
        }
    }
}
