//! Private images: ECR with the instance's and with the execution role, and logins in Secrets Manager, against a registry that
//! wants a login. Where ECR says its registry is, is the registry on the loopback, so no name need be resolved.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::common::agent::{Agent, Setup};
use crate::common::ecs::FakeEcs;
use crate::common::registry::{PASSWORD, Registry, SCRIPT, USER, base64};
use crate::common::text;

/// What the agent's own environment says, in place of an instance role.
const HOST_KEY: &str = "AKIDTEST";
const ROLE_KEY: &str = "ASIAEXECUTION";

/// ECR and Secrets Manager, which hand out what a test says.
struct Aws {
    endpoint: String,
    shared: Arc<Mutex<Shared>>,
    _runtime: Runtime,
}

struct Shared {
    registry: String,
    login: String,
    lasts: Duration,
    secret: String,
    refuses: bool,
    /// Operation, and the access key that signed it.
    calls: Vec<(String, String)>,
}

impl Aws {
    fn start(registry: &Registry) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            registry: registry.host(),
            login: format!("{USER}:{PASSWORD}"),
            lasts: Duration::from_secs(12 * 3600),
            secret: json!({"username": USER, "password": PASSWORD}).to_string(),
            refuses: false,
            calls: Vec::new(),
        }));
        let answering = Arc::clone(&shared);
        let answer = async move |headers: HeaderMap, body: String| answering.lock().unwrap().answer(&headers, &body);
        let router = Router::new().route("/", post(answer));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, shared, _runtime: runtime }
    }

    fn setup(&self, ecs: &FakeEcs) -> Setup {
        let setup = ecs.setup().set("image_pull_behavior", "\"always\"");
        let setup = setup.env("AWS_ENDPOINT_URL_ECR", &self.endpoint);
        setup.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.endpoint)
    }

    fn set(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.shared.lock().unwrap());
    }

    fn calls(&self) -> Vec<(String, String)> {
        self.shared.lock().unwrap().calls.clone()
    }
}

impl Shared {
    fn answer(&mut self, headers: &HeaderMap, body: &str) -> (StatusCode, Json<Value>) {
        let header = |name: &str| headers[name].to_str().unwrap();
        let operation = header("x-amz-target").rsplit('.').next().unwrap().to_owned();
        let (_, signer) = header("authorization").split_once("Credential=").unwrap();
        self.calls.push((operation.clone(), signer.split('/').next().unwrap().to_owned()));
        if self.refuses {
            let error =
                json!({"__type": "AccessDeniedException", "message": "User: x is not authorized to perform: ecr:y"});
            return (StatusCode::BAD_REQUEST, Json(error));
        }
        let body: Value = serde_json::from_str(body).unwrap();
        let answer = match operation.as_str() {
            "GetAuthorizationToken" => {
                assert_eq!(body["registryIds"], json!(["111122223333"]));
                let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + self.lasts;
                json!({"authorizationData": [{"authorizationToken": base64(&self.login), "expiresAt": ends.as_secs(),
                    "proxyEndpoint": format!("https://{}", self.registry)}]})
            }
            _ => {
                assert_eq!(body["SecretId"], "arn:secret");
                json!({"SecretString": self.secret})
            }
        };
        (StatusCode::OK, Json(answer))
    }
}

fn ecr(region: &str, with_role: bool) -> Value {
    let data = json!({"registryId": "111122223333", "region": region, "useExecutionRole": with_role});
    json!({"type": "ecr", "ecrAuthData": data})
}

fn stored() -> Value {
    json!({"type": "asm", "asmAuthData": {"credentialsParameter": "arn:secret", "region": "us-east-1"}})
}

/// The end of a task that is to be pulled so; it has an execution role whether it needs it or not.
fn run(ecs: &FakeEcs, id: &str, image: &str, auth: &Value) -> Value {
    let mut task = ecs.task(id, SCRIPT);
    task["containers"][0]["image"] = image.into();
    task["containers"][0]["registryAuthentication"] = auth.clone();
    let role = json!({"credentialsId": format!("c-{id}"), "roleArn": "arn:aws:iam::1:role/exec", "accessKeyId": ROLE_KEY,
        "secretAccessKey": "role-s3cret", "sessionToken": "role-t0ken", "expiration": "2099-01-01T00:00:00Z",
        "roleType": "TaskExecution"});
    task["executionRoleCredentials"] = role;
    ecs.payload(id, &[task]);
    ecs.stopped(id)["containers"][0].clone()
}

fn reason(end: &Value) -> &str {
    assert_eq!(end["exitCode"], Value::Null, "{end}");
    text(&end["reason"])
}

fn call(operation: &str, key: &str) -> (String, String) {
    (operation.to_owned(), key.to_owned())
}

