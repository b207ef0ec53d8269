//! The credentials in a payload or a message of their own: the ids for the core, the rest for the store.

use ecs_wire::FrameError;
use ecs_wire::acs::IAMRoleCredentialsMessage;
use ecs_wire::task::{Credentials, Task};
use node_core::{CredentialsId, Event, Issued, MessageId, RoleKind, TaskArn};
use serde_json::Value;

use crate::credentials::{Delivered, Owner};

const KEYS: [(&str, RoleKind); 2] =
    [("roleCredentials", RoleKind::Task), ("executionRoleCredentials", RoleKind::Execution)];

/// The log driver's option for the path, on 169.254.170.2, of the credentials to log with.
const LOG_OPTION: &str = "awslogs-credentials-endpoint";

/// What comes with a task, even with one whose other fields make no sense.
pub(super) fn of_task(task: &TaskArn, raw: &Value) -> (Vec<Issued>, Vec<Delivered>) {
    let found = KEYS.iter().filter_map(|(key, role)| {
        let wire: Credentials = serde_json::from_value(raw.get(*key)?.clone()).ok()?;
        (!wire.credentials_id.is_empty()).then(|| split(task, *role, wire))
    });
    found.unzip()
}

fn split(task: &TaskArn, role: RoleKind, wire: Credentials) -> (Issued, Delivered) {
    let id = CredentialsId::new(&wire.credentials_id);
    let issued = Issued { role, id: id.clone(), expiration: wire.expiration.clone() };
    (issued, Delivered { id, owner: Owner { task: task.clone(), role }, material: wire.into() })
}

/// A role without an id could never be asked for: the job would run without it.
pub(super) fn check(task: &Task) -> Result<(), String> {
    let nameless = |wire: &Option<Credentials>| {
        wire.as_ref().is_some_and(|w| w.credentials_id.is_empty() && *w != Credentials::default())
    };
    if nameless(&task.role_credentials) || nameless(&task.execution_role_credentials) {
        return Err("role credentials without a credentialsId".to_owned());
    }
    Ok(())
}

/// `logsAuthStrategy`: the container's `hostConfig`, with the log option that makes the driver use the execution role.
pub(super) fn log_auth(
    strategy: Option<&str>,
    host_config: Option<String>,
    task: &Task,
) -> Result<Option<String>, String> {
    match strategy {
        None | Some("" | "None") => return Ok(host_config),
        Some("ExecutionRole") => {}
        Some(other) => return Err(format!("logsAuthStrategy {other:?}: it must be ExecutionRole")),
    }
    let role = task.execution_role_credentials.as_ref().filter(|role| !role.credentials_id.is_empty());
    let id = &role.ok_or("No execution credentials set for the task")?.credentials_id;
    let text = host_config.unwrap_or_else(|| "{}".to_owned());
    let mut config: Value = serde_json::from_str(&text).map_err(|e| format!("hostConfig is not JSON: {e}"))?;
    let log = config.as_object_mut().ok_or("hostConfig is not a JSON object")?.entry("LogConfig");
    let log = log.or_insert_with(|| Value::Object(serde_json::Map::new()));
    let options = log.as_object_mut().ok_or("LogConfig is not a JSON object")?.entry("Config");
    let options = options.or_insert(Value::Null);
    if options.is_null() {
        *options = Value::Object(serde_json::Map::new());
    }
    let options = options.as_object_mut().ok_or("LogConfig.Config is not a JSON object")?;
    options.insert(LOG_OPTION.to_owned(), Value::from(format!("/v2/credentials/{id}")));
    Ok(Some(config.to_string()))
}

