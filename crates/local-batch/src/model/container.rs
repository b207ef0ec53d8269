//! `containerProperties` and `containerOverrides`: the same types are read from requests and shown by the describes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Batch's floor for a container's memory, in MiB.
const MIN_MEMORY_MIB: i64 = 4;
/// What a vCPU is in ECS's CPU units.
pub(crate) const CPU_UNITS: u32 = 1024;
/// Environment variables of this prefix are Batch's own.
const RESERVED_PREFIX: &str = "AWS_BATCH";

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerProperties {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vcpus: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<i64>,
    pub(crate) command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_role_arn: Option<String>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) environment: Vec<KeyValue>,
    pub(crate) mount_points: Vec<MountPoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) readonly_root_filesystem: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) privileged: Option<bool>,
    pub(crate) ulimits: Vec<Ulimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_type: Option<String>,
    pub(crate) resource_requirements: Vec<ResourceRequirement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) linux_parameters: Option<LinuxParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_configuration: Option<LogConfiguration>,
    pub(crate) secrets: Vec<Secret>,
    #[serde(skip_serializing)]
    pub(crate) network_configuration: Option<serde_json::Value>,
    #[serde(skip_serializing)]
    pub(crate) fargate_platform_configuration: Option<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyValue {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourceRequirement {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) value: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Volume {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<HostPath>,
    #[serde(skip_serializing)]
    pub(crate) efs_volume_configuration: Option<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostPath {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source_path: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MountPoint {
    pub(crate) container_path: String,
    pub(crate) read_only: bool,
    pub(crate) source_volume: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ulimit {
    pub(crate) name: String,
    pub(crate) soft_limit: i64,
    pub(crate) hard_limit: i64,
}

/// Sizes are in MiB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LinuxParameters {
    pub(crate) devices: Vec<Device>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) init_process_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shared_memory_size: Option<i64>,
    pub(crate) tmpfs: Vec<Tmpfs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_swap: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) swappiness: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    pub(crate) host_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_path: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) permissions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tmpfs {
    pub(crate) container_path: String,
    pub(crate) size: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mount_options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogConfiguration {
    pub(crate) log_driver: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) secret_options: Vec<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) value_from: String,
}

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

/// What a container takes from an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// CPU units, 1024 a vCPU.
    pub(crate) cpu: u32,
    /// MiB.
    pub(crate) memory: u32,
    pub(crate) gpus: u32,
}

impl ContainerProperties {
    /// What the container asks for: `resourceRequirements` before the older `vcpus` and `memory`.
    pub(crate) fn shape(&self) -> Result<Shape, ApiError> {
        let vcpus = self.requirement("VCPU")?.or(self.vcpus);
        let memory = self.requirement("MEMORY")?.or(self.memory);
        let vcpus = vcpus.filter(|n| *n >= 1).ok_or_else(|| {
            ApiError::client(
                "containerProperties needs at least 1 vCPU: give resourceRequirements type VCPU, a whole number",
            )
        })?;
        let memory = memory.filter(|n| *n >= MIN_MEMORY_MIB).ok_or_else(|| {
            ApiError::client(format!(
                "containerProperties needs at least {MIN_MEMORY_MIB} MiB of memory: give resourceRequirements type MEMORY"
            ))
        })?;
        let gpus = self.requirement("GPU")?.unwrap_or_default();
        let fit = |n: i64, what: &str| {
            u32::try_from(n).map_err(|_| ApiError::client(format!("resourceRequirements: {n} is no amount of {what}")))
        };
        let cpu = fit(vcpus, "VCPU")?
            .checked_mul(CPU_UNITS)
            .ok_or_else(|| ApiError::client(format!("{vcpus} vCPUs are more than any instance has")))?;
        Ok(Shape { cpu, memory: fit(memory, "MEMORY")?, gpus: fit(gpus, "GPU")? })
    }

    fn requirement(&self, kind: &str) -> Result<Option<i64>, ApiError> {
        let Some(found) = self.resource_requirements.iter().find(|r| r.kind == kind) else {
            return Ok(None);
        };
        found.value.trim().parse().map(Some).map_err(|_| {
            ApiError::client(format!(
                "resourceRequirements: value {:?} of type {kind} must be a whole number on EC2",
                found.value
            ))
        })
    }

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

fn reserved_names(environment: &[KeyValue]) -> Result<(), ApiError> {
    match environment.iter().find(|v| v.name.starts_with(RESERVED_PREFIX)) {
        Some(v) => Err(ApiError::client(format!(
            "environment variable {:?}: names that begin with {RESERVED_PREFIX} are reserved for Batch",
            v.name
        ))),
        None => Ok(()),
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
    fn requirements_go_before_the_older_fields() {
        let p = properties(serde_json::json!({"image": "i", "vcpus": 1, "memory": 64,
            "resourceRequirements": [{"type": "MEMORY", "value": "128"}, {"type": "GPU", "value": "2"}]}));
        assert_eq!(p.shape().unwrap(), Shape { cpu: 1024, memory: 128, gpus: 2 });
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