#[test]
fn ecr_is_asked_by_the_role_that_the_job_names_and_once_while_its_login_lasts() {
    let registry = Registry::with_login();
    registry.push("app:1", 11);
    let (ecs, aws, image) = (FakeEcs::start(), Aws::start(&registry), registry.image("app:1"));
    let agent = Agent::start(aws.setup(&ecs));
    agent.joined();
    for id in ["host-1", "host-2"] {
        assert_eq!(run(&ecs, id, &image, &ecr("us-east-1", false))["exitCode"], 11);
        assert!(ecs.digest(id).is_some_and(|digest| digest.starts_with("sha256:")));
    }
    assert_eq!(aws.calls(), [call("GetAuthorizationToken", HOST_KEY)], "the second job shares the first one's login");
    assert_eq!(run(&ecs, "role", &image, &ecr("us-east-1", true))["exitCode"], 11);
    assert_eq!(aws.calls()[1..], [call("GetAuthorizationToken", ROLE_KEY)]);

    // A login that ends within half an hour is not kept.
    aws.set(|shared| shared.lasts = Duration::from_secs(25 * 60));
    for id in ["short-1", "short-2"] {
        assert_eq!(run(&ecs, id, &image, &ecr("eu-west-1", false))["exitCode"], 11);
    }
    assert_eq!(aws.calls().len(), 4);
    for secret in [PASSWORD, "role-s3cret", "role-t0ken", base64(&format!("{USER}:{PASSWORD}")).as_str()] {
        assert!(!agent.log().contains(secret), "a secret in the log");
    }
}

#[test]
fn a_login_that_is_refused_ends_the_job_with_the_reason() {
    let registry = Registry::with_login();
    registry.push("app:1", 11);
    let (ecs, aws, image) = (FakeEcs::start(), Aws::start(&registry), registry.image("app:1"));
    let agent = Agent::start(aws.setup(&ecs));
    agent.joined();
    let unauthorized =
        "CannotPullImageManifestError: Error response from daemon: unauthorized: authentication required";
    aws.set(|shared| shared.login = format!("{USER}:wr0ng"));
    assert_eq!(reason(&run(&ecs, "ecr-wrong", &image, &ecr("us-east-1", false))), unauthorized);
    aws.set(|shared| shared.secret = json!({"username": USER, "password": "wr0ng"}).to_string());
    assert_eq!(reason(&run(&ecs, "asm-wrong", &image, &stored())), unauthorized);
    aws.set(|shared| shared.secret = PASSWORD.to_owned());
    let expected = "CannotPullContainerAuthError: the secret arn:secret is not JSON with a username and a password";
    assert_eq!(reason(&run(&ecs, "asm-text", &image, &stored())), expected);
    aws.set(|shared| shared.refuses = true);
    let expected = "CannotPullECRContainerError: AccessDeniedException: User: x is not authorized to perform: ecr:y";
    assert_eq!(reason(&run(&ecs, "ecr-denied", &image, &ecr("eu-west-1", false))), expected);
    let expected = "CannotPullContainerAuthError: AccessDeniedException: User: x is not authorized to perform: ecr:y";
    assert_eq!(reason(&run(&ecs, "asm-denied", &image, &stored())), expected);
    assert!(!agent.log().contains("wr0ng") && !agent.log().contains(PASSWORD), "a secret in the log");
}

#[test]
fn a_login_in_secrets_manager_is_fetched_with_the_execution_role() {
    let registry = Registry::with_login();
    registry.push("app:1", 11);
    let (ecs, aws, image) = (FakeEcs::start(), Aws::start(&registry), registry.image("app:1"));
    let agent = Agent::start(aws.setup(&ecs));
    agent.joined();
    assert_eq!(run(&ecs, "stored", &image, &stored())["exitCode"], 11);
    assert_eq!(aws.calls(), [call("GetSecretValue", ROLE_KEY)]);
    assert!(!agent.log().contains(PASSWORD), "a secret in the log");
}

#[test]
fn the_hosts_own_login_serves_jobs_that_name_none() {
    let registry = Registry::with_login();
    registry.push("app:1", 11);
    let (ecs, image) = (FakeEcs::start(), registry.image("app:1"));
    let auth = json!({registry.host(): {"username": USER, "password": PASSWORD}}).to_string();
    let setup = ecs.setup().set("image_pull_behavior", "\"always\"");
    let agent = Agent::start(setup.env("ECS_ENGINE_AUTH_TYPE", "docker").env("ECS_ENGINE_AUTH_DATA", &auth));
    agent.joined();
    assert_eq!(run(&ecs, "host", &image, &Value::Null)["exitCode"], 11);
    assert!(!agent.log().contains(PASSWORD), "a secret in the log");
}
