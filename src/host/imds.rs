//! The instance metadata service (IMDSv2): who this machine is.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError as SdkImdsError;
use node_core::InstanceId;
use tokio::time::timeout;

use crate::ecs::one_line;

const NOT_FOUND: &str = "HTTP 404";
/// All attempts at one item together. amazon-ecs-agent tries the identity document for as long.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
#[error(
    "the instance metadata service gave no {item} ({cause}): on EC2 switch its HTTP endpoint on and raise the hop limit; \
     elsewhere set AWS_EC2_METADATA_SERVICE_ENDPOINT"
)]
pub(crate) struct ImdsFailure {
    item: &'static str,
    cause: String,
}

/// The instance's signed identity, as raw texts. Both are empty where IMDS has none; ECS then decides whether to take the host.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    pub(crate) document: String,
    pub(crate) signature: String,
}

/// The signature proves to ECS that the caller is this instance: it stays out of logs.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("document", &self.document).finish_non_exhaustive()
    }
}

/// Where the instance is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) zone: Option<String>,
    pub(crate) zone_id: Option<String>,
    pub(crate) vpc: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Imds {
    client: Client,
    /// What was told of a missing identity: registrations are tried again and again.
    told: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Imds {
    #[must_use]
    pub(crate) fn new(client: Client) -> Self {
        Self { client, told: Arc::default() }
    }

    pub(crate) async fn instance_id(&self) -> Result<InstanceId, ImdsFailure> {
        self.get("instance id", "/latest/meta-data/instance-id").await.map(|text| InstanceId::new(text.trim()))
    }

    /// The identity document and its signature. A failure is logged and leaves its text empty, as amazon-ecs-agent does;
    /// without the document, the signature is not asked for.
    pub(crate) async fn identity(&self) -> Identity {
        const ROOT: &str = "/latest/dynamic/instance-identity";
        let document = self.get("identity document", &format!("{ROOT}/document")).await;
        let document = self.or_empty(document);
        if document.is_empty() {
            return Identity::default();
        }
        let signature = self.get("identity signature", &format!("{ROOT}/signature")).await;
        Identity { document, signature: self.or_empty(signature) }
    }

    /// The ARN of the outpost that the instance is on, which few are.
    pub(crate) async fn outpost_arn(&self) -> Option<String> {
        let arn = self.get("outpost ARN", "/latest/meta-data/outpost-arn").await.ok()?;
        Some(arn.trim().to_owned()).filter(|arn| !arn.is_empty())
    }

    /// The first time that it is missing is worth a warning, and so is the first after it was there.
    fn or_empty(&self, text: Result<String, ImdsFailure>) -> String {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Ok(text) => {
                told.clear();
                text
            }
            Err(failure) => {
                if told.insert(failure.item) {
                    tracing::warn!("registering without it: {failure}");
                } else {
                    tracing::debug!("registering without it, still: {failure}");
                }
                String::new()
            }
        }
    }

    /// Whatever of it IMDS tells; amazon-ecs-agent does without the rest, too.
    pub(crate) async fn location(&self) -> Location {
        let (zone, zone_id, mac) = tokio::join!(
            self.get("availability zone", "/latest/meta-data/placement/availability-zone"),
            self.get("availability zone id", "/latest/meta-data/placement/availability-zone-id"),
            self.get("mac", "/latest/meta-data/mac")
        );
        let vpc = match mac {
            Ok(mac) => {
                let path = format!("/latest/meta-data/network/interfaces/macs/{}/vpc-id", mac.trim());
                self.get("VPC", &path).await.ok()
            }
            Err(_) => None,
        };
        let plain = |text: String| text.trim().to_owned();
        Location { zone: zone.ok().map(plain), zone_id: zone_id.ok().map(plain), vpc: vpc.map(plain) }
    }

    /// `None` where IMDS has no such item: of an interruption, that there is none.
    pub(crate) async fn item(&self, item: &'static str, path: &str) -> Result<Option<String>, ImdsFailure> {
        match self.get(item, path).await {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(failure) if failure.cause == NOT_FOUND => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn get(&self, item: &'static str, path: &str) -> Result<String, ImdsFailure> {
        bounded(item, async {
            self.client.get(path).await.map(|text| text.as_ref().to_owned()).map_err(|error| cause(&error))
        })
        .await
    }
}

async fn bounded(
    item: &'static str,
    call: impl Future<Output = Result<String, String>>,
) -> Result<String, ImdsFailure> {
    let cause = match timeout(LIMIT, call).await {
        Ok(Ok(text)) if !text.trim().is_empty() => return Ok(text),
        Ok(Ok(_)) => "an empty answer".to_owned(),
        Ok(Err(cause)) => cause,
        Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
    };
    Err(ImdsFailure { item, cause })
}

/// IMDS's own error shows the whole response, headers and all, which has the session token in it.
fn cause(error: &SdkImdsError) -> String {
    match error {
        SdkImdsError::ErrorResponse(context) => {
            format!("HTTP {}", context.response().status().as_u16())
        }
        other => one_line(other as &(dyn Error + 'static)),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use aws_config::provider_config::ProviderConfig;
    use axum::Router;
    use axum::routing::put;
    use tokio::net::TcpListener;

    use super::{Client, Imds};

    /// A metadata service with these items.
    pub(crate) async fn imds(router: Router) -> Imds {
        let token = put(|| async { ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "t0ken") });
        let router = router.route("/latest/api/token", token);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        at(&endpoint)
    }

    pub(crate) fn at(endpoint: &str) -> Imds {
        let config = ProviderConfig::empty().with_http_client(crate::aws::http_client());
        let builder = Client::builder().configure(&config).max_attempts(1);
        Imds::new(builder.endpoint(endpoint).unwrap().build())
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::testing::{at, imds};
    use super::*;

    #[tokio::test]
    async fn the_identity_comes_as_raw_text() {
        let router = Router::new()
            .route("/latest/meta-data/instance-id", get(|| async { "i-0abc\n" }))
            .route("/latest/dynamic/instance-identity/document", get(|| async { "{ \"a\" : 1 }" }))
            .route("/latest/dynamic/instance-identity/signature", get(|| async { "Qk1=\nx" }));
        let imds = imds(router).await;
        assert_eq!(imds.instance_id().await.unwrap().as_str(), "i-0abc");
        let identity = imds.identity().await;
        assert_eq!((identity.document.as_str(), identity.signature.as_str()), ("{ \"a\" : 1 }", "Qk1=\nx"));
        assert!(!format!("{identity:?}").contains("Qk1"));
    }

    #[tokio::test]
    async fn a_location_is_what_there_is_of_it() {
        let router = Router::new()
            .route("/latest/meta-data/placement/availability-zone", get(|| async { "us-east-1a" }))
            .route("/latest/meta-data/mac", get(|| async { "0e:01" }))
            .route("/latest/meta-data/network/interfaces/macs/0e:01/vpc-id", get(|| async { "vpc-1" }));
        let expected = Location { zone: Some("us-east-1a".into()), zone_id: None, vpc: Some("vpc-1".into()) };
        assert_eq!(imds(router).await.location().await, expected);
        assert_eq!(imds(Router::new()).await.location().await, Location::default());
    }

    #[tokio::test]
    async fn without_an_identity_registration_goes_on_and_says_so_once() {
        let imds = imds(Router::new()).await;
        assert_eq!(imds.identity().await, Identity::default());
        assert!(imds.told.lock().unwrap().contains("identity document"));
        assert_eq!(imds.identity().await, Identity::default());
        assert_eq!(imds.told.lock().unwrap().len(), 1);
        assert_eq!(imds.outpost_arn().await, None);
    }

    #[tokio::test]
    async fn an_outpost_is_named() {
        let router = Router::new().route("/latest/meta-data/outpost-arn", get(|| async { "arn:aws:outposts:op-1\n" }));
        assert_eq!(imds(router).await.outpost_arn().await.as_deref(), Some("arn:aws:outposts:op-1"));
    }

    #[tokio::test]
    async fn an_absent_service_says_what_to_set() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let text = at(&endpoint).instance_id().await.unwrap_err().to_string();
        assert!(text.contains("instance id") && text.contains("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "{text}");
        let missing = imds(Router::new()).await.instance_id().await.unwrap_err().to_string();
        assert!(missing.contains("HTTP 404") && !missing.contains("t0ken"), "{missing}");
    }
}
