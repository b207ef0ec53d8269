//! The AWS clients, from one configuration: one HTTP client, one credential chain, one set of time limits.
//!
//! Everything that the AWS SDKs read from the environment works here too: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_ECS`,
//! `AWS_EC2_METADATA_SERVICE_ENDPOINT`, `AWS_PROFILE` and the rest. Proxies and `AWS_CA_BUNDLE`, which the SDK does not read,
//! are settings of the agent's ([`crate::net`]).

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig, imds, provider_config};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::net::{NetError, Network};

/// A host of the same region answers within milliseconds; five seconds is a host that is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// amazon-ecs-agent gives a whole round trip 42 s (`ecs-agent/httpclient/httpclient.go`); here that includes the retries.
const OPERATION: Duration = Duration::from_secs(42);
/// One attempt: short enough that a connection that went silent leaves time for a second one.
const ATTEMPT: Duration = Duration::from_secs(20);
/// The SDK mends a blip; longer trouble is node-core's to pace.
const ATTEMPTS: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub(crate) enum AwsError {
    #[error(
        "no AWS region: set `region` in the configuration or AWS_REGION, or run where the instance metadata service answers"
    )]
    NoRegion,
    #[error("no AWS credential chain could be set up")]
    NoCredentials,
    #[error(transparent)]
    Net(#[from] NetError),
}

/// What the agent talks to AWS with. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) ecs: aws_sdk_ecs::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub(crate) autoscaling: aws_sdk_autoscaling::Client,
    pub(crate) batch: aws_sdk_batch::Client,
    pub(crate) imds: imds::Client,
    /// Signs the websockets, which no SDK client opens.
    pub(crate) credentials: SharedCredentialsProvider,
    pub(crate) region: Region,
    /// For a client of its own, such as ECR's with a task's role.
    pub(crate) sdk: SdkConfig,
    /// How the websockets go out, which no SDK client opens either.
    pub(crate) network: Network,
}

/// Sets the clients up; `region` wins over the environment, the profile and IMDS. Calls nothing but, without any
/// region configured, IMDS.
pub(crate) async fn connect(
    region: Option<&str>,
    network: Network,
    ecs_endpoint: Option<&str>,
) -> Result<Clients, AwsError> {
    let http = network.client()?;
    let config = load(http.clone(), region).await;
    let region = config.region().cloned().ok_or(AwsError::NoRegion)?;
    let credentials = config.credentials_provider().ok_or(AwsError::NoCredentials)?;
    Ok(Clients {
        ecs: ecs_client(&config, ecs_endpoint),
        ec2: aws_sdk_ec2::Client::new(&config),
        autoscaling: aws_sdk_autoscaling::Client::new(&config),
        batch: aws_sdk_batch::Client::new(&config),
        imds: imds_client(http),
        credentials,
        region,
        sdk: config,
        network,
    })
}

pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

fn ecs_client(config: &SdkConfig, endpoint: Option<&str>) -> aws_sdk_ecs::Client {
    match endpoint {
        None => aws_sdk_ecs::Client::new(config),
        Some(url) => {
            aws_sdk_ecs::Client::from_conf(aws_sdk_ecs::config::Builder::from(config).endpoint_url(url).build())
        }
    }
}

async fn load(http: SharedHttpClient, region: Option<&str>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    // Pinned by name: an update of the SDK is not to change how the agent behaves.
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let name = concat!("batch-node-agent-", env!("CARGO_PKG_VERSION"));
    if let Ok(name) = AppName::new(name) {
        loader = loader.app_name(name);
    }
    loader.load().await
}

fn imds_client(http: SharedHttpClient) -> imds::Client {
    // Without an HTTP client of its own the IMDS client panics when it is built.
    let config = provider_config::ProviderConfig::default()
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
        .with_http_client(http);
    imds::Client::builder().configure(&config).build()
}

/// As a host without proxies has it.
#[cfg(test)]
pub(crate) fn http_client() -> SharedHttpClient {
    Network::default().client().unwrap()
}
