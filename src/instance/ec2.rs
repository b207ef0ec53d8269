//! The last call of a node's life: EC2 `TerminateInstances` on its own instance.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Filter;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use node_core::{ApiFailure, InstanceId, Permission};

use crate::ecs::classify;

/// EC2 gives an instance at most 50.
const TAGS_MAX: i32 = 50;

/// Terminates `instance`. An instance that EC2 no longer knows is [`ApiFailure::Gone`]; termination protection is
/// [`ApiFailure::Denied`], since someone may lift it.
pub(crate) async fn terminate(client: &aws_sdk_ec2::Client, instance: &InstanceId) -> Result<(), ApiFailure> {
    let answer =
        client.terminate_instances().instance_ids(instance.as_str()).send().await.map_err(|error| classify(&error))?;
    for change in answer.terminating_instances() {
        let state = change.current_state().and_then(|s| s.name());
        let state = state.map_or("unknown", |s| s.as_str());
        tracing::info!(%instance, state, "EC2 accepted the termination");
    }
    Ok(())
}

/// Whether `instance` may terminate itself, by a dry run. Whatever is no clear answer is [`Permission::Unknown`].
pub(crate) async fn may_terminate(client: &aws_sdk_ec2::Client, instance: &InstanceId) -> Permission {
    let call = client.terminate_instances().instance_ids(instance.as_str()).dry_run(true);
    match call.send().await {
        Err(error) if error.code() == Some("DryRunOperation") => Permission::Ok,
        Err(error) => match classify(&error) {
            ApiFailure::Denied(why) => Permission::Denied(why),
            _ => Permission::Unknown,
        },
        // EC2 never says so.
        Ok(_) => Permission::Unknown,
    }
}

/// The instance's tags, without those that AWS reserves. Source: amazon-ecs-agent, `ecs-agent/ec2/ec2_client.go`.
pub(crate) async fn tags(
    client: &aws_sdk_ec2::Client,
    instance: &InstanceId,
) -> Result<BTreeMap<String, String>, ApiFailure> {
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let call = client
        .describe_tags()
        .filters(filter("resource-id", instance.as_str()))
        .filters(filter("resource-type", "instance"))
        .max_results(TAGS_MAX);
    let answer = call.send().await.map_err(|error| classify(&error))?;
    let reserved = |text: &str| text.to_ascii_lowercase().starts_with("aws:");
    let own = answer.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default())));
    let own = own.filter(|(key, value)| !reserved(key) && !reserved(value));
    Ok(own.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_sdk_ec2::config::{BehaviorVersion, Region};
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::*;

    /// A client of an EC2 that answers everything with `status` and `body`.
    async fn client(status: u16, body: &'static str) -> aws_sdk_ec2::Client {
        let status = StatusCode::from_u16(status).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(async move || (status, body)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("AKIDTEST", "s3cret", None, None, "test"))
            .endpoint_url(url)
            .http_client(crate::aws::http_client())
            .build();
        aws_sdk_ec2::Client::from_conf(config)
    }

    async fn answered(status: u16, body: &'static str) -> Result<(), ApiFailure> {
        terminate(&client(status, body).await, &InstanceId::new("i-0abc")).await
    }

    #[tokio::test]
    async fn tags_come_without_those_of_aws() {
        let body = "<DescribeTagsResponse><tagSet>\
            <item><resourceId>i-0abc</resourceId><key>team</key><value>red</value></item>\
            <item><resourceId>i-0abc</resourceId><key>AWS:autoscaling:groupName</key><value>g</value></item>\
            <item><resourceId>i-0abc</resourceId><key>made-by</key><value>aws:thing</value></item>\
            <item><resourceId>i-0abc</resourceId><key>empty</key><value/></item>\
            </tagSet></DescribeTagsResponse>";
        let tags = tags(&client(200, body).await, &InstanceId::new("i-0abc")).await.unwrap();
        let expected = [("empty", ""), ("team", "red")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(tags, BTreeMap::from(expected));
        let denied = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors>\
            <RequestID>r-3</RequestID></Response>";
        let failure = super::tags(&client(403, denied).await, &InstanceId::new("i-0abc")).await;
        assert!(matches!(failure, Err(ApiFailure::Denied(_))), "{failure:?}");
    }

    #[tokio::test]
    async fn an_accepted_termination_is_a_success() {
        let body = "<TerminateInstancesResponse><instancesSet><item><instanceId>i-0abc</instanceId>\
            <currentState><code>32</code><name>shutting-down</name></currentState></item></instancesSet>\
            </TerminateInstancesResponse>";
        assert_eq!(answered(200, body).await, Ok(()));
    }

    #[tokio::test]
    async fn a_dry_run_tells_of_permission() {
        let code = |code: &str| {
            format!("<Response><Errors><Error><Code>{code}</Code><Message>m</Message></Error></Errors></Response>")
        };
        let asked = async |status, body: String| {
            may_terminate(&client(status, body.leak()).await, &InstanceId::new("i-0abc")).await
        };
        assert_eq!(asked(412, code("DryRunOperation")).await, Permission::Ok);
        assert!(matches!(asked(403, code("UnauthorizedOperation")).await, Permission::Denied(_)));
        assert_eq!(asked(400, code("InvalidParameterValue")).await, Permission::Unknown);
    }

    #[tokio::test]
    async fn a_lost_instance_and_a_protected_one_are_told_apart() {
        let lost = "<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code><Message>gone</Message></Error>\
            </Errors><RequestID>r-1</RequestID></Response>";
        let text = "InvalidInstanceID.NotFound: gone".to_owned();
        assert_eq!(answered(400, lost).await, Err(ApiFailure::Gone(text)));
        let protected = "<Response><Errors><Error><Code>OperationNotPermitted</Code><Message>protected</Message></Error>\
            </Errors><RequestID>r-2</RequestID></Response>";
        assert!(matches!(answered(400, protected).await, Err(ApiFailure::Denied(_))));
    }
}
