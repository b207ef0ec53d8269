//! What a job asks of a host, in one form whatever Batch says it in.

/// All containers of a job's task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    /// What shows that it is for Fargate.
    pub(super) fargate: Option<&'static str>,
    /// `X86_64` or `ARM64`; `None`: it does not say.
    pub(super) architecture: Option<String>,
    pub(super) system: Option<String>,
    pub(super) containers: Vec<Container>,
    pub(super) job_role: bool,
    pub(super) execution_role: bool,
    pub(super) volumes: Vec<Volume>,
    pub(super) execute_command: bool,
    /// `pidMode` or `ipcMode`.
    pub(super) shared_namespaces: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Container,
    MultiNode,
    Eks,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Container {
    pub(super) image: String,
    pub(super) vcpus: f64,
    pub(super) memory_mib: i64,
    pub(super) gpus: i64,
    pub(super) privileged: bool,
    /// `None`: Batch gives it awslogs.
    pub(super) log_driver: Option<String>,
    /// Where its secrets are: ARNs, or names of parameters.
    pub(super) secrets: Vec<String>,
    /// Likewise those of its log driver's options.
    pub(super) log_secrets: Vec<String>,
    pub(super) registry_login: bool,
    pub(super) depends_on_others: bool,
    /// The type of its FireLens router: `fluentbit` or `fluentd`.
    pub(super) firelens: Option<String>,
    /// Of the host.
    pub(super) devices: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Volume {
    /// A path of the host.
    Host(String),
    Efs {
        with_authorization: bool,
    },
    S3Files,
    /// Docker's own.
    Empty,
}

impl Ask {
    /// ECS's CPU units, 1024 a vCPU.
    pub(super) fn cpu_shares(&self) -> i64 {
        let vcpus: f64 = self.containers.iter().map(|container| container.vcpus).sum();
        (vcpus * 1024.0).round() as i64
    }

    pub(super) fn memory_mib(&self) -> i64 {
        self.containers.iter().map(|container| container.memory_mib).sum()
    }

    pub(super) fn gpus(&self) -> i64 {
        self.containers.iter().map(|container| container.gpus).sum()
    }
}
