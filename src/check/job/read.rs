//! Batch's four ways to say what a job asks for, brought into one.

use aws_sdk_batch::types::{
    ContainerDetail, ContainerProperties, EcsTaskDetails, EcsTaskProperties, JobDefinition, JobDetail, LinuxParameters,
    LogConfiguration, PlatformCapability, ResourceRequirement, ResourceType, RuntimePlatform, Secret,
    TaskContainerDetails, TaskContainerProperties, Volume as BatchVolume,
};

use super::ask::{Ask, Container, Kind, Volume};

pub(super) fn definition(found: &JobDefinition) -> Ask {
    let kind = kind(found.node_properties().is_some(), found.eks_properties().is_some());
    let task = found.ecs_properties().and_then(|ecs| ecs.task_properties().first());
    let ask = match (task, found.container_properties()) {
        (Some(task), _) => task_properties(task),
        (None, Some(container)) => container_properties(container),
        (None, None) => Ask::default(),
    };
    Ask { kind, fargate: ask.fargate.or(fargate(found.platform_capabilities())), ..ask }
}

pub(super) fn job(found: &JobDetail) -> Ask {
    let kind = kind(found.node_properties().is_some(), found.eks_properties().is_some());
    let task = found.ecs_properties().and_then(|ecs| ecs.task_properties().first());
    let ask = match (task, found.container()) {
        (Some(task), _) => task_details(task),
        (None, Some(container)) => container_detail(container),
        (None, None) => Ask::default(),
    };
    Ask { kind, fargate: ask.fargate.or(fargate(found.platform_capabilities())), ..ask }
}

fn kind(many: bool, eks: bool) -> Kind {
    match (many, eks) {
        (true, _) => Kind::MultiNode,
        (_, true) => Kind::Eks,
        _ => Kind::Container,
    }
}

fn fargate(capabilities: &[PlatformCapability]) -> Option<&'static str> {
    let only = !capabilities.is_empty() && !capabilities.contains(&PlatformCapability::Ec2);
    only.then_some("platformCapabilities FARGATE")
}

