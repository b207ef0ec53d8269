//! A job as the ECS task that Batch would run for it.

use std::collections::BTreeMap;

use ecs_wire::task::{Association, Container, DockerConfig, HostVolume, MountPoint, Task, Volume};
use serde_json::{Map, Value, json};

use super::container::{ContainerProperties, Secret};
use super::job::{Job, JobKind, JobSpec};
use crate::ids::{Arns, TaskArn, hex32};

/// The name of a Batch job's container.
pub(crate) const CONTAINER: &str = "default";
/// A log stream's name begins with at most so many characters of the job definition's.
const STREAM_NAME_CHARS: usize = 200;
const MIB: i64 = 1024 * 1024;

/// Where the task goes.
pub(crate) struct Place<'a> {
    pub(crate) arns: &'a Arns,
    pub(crate) cluster: &'a str,
    pub(crate) environment: &'a str,
    pub(crate) gpus: &'a [String],
}

/// Whether the plane collects the job's output itself: `awslogs`, which is also the default, has no CloudWatch to write to here.
pub(crate) fn collects_log(spec: &JobSpec) -> bool {
    spec.container.log_configuration.as_ref().is_none_or(|log| log.log_driver == "awslogs")
}

/// The stream's name as Batch forms it, `awslogs-stream-prefix` included.
pub(crate) fn log_stream(spec: &JobSpec, task_id: &str) -> String {
    let options = spec.container.log_configuration.as_ref().map(|log| &log.options);
    let prefix = options.and_then(|o| o.get("awslogs-stream-prefix")).unwrap_or(&spec.definition_name);
    let prefix: String = prefix.chars().take(STREAM_NAME_CHARS).collect();
    format!("{prefix}/{CONTAINER}/{task_id}")
}

pub(crate) fn task(job: &Job, arn: &TaskArn, place: &Place<'_>) -> Task {
    let spec = &job.spec;
    let volumes = spec.container.volumes.iter().map(|volume| Volume {
        name: volume.name.clone(),
        kind: Some("host".to_owned()),
        host: Some(HostVolume { source_path: volume.host.as_ref().and_then(|host| host.source_path.clone()) }),
    });
    let gpus = place.gpus.iter().map(|gpu| Association {
        kind: "gpu".to_owned(),
        name: gpu.clone(),
        containers: vec![CONTAINER.to_owned()],
    });
    Task {
        arn: arn.to_string(),
        task_cluster_arn: Some(place.arns.ecs("cluster", place.cluster)),
        family: spec.definition_name.clone(),
        version: spec.revision.to_string(),
        desired_status: Some("RUNNING".to_owned()),
        containers: vec![container(job, arn, place)],
        volumes: volumes.collect(),
        associations: gpus.collect(),
        network_mode: Some("host".to_owned()),
        launch_type: Some("EC2".to_owned()),
        ..Task::default()
    }
}

fn container(job: &Job, arn: &TaskArn, place: &Place<'_>) -> Container {
    let properties = &job.spec.container;
    let mount_points = properties.mount_points.iter().map(|mount| MountPoint {
        source_volume: mount.source_volume.clone(),
        container_path: mount.container_path.clone(),
        read_only: mount.read_only,
    });
    let mut config = Map::new();
    if let Some(user) = &properties.user {
        config.insert("User".to_owned(), json!(user));
    }
    Container {
        name: CONTAINER.to_owned(),
        image: properties.image.clone().unwrap_or_default(),
        container_arn: Some(place.arns.ecs("container", &format!("{}/{}/{}", place.cluster, arn.id(), hex32()))),
        command: properties.command.clone(),
        cpu: job.spec.shape.cpu.into(),
        memory: job.spec.shape.memory.into(),
        essential: true,
        environment: environment(job, place),
        mount_points: mount_points.collect(),
        secrets: secrets(properties, place),
        docker_config: Some(DockerConfig {
            config: Some(Value::Object(config).to_string()),
            host_config: Some(host_config(&job.spec).to_string()),
            version: None,
        }),
        ..Container::default()
    }
}

