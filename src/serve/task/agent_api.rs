//! `/api/<endpoint>`: task protection, which ECS answers with the job's own role, and fault injection, which no Batch job has
//! (ecs-agent/tmds/handlers/taskprotection and fault).

use std::time::Duration;

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::operation::RequestId;
use aws_sdk_ecs::types::{Failure, ProtectedTask};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::date_time::Format;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use node_core::EndpointId;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::credentials::json as answer;
use super::{Shared, Subject};
use crate::serve::credentials::{Found, for_sdk};

/// amazon-ecs-agent's limit of the call.
const LIMIT: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Wanted {
    protection_enabled: Option<bool>,
    expires_in_minutes: Option<i32>,
}

/// Whose protection, and with what it is asked for.
struct Protected {
    task: String,
    cluster: String,
    ecs: aws_sdk_ecs::Client,
}

pub(super) async fn get_protection(State(shared): State<Shared>, Path(endpoint): Path<String>) -> Response {
    let asked = match find(&shared, &endpoint).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let call = asked.ecs.get_task_protection().cluster(&asked.cluster).tasks(&asked.task).send();
    match timeout(LIMIT, call).await {
        Err(_) => late(&asked.task),
        Ok(Err(error)) => failed(&asked.task, &error),
        Ok(Ok(found)) => shown(&asked.task, found.protected_tasks(), found.failures()),
    }
}

pub(super) async fn put_protection(
    State(shared): State<Shared>,
    Path(endpoint): Path<String>,
    body: Bytes,
) -> Response {
    const INVALID: &str = "InvalidParameterException";
    let Ok(wanted) = serde_json::from_slice::<Wanted>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "", INVALID, "UpdateTaskProtection: failed to decode request");
    };
    let asked = match find(&shared, &endpoint).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let Some(enabled) = wanted.protection_enabled else {
        let text = "Invalid request: does not contain 'ProtectionEnabled' field";
        return refuse(StatusCode::BAD_REQUEST, &asked.task, INVALID, text);
    };
    let call =
        asked.ecs.update_task_protection().cluster(&asked.cluster).tasks(&asked.task).protection_enabled(enabled);
    let call = call.set_expires_in_minutes(wanted.expires_in_minutes).send();
    match timeout(LIMIT, call).await {
        Err(_) => late(&asked.task),
        Ok(Err(error)) => failed(&asked.task, &error),
        Ok(Ok(found)) => shown(&asked.task, found.protected_tasks(), found.failures()),
    }
}

/// No task here has it enabled.
pub(super) async fn fault(
    State(shared): State<Shared>,
    Path((endpoint, ..)): Path<(String, String, String)>,
) -> Response {
    let (status, text) = match shared.ask(Subject::Endpoint(EndpointId::new(&endpoint))).await {
        None => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("unable to obtain container metadata for container: {endpoint}"),
        ),
        Some(view) => match view.tasks.first() {
            None => (StatusCode::NOT_FOUND, format!("unable to lookup container: {endpoint}")),
            Some(task) => (StatusCode::BAD_REQUEST, format!("fault injection is not enabled for task: {}", task.arn())),
        },
    };
    answer(status, json!({ "Error": text }).to_string())
}

async fn find(shared: &Shared, endpoint: &str) -> Result<Protected, Response> {
    const UNKNOWN: &str = "Failed to find a task for the request";
    let view = shared.ask(Subject::Endpoint(EndpointId::new(endpoint))).await;
    let view = view.ok_or_else(|| refuse(StatusCode::INTERNAL_SERVER_ERROR, "", "ServerException", UNKNOWN))?;
    let Some(task) = view.tasks.first() else {
        return Err(refuse(StatusCode::NOT_FOUND, "", "ResourceNotFoundException", UNKNOWN));
    };
    let arn = task.arn().to_string();
    let role = task.spec.roles.task.as_ref().map(|id| shared.credentials.find(id));
    let (Some(Found::Ready(_, role)), Some(ecs)) = (role, view.ecs) else {
        let text = "Invalid Request: no task IAM role credentials available for task";
        return Err(refuse(StatusCode::FORBIDDEN, &arn, "AccessDeniedException", text));
    };
    let config = ecs.config().to_builder().credentials_provider(for_sdk(&role)).build();
    let cluster = view.place.cluster.unwrap_or_default();
    Ok(Protected { task: arn, cluster, ecs: aws_sdk_ecs::Client::from_conf(config) })
}

fn shown(task: &str, protected: &[ProtectedTask], failures: &[Failure]) -> Response {
    let body = match (failures, protected) {
        ([failure], _) => {
            let fields = [("Arn", failure.arn()), ("Reason", failure.reason()), ("Detail", failure.detail())];
            json!({ "failure": present(fields) })
        }
        ([], [protected]) => {
            let until = protected.expiration_date().and_then(|at| at.fmt(Format::DateTime).ok());
            let mut shown = present([("ExpirationDate", until.as_deref()), ("TaskArn", protected.task_arn())]);
            shown.insert("ProtectionEnabled".to_owned(), Value::from(protected.protection_enabled()));
            json!({ "protection": shown })
        }
        _ => return refuse(StatusCode::INTERNAL_SERVER_ERROR, task, "ServerException", "Unexpected error occurred"),
    };
    answer(StatusCode::OK, body.to_string())
}

fn present<const N: usize>(fields: [(&str, Option<&str>); N]) -> serde_json::Map<String, Value> {
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?)))).collect()
}

fn late(task: &str) -> Response {
    refuse(StatusCode::GATEWAY_TIMEOUT, task, "RequestCanceled", "Timed out calling ECS Task Protection API")
}

fn failed<E: ProvideErrorMetadata>(task: &str, error: &SdkError<E, HttpResponse>) -> Response
where
    SdkError<E, HttpResponse>: RequestId,
{
    let status = error.raw_response().and_then(|response| StatusCode::from_u16(response.status().as_u16()).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (code, text) =
        (error.code().unwrap_or("ServerException"), error.message().unwrap_or("Unexpected error occurred"));
    let mut body = json!({"error": {"Arn": task, "Code": code, "Message": text}});
    if let Some(id) = error.request_id() {
        body["requestID"] = Value::from(id);
    }
    answer(status, body.to_string())
}

fn refuse(status: StatusCode, task: &str, code: &str, text: &str) -> Response {
    let mut error = json!({"Code": code, "Message": text});
    if !task.is_empty() {
        error["Arn"] = Value::from(task);
    }
    answer(status, json!({ "error": error }).to_string())
}
