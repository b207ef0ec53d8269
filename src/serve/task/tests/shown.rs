//! What a container and its task are shown with: tags, limits, GPUs, health and restarts.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use node_core::{ContainerState, HealthStatus, Mebibytes, RestartPolicy};

use super::*;

const INSTANCE: &str = "arn:ci";

/// An ECS that knows the tags of these resources, and denies all others.
async fn ecs(tags: Vec<(&'static str, Value)>) -> aws_sdk_ecs::Client {
    async fn answer(State(tags): State<Vec<(&'static str, Value)>>, body: Bytes) -> Response {
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let found = tags.iter().find(|(arn, _)| asked["resourceArn"] == *arn);
        match found {
            Some((_, tags)) => Json(json!({ "tags": tags })).into_response(),
            None => {
                let denied = json!({"__type": "AccessDeniedException", "message": "not you"});
                (StatusCode::BAD_REQUEST, [("x-amzn-requestid", "r-1")], Json(denied)).into_response()
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer)).with_state(tags);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let keys = aws_credential_types::Credentials::new("AKIDTEST", "s3cret", None, None, "test");
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(aws_sdk_ecs::config::BehaviorVersion::v2026_01_12())
        .region(aws_sdk_ecs::config::Region::new("us-east-1"))
        .credentials_provider(keys)
        .endpoint_url(url)
        .http_client(crate::aws::http_client())
        .build();
    aws_sdk_ecs::Client::from_conf(config)
}

fn path(rest: &str) -> String {
    format!("{}{rest}", EndpointId::derive(&KEY, &TaskArn::new(TASK), &ContainerName::new("default")))
}

#[tokio::test]
async fn tags_of_the_task_and_of_its_host_come_on_request() {
    let tags = |pairs: &[(&str, &str)]| -> Value {
        pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
    };
    let ecs = ecs(vec![(TASK, tags(&[("job", "7"), ("empty", "")])), (INSTANCE, tags(&[("team", "red")]))]).await;
    let world = world_of(ROOMY, spec(), Some(ecs)).await;
    for version in ["v3", "v4"] {
        let task = world.json(&format!("/{version}/{}", path("/taskWithTags"))).await;
        assert_eq!(task["TaskTags"], json!({"job": "7", "empty": ""}), "{task}");
        assert_eq!(task["ContainerInstanceTags"], json!({"team": "red"}), "{task}");
        assert!(task.get("Errors").is_none() && task["TaskARN"] == TASK, "{task}");
    }
    let plain = world.json(&format!("/v4/{}", path("/task"))).await;
    assert!(plain.get("TaskTags").is_none() && plain.get("ContainerInstanceTags").is_none(), "{plain}");
}

#[tokio::test]
async fn tags_that_cannot_be_had_are_an_entry_of_errors() {
    let ecs = ecs(vec![(TASK, json!([]))]).await;
    let world = world_of(ROOMY, spec(), Some(ecs)).await;
    let task = world.json(&format!("/v4/{}", path("/taskWithTags"))).await;
    let error = json!([{"ErrorField": "ContainerInstanceTags", "ErrorCode": "AccessDeniedException",
        "ErrorMessage": "not you", "StatusCode": 400, "RequestId": "r-1", "ResourceARN": INSTANCE}]);
    assert_eq!(task["Errors"], error, "{task}");
    assert!(task.get("TaskTags").is_none() && task.get("ContainerInstanceTags").is_none(), "{task}");
}

#[tokio::test]
async fn a_task_has_its_limits_and_a_container_its_gpus() {
    let mut spec = spec();
    spec.memory = Some(Mebibytes(512));
    spec.containers[0].gpus = vec!["GPU-a".into(), "GPU-b".into()];
    let mut side = spec.containers[0].clone();
    (side.name, side.gpus) = (ContainerName::new("side"), vec!["GPU-c".into()]);
    spec.containers.push(side);
    let world = world_of(ROOMY, spec, None).await;
    for version in ["v3", "v4"] {
        let of = |rest: &str| format!("/{version}/{}", path(rest));
        assert_eq!(world.json(&of("/task")).await["Limits"], json!({"Memory": 512}));
        assert_eq!(world.json(&of("/associations/gpu")).await, json!({"Associations": ["GPU-a", "GPU-b"]}));
        assert_eq!(world.json(&of("/associations/elastic-inference")).await, json!({"Associations": null}));
        for gpu in ["GPU-a", "GPU-c"] {
            let (status, _, said) = world.get(&of(&format!("/associations/gpu/{gpu}"))).await;
            assert_eq!((status, said.as_str()), (200, ""), "{gpu}");
        }
        assert_eq!(world.get(&of("/associations/gpu/GPU-d")).await.0, 400);
    }
}

/// The container as `version` shows it, after `change`.
fn shown(version: shape::Version, change: impl FnOnce(&mut TaskSpec, &mut ContainerState)) -> Value {
    let node = node(spec());
    let mut record = node.task_records()[0].clone();
    let mut state = record.containers[0].clone();
    change(&mut record.spec, &mut state);
    let answer = shape::container(&record, &record.spec.containers[0], &state, None, version);
    serde_json::to_value(answer).unwrap()
}

#[test]
fn a_container_is_shown_with_its_log_and_its_name_in_ecs() {
    let shown = shown(shape::Version::V4, |_, _| {});
    assert_eq!(shown["LogDriver"], "awslogs");
    assert_eq!(shown["LogOptions"], json!({"awslogs-group": "g"}));
    assert_eq!(shown["ContainerARN"], "arn:container");
    assert_eq!(shown["Limits"], json!({"CPU": 512, "Memory": 64}));
    assert_eq!((&shown["DesiredStatus"], &shown["Type"]), (&json!("RUNNING"), &json!("NORMAL")));
    assert!(shown.get("Health").is_none() && shown.get("RestartCount").is_none(), "{shown}");
}

#[test]
fn health_is_what_ecs_is_told_and_restarts_are_counted_in_version_4() {
    let change = |spec: &mut TaskSpec, state: &mut ContainerState| {
        spec.containers[0].health_check = true;
        spec.containers[0].restart_policy = Some(RestartPolicy::default());
        state.health.status = HealthStatus::Unhealthy;
        state.health.since = Some(Timestamp(1_760_000_000_500));
        state.health.exit_code = Some(node_core::ExitCode(7));
        state.health.output = "no answer".into();
        state.restarts.count = 2;
    };
    let v4 = shown(shape::Version::V4, change);
    let health =
        json!({"status": "UNHEALTHY", "statusSince": "2025-10-09T08:53:20.5Z", "exitCode": 7, "output": "no answer"});
    assert_eq!((&v4["Health"], &v4["RestartCount"]), (&health, &json!(2)));
    let v3 = shown(shape::Version::V3, change);
    assert!(v3["Health"] == health && v3.get("RestartCount").is_none(), "{v3}");
    let unknown = shown(shape::Version::V4, |spec, _| spec.containers[0].health_check = true);
    assert_eq!(unknown["Health"], json!({"status": "UNKNOWN"}));
}
