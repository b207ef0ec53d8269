//! The AWS Batch API, REST-JSON.

mod definitions;
mod environments;
mod jobs;
mod list;
mod queues;
mod snapshot;
mod tags;

use std::sync::Arc;

use axum::http::Method;
use serde::de::DeserializeOwned;

use super::{Outcome, json, unknown_operation};
use crate::error::ApiError;
use crate::hub::Hub;

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    json::read(body, "ClientException")
}

/// `POST /v1/<operation>`.
pub(super) fn call(hub: &Arc<Hub>, operation: &str, body: &[u8]) -> Outcome {
    match operation {
        "createcomputeenvironment" => environments::create(hub, read(body)?),
        "updatecomputeenvironment" => environments::update(hub, read(body)?),
        "deletecomputeenvironment" => environments::delete(hub, &read(body)?),
        "describecomputeenvironments" => environments::describe(hub, &read(body)?),
        "createjobqueue" => queues::create(hub, read(body)?),
        "updatejobqueue" => queues::update(hub, read(body)?),
        "deletejobqueue" => queues::delete(hub, &read(body)?),
        "getjobqueuesnapshot" => snapshot::front(hub, &read(body)?),
        "describejobqueues" => queues::describe(hub, &read(body)?),
        "registerjobdefinition" => definitions::register(hub, read(body)?),
        "deregisterjobdefinition" => definitions::deregister(hub, &read(body)?),
        "describejobdefinitions" => definitions::describe(hub, &read(body)?),
        "submitjob" => jobs::submit(hub, read(body)?),
        "describejobs" => jobs::describe(hub, &read(body)?),
        "listjobs" => list::list(hub, &read(body)?),
        "canceljob" => jobs::cancel(hub, &read(body)?),
        "terminatejob" => jobs::terminate(hub, &read(body)?),
        other => Err(unknown_operation(other)),
    }
}

/// `/v1/tags/<arn>`: GET lists, POST adds, DELETE removes.
pub(super) fn tags(hub: &Arc<Hub>, method: &Method, arn: &str, query: &str, body: &[u8]) -> Outcome {
    match *method {
        Method::GET => tags::list(hub, arn),
        Method::POST => tags::add(hub, arn, read(body)?),
        Method::DELETE => tags::remove(hub, arn, query),
        _ => Err(unknown_operation(method.as_str())),
    }
}
