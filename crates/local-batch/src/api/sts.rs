//! The one STS call that a job needs to show whose credentials it has.

use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::ec2::xml::{element, text};
use crate::ids::ACCOUNT;
use crate::sigv4::Caller;

pub(super) const GET_CALLER_IDENTITY: &str = "GetCallerIdentity";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// GetCallerIdentity. A key that is not the plane's is a user's own.
pub(super) fn caller_identity(caller: &Caller) -> Response {
    let (arn, user_id) = match caller {
        Caller::Known { arn, user_id } => (arn.clone(), user_id.clone()),
        Caller::Unknown { access_key_id } => {
            (format!("arn:aws:iam::{ACCOUNT}:user/{access_key_id}"), access_key_id.clone())
        }
        Caller::Nobody => (format!("arn:aws:iam::{ACCOUNT}:root"), ACCOUNT.to_owned()),
    };
    let result = text("Arn", &arn) + &text("UserId", &user_id) + &text("Account", ACCOUNT);
    let metadata = element("ResponseMetadata", &text("RequestId", &Uuid::new_v4().to_string()));
    let inner = element("GetCallerIdentityResult", &result) + &metadata;
    let body = format!("<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\">{inner}</GetCallerIdentityResponse>");
    ([("content-type", "text/xml")], body).into_response()
}
