//! The HTTP faces: Batch at `/v1`, and ECS, Logs, SSM, Secrets Manager, EC2, Auto Scaling and STS at `/`, told apart as
//! AWS's clients mark them; the plane's own control API below `/local`.

mod admit;
mod autoscaling;
mod batch;
mod call;
mod ec2;
mod ecs;
mod faults;
mod json;
mod logs;
mod page;
mod rehearsal;
mod sts;
mod vault;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, post};
use axum::{Extension, Router, middleware};
use tokio::net::UnixListener;
use tracing::warn;
use uuid::Uuid;

use self::ec2::form::Form;
use crate::error::ApiError;
use crate::faults::Gate;
use crate::hub::Hub;
use crate::sigv4::Caller;

const ECS_TARGET: &str = "AmazonEC2ContainerServiceV20141113.";
const LOGS_TARGET: &str = "Logs_20140328.";
const SSM_TARGET: &str = "AmazonSSM.";
const SECRETS_TARGET: &str = "secretsmanager.";

/// Serves until the plane closes.
pub(crate) async fn serve(hub: Arc<Hub>, listener: Gate) {
    let closing = hub.closing.clone();
    let router = Router::new()
        .route("/", post(root))
        .route("/v1/{operation}", post(batch_call))
        .route("/v1/tags/{*arn}", any(batch_tags))
        .merge(orders())
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(hub.clone(), admit::admit))
        .with_state(hub);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned()).await {
        warn!(%error, "the API listener ended");
    }
}

/// Serves orders alone, where no fault reaches.
pub(crate) async fn serve_control(hub: Arc<Hub>, listener: UnixListener) {
    let closing = hub.closing.clone();
    let router = orders().with_state(hub);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned()).await {
        warn!(%error, "the listener for orders ended");
    }
}

fn orders() -> Router<Arc<Hub>> {
    Router::new()
        .route("/local/faults", post(faults::order).get(faults::list).delete(faults::clear))
        .route("/local/faults/{id}", delete(faults::clear_one))
        .route("/local/interrupts", post(rehearsal::interrupt))
        .route("/local/denials", post(rehearsal::deny).get(rehearsal::denied).delete(rehearsal::allow))
}

/// A Batch call from within the process: `operation` as in the path, `createjobqueue` for one.
pub(crate) fn batch_in_process(hub: &Arc<Hub>, operation: &str, request: &serde_json::Value) -> Outcome {
    batch::call(hub, operation, request.to_string().as_bytes())
}

/// The content type is not looked at: a shell script's `wget --post-data` says that its JSON is a form.
async fn batch_call(Shared(hub): Shared<Arc<Hub>>, Path(operation): Path<String>, body: Bytes) -> Response {
    rest(batch::call(&hub, &operation, &body))
}

async fn batch_tags(
    Shared(hub): Shared<Arc<Hub>>,
    method: Method,
    Path(arn): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    rest(batch::tags(&hub, &method, &arn, query.as_deref().unwrap_or_default(), &body))
}

async fn root(
    Shared(hub): Shared<Arc<Hub>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(target) = headers.get("x-amz-target") else {
        let form = Form::parse(&body);
        return match form.get("Version") {
            Some(autoscaling::VERSION) => autoscaling::call(&hub, &form),
            _ => ec2::call(&hub, &form, &caller).await,
        };
    };
    let target = target.to_str().unwrap_or_default();
    if let Some(operation) = target.strip_prefix(ECS_TARGET) {
        json_rpc(ecs::call(&hub, operation, &body))
    } else if let Some(operation) = target.strip_prefix(LOGS_TARGET) {
        json_rpc(logs::call(&hub, operation, &body).await)
    } else if let Some(operation) = target.strip_prefix(SSM_TARGET) {
        json_rpc(vault::parameters(&hub, operation, &body))
    } else if let Some(operation) = target.strip_prefix(SECRETS_TARGET) {
        json_rpc(vault::secrets(&hub, operation, &body))
    } else {
        json_rpc(Err(unknown_operation(target)))
    }
}

async fn nothing_here(method: Method, uri: Uri) -> Response {
    let error = ApiError::new(
        "UnknownOperationException",
        format!("{method} {} is no operation of the local plane", uri.path()),
    );
    (StatusCode::NOT_FOUND, rest(Err(error))).into_response()
}

fn unknown_operation(name: &str) -> ApiError {
    ApiError::new("UnknownOperationException", format!("operation {name:?} is not served by the local plane"))
}

type Outcome = Result<serde_json::Value, ApiError>;

/// REST-JSON: the exception's name rides in a header.
fn rest(outcome: Outcome) -> Response {
    let id = [("x-amzn-requestid", Uuid::new_v4().to_string())];
    match outcome {
        Ok(body) => (id, axum::Json(body)).into_response(),
        Err(error) => {
            let body = axum::Json(serde_json::json!({"message": error.message}));
            let status =
                if error.code == "UnknownOperationException" { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
            (status, id, [("x-amzn-errortype", error.code)], body).into_response()
        }
    }
}

/// AWS JSON 1.1: the exception's name rides in the body.
fn json_rpc(outcome: Outcome) -> Response {
    let headers =
        [("x-amzn-requestid", Uuid::new_v4().to_string()), ("content-type", "application/x-amz-json-1.1".to_owned())];
    match outcome {
        Ok(body) => (headers, body.to_string()).into_response(),
        Err(error) => {
            let body = serde_json::json!({"__type": error.code, "message": error.message});
            (StatusCode::BAD_REQUEST, headers, body.to_string()).into_response()
        }
    }
}
