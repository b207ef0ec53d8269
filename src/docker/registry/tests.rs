use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use node_core::{AsmAuth, EcrAuth, RoleKind, TaskArn};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::serve::credentials::{Delivered, Owner};

const REGISTRY: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
const IMAGE: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com/app:1";

/// An ECR that hands out logins for `me`, good for `lasts`, and remembers who asked for what.
#[derive(Clone)]
struct Ecr {
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    sdk: SdkConfig,
}

impl Ecr {
    async fn new(status: StatusCode, lasts: Duration) -> Self {
        let calls = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let seen = Arc::clone(&calls);
        let answer = move |headers: HeaderMap, body: String| async move {
            let target = headers["x-amz-target"].to_str().unwrap();
            assert_eq!(target, "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
            let authorization = headers["authorization"].to_str().unwrap();
            let who = authorization.split_once("Credential=").unwrap().1.split(',').next().unwrap().to_owned();
            seen.lock().unwrap().push((who, serde_json::from_str(&body).unwrap()));
            if status != StatusCode::OK {
                return (status, json!({"__type": "AccessDeniedException", "message": "no"}).to_string());
            }
            let ends = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + lasts;
            // me:s3cret
            let data = json!({"authorizationToken": "bWU6czNjcmV0", "expiresAt": ends.as_secs(),
                "proxyEndpoint": format!("https://{REGISTRY}")});
            (status, json!({"authorizationData": [data]}).to_string())
        };
        Self { calls, sdk: sdk(Router::new().route("/", post(answer))).await }
    }

    /// The access key and the region of each call.
    fn who(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let short = |who: &str| {
            let parts: Vec<_> = who.split('/').collect();
            format!("{} {}", parts[0], parts[2])
        };
        calls.iter().map(|(who, _)| short(who)).collect()
    }
}

/// As this host reaches an AWS that is `router`.
async fn sdk(router: Router) -> SdkConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let host = Credentials::new("AKIDHOST", "s3cret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(host))
        .endpoint_url(url)
        .http_client(crate::aws::http_client())
        .build()
}

fn ecr(region: &str, use_execution_role: bool) -> RegistryAuth {
    RegistryAuth::Ecr(EcrAuth {
        registry_id: "111122223333".into(),
        region: region.into(),
        endpoint_override: None,
        use_execution_role,
    })
}

/// A host with no logins of its own and the credentials of one execution role.
fn registries(id: &CredentialsId) -> Registries {
    let wire = ecs_wire::task::Credentials {
        credentials_id: id.as_str().to_owned(),
        role_arn: "arn:aws:iam::1:role/exec".into(),
        access_key_id: "ASIAEXEC".into(),
        ..ecs_wire::task::Credentials::default()
    };
    let owner = Owner { task: TaskArn::new("arn:t"), role: RoleKind::Execution };
    let roles = CredentialStore::default();
    roles.put(Delivered { id: id.clone(), owner, material: wire.into() });
    Registries::new(HostRegistries::default(), roles)
}

#[tokio::test]
async fn a_login_is_asked_for_once_for_each_role_and_region() {
    let server = Ecr::new(StatusCode::OK, Duration::from_secs(12 * 3600)).await;
    let id = CredentialsId::new("c-9");
    let registries = registries(&id);
    for (region, with_role) in [("us-east-1", false), ("us-east-1", true), ("us-east-1", false), ("eu-west-1", false)] {
        let auth = ecr(region, with_role);
        let login = registries.login(IMAGE, Some(&auth), Some(&id), &server.sdk).await.unwrap().unwrap();
        assert_eq!((login.username.as_deref(), login.password.as_deref()), (Some("me"), Some("s3cret")));
    }
    assert_eq!(server.who(), ["AKIDHOST us-east-1", "ASIAEXEC us-east-1", "AKIDHOST eu-west-1"]);
    let (_, body) = server.calls.lock().unwrap()[0].clone();
    assert_eq!(body, json!({"registryIds": ["111122223333"]}));
    assert!(!format!("{registries:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_login_that_is_about_to_end_is_asked_for_again() {
    let server = Ecr::new(StatusCode::OK, Duration::from_secs(25 * 60)).await;
    let registries = registries(&CredentialsId::new("c-9"));
    for _ in 0..2 {
        registries.login(IMAGE, Some(&ecr("us-east-1", false)), None, &server.sdk).await.unwrap();
    }
    assert_eq!(server.who().len(), 2);
}

#[tokio::test]
async fn what_ecr_refuses_is_named_and_what_is_missing_too() {
    let server = Ecr::new(StatusCode::BAD_REQUEST, Duration::ZERO).await;
    let registries = registries(&CredentialsId::new("c-9"));
    let failure = registries.login(IMAGE, Some(&ecr("us-east-1", false)), None, &server.sdk).await.unwrap_err();
    let OpFailure::Refused { name, text } = failure else { panic!("{failure:?}") };
    assert_eq!(name, "CannotPullECRContainerError");
    assert!(text.starts_with("AccessDeniedException: no"), "{text}");

    let missing = registries.login(IMAGE, Some(&ecr("us-east-1", true)), None, &server.sdk).await;
    assert_eq!(missing, Err(refused("CannotPullECRContainerError", "engine ecr credentials: not found".into())));

    let (id, roles) = (CredentialsId::new("c-1"), CredentialStore::default());
    roles.expect(&id, Owner { task: TaskArn::new("arn:t"), role: RoleKind::Execution });
    let restarted = Registries::new(HostRegistries::default(), roles);
    let pending = restarted.login(IMAGE, Some(&ecr("us-east-1", true)), Some(&id), &server.sdk).await;
    assert!(matches!(pending, Err(OpFailure::Unreachable(_))), "{pending:?}");
}

#[tokio::test]
async fn the_login_goes_to_no_registry_but_ecrs_own() {
    let server = Ecr::new(StatusCode::OK, Duration::from_secs(12 * 3600)).await;
    let registries = registries(&CredentialsId::new("c-9"));
    for image in ["busybox", "evil.example.com/app:1", &format!("{REGISTRY}.evil.example.com/app")] {
        let outcome = registries.login(image, Some(&ecr("us-east-1", false)), None, &server.sdk).await;
        let Err(OpFailure::Refused { name, .. }) = outcome else { panic!("{image}: {outcome:?}") };
        assert_eq!(name, "CannotPullECRContainerError");
    }
}

/// The login that Secrets Manager's answer makes.
async fn stored(status: StatusCode, answer: Value) -> Result<Option<DockerCredentials>, OpFailure> {
    let answer = move |headers: HeaderMap, body: String| async move {
        assert_eq!(headers["x-amz-target"], "secretsmanager.GetSecretValue");
        assert!(headers["authorization"].to_str().unwrap().contains("Credential=ASIAEXEC/"));
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"SecretId": "arn:s"}));
        (status, answer.to_string())
    };
    let sdk = sdk(Router::new().route("/", post(answer))).await;
    let id = CredentialsId::new("c-9");
    let auth = RegistryAuth::Asm(AsmAuth { credentials_parameter: "arn:s".into(), region: "eu-west-1".into() });
    registries(&id).login("r.example.com/app", Some(&auth), Some(&id), &sdk).await
}

