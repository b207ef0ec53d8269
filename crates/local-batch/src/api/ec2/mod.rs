//! The Query API: EC2's instances, as far as a node and whoever tests it need them, and STS.

pub(super) mod form;
mod instances;
pub(super) mod xml;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use self::form::Form;
use super::sts;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::sigv4::Caller;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

pub(super) async fn call(hub: &Arc<Hub>, form: &Form, caller: &Caller) -> Response {
    let action = form.get("Action").unwrap_or_default().to_owned();
    if action == sts::GET_CALLER_IDENTITY {
        // STS speaks the same Query protocol at the same address.
        return sts::caller_identity(caller);
    }
    let outcome = match action.as_str() {
        "RunInstances" => instances::run(hub, form).await,
        "DescribeInstances" => instances::describe(hub, form),
        "TerminateInstances" => instances::terminate(hub, form),
        "StopInstances" => instances::stop(hub, form),
        "DescribeTags" => instances::describe_tags(hub, form),
        "" => Err(ApiError::new(
            "MissingAction",
            "The request has neither an X-Amz-Target header nor an Action parameter",
        )),
        other => Err(ApiError::new("InvalidAction", format!("The action {other} is not served by the local plane"))),
    };
    let id = Uuid::new_v4().to_string();
    let headers = [("content-type", "text/xml;charset=UTF-8")];
    match outcome {
        Ok(inner) => {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{action}Response xmlns=\"{NAMESPACE}\">{}{inner}</{action}Response>",
                xml::text("requestId", &id)
            );
            (headers, body).into_response()
        }
        Err(error) => {
            let status = match error.code {
                instances::DRY_RUN => StatusCode::PRECONDITION_FAILED,
                _ => StatusCode::BAD_REQUEST,
            };
            let error = xml::element("Error", &(xml::text("Code", error.code) + &xml::text("Message", &error.message)));
            let body = xml::element("Response", &(xml::element("Errors", &error) + &xml::text("RequestID", &id)));
            (status, headers, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}")).into_response()
        }
    }
}
