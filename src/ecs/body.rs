//! What amazon-ecs-agent writes into a request and the SDK does not, or the other way round. The body is changed before it is
//! signed.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Map, Value};

/// `RegisterContainerInstance`: `clientToken` is not in the public model, and amazon-ecs-agent sends it. The SDK writes all
/// three numbers of each resource, where amazon-ecs-agent leaves out those that are zero.
pub(super) fn registration(request: &mut HttpRequest, token: &str) {
    rewrite(request, |members| {
        members.insert("clientToken".to_owned(), token.into());
        let resources = members.get_mut("totalResources").and_then(Value::as_array_mut);
        for resource in resources.into_iter().flatten().filter_map(Value::as_object_mut) {
            resource.retain(|_, value| value.as_f64() != Some(0.0));
        }
    });
}

/// `DiscoverPollEndpoint`: `zoneId` is not in the public model either, and empty on EC2.
pub(super) fn discovery(request: &mut HttpRequest) {
    rewrite(request, |members| {
        members.insert("zoneId".to_owned(), "".into());
    });
}

fn rewrite(request: &mut HttpRequest, change: impl FnOnce(&mut Map<String, Value>)) {
    let body = request.body().bytes().and_then(|body| serde_json::from_slice(body).ok());
    let Some(Value::Object(mut members)) = body else { return };
    change(&mut members);
    let body = Value::Object(members).to_string();
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = body.into();
}
