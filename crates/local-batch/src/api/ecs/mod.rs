//! The ECS API, AWS JSON 1.1: what agents call, and what people look at.

mod clusters;
mod instances;
mod shown;
mod tasks;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Outcome, json as wire, unknown_operation};
use crate::error::ApiError;
use crate::hub::Hub;

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    wire::read(body, "InvalidParameterException")
}

pub(super) fn call(hub: &Arc<Hub>, operation: &str, body: &[u8]) -> Outcome {
    match operation {
        "CreateCluster" => clusters::create(hub, read(body)?),
        "DescribeClusters" => clusters::describe(hub, &read(body)?),
        "ListClusters" => clusters::list(hub, &read(body)?),
        "RegisterContainerInstance" => instances::register(hub, read(body)?),
        "DeregisterContainerInstance" => instances::deregister(hub, &read(body)?),
        "UpdateContainerInstancesState" => instances::update_state(hub, &read(body)?),
        "DescribeContainerInstances" => instances::describe(hub, &read(body)?),
        "ListContainerInstances" => instances::list(hub, &read(body)?),
        "DiscoverPollEndpoint" => Ok(discover_poll_endpoint(hub)),
        "SubmitTaskStateChange" => tasks::submit(hub, read(body)?),
        "SubmitContainerStateChange" | "SubmitAttachmentStateChanges" => Ok(acknowledgment()),
        "DescribeTasks" => tasks::describe(hub, &read(body)?),
        "ListTasks" => tasks::list(hub, &read(body)?),
        "ListTagsForResource" => instances::list_tags(hub, &read(body)?),
        other => Err(unknown_operation(other)),
    }
}

fn acknowledgment() -> Value {
    json!({"acknowledgment": "ACK"})
}

fn discover_poll_endpoint(hub: &Hub) -> Value {
    json!({"endpoint": hub.poll_endpoint, "telemetryEndpoint": format!("{}/tcs", hub.poll_endpoint)})
}

/// The members that every list call has.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Paging {
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl Paging {
    fn answer(&self, arns: Vec<Value>, name: &str) -> Outcome {
        let page = super::page::page(arns, self.max_results, self.next_token.as_deref(), 100)
            .map_err(|error| ApiError::invalid_parameter(error.message))?;
        Ok(page.into_answer(name))
    }
}

/// What a describe says about a name that it did not find.
fn missing(arn: &str) -> Value {
    json!({"arn": arn, "reason": "MISSING"})
}