fn environment(job: &Job, place: &Place<'_>) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> =
        job.spec.container.environment.iter().map(|v| (v.name.clone(), v.value.clone())).collect();
    let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
    set("AWS_BATCH_JOB_ID", job.id.to_string());
    set("AWS_BATCH_JOB_ATTEMPT", (job.attempts.len() + 1).to_string());
    set("AWS_BATCH_JQ_NAME", job.spec.queue.clone());
    set("AWS_BATCH_CE_NAME", place.environment.to_owned());
    set("AWS_EXECUTION_ENV", "AWS_ECS_EC2".to_owned());
    if let JobKind::Child { index, .. } = job.kind {
        set("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string());
    }
    environment
}

fn secrets(properties: &ContainerProperties, place: &Place<'_>) -> Vec<Value> {
    let of_log = properties.log_configuration.iter().flat_map(|log| &log.secret_options);
    let given = properties.secrets.iter().map(|s| secret(s, "CONTAINER", place));
    given.chain(of_log.map(|s| secret(s, "LOG_DRIVER", place))).collect()
}

/// A parameter goes by its name, in the region of its ARN if it has one; a secret by its ARN, as it was given.
fn secret(secret: &Secret, target: &str, place: &Place<'_>) -> Value {
    let from = secret.value_from.as_str();
    let parts: Vec<&str> = from.splitn(6, ':').collect();
    let (provider, region, from) = match parts[..] {
        ["arn", _, "secretsmanager", region, ..] => ("asm", region, from.to_owned()),
        ["arn", _, "ssm", region, _, resource] => {
            let name = resource.strip_prefix("parameter/").unwrap_or(resource);
            ("ssm", region, if name.contains('/') { format!("/{name}") } else { name.to_owned() })
        }
        _ => ("ssm", place.arns.region.as_str(), from.to_owned()),
    };
    json!({"name": secret.name, "valueFrom": from, "region": region, "provider": provider,
        "type": "ENVIRONMENT_VARIABLE", "target": target})
}

/// Docker's HostConfig for what a job definition may ask; Batch's jobs always share their host's network.
fn host_config(spec: &JobSpec) -> Value {
    let properties = &spec.container;
    let mut host = Map::new();
    let mut set = |name: &str, value: Value| host.insert(name.to_owned(), value);
    set("NetworkMode", json!("host"));
    set("LogConfig", log_config(spec));
    if !properties.ulimits.is_empty() {
        let limits =
            properties.ulimits.iter().map(|u| json!({"Name": u.name, "Soft": u.soft_limit, "Hard": u.hard_limit}));
        set("Ulimits", limits.collect());
    }
    if let Some(readonly) = properties.readonly_root_filesystem {
        set("ReadonlyRootfs", json!(readonly));
    }
    if let Some(privileged) = properties.privileged {
        set("Privileged", json!(privileged));
    }
    let Some(linux) = &properties.linux_parameters else { return Value::Object(host) };
    if let Some(init) = linux.init_process_enabled {
        set("Init", json!(init));
    }
    if let Some(size) = linux.shared_memory_size {
        set("ShmSize", json!(size.saturating_mul(MIB)));
    }
    if let Some(swap) = linux.max_swap {
        set("MemorySwap", json!(i64::from(spec.shape.memory).saturating_add(swap).saturating_mul(MIB)));
        if let Some(swappiness) = linux.swappiness {
            set("MemorySwappiness", json!(swappiness));
        }
    }
    if !linux.tmpfs.is_empty() {
        let options = |size: i64, more: &[String]| {
            std::iter::once(format!("size={}", size.saturating_mul(MIB)))
                .chain(more.iter().cloned())
                .collect::<Vec<_>>()
                .join(",")
        };
        let mounts: BTreeMap<_, _> =
            linux.tmpfs.iter().map(|t| (&t.container_path, options(t.size, &t.mount_options))).collect();
        set("Tmpfs", json!(mounts));
    }
    if !linux.devices.is_empty() {
        set("Devices", linux.devices.iter().map(device).collect());
    }
    Value::Object(host)
}

fn device(device: &super::container::Device) -> Value {
    let permissions: String = device
        .permissions
        .iter()
        .filter_map(|p| p.chars().next())
        .map(|c| match c.to_ascii_lowercase() {
            'm' => 'm',
            'w' => 'w',
            _ => 'r',
        })
        .collect();
    json!({"PathOnHost": device.host_path,
        "PathInContainer": device.container_path.as_ref().unwrap_or(&device.host_path),
        "CgroupPermissions": if permissions.is_empty() { "rwm" } else { &permissions }})
}

fn log_config(spec: &JobSpec) -> Value {
    match &spec.container.log_configuration {
        Some(log) if !collects_log(spec) => json!({"Type": log.log_driver, "Config": log.options}),
        _ => json!({"Type": "json-file", "Config": {}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    fn wire(definition: Value) -> Task {
        let mut w = World::new();
        w.instance(8192, 8192);
        w.register("x", definition);
        let id = w.submit(json!({"jobDefinition": "x"}));
        w.state.tasks[&w.task_of(&id)].wire.clone()
    }

    #[test]
    fn a_plain_job_is_batchs_task() {
        let task = wire(json!({"image": "busybox", "vcpus": 2, "memory": 64, "command": ["true"]}));
        assert_eq!((task.family.as_str(), task.version.as_str()), ("x", "1"));
        let container = &task.containers[0];
        assert_eq!((container.name.as_str(), container.cpu, container.memory), ("default", 2048, 64));
        assert_eq!(container.environment["AWS_BATCH_CE_NAME"], "ce");
        assert_eq!(container.environment["AWS_BATCH_JOB_ATTEMPT"], "1");
        let host: Value =
            serde_json::from_str(container.docker_config.as_ref().unwrap().host_config.as_ref().unwrap()).unwrap();
        assert_eq!(host, json!({"NetworkMode": "host", "LogConfig": {"Type": "json-file", "Config": {}}}));
    }

    #[test]
    fn secrets_go_by_what_their_service_calls_them() {
        let secret = |name: &str, from: &str| json!({"name": name, "valueFrom": from});
        let asm = "arn:aws:secretsmanager:eu-west-1:1:secret:db-AbCdEf:password::";
        let task = wire(json!({"image": "i", "vcpus": 1, "memory": 64, "executionRoleArn": "arn:aws:iam::1:role/e",
            "secrets": [secret("A", "/a/b"), secret("B", "arn:aws:ssm:us-west-2:1:parameter/a/b"), secret("C", asm)],
            "logConfiguration": {"logDriver": "splunk", "secretOptions": [secret("splunk-token", "token")]}}));
        let shown = task.containers[0].secrets.iter().map(|s| {
            ["name", "provider", "region", "valueFrom", "target"].map(|key| s[key].as_str().unwrap().to_owned())
        });
        let expected = [
            ["A", "ssm", "us-east-1", "/a/b", "CONTAINER"],
            ["B", "ssm", "us-west-2", "/a/b", "CONTAINER"],
            ["C", "asm", "eu-west-1", asm, "CONTAINER"],
            ["splunk-token", "ssm", "us-east-1", "token", "LOG_DRIVER"],
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn linux_parameters_become_dockers() {
        let task = wire(json!({"image": "i", "vcpus": 1, "memory": 64, "user": "nobody", "privileged": true,
            "readonlyRootFilesystem": true, "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
            "logConfiguration": {"logDriver": "syslog", "options": {"tag": "t"}},
            "volumes": [{"name": "v", "host": {"sourcePath": "/src"}}],
            "mountPoints": [{"sourceVolume": "v", "containerPath": "/v", "readOnly": true}],
            "linuxParameters": {"initProcessEnabled": true, "sharedMemorySize": 8, "maxSwap": 36, "swappiness": 10,
                "tmpfs": [{"containerPath": "/t", "size": 2, "mountOptions": ["noexec"]}],
                "devices": [{"hostPath": "/dev/fuse", "permissions": ["READ", "WRITE"]}]}}));
        let docker = task.containers[0].docker_config.as_ref().unwrap();
        assert_eq!(docker.config.as_deref(), Some(r#"{"User":"nobody"}"#));
        let host: Value = serde_json::from_str(docker.host_config.as_ref().unwrap()).unwrap();
        assert_eq!(
            host,
            json!({"NetworkMode": "host", "Privileged": true, "ReadonlyRootfs": true, "Init": true,
            "LogConfig": {"Type": "syslog", "Config": {"tag": "t"}}, "ShmSize": 8 * MIB, "MemorySwap": 100 * MIB, "MemorySwappiness": 10,
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "Tmpfs": {"/t": "size=2097152,noexec"},
            "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rw"}]})
        );
        assert_eq!(task.volumes[0].host.as_ref().unwrap().source_path.as_deref(), Some("/src"));
        assert!(task.containers[0].mount_points[0].read_only);
    }
}
