use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use node_core::{TaskArn, TaskStatus};
use serde_json::{Value, json};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::ecs::testing::{FakeEcs, ecs, ecs_as, error};
use crate::host::gpu::{Gpu, Gpus};
use crate::host::imds::Identity;

const CI: &str = "arn:aws:ecs:us-east-1:1:container-instance/c1/abc";

fn registration() -> Registration {
    Registration { capabilities: vec!["ecs.capability.full-sync".into()], ..Registration::default() }
}

/// An ECS that takes everything, and echoes the attributes that have a value.
fn willing(operation: &str) -> (u16, Value) {
    let attributes = json!([{"name": "ecs.os-type", "value": "linux"}, {"name": "ecs.os-family", "value": "LINUX"},
        {"name": "ecs.os-type-detailed", "value": "LINUX"}]);
    let instance = json!({"containerInstanceArn": CI, "attributes": attributes, "status": "ACTIVE",
        "runningTasksCount": 2, "pendingTasksCount": 1});
    let answer = match operation {
        "RegisterContainerInstance" => json!({"containerInstance": instance}),
        "DescribeContainerInstances" => json!({"containerInstances": [instance], "failures": []}),
        "DiscoverPollEndpoint" => json!({"endpoint": "https://acs", "telemetryEndpoint": "https://tcs"}),
        _ => json!({}),
    };
    (200, answer)
}

#[tokio::test]
async fn a_registration_goes_out_whole_and_its_arn_serves_later_calls() {
    let (fake, ecs) = FakeEcs::start(willing).await;
    assert!(matches!(ecs.counts().await, Err(ApiFailure::Unavailable(_))));
    let arn = ecs.register(None, &registration()).await.unwrap();
    assert_eq!(arn.as_str(), CI);
    let asked = &fake.asked("RegisterContainerInstance")[0];
    assert_eq!(asked["cluster"], "c1");
    assert_eq!(asked["instanceIdentityDocument"], "");
    assert_eq!(asked["attributes"][0], json!({"name": "ecs.capability.full-sync"}));
    assert_eq!(asked["totalResources"][3]["stringSetValue"], json!([]));
    assert_eq!(asked.get("containerInstanceArn"), None);

    assert_eq!(ecs.counts().await, Ok(TaskCounts { running: 2, pending: 1 }));
    ecs.set_state(InstanceState::Draining).await.unwrap();
    let drained = &fake.asked("UpdateContainerInstancesState")[0];
    assert_eq!(*drained, json!({"cluster": "c1", "containerInstances": [CI], "status": "DRAINING"}));
    ecs.deregister().await.unwrap();
    assert_eq!(fake.asked("DeregisterContainerInstance")[0]["containerInstance"], CI);

    ecs.register(Some(&arn), &registration()).await.unwrap();
    assert_eq!(fake.asked("RegisterContainerInstance")[1]["containerInstanceArn"], CI);
}

#[tokio::test]
async fn a_registration_has_one_token_until_it_succeeds() {
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    let (fake, ecs) = FakeEcs::start(move |operation| match fails.load(Ordering::SeqCst) {
        true => (500, json!({})),
        false => willing(operation),
    })
    .await;
    let previous = ContainerInstanceArn::new(CI);
    ecs.register(Some(&previous), &registration()).await.unwrap_err();
    ecs.register(None, &registration()).await.unwrap_err();
    ecs.register(None, &registration()).await.unwrap_err();
    failing.store(false, Ordering::SeqCst);
    ecs.register(None, &registration()).await.unwrap();
    ecs.register(None, &registration()).await.unwrap();
    let asked = fake.asked("RegisterContainerInstance");
    let tokens: Vec<&str> = asked.iter().map(|body| body["clientToken"].as_str().unwrap()).collect();
    assert!(tokens.iter().all(|token| token.len() == 36), "{tokens:?}");
    assert_ne!(tokens[0], tokens[1], "another registration");
    assert!(tokens[1] == tokens[2] && tokens[2] == tokens[3], "{tokens:?}");
    assert_ne!(tokens[3], tokens[4], "that one had succeeded");
}

#[tokio::test]
async fn tags_and_gpus_go_along_where_there_are_some() {
    let (fake, ecs) = FakeEcs::start(willing).await;
    ecs.register(None, &registration()).await.unwrap();
    let gpu = Gpu { uuid: "GPU-a".into(), name: "L4".into(), memory_mib: None };
    let with = Registration {
        gpus: Gpus { devices: vec![gpu], ..Gpus::default() },
        tags: [("team".to_owned(), "red".to_owned())].into(),
        identity: Identity { document: "{ \"a\" : 1 }".into(), signature: "c2ln".into() },
        ..registration()
    };
    ecs.register(None, &with).await.unwrap();
    let asked = fake.asked("RegisterContainerInstance");
    assert_eq!((asked[0].get("platformDevices"), asked[0].get("tags")), (None, None));
    assert_eq!(asked[1]["platformDevices"], json!([{"id": "GPU-a", "type": "GPU"}]));
    assert_eq!(asked[1]["tags"], json!([{"key": "team", "value": "red"}]));
    assert_eq!(asked[1]["instanceIdentityDocument"], "{ \"a\" : 1 }");
    assert_eq!(asked[1]["instanceIdentityDocumentSignature"], "c2ln");
}

