//! Identities and quantities: one type each, so that a task's ARN is never mistaken for its container's name.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// An ECS task's ARN: the key of everything this node holds about a job attempt.
    TaskArn,
    /// A container's name inside its task definition (`default` for a Batch job).
    ContainerName,
    /// The name that Docker knows a container by. It is derived from the task's ARN, so no task is ever created twice.
    DockerName,
    /// Docker's id of a container: ECS's `runtimeId`.
    DockerId,
    /// An ACS message's id, echoed in its acknowledgement.
    MessageId,
    ContainerInstanceArn,
    /// An ECS cluster's name or ARN, as it is handed to the ECS API.
    ClusterRef,
    /// The name under which ECS hands out a role's credentials: it is in the address that a job asks.
    CredentialsId,
    /// A container's name towards the task metadata endpoint, in the form of a UUID.
    EndpointId,
    /// An EC2 instance's id.
    InstanceId,
}

impl TaskArn {
    /// The last segment: the task id, in the old and the new ARN format alike.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl TaskArn {
    /// A number that looks random and is always the same.
    pub(crate) fn dice(&self) -> u64 {
        let digest = Sha256::new().chain_update(&self.0).finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl DockerName {
    /// `ecs-<family>-<version>-<container>-<20 hex digits>`, as amazon-ecs-agent names its containers; here the digits are a
    /// hash of the task's ARN and the container's name instead of random ones, which makes the name a lock.
    #[must_use]
    pub fn derive(family: &str, version: &str, container: &ContainerName, task: &TaskArn) -> Self {
        let clean = |text: &str| -> String {
            text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect()
        };
        let plain: String = container.as_str().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let digest =
            Sha256::new().chain_update(task.as_str()).chain_update([0]).chain_update(container.as_str()).finalize();
        let hex: String = digest.iter().take(10).map(|b| format!("{b:02x}")).collect();
        Self(format!("ecs-{}-{}-{plain}-{hex}", clean(family), clean(version)))
    }
}

impl EndpointId {
    /// A function of the task and the container, so that a restart gives the same one. The introspection tells every task's ARN;
    /// without the key nobody gets from there to the endpoint.
    #[must_use]
    pub fn derive(key: &EndpointKey, task: &TaskArn, container: &ContainerName) -> Self {
        let named = Sha256::new().chain_update(key.0).chain_update("endpoint").chain_update([0]);
        let digest = named.chain_update(task.as_str()).chain_update([0]).chain_update(container.as_str()).finalize();
        let hex: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
        let parts = [hex.get(..8), hex.get(8..12), hex.get(12..16), hex.get(16..20), hex.get(20..32)];
        Self(parts.map(Option::unwrap_or_default).join("-"))
    }
}

/// This host's own secret, without which no [`EndpointId`] can be made up. Its length is fixed, so no two inputs run together.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointKey(pub [u8; 32]);

impl fmt::Debug for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointKey(..)")
    }
}

/// A process's exit code as Docker reports it: 128 + N after signal N.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExitCode(pub i64);

/// Memory in MiB (1,048,576 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mebibytes(pub u64);

impl Mebibytes {
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.saturating_mul(1024 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_name_is_a_function_of_the_task_and_the_container() {
        let task = TaskArn::new("arn:aws:ecs:us-east-1:1:task/c/0f1e");
        let name = |container: &str| DockerName::derive("my job", "3", &ContainerName::new(container), &task);
        assert_eq!(name("default"), name("default"));
        assert_ne!(name("default"), name("side_car"));
        assert!(name("side_car").as_str().starts_with("ecs-myjob-3-sidecar-"));
        assert_eq!(name("default").as_str().len(), "ecs-myjob-3-default-".len() + 20);
        assert_eq!(task.id(), "0f1e");
    }
}
