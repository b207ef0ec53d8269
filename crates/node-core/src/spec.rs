//! What a task asks for: its containers, decoded and checked, in the form the core and the store keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ContainerName, DockerName, Mebibytes, TaskArn};
use crate::restart::RestartPolicy;
use crate::roles::Roles;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub arn: TaskArn,
    pub family: String,
    pub version: String,
    pub containers: Vec<ContainerSpec>,
    #[serde(default)]
    pub roles: Roles,
    /// Of the whole task, where its containers' own limits keep it: shown to the task, and enforced by nobody else.
    #[serde(default)]
    pub memory: Option<Mebibytes>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub name: ContainerName,
    pub image: String,
    pub essential: bool,
    /// Empty leaves the image's own command.
    pub command: Vec<String>,
    /// `None` leaves the image's own entry point.
    pub entry_point: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    /// 1024 a vCPU, already in Docker's range of 2 to 262,144.
    pub cpu_shares: u64,
    /// Hard limit; `None` is no limit.
    pub memory: Option<Mebibytes>,
    pub binds: Vec<Bind>,
    pub ports: Vec<PortMapping>,
    pub depends_on: Vec<Dependency>,
    /// The payload's `dockerConfig.config` and `.hostConfig`: JSON texts in Docker's own field names.
    pub docker_config: Option<String>,
    pub docker_host_config: Option<String>,
    /// Seconds between SIGTERM and SIGKILL; `None` is the node's own.
    pub stop_timeout_secs: Option<u64>,
    /// ECS's own name of the container, for the task metadata endpoint.
    #[serde(default)]
    pub container_arn: Option<String>,
    /// `None`: as the host, with whatever login it has of its own.
    #[serde(default)]
    pub registry_auth: Option<RegistryAuth>,
    /// Docker's health check of it is reported (`healthCheckType` `docker`).
    #[serde(default)]
    pub health_check: bool,
    #[serde(default)]
    pub restart_policy: Option<RestartPolicy>,
    /// What is to be fetched with the execution role before the container is made.
    #[serde(default)]
    pub secrets: Vec<SecretRef>,
    /// The UUIDs of the GPUs that are this container's.
    #[serde(default)]
    pub gpus: Vec<String>,
}

/// The least that Docker takes.
pub const MIN_CPU_SHARES: u64 = 2;

impl ContainerSpec {
    /// An essential container that asks for nothing but its image.
    #[must_use]
    pub fn new(name: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            name: ContainerName::new(name),
            image: image.into(),
            essential: true,
            command: Vec::new(),
            entry_point: None,
            environment: BTreeMap::new(),
            cpu_shares: MIN_CPU_SHARES,
            memory: None,
            binds: Vec::new(),
            ports: Vec::new(),
            depends_on: Vec::new(),
            docker_config: None,
            docker_host_config: None,
            stop_timeout_secs: None,
            container_arn: None,
            registry_auth: None,
            health_check: false,
            restart_policy: None,
            secrets: Vec::new(),
            gpus: Vec::new(),
        }
    }
}

/// Where a secret is, and what it is to become. It holds none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// Of the environment variable, or of the log driver's option.
    pub name: String,
    /// A parameter's name or ARN, or a secret's ARN with what may follow it.
    pub value_from: String,
    /// Empty is the host's own.
    pub region: String,
    pub provider: SecretProvider,
    pub target: SecretTarget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretProvider {
    /// Systems Manager's Parameter Store.
    Ssm,
    /// Secrets Manager.
    Asm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretTarget {
    Environment,
    LogDriver,
}

/// How a container's image is to be asked for (`registryAuthentication`). It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryAuth {
    Ecr(EcrAuth),
    Asm(AsmAuth),
}

impl RegistryAuth {
    #[must_use]
    pub fn needs_execution_role(&self) -> bool {
        match self {
            Self::Ecr(ecr) => ecr.use_execution_role,
            Self::Asm(_) => true,
        }
    }
}

/// `asmAuthData`: a secret of Secrets Manager that holds a name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AsmAuth {
    /// The secret's ARN or name.
    pub credentials_parameter: String,
    pub region: String,
}

/// `ecrAuthData`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EcrAuth {
    /// An account's id; empty is the caller's own.
    pub registry_id: String,
    pub region: String,
    pub endpoint_override: Option<String>,
    /// Else the instance's own role asks.
    pub use_execution_role: bool,
}

/// A host path, or a named Docker volume, mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    pub source: String,
    pub target: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// `host` 0 lets Docker choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub container: u16,
    pub host: u16,
    pub protocol: Protocol,
}

/// A port as Docker really published it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBinding {
    pub bind_ip: String,
    pub container: u16,
    pub host: u16,
    pub protocol: Protocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The other container is running, or has already stopped.
    Start,
    /// The other container has exited, whatever its code.
    Complete,
    /// The other container has exited with code 0.
    Success,
    /// The other container's health check has passed.
    Healthy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub container: ContainerName,
    pub condition: Condition,
}

/// Whose job a task is, in the words that Batch's users know: read from the container's `AWS_BATCH_*` variables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobLabel {
    pub job_id: String,
    pub queue: String,
    pub attempt: String,
}

impl TaskSpec {
    #[must_use]
    pub fn docker_name(&self, container: &ContainerSpec) -> DockerName {
        DockerName::derive(&self.family, &self.version, &container.name, &self.arn)
    }

    /// `None` for a task that is no Batch job.
    #[must_use]
    pub fn job(&self) -> Option<JobLabel> {
        self.containers.iter().find_map(|c| {
            let value = |key: &str| c.environment.get(key).cloned();
            Some(JobLabel {
                job_id: value("AWS_BATCH_JOB_ID")?,
                queue: value("AWS_BATCH_JQ_NAME").unwrap_or_default(),
                attempt: value("AWS_BATCH_JOB_ATTEMPT").unwrap_or_default(),
            })
        })
    }
}