#[tokio::test]
async fn a_registration_that_loses_attributes_is_refused() {
    let answer = json!({"containerInstance": {"containerInstanceArn": CI}});
    let (_fake, ecs) = FakeEcs::start(move |_| (200, answer.clone())).await;
    let refused = ecs.register(None, &registration()).await;
    assert!(matches!(refused, Err(ApiFailure::Rejected(text)) if text.contains("ecs.os-type")));
}

#[tokio::test]
async fn the_poll_endpoint_is_asked_for_once() {
    let (fake, ecs) = FakeEcs::start(willing).await;
    let arn = ContainerInstanceArn::new(CI);
    for _ in 0..3 {
        assert_eq!(ecs.poll_endpoint(&arn).await.map(|urls| urls.acs).as_deref(), Ok("https://acs"));
    }
    assert_eq!(fake.asked("DiscoverPollEndpoint").len(), 1);
    ecs.poll_endpoint(&ContainerInstanceArn::new("arn:another")).await.unwrap();
    assert_eq!(fake.asked("DiscoverPollEndpoint").len(), 2);
}

fn change() -> StateChange {
    StateChange {
        task: TaskArn::new("arn:task/c1/1"),
        status: TaskStatus::Running,
        reason: String::new(),
        containers: vec![],
        pull_started_at: Some(node_core::Timestamp(1_760_000_001_512)),
        pull_stopped_at: None,
        execution_stopped_at: None,
    }
}

#[tokio::test]
async fn a_state_change_is_sent_once_whatever_comes_back() {
    let (fake, ecs) = FakeEcs::start(|_| (503, json!({}))).await;
    let failed = ecs.submit(&change()).await;
    assert!(matches!(&failed, Err(ApiFailure::Unavailable(text)) if text.contains("503")), "{failed:?}");
    let asked = fake.asked("SubmitTaskStateChange");
    let expected = json!({"cluster": "c1", "task": "arn:task/c1/1", "status": "RUNNING", "reason": "",
        "pullStartedAt": 1_760_000_001.512});
    assert_eq!(asked, [expected]);
}

#[tokio::test]
async fn failures_are_sorted_with_aws_own_words() {
    let answers = |operation: &str| match operation {
        "SubmitTaskStateChange" => error("InvalidParameterException", "bad status"),
        "RegisterContainerInstance" => error("ClusterNotFoundException", "Cluster not found."),
        _ => error("AccessDeniedException", "not you"),
    };
    let (_fake, ecs) = FakeEcs::start(answers).await;
    let rejected = ApiFailure::Rejected("InvalidParameterException: bad status".into());
    assert_eq!(ecs.submit(&change()).await, Err(rejected));
    let gone = ApiFailure::Gone("ClusterNotFoundException: Cluster not found.".into());
    assert_eq!(ecs.register(None, &registration()).await, Err(gone));
    let denied = ecs.poll_endpoint(&ContainerInstanceArn::new(CI)).await;
    assert!(matches!(denied, Err(ApiFailure::Denied(_))));
}

#[tokio::test]
async fn a_missing_instance_is_gone_though_the_call_succeeds() {
    let answers = |operation: &str| match operation {
        "RegisterContainerInstance" => willing(operation),
        _ => (200, json!({"failures": [{"arn": CI, "reason": "MISSING"}]})),
    };
    let (_fake, ecs) = FakeEcs::start(answers).await;
    ecs.register(None, &registration()).await.unwrap();
    assert!(matches!(ecs.counts().await, Err(ApiFailure::Gone(_))));
    assert!(matches!(ecs.set_state(InstanceState::Active).await, Err(ApiFailure::Gone(_))));
}

#[tokio::test]
async fn a_closed_port_is_unavailable_and_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failed = ecs(&url).submit(&change()).await;
    assert!(matches!(&failed, Err(ApiFailure::Unavailable(text)) if text.contains("refused")), "{failed:?}");
}

#[tokio::test]
async fn no_credentials_are_a_denial_that_someone_can_mend() {
    let none = provide_credentials_fn(|| async { Err(CredentialsError::not_loaded("no role on this instance")) });
    let ecs = ecs_as("http://127.0.0.1:9", SharedCredentialsProvider::new(none));
    let failed = ecs.submit(&change()).await;
    assert!(matches!(&failed, Err(ApiFailure::Denied(text)) if text.contains("no role")), "{failed:?}");
}
