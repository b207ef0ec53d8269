//! What Batch refuses of a container, and what only Batch on AWS could serve.

use super::{ContainerProperties, KeyValue};
use crate::error::ApiError;

/// Environment variables of this prefix are Batch's own.
const RESERVED_PREFIX: &str = "AWS_BATCH";

impl ContainerProperties {
    /// Refuses what Batch would refuse, and what only Batch on AWS could serve.
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        let refuse = |text: String| Err(ApiError::client(text));
        if self.image.as_deref().is_none_or(|image| image.trim().is_empty()) {
            return refuse("containerProperties.image is required".into());
        }
        if self.network_configuration.is_some() || self.fargate_platform_configuration.is_some() {
            return refuse(
                "networkConfiguration and fargatePlatformConfiguration are for Fargate; only EC2 is served here".into(),
            );
        }
        for requirement in &self.resource_requirements {
            if !["VCPU", "MEMORY", "GPU"].contains(&requirement.kind.as_str()) {
                return refuse(format!(
                    "resourceRequirements type {:?} is none of VCPU, MEMORY, GPU",
                    requirement.kind
                ));
            }
        }
        self.shape()?;
        reserved_names(&self.environment)?;
        let of_log = self.log_configuration.iter().flat_map(|log| &log.secret_options);
        if self.secrets.iter().chain(of_log).next().is_some() && self.execution_role_arn.is_none() {
            return refuse(
                "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'"
                    .into(),
            );
        }
        self.validate_volumes()
    }

    fn validate_volumes(&self) -> Result<(), ApiError> {
        for volume in &self.volumes {
            if volume.efs_volume_configuration.is_some() {
                return Err(ApiError::client(format!(
                    "volume {:?}: EFS is not served by the local plane; use host.sourcePath",
                    volume.name
                )));
            }
        }
        for mount in &self.mount_points {
            if !self.volumes.iter().any(|volume| volume.name == mount.source_volume) {
                return Err(ApiError::client(format!(
                    "mountPoints names sourceVolume {:?}, which volumes does not define",
                    mount.source_volume
                )));
            }
        }
        Ok(())
    }
}

pub(super) fn reserved_names(environment: &[KeyValue]) -> Result<(), ApiError> {
    match environment.iter().find(|v| v.name.starts_with(RESERVED_PREFIX)) {
        Some(v) => Err(ApiError::client(format!(
            "environment variable {:?}: names that begin with {RESERVED_PREFIX} are reserved for Batch",
            v.name
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(json: serde_json::Value) -> ContainerProperties {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_mistake_is_named() {
        let message = |json| properties(json).validate().unwrap_err().message;
        assert!(message(serde_json::json!({"vcpus": 1, "memory": 4})).contains("image is required"));
        assert!(message(serde_json::json!({"image": "i", "vcpus": 1, "memory": 3})).contains("at least 4 MiB"));
        assert!(message(serde_json::json!({"image": "i", "memory": 4})).contains("at least 1 vCPU"));
        assert!(
            message(serde_json::json!({"image": "i", "vcpus": 1, "memory": 4,
            "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}))
            .contains("\"v\"")
        );
        assert!(
            message(serde_json::json!({"image": "i", "vcpus": 1, "memory": 4,
            "environment": [{"name": "AWS_BATCH_X", "value": ""}]}))
            .contains("reserved")
        );
        assert!(
            message(serde_json::json!({"image": "i", "memory": 4,
            "resourceRequirements": [{"type": "VCPU", "value": "0.5"}]}))
            .contains("whole number")
        );
    }
}
