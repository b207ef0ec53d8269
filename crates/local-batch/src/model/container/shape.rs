//! What a container takes from an instance.

use serde::{Deserialize, Serialize};

use super::ContainerProperties;
use crate::error::ApiError;

/// Batch's floor for a container's memory, in MiB.
const MIN_MEMORY_MIB: i64 = 4;
/// What a vCPU is in ECS's CPU units.
pub(crate) const CPU_UNITS: u32 = 1024;

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
}