/// `IAMRoleCredentialsMessage`. What lacks a part that an acknowledgement needs is dropped, as amazon-ecs-agent drops it.
pub(crate) fn credentials(message: IAMRoleCredentialsMessage) -> Result<(Event, Delivered), FrameError> {
    let missing = |field| FrameError::Missing { kind: "IAMRoleCredentialsMessage", field };
    let role = match message.role_type.as_str() {
        "TaskApplication" => RoleKind::Task,
        "TaskExecution" => RoleKind::Execution,
        _ => return Err(missing("a known roleType")),
    };
    let wire = message.role_credentials.filter(|wire| !wire.credentials_id.is_empty());
    let wire = wire.ok_or_else(|| missing("roleCredentials with a credentialsId"))?;
    if message.message_id.is_empty() {
        return Err(missing("messageId"));
    }
    if message.task_arn.is_empty() {
        return Err(missing("taskArn"));
    }
    let task = TaskArn::new(message.task_arn);
    let (issued, delivered) = split(&task, role, wire);
    Ok((Event::Credentials { message: MessageId::new(message.message_id), task, issued }, delivered))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(message: Value) -> Result<(Event, Delivered), FrameError> {
        credentials(serde_json::from_value(message).unwrap())
    }

    #[test]
    fn a_message_gives_the_core_an_id_and_the_store_the_rest() {
        let role = json!({"credentialsId": "c-9", "roleArn": "arn:r", "accessKeyId": "ASIA", "secretAccessKey": "s3cret",
            "sessionToken": "t", "expiration": "2026-01-01T00:00:00Z"});
        let full = json!({"messageId": "m", "taskArn": "arn:t", "roleType": "TaskExecution", "roleCredentials": role});
        let (event, delivered) = message(full.clone()).unwrap();
        assert!(!format!("{event:?}").contains("s3cret"));
        let Event::Credentials { issued, .. } = event else { panic!("credentials") };
        assert_eq!((issued.id.as_str(), issued.role), ("c-9", RoleKind::Execution));
        assert_eq!(issued.expiration, "2026-01-01T00:00:00Z");
        assert_eq!(*delivered.material.secret_access_key, "s3cret");
        for key in ["messageId", "taskArn", "roleType", "roleCredentials"] {
            let mut less = full.clone();
            less.as_object_mut().unwrap().remove(key);
            assert!(message(less).unwrap_err().to_string().contains(key), "{key}");
        }
    }

    #[test]
    fn a_tasks_roles_come_apart_and_nulls_say_nothing() {
        let arn = TaskArn::new("arn:t");
        let raw = json!({"roleCredentials": {"credentialsId": "c-1"}, "executionRoleCredentials": null});
        let (issued, delivered) = of_task(&arn, &raw);
        assert_eq!((issued.len(), delivered.len()), (1, 1));
        assert_eq!((issued[0].role, &delivered[0].owner.task), (RoleKind::Task, &arn));
        let nameless: Task = serde_json::from_value(json!({"roleCredentials": {"roleArn": "arn:r"}})).unwrap();
        assert!(check(&nameless).unwrap_err().contains("credentialsId"));
        assert!(check(&serde_json::from_value(json!({"roleCredentials": {}})).unwrap()).is_ok());
    }

    #[test]
    fn logging_with_the_execution_role_is_an_option_of_the_driver() {
        let task: Task = serde_json::from_value(json!({"executionRoleCredentials": {"credentialsId": "c-2"}})).unwrap();
        let host = r#"{"LogConfig":{"Type":"awslogs","Config":{"awslogs-group":"g"}}}"#.to_owned();
        let config = log_auth(Some("ExecutionRole"), Some(host.clone()), &task).unwrap().unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        let options = json!({"awslogs-group": "g", "awslogs-credentials-endpoint": "/v2/credentials/c-2"});
        assert_eq!(config["LogConfig"], json!({"Type": "awslogs", "Config": options}));
        assert_eq!(log_auth(None, Some(host.clone()), &task), Ok(Some(host)));
        let refused = log_auth(Some("ExecutionRole"), None, &Task::default()).unwrap_err();
        assert_eq!(refused, "No execution credentials set for the task");
        assert!(log_auth(Some("Moon"), None, &task).unwrap_err().contains("Moon"));
    }
}
