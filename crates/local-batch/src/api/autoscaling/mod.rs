//! Auto Scaling's Query API, as far as an instance that leaves its group, and whoever sets the stage for it, need it.

mod groups;
mod hooks;
mod instances;
mod shown;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::ec2::form::Form;
use super::ec2::xml;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::model::group::invalid;

/// Tells its calls from EC2's.
pub(super) const VERSION: &str = "2011-01-01";
const NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

/// What goes into `<ActionResult>`.
type Inner = Result<String, ApiError>;

pub(super) fn call(hub: &Arc<Hub>, form: &Form) -> Response {
    let action = form.get("Action").unwrap_or_default();
    let outcome = match action {
        "CreateAutoScalingGroup" => groups::create(hub, form),
        "UpdateAutoScalingGroup" => groups::update(hub, form),
        "SetDesiredCapacity" => groups::set_desired_capacity(hub, form),
        "DescribeAutoScalingGroups" => groups::describe(hub, form),
        "SuspendProcesses" => groups::suspend(hub, form),
        "ResumeProcesses" => groups::resume(hub, form),
        "DescribeAutoScalingInstances" => instances::describe(hub, form),
        "AttachInstances" => instances::attach(hub, form),
        "TerminateInstanceInAutoScalingGroup" => instances::terminate(hub, form),
        "SetInstanceHealth" => instances::set_health(hub, form),
        "SetInstanceProtection" => instances::set_protection(hub, form),
        "PutLifecycleHook" => hooks::put(hub, form),
        "DeleteLifecycleHook" => hooks::delete(hub, form),
        "DescribeLifecycleHooks" => hooks::describe(hub, form),
        "RecordLifecycleActionHeartbeat" => hooks::heartbeat(hub, form),
        "CompleteLifecycleAction" => hooks::complete(hub, form),
        other => Err(ApiError::new("InvalidAction", format!("The action {other} is not served by the local plane"))),
    };
    let id = xml::text("RequestId", &Uuid::new_v4().to_string());
    let headers = [("content-type", "text/xml")];
    match outcome {
        Ok(inner) => {
            let inner = xml::element(&format!("{action}Result"), &inner) + &xml::element("ResponseMetadata", &id);
            (headers, format!("<{action}Response xmlns=\"{NAMESPACE}\">{inner}</{action}Response>")).into_response()
        }
        Err(error) => {
            let code = xml::text("Code", error.code) + &xml::text("Message", &error.message);
            let error = xml::element("Error", &(xml::text("Type", "Sender") + &code));
            let body = format!("<ErrorResponse xmlns=\"{NAMESPACE}\">{error}{id}</ErrorResponse>");
            (StatusCode::BAD_REQUEST, headers, body).into_response()
        }
    }
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, ApiError> {
    form.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        let member = name[..1].to_lowercase() + &name[1..];
        invalid(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

fn number(form: &Form, name: &str) -> Result<Option<u32>, ApiError> {
    let text = form.get(name).map(|text| text.parse().map_err(|_| invalid(format!("{name} must be a number from 0"))));
    text.transpose()
}

fn flag(form: &Form, name: &str) -> Result<Option<bool>, ApiError> {
    form.get(name)
        .map(|text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(invalid(format!("{name} must be true or false"))),
        })
        .transpose()
}
