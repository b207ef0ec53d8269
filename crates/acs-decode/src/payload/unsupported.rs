//! What a task may ask for and this agent cannot give yet. Each is refused by name, so that no job runs half-configured.

use ecs_wire::task::{Container, Task};
use serde_json::Value;

/// Fields that refuse a task when they hold anything: the key, and what it is in words.
const TASK: &[(&str, &str)] = &[
    ("elasticNetworkInterfaces", "the awsvpc network mode"),
    ("proxyConfiguration", "a proxy configuration"),
    ("attachments", "volume and service attachments"),
    ("pidMode", "pidMode"),
    ("ipcMode", "ipcMode"),
];

const CONTAINER: &[(&str, &str)] = &[
    ("environmentFiles", "environment files"),
    ("links", "links"),
    ("volumesFrom", "volumesFrom"),
    ("firelensConfiguration", "FireLens"),
    ("credentialSpecs", "credential specs"),
    ("managedAgents", "ECS Exec"),
    ("startTimeout", "startTimeout"),
];

pub(super) fn check(raw: &Value, task: &Task) -> Result<(), String> {
    asked(raw, TASK)?;
    if task.network_mode.as_deref() == Some("awsvpc") {
        return Err(refuse("the awsvpc network mode"));
    }
    if task.cpu.is_some_and(|vcpus| vcpus > 0.0) {
        return Err(refuse("a CPU limit of the whole task"));
    }
    if task.memory.is_some_and(|mib| mib > 0 && !kept_by_containers(mib, &task.containers)) {
        return Err(refuse("a memory limit of the whole task"));
    }
    let containers = raw.get("containers").and_then(Value::as_array);
    for raw in containers.into_iter().flatten() {
        let name = raw.get("name").and_then(Value::as_str).unwrap_or("");
        container(raw).map_err(|text| format!("container {name:?}: {text}"))?;
    }
    Ok(())
}

/// Whether the containers' own hard limits keep the task under `mib` already.
fn kept_by_containers(mib: i64, containers: &[Container]) -> bool {
    let all_limited = containers.iter().all(|c| c.memory > 0);
    let sum = containers.iter().fold(0_i64, |sum, c| sum.saturating_add(c.memory));
    all_limited && sum <= mib
}

fn container(raw: &Value) -> Result<(), String> {
    asked(raw, CONTAINER)
}

fn asked(raw: &Value, table: &[(&str, &str)]) -> Result<(), String> {
    let found = table.iter().find(|(key, _)| raw.get(*key).is_some_and(|v| !is_empty(v)));
    found.map_or(Ok(()), |(_, what)| Err(refuse(what)))
}

fn refuse(what: &str) -> String {
    format!("{what}: not supported by this agent yet")
}

/// The ways in which a field says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}
