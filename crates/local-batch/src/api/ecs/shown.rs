//! Clusters, container instances and tasks as ECS shows them.

use serde_json::{Map, Value, json};

use crate::api::json as wire;
use crate::clock;
use crate::model::State;
use crate::model::cluster::{Cluster, ContainerInstance, InstanceStatus, Resource, Task, TaskStatus, remaining};
use crate::model::payload::CONTAINER;

pub(super) fn cluster(state: &State, cluster: &Cluster) -> Value {
    let instances =
        || state.instances.values().filter(|i| i.cluster == cluster.name && i.status != InstanceStatus::Inactive);
    let tasks = |status| instances().map(|i| count(state, i, status)).sum::<usize>();
    json!({
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": "ACTIVE",
        "registeredContainerInstancesCount": instances().count(),
        "runningTasksCount": tasks(TaskStatus::Running),
        "pendingTasksCount": tasks(TaskStatus::Pending),
        "activeServicesCount": 0,
    })
}

fn count(state: &State, instance: &ContainerInstance, status: TaskStatus) -> usize {
    instance.tasks.iter().filter_map(|arn| state.tasks.get(arn)).filter(|task| task.status == status).count()
}

pub(super) fn instance(state: &State, instance: &ContainerInstance) -> Value {
    let mut shown = json!({
        "containerInstanceArn": instance.arn,
        "version": 1,
        "versionInfo": {},
        "remainingResources": with_gpus(remaining(instance), free_gpus(instance)),
        "registeredResources": with_gpus(instance.resources.clone(), instance.gpus.clone()),
        "status": instance.status,
        "agentConnected": instance.session.is_some(),
        "runningTasksCount": count(state, instance, TaskStatus::Running),
        "pendingTasksCount": count(state, instance, TaskStatus::Pending),
        "attributes": instance.attributes,
        "attachments": [],
        "registeredAt": clock::seconds(instance.registered_at),
        "tags": instance.tags,
    });
    if let Some(id) = &instance.ec2_id {
        shown = wire::merge(shown, json!({"ec2InstanceId": id}));
    }
    shown
}

/// GPUs are registered as devices, and shown as a resource.
fn with_gpus(mut resources: Vec<Resource>, gpus: Vec<String>) -> Vec<Resource> {
    if !gpus.is_empty() {
        let string_set_value = Some(gpus);
        resources.push(Resource {
            name: "GPU".to_owned(),
            kind: "STRINGSET".to_owned(),
            string_set_value,
            ..Resource::default()
        });
    }
    resources
}

fn free_gpus(instance: &ContainerInstance) -> Vec<String> {
    instance.gpus.iter().filter(|gpu| !instance.gpus_used.contains(*gpu)).cloned().collect()
}

pub(super) fn task(state: &State, task: &Task) -> Value {
    let wanted = if task.stop_wanted || task.status == TaskStatus::Stopped { "STOPPED" } else { "RUNNING" };
    let mut shown = Map::new();
    let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    set("taskArn", json!(task.arn));
    set("clusterArn", json!(state.arns.ecs("cluster", &task.cluster)));
    set("containerInstanceArn", json!(task.instance));
    set(
        "taskDefinitionArn",
        json!(state.arns.ecs("task-definition", &format!("{}:{}", task.wire.family, task.wire.version))),
    );
    set("lastStatus", json!(task.status));
    set("desiredStatus", json!(wanted));
    set("launchType", json!("EC2"));
    set("group", json!(format!("family:{}", task.wire.family)));
    set("cpu", json!(task.shape.cpu.to_string()));
    set("memory", json!(task.shape.memory.to_string()));
    set("version", json!(1));
    set("attachments", json!([]));
    set("containers", json!([container(task)]));
    for (name, at) in [
        ("createdAt", Some(task.created_at)),
        ("pullStartedAt", task.pull_started_at),
        ("pullStoppedAt", task.pull_stopped_at),
        ("startedAt", task.started_at),
        ("stoppedAt", task.stopped_at),
    ] {
        if let Some(at) = at {
            set(name, json!(clock::seconds(at)));
        }
    }
    if let Some(reason) = &task.stopped_reason {
        set("stoppedReason", json!(reason));
        set("stopCode", json!(task.stop_code));
    }
    Value::Object(shown)
}

fn container(task: &Task) -> Value {
    let wire = task.wire.containers.first();
    let mut shown = json!({
        "containerArn": wire.and_then(|c| c.container_arn.as_ref()),
        "taskArn": task.arn,
        "name": CONTAINER,
        "image": wire.map(|c| &c.image),
        "lastStatus": task.status,
        "networkBindings": [],
        "networkInterfaces": [],
        "cpu": task.shape.cpu.to_string(),
        "memory": task.shape.memory.to_string(),
    });
    let optional = [
        ("runtimeId", task.runtime_id.as_ref().map(|v| json!(v))),
        ("imageDigest", task.image_digest.as_ref().map(|v| json!(v))),
        ("exitCode", task.exit_code.map(|v| json!(v))),
        ("reason", task.container_reason.as_ref().map(|v| json!(v))),
        ("gpuIds", (!task.gpus.is_empty()).then(|| json!(task.gpus))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            shown = wire::merge(shown, json!({name: value}));
        }
    }
    shown
}
