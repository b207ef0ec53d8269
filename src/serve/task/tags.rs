//! Tags for `taskWithTags`, from ListTagsForResource with the instance's own role.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::operation::RequestId;
use serde::Serialize;
use tokio::time::timeout;

/// For one resource, the SDK's own retries of throttling included (amazon-ecs-agent: 30 s).
const LIMIT: Duration = Duration::from_secs(30);

pub(super) type Tags = BTreeMap<String, String>;

/// One entry of `Errors`: why tags are missing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagError {
    error_field: &'static str,
    error_code: String,
    error_message: String,
    status_code: u16,
    request_id: String,
    #[serde(rename = "ResourceARN")]
    resource_arn: String,
}

/// The tags of `arn`, which stand in the answer's `field`.
pub(super) async fn of(ecs: &Client, field: &'static str, arn: &str) -> Result<Tags, TagError> {
    let failed = |code: &str, message: &str, status: u16, request: &str| TagError {
        error_field: field,
        error_code: code.to_owned(),
        error_message: message.to_owned(),
        status_code: status,
        request_id: request.to_owned(),
        resource_arn: arn.to_owned(),
    };
    let call = ecs.list_tags_for_resource().resource_arn(arn).send();
    match timeout(LIMIT, call).await {
        Err(_) => Err(failed("RequestTimeout", "ListTagsForResource did not answer", 504, "")),
        Ok(Ok(answer)) => {
            let pair = |tag: &aws_sdk_ecs::types::Tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()));
            Ok(answer.tags().iter().filter_map(pair).collect())
        }
        Ok(Err(error)) => {
            let status = error.raw_response().map_or(500, |response| response.status().as_u16());
            let (code, message) = (error.code().unwrap_or("InternalError"), error.message().unwrap_or_default());
            Err(failed(code, message, status, error.request_id().unwrap_or_default()))
        }
    }
}