#[tokio::test]
async fn a_stored_login_is_fetched_with_the_execution_role_and_quoted_nowhere() {
    let good = json!({"SecretString": r#"{"username":"me","password":"hunter2"}"#});
    let login = stored(StatusCode::OK, good).await.unwrap().unwrap();
    assert_eq!((login.username.as_deref(), login.password.as_deref()), (Some("me"), Some("hunter2")));
    let denied = json!({"__type": "AccessDeniedException", "Message": "no"});
    for (status, answer, word) in [
        (StatusCode::OK, json!({"SecretString": "hunter2"}), "is not JSON with a username and a password"),
        (StatusCode::OK, json!({"SecretString": r#"{"username":"hunter2"}"#}), "is not JSON with"),
        (StatusCode::BAD_REQUEST, denied, "AccessDeniedException"),
    ] {
        let Err(OpFailure::Refused { name, text }) = stored(status, answer).await else { panic!("{word}") };
        assert_eq!(name, "CannotPullContainerAuthError");
        assert!(text.contains(word) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn names_are_completed_as_docker_does() {
    for (image, full) in [
        ("busybox:1", "docker.io/library/busybox:1"),
        ("me/app", "docker.io/me/app"),
        ("localhost/app", "localhost/app"),
        ("r:5000/app", "r:5000/app"),
    ] {
        assert_eq!(full_name(image), full);
    }
}