/// One container, whose definition and whose job have the same fields in two types.
macro_rules! of_one_container {
    ($(#[$attribute:meta])* $name:ident, $type:ty) => {
        $(#[$attribute])*
        fn $name(from: &$type) -> Ask {
            let older = |number: Option<i32>| f64::from(number.unwrap_or_default());
            let wants = Wants::of(from.resource_requirements(), older(from.vcpus()), older(from.memory()));
            let fargate = [
                (from.fargate_platform_configuration().is_some(), "fargatePlatformConfiguration"),
                (from.network_configuration().is_some(), "networkConfiguration"),
                (from.ephemeral_storage().is_some(), "ephemeralStorage"),
            ];
            let platform = from.runtime_platform();
            Ask {
                kind: Kind::Container,
                fargate: fargate.into_iter().find(|(is_there, _)| *is_there).map(|(_, what)| what),
                architecture: architecture(platform),
                system: system(platform),
                containers: vec![Container {
                    privileged: from.privileged().unwrap_or_default(),
                    secrets: sources(from.secrets()),
                    registry_login: from.repository_credentials().is_some(),
                    devices: devices(from.linux_parameters()),
                    ..wants.container(from.image(), from.log_configuration())
                }],
                job_role: is_given(from.job_role_arn()),
                execution_role: is_given(from.execution_role_arn()),
                volumes: from.volumes().iter().map(volume).collect(),
                execute_command: from.enable_execute_command().unwrap_or_default(),
                shared_namespaces: false,
            }
        }
    };
}

of_one_container!(
    #[expect(deprecated, reason = "many job definitions still have vcpus and memory")]
    container_properties,
    ContainerProperties
);
of_one_container!(container_detail, ContainerDetail);

/// A task of several containers, likewise.
macro_rules! of_task {
    ($name:ident, $type:ty, $container:ident, $container_type:ty) => {
        fn $name(from: &$type) -> Ask {
            let platform = from.runtime_platform();
            Ask {
                kind: Kind::Container,
                fargate: from.ephemeral_storage().map(|_| "ephemeralStorage"),
                architecture: architecture(platform),
                system: system(platform),
                containers: from.containers().iter().map($container).collect(),
                job_role: is_given(from.task_role_arn()),
                execution_role: is_given(from.execution_role_arn()),
                volumes: from.volumes().iter().map(volume).collect(),
                execute_command: from.enable_execute_command().unwrap_or_default(),
                shared_namespaces: is_given(from.pid_mode()) || is_given(from.ipc_mode()),
            }
        }

        fn $container(from: &$container_type) -> Container {
            Container {
                privileged: from.privileged().unwrap_or_default(),
                secrets: sources(from.secrets()),
                registry_login: from.repository_credentials().is_some(),
                depends_on_others: !from.depends_on().is_empty(),
                firelens: from.firelens_configuration().and_then(|f| f.r#type()).map(|kind| kind.as_str().to_owned()),
                devices: devices(from.linux_parameters()),
                ..Wants::of(from.resource_requirements(), 0.0, 0.0).container(from.image(), from.log_configuration())
            }
        }
    };
}

of_task!(task_properties, EcsTaskProperties, container_of_properties, TaskContainerProperties);
of_task!(task_details, EcsTaskDetails, container_of_details, TaskContainerDetails);

struct Wants {
    vcpus: f64,
    memory: f64,
    gpus: f64,
}

impl Wants {
    /// `resourceRequirements` before the older fields.
    fn of(requirements: &[ResourceRequirement], vcpus: f64, memory: f64) -> Self {
        let asked = |kind: &ResourceType| {
            let of_kind = requirements.iter().find(|requirement| requirement.r#type() == Some(kind));
            of_kind.and_then(|requirement| requirement.value()?.trim().parse::<f64>().ok())
        };
        Self {
            vcpus: asked(&ResourceType::Vcpu).unwrap_or(vcpus),
            memory: asked(&ResourceType::Memory).unwrap_or(memory),
            gpus: asked(&ResourceType::Gpu).unwrap_or_default(),
        }
    }

    fn container(&self, image: Option<&str>, log: Option<&LogConfiguration>) -> Container {
        Container {
            image: image.unwrap_or_default().to_owned(),
            vcpus: self.vcpus,
            memory_mib: self.memory.ceil() as i64,
            gpus: self.gpus.ceil() as i64,
            log_driver: log.and_then(|log| log.log_driver()).map(|driver| driver.as_str().to_owned()),
            log_secrets: log.map(|log| sources(log.secret_options())).unwrap_or_default(),
            ..Container::default()
        }
    }
}

fn sources(secrets: &[Secret]) -> Vec<String> {
    secrets.iter().filter_map(|secret| secret.value_from()).map(str::to_owned).collect()
}

fn devices(parameters: Option<&LinuxParameters>) -> Vec<String> {
    let devices = parameters.map(|parameters| parameters.devices()).unwrap_or_default();
    devices.iter().filter_map(|device| device.host_path()).map(str::to_owned).collect()
}

fn volume(volume: &BatchVolume) -> Volume {
    if let Some(efs) = volume.efs_volume_configuration() {
        let encrypted = efs.transit_encryption().is_some_and(|setting| setting.as_str() == "ENABLED");
        return Volume::Efs { with_authorization: encrypted || efs.authorization_config().is_some() };
    }
    if volume.s3files_volume_configuration().is_some() {
        return Volume::S3Files;
    }
    match volume.host().and_then(|host| host.source_path()) {
        Some(path) => Volume::Host(path.to_owned()),
        None => Volume::Empty,
    }
}

fn architecture(platform: Option<&RuntimePlatform>) -> Option<String> {
    platform.and_then(|platform| platform.cpu_architecture()).map(str::to_owned)
}

fn system(platform: Option<&RuntimePlatform>) -> Option<String> {
    platform.and_then(|platform| platform.operating_system_family()).map(str::to_owned)
}

fn is_given(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{
        EcsProperties, EfsTransitEncryption, EfsVolumeConfiguration, Host, LogDriver, NetworkConfiguration,
        NodeProperties,
    };

    use super::*;

    fn requirement(kind: ResourceType, value: &str) -> ResourceRequirement {
        ResourceRequirement::builder().r#type(kind).value(value).build()
    }

    #[test]
    #[expect(deprecated, reason = "many job definitions still have vcpus and memory")]
    fn the_newer_fields_win_and_a_job_reads_like_its_definition() {
        let log = LogConfiguration::builder().log_driver(LogDriver::JsonFile).build();
        let ask = container_properties(
            &ContainerProperties::builder()
                .image("busybox")
                .vcpus(9)
                .memory(64)
                .resource_requirements(requirement(ResourceType::Vcpu, "2"))
                .resource_requirements(requirement(ResourceType::Gpu, "1"))
                .log_configuration(log)
                .job_role_arn("arn:role")
                .build(),
        );
        assert_eq!((ask.cpu_shares(), ask.memory_mib(), ask.gpus()), (2048, 64, 1));
        assert_eq!(ask.containers[0].log_driver.as_deref(), Some("json-file"));
        assert!(ask.job_role && !ask.execution_role);
        let running =
            job(&JobDetail::builder().container(ContainerDetail::builder().vcpus(2).memory(64).build()).build());
        assert_eq!((running.cpu_shares(), running.memory_mib()), (2048, 64));
    }

    #[test]
    fn a_task_of_several_containers_is_their_sum() {
        let one = |memory: &str| {
            TaskContainerProperties::builder()
                .image("busybox")
                .resource_requirements(requirement(ResourceType::Memory, memory))
                .resource_requirements(requirement(ResourceType::Vcpu, "0.5"))
                .build()
        };
        let task = EcsTaskProperties::builder().containers(one("100")).containers(one("28")).pid_mode("host").build();
        let ecs = EcsProperties::builder().task_properties(task).build();
        let ask = definition(&JobDefinition::builder().ecs_properties(ecs).build());
        assert_eq!((ask.cpu_shares(), ask.memory_mib(), ask.containers.len()), (1024, 128, 2));
        assert!(ask.shared_namespaces);
    }

    #[test]
    fn what_is_for_others_is_known_by_its_marks() {
        let many = JobDefinition::builder().node_properties(NodeProperties::builder().build()).build();
        assert_eq!(definition(&many).kind, Kind::MultiNode);
        let only = JobDefinition::builder().platform_capabilities(PlatformCapability::Fargate);
        assert_eq!(definition(&only.clone().build()).fargate, Some("platformCapabilities FARGATE"));
        assert_eq!(definition(&only.platform_capabilities(PlatformCapability::Ec2).build()).fargate, None);
        let network = ContainerProperties::builder().network_configuration(NetworkConfiguration::builder().build());
        assert_eq!(container_properties(&network.build()).fargate, Some("networkConfiguration"));
    }

    #[test]
    fn volumes_are_of_the_host_or_of_a_file_system() {
        let path = BatchVolume::builder().host(Host::builder().source_path("/scratch").build()).build();
        assert_eq!(volume(&path), Volume::Host("/scratch".into()));
        assert_eq!(volume(&BatchVolume::builder().build()), Volume::Empty);
        let efs = |encryption| {
            let configuration = EfsVolumeConfiguration::builder().file_system_id("fs-1").transit_encryption(encryption);
            volume(&BatchVolume::builder().efs_volume_configuration(configuration.build()).build())
        };
        assert_eq!(efs(EfsTransitEncryption::Enabled), Volume::Efs { with_authorization: true });
        assert_eq!(efs(EfsTransitEncryption::Disabled), Volume::Efs { with_authorization: false });
    }
}
