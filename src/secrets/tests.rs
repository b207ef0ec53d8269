use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use ecs_wire::task::{Credentials as WireCredentials, Secret};
use node_core::{RoleKind, TaskArn};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::serve::credentials::{Delivered, Owner};

const DB: &str = "arn:aws:secretsmanager:us-east-1:1:secret:db-AbCdEf";

/// Who asked (access key, region), for what (operation), with which body.
type Calls = Arc<Mutex<Vec<(String, String, Value)>>>;

/// An AWS with parameter `/p<n>` = `value <n>`, and the secret `db` with a password. Operations fail as `failing` says.
struct World {
    calls: Calls,
    sdk: SdkConfig,
    roles: CredentialStore,
}

async fn aws(failing: Option<&'static str>) -> World {
    let calls = Calls::default();
    let seen = Arc::clone(&calls);
    let answer = move |headers: HeaderMap, body: String| async move {
        let authorization = headers["authorization"].to_str().unwrap();
        let scope = authorization.split_once("Credential=").unwrap().1.split(',').next().unwrap();
        let scope: Vec<&str> = scope.split('/').collect();
        let operation = headers["x-amz-target"].to_str().unwrap().to_owned();
        let body: Value = serde_json::from_str(&body).unwrap();
        seen.lock().unwrap().push((format!("{} {}", scope[0], scope[2]), operation.clone(), body.clone()));
        if let Some(code) = failing {
            return (StatusCode::BAD_REQUEST, json!({"__type": code, "message": "no"}).to_string());
        }
        let answer = if operation == "AmazonSSM.GetParameters" { parameters(&body) } else { secret(&body) };
        (StatusCode::OK, answer.to_string())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let host = Credentials::new("AKIDHOST", "s3cret", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(host))
        .endpoint_url(url)
        .http_client(crate::aws::http_client())
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .build();
    let roles = CredentialStore::default();
    let wire = WireCredentials {
        credentials_id: "c-2".into(),
        access_key_id: "ASIAROLE".into(),
        secret_access_key: Secret("s3cret".into()),
        session_token: Secret("t0ken".into()),
        ..WireCredentials::default()
    };
    let owner = Owner { task: TaskArn::new("arn:t"), role: RoleKind::Execution };
    roles.put(Delivered { id: CredentialsId::new("c-2"), owner, material: wire.into() });
    World { calls, sdk, roles }
}

fn parameters(body: &Value) -> Value {
    assert_eq!(body["WithDecryption"], true);
    let names: Vec<&str> = body["Names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let (good, bad): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| name.contains("/p"));
    let shown = |asked: &str| {
        let (name, selector) = asked.split_once(':').unwrap_or((asked, ""));
        let selector = if selector.is_empty() { String::new() } else { format!(":{selector}") };
        json!({"Name": name, "Selector": selector, "Value": asked.replace("/p", "value ")})
    };
    let good: Vec<Value> = good.into_iter().map(shown).collect();
    json!({"Parameters": good, "InvalidParameters": bad})
}

fn secret(body: &Value) -> Value {
    let stage = body["VersionStage"].as_str().unwrap_or("AWSCURRENT");
    json!({"ARN": body["SecretId"], "Name": "db", "SecretString": format!(r#"{{"password": "hunter2 {stage}"}}"#)})
}

fn ssm(name: &str, from: &str) -> SecretRef {
    SecretRef {
        name: name.into(),
        value_from: from.into(),
        region: "us-east-1".into(),
        provider: SecretProvider::Ssm,
        target: SecretTarget::Environment,
    }
}

fn asm(name: &str, from: &str) -> SecretRef {
    SecretRef { provider: SecretProvider::Asm, ..ssm(name, from) }
}

fn container(secrets: Vec<SecretRef>) -> ContainerSpec {
    let spec = json!({"name": "default", "image": "busybox", "essential": true, "command": [],
        "environment": {"TOKEN": "plain"}, "cpu_shares": 2, "binds": [], "ports": [], "depends_on": [],
        "docker_host_config": r#"{"LogConfig":{"Type":"splunk","Config":{"splunk-url":"u"}}}"#});
    ContainerSpec { secrets, ..serde_json::from_value(spec).unwrap() }
}

impl World {
    async fn give(&self, container: &mut ContainerSpec, role: Option<&str>) -> Result<Given, OpFailure> {
        let role = role.map(CredentialsId::new);
        give(container, role.as_ref(), &self.roles, Some(&self.sdk)).await
    }

    /// The task's reason.
    async fn reason(&self, secrets: Vec<SecretRef>, role: Option<&str>) -> String {
        match self.give(&mut container(secrets), role).await.err() {
            Some(OpFailure::Refused { name: RESOURCE_ERROR, text }) => text,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn secrets_reach_the_environment_and_the_log_driver_with_the_execution_role() {
    let world = aws(None).await;
    let log =
        SecretRef { target: SecretTarget::LogDriver, ..asm("splunk-token", &format!("{DB}:password:AWSPREVIOUS:")) };
    let mut container = container(vec![ssm("TOKEN", "/p1:3"), asm("DB", DB), log]);
    let given = world.give(&mut container, Some("c-2")).await.unwrap();
    assert_eq!(container.environment["TOKEN"], "value 1:3", "a secret wins over a variable");
    assert_eq!(container.environment["DB"], r#"{"password": "hunter2 AWSCURRENT"}"#);
    let host: Value = serde_json::from_str(&container.docker_host_config.unwrap()).unwrap();
    let options = json!({"splunk-url": "u", "splunk-token": "hunter2 AWSPREVIOUS"});
    assert_eq!(host["LogConfig"], json!({"Type": "splunk", "Config": options}));
    assert!(world.calls.lock().unwrap().iter().all(|(who, ..)| who == "ASIAROLE us-east-1"));
    let quoted = OpFailure::Refused { name: "X", text: "no such option: hunter2 AWSPREVIOUS".into() };
    assert_eq!(given.redact(quoted), OpFailure::Refused { name: "X", text: "no such option: <redacted>".into() });
}

#[tokio::test]
async fn parameters_are_asked_for_in_tens_each_once_and_in_their_region() {
    let world = aws(None).await;
    let mut secrets: Vec<SecretRef> = (0..12).map(|n| ssm(&format!("S{n}"), &format!("/p{n}"))).collect();
    secrets.push(ssm("AGAIN", "/p1"));
    secrets.push(SecretRef { region: "eu-west-1".into(), ..ssm("FAR", "/p1") });
    let mut container = container(secrets);
    world.give(&mut container, Some("c-2")).await.unwrap();
    assert_eq!((&*container.environment["S11"], &*container.environment["FAR"]), ("value 11", "value 1"));
    let calls = world.calls.lock().unwrap();
    let mut sizes: Vec<_> =
        calls.iter().map(|(who, _, body)| (who.as_str(), body["Names"].as_array().unwrap().len())).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [("ASIAROLE eu-west-1", 1), ("ASIAROLE us-east-1", 2), ("ASIAROLE us-east-1", 10)]);
}

#[tokio::test]
async fn what_is_not_to_be_had_is_the_tasks_reason_in_amazons_words() {
    let world = aws(None).await;
    let reason = world.reason(vec![ssm("A", "/x"), ssm("B", "/y")], Some("c-2")).await;
    assert_eq!(reason, "Fetching secret data from SSM Parameter Store in us-east-1: invalid parameters: /x,/y");
    let reason = world.reason(vec![ssm("A", "/p1")], None).await;
    assert_eq!(reason, "Ssm secret resource: unable to find execution role credentials");
    let reason = world.reason(vec![asm("A", DB)], Some("gone")).await;
    assert_eq!(reason, "ASM secret resource: unable to find execution role credentials");
    let reason = world.reason(vec![asm("A", &format!("{DB}:user::"))], Some("c-2")).await;
    assert_eq!(reason, "Retrieved secret from Secrets Manager did not contain json key user");
    let missing = aws(Some("ResourceNotFoundException")).await;
    let reason = missing.reason(vec![asm("A", DB)], Some("c-2")).await;
    assert!(
        reason.starts_with(&format!("ResourceInitializationError: The task can't retrieve the secret with ARN '{DB}'")),
        "{reason}"
    );
    let denied = aws(Some("AccessDeniedException")).await;
    let reason = denied.reason(vec![asm("A", DB)], Some("c-2")).await;
    let start = "Fetching secret data from AWS Secrets Manager in region us-east-1: secret arn:";
    assert!(reason.starts_with(start) && reason.contains("AccessDeniedException"), "{reason}");
}

#[tokio::test]
async fn throttling_and_credentials_on_their_way_are_waited_for() {
    let world = aws(Some("ThrottlingException")).await;
    for secret in [ssm("A", "/p1"), asm("A", DB)] {
        let failed = world.give(&mut container(vec![secret]), Some("c-2")).await.err();
        assert!(matches!(failed, Some(OpFailure::Unreachable(_))), "{failed:?}");
    }
    let owner = Owner { task: TaskArn::new("arn:t"), role: RoleKind::Execution };
    world.roles.expect(&CredentialsId::new("c-3"), owner);
    let failed = world.give(&mut container(vec![ssm("A", "/p1")]), Some("c-3")).await.err();
    assert!(matches!(failed, Some(OpFailure::Unreachable(_))), "{failed:?}");
}
