//! From the wire's `PayloadMessage` to node-core's [`Payload`]: pure, and each task on its own, so that a bad task never takes
//! its siblings with it.
//!
//! What this agent does not implement yet makes a task [`Incoming::Invalid`]: a job never runs without something it asked for.
//! Semantics: amazon-ecs-agent, `agent/api/task`, `agent/api/container` and `agent/acs/session/payload_responder.go`.

mod container;
mod depends;
mod gpu;
mod registry;
mod roles;
mod secrets;
mod unsupported;
mod volumes;

pub(crate) use roles::credentials;

use ecs_wire::acs::PayloadMessage;
use ecs_wire::task::Task;
use node_core::{
    ClusterRef, ContainerInstanceArn, ContainerSpec, Incoming, Mebibytes, MessageId, Payload, PayloadTask, Roles,
    TaskArn, TaskSpec,
};
use serde_json::Value;

use crate::credentials::Delivered;

/// Decodes a message that has passed [`PayloadMessage::validate`]. The credentials in it go their own way: the core gets their
/// ids.
pub(crate) fn decode(message: PayloadMessage) -> (Payload, Vec<Delivered>) {
    let addressed: Vec<(TaskArn, &Value)> = message.tasks.iter().filter_map(|raw| Some((arn(raw)?, raw))).collect();
    let unaddressed = addressed.len() < message.tasks.len();
    let mut delivered = Vec::new();
    let tasks = addressed.into_iter().map(|(arn, raw)| {
        let (issued, material) = roles::of_task(&arn, raw);
        delivered.extend(material);
        PayloadTask { work: work(&arn, raw), arn, credentials: issued }
    });
    let tasks = tasks.collect();
    let payload = Payload {
        message: MessageId::new(message.message_id),
        cluster: ClusterRef::new(message.cluster_arn),
        container_instance: ContainerInstanceArn::new(message.container_instance_arn),
        seq_num: message.seq_num.unwrap_or(0),
        tasks,
        unaddressed,
    };
    (payload, delivered)
}

fn arn(raw: &Value) -> Option<TaskArn> {
    let arn = raw.get("arn")?.as_str()?;
    (!arn.is_empty()).then(|| TaskArn::new(arn))
}

fn work(arn: &TaskArn, raw: &Value) -> Incoming {
    match desired(raw) {
        Ok(Desired::Stopped) => Incoming::Stop(spec(arn, raw).unwrap_or_else(|_| outline(arn, raw))),
        Ok(Desired::Running) => run(arn, raw),
        Err(text) => Incoming::Invalid(text),
    }
}

enum Desired {
    Running,
    Stopped,
}

/// The words of `agent/api/task/status`. Those before RUNNING exist there for the agent's own steps; ECS sends the last two.
fn desired(raw: &Value) -> Result<Desired, String> {
    match raw.get("desiredStatus").unwrap_or(&Value::Null) {
        Value::String(word) if word == "RUNNING" => Ok(Desired::Running),
        Value::String(word) if word == "STOPPED" || word == "DEAD" => Ok(Desired::Stopped),
        Value::Null => Err("no desiredStatus: it must be RUNNING or STOPPED".to_owned()),
        other => Err(format!("desiredStatus {other}: it must be RUNNING or STOPPED")),
    }
}

/// The task as it can be run, or what it is instead.
fn run(arn: &TaskArn, raw: &Value) -> Incoming {
    match spec(arn, raw) {
        // amazon-ecs-agent finds this only after decoding, and so it has a wording of its own (agent/engine/docker_task_engine.go).
        Ok(spec) if depends::check(&spec.containers).is_err() => {
            Incoming::Refused(format!("Task dependencies cannot be resolved, taskArn: {arn}"))
        }
        Ok(spec) => Incoming::Run(spec),
        Err(text) => Incoming::Invalid(text),
    }
}

fn spec(arn: &TaskArn, raw: &Value) -> Result<TaskSpec, String> {
    let task: Task = serde_json::from_value(raw.clone()).map_err(|e| e.to_string())?;
    unsupported::check(raw, &task)?;
    roles::check(&task)?;
    if task.containers.is_empty() {
        return Err("a task without containers".to_owned());
    }
    let volumes = volumes::resolve(arn, &task)?;
    let mut containers =
        task.containers.iter().map(|c| container::decode(c, &volumes, &task)).collect::<Result<Vec<_>, _>>()?;
    gpu::assign(arn, &task, &mut containers)?;
    let memory = task.memory.and_then(|mib| u64::try_from(mib).ok()).filter(|mib| *mib > 0).map(Mebibytes);
    Ok(TaskSpec {
        arn: arn.clone(),
        family: task.family,
        version: task.version,
        containers,
        roles: Roles::default(),
        memory,
    })
}

/// What can still be read of a task that is only to be stopped: stopping needs its names, not its sense.
fn outline(arn: &TaskArn, raw: &Value) -> TaskSpec {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let containers = raw.get("containers").and_then(Value::as_array);
    TaskSpec {
        arn: arn.clone(),
        family: text(raw, "family"),
        version: text(raw, "version"),
        containers: containers
            .into_iter()
            .flatten()
            .filter(|c| !text(c, "name").is_empty())
            .map(|c| ContainerSpec::new(text(c, "name"), text(c, "image")))
            .collect(),
        roles: Roles::default(),
        memory: None,
    }
}

#[cfg(test)]
mod tests;
