use std::time::SystemTime;

use node_core::{
    ClusterRef, ContainerInstanceArn, CredentialsId, Event, Incoming, InstanceId, MessageId, Node, Payload,
    PayloadTask, Policy, PullBehavior, RoleKind, Roles, Saved, TaskArn, TaskSpec, Timestamp,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::serve::credentials::Owner;
use crate::serve::credentials::tests::delivered;

mod shown;

const KEY: node_core::EndpointKey = node_core::EndpointKey([7; 32]);
const TASK: &str = "arn:aws:ecs:us-east-1:1:task/c/t1";

struct World {
    address: std::net::SocketAddr,
    credentials: CredentialStore,
    audit: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

async fn world(rate: Rate) -> World {
    world_of(rate, spec(), None).await
}

/// A node with one task, as the core makes it, whose loop answers.
async fn world_of(rate: Rate, spec: TaskSpec, ecs: Option<aws_sdk_ecs::Client>) -> World {
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("audit.log");
    let credentials = CredentialStore::default();
    let (requests, mut asked) = mpsc::channel(8);
    let node = node(spec);
    tokio::spawn(async move {
        while let Some(AdminRequest::Tasks(subject, reply)) = asked.recv().await {
            let found = match &subject {
                Subject::Endpoint(endpoint) => node.at_endpoint(&KEY, endpoint),
                Subject::All => None,
            };
            let container = found.map(|(_, name)| name.clone());
            let tasks = match found {
                Some((record, _)) => vec![record.clone()],
                None if matches!(subject, Subject::All) => node.task_records().into_iter().cloned().collect(),
                None => Vec::new(),
            };
            let place = place();
            reply.send(View { place, tasks, container, deadline: Some(deadline()), ecs: ecs.clone() }).unwrap();
        }
    });
    let docker = Docker::new("unix:///nowhere/docker.sock").unwrap();
    let shared = Shared {
        requests,
        credentials: credentials.clone(),
        docker: docker.clone(),
        statistics: Statistics::new(docker),
        limiter: Arc::new(Limiter::new(rate)),
        audit: Audit::to(&audit),
        place: watch::Sender::new(place()).subscribe(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = containers(shared.clone()).merge(introspection(shared));
    tokio::spawn(serve(listener, router, CancellationToken::new()));
    World { address, credentials, audit, _dir: dir }
}

fn deadline() -> Deadline {
    Deadline { at: Timestamp(61_000), cause: node_core::Cause::Spot, text: "spot interruption".into(), kills: false }
}

fn place() -> Place {
    let location =
        Location { zone: Some("us-east-1a".into()), zone_id: Some("use1-az1".into()), vpc: Some("vpc-1".into()) };
    Place { cluster: Some("c1".into()), container_instance: Some("arn:ci".into()), location }
}

fn spec() -> TaskSpec {
    let host = json!({"LogConfig": {"Type": "awslogs", "Config": {"awslogs-group": "g"}}}).to_string();
    let container = json!({"name": "default", "image": "busybox", "essential": true, "command": [], "environment":
        {"TOKEN": "hunter2"}, "cpu_shares": 512, "memory": 64, "binds": [], "ports": [], "depends_on": [],
        "docker_host_config": host, "container_arn": "arn:container"});
    TaskSpec {
        arn: TaskArn::new(TASK),
        family: "f".into(),
        version: "3".into(),
        containers: vec![serde_json::from_value(container).unwrap()],
        roles: Roles::default(),
        memory: None,
    }
}

fn node(spec: TaskSpec) -> Node {
    let policy = Policy {
        pull_behavior: PullBehavior::Default,
        idle_timeout: None,
        cleanup_wait: Duration::from_secs(60),
        stop_timeout_secs: 30,
        docker_concurrency: 1,
        leaving: node_core::LeavingPolicy::alone(),
    };
    let mut node = Node::restore(policy, Saved::default(), 1, Timestamp(0));
    let identified = Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c1") };
    node.handle(identified, Timestamp(1));
    let task = PayloadTask { arn: TaskArn::new(TASK), work: Incoming::Run(spec), credentials: Vec::new() };
    let payload = Payload {
        message: MessageId::new("m"),
        cluster: ClusterRef::new("c1"),
        container_instance: ContainerInstanceArn::new("arn:ci"),
        seq_num: 1,
        tasks: vec![task],
        unaddressed: false,
    };
    node.handle(Event::Payload(payload), Timestamp(2));
    node
}

impl World {
    /// The status, the headers and the body of an answer.
    async fn get(&self, path: &str) -> (u16, String, String) {
        self.ask("GET", path, "").await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = "Host: x\r\nUser-Agent: sdk/1\r\nConnection: close";
        let request = format!("{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The audit log once it has so many lines.
    async fn audit(&self, lines: usize) -> Vec<String> {
        let deadline = SystemTime::now() + Duration::from_secs(10);
        loop {
            let text = std::fs::read_to_string(&self.audit).unwrap_or_default();
            if text.lines().count() >= lines {
                return text.lines().map(str::to_owned).collect();
            }
            assert!(SystemTime::now() < deadline, "{lines} lines in {text:?}");
            tokio::task::yield_now().await;
        }
    }
}

const ROOMY: Rate = Rate { steady: 40, burst: 60 };

#[tokio::test]
async fn credentials_have_the_exact_form() {
    let world = world(ROOMY).await;
    world.credentials.put(delivered("c-1", "s3cret"));
    let expected = concat!(
        r#"{"RoleArn":"arn:aws:iam::1:role/job","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"s3cret","#,
        r#""Token":"t0ken","Expiration":"2030-01-01T00:00:00Z"}"#
    );
    for path in ["/v2/credentials/c-1", "/v1/credentials?id=c-1"] {
        let (status, head, body) = world.get(path).await;
        assert_eq!((status, body.as_str()), (200, expected));
        assert!(head.contains("content-type: application/json"), "{head}");
    }
    let lines = world.audit(2).await;
    let line: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!(line[1], "200");
    let rest = [r#""/v2/credentials""#, r#""sdk/1""#, TASK, "GetCredentials", "2", "c1", "arn:ci"];
    assert_eq!(line[3..], rest);
    assert!(!lines.join("").contains("c-1") && !lines.join("").contains("s3cret"), "{lines:?}");
}

#[tokio::test]
async fn refusals_have_the_exact_form() {
    let world = world(ROOMY).await;
    let owner = Owner { task: TaskArn::new(TASK), role: RoleKind::Execution };
    world.credentials.expect(&CredentialsId::new("c-2"), owner);
    let body = |code: &str, text: &str, status: u16| {
        format!(r#"{{"code":"{code}","message":"{text}","HTTPErrorCode":{status}}}"#)
    };
    let unknown = body("InvalidIdInRequest", "CredentialsV2Request: Credentials not found", 400);
    assert_eq!(world.get("/v2/credentials/none").await.2, unknown);
    let pending = body("CredentialsUninitialized", "CredentialsV2Request: Credentials uninitialized for ID", 503);
    let (status, _, said) = world.get("/v2/credentials/c-2").await;
    assert_eq!((status, said), (503, pending));
    let nameless = body("NoIdInRequest", "CredentialsV2Request: No Credential ID in the request", 400);
    assert_eq!(world.get("/v2/credentials/").await.2, nameless);
    let v1 = body("NoIdInRequest", "CredentialsV1Request: No Credential ID in the request", 400);
    assert_eq!(world.get("/v1/credentials").await.2, v1);
    assert!(world.audit(4).await[1].contains("GetCredentialsExecutionRole"));
    let (status, head, _) = world.get("/v2//credentials/c-2").await;
    assert!(status == 301 && head.contains("location: /v2/credentials/c-2"), "{head}");
    assert_eq!(world.get("/v5/elsewhere").await.0, 404);
}

#[tokio::test]
async fn who_asks_too_often_is_told_so() {
    let world = world(Rate { steady: 1, burst: 2 }).await;
    for _ in 0..2 {
        assert_eq!(world.get("/v2/credentials/x").await.0, 400);
    }
    assert_eq!(world.get("/v2/credentials/x").await.0, 429);
    assert!(world.audit(3).await[2].contains(" 429 "));
    assert_eq!(world.get("/v2/credentials/y").await.0, 400, "another one may still ask");
}

#[tokio::test]
async fn a_container_finds_its_task() {
    let world = world(ROOMY).await;
    let endpoint = EndpointId::derive(&KEY, &TaskArn::new(TASK), &ContainerName::new("default"));
    let task = world.json(&format!("/v4/{endpoint}/task")).await;
    let shown = [&task["Cluster"], &task["TaskARN"], &task["Revision"], &task["KnownStatus"], &task["LaunchType"]];
    assert_eq!(shown, [&json!("c1"), &json!(TASK), &json!("3"), &json!("NONE"), &json!("EC2")]);
    assert_eq!(task["FaultInjectionEnabled"], false);
    let where_it_is = [&task["AvailabilityZone"], &task["AvailabilityZoneID"], &task["VPCID"]];
    assert_eq!(where_it_is, [&json!("us-east-1a"), &json!("use1-az1"), &json!("vpc-1")]);
    assert!(["ServiceName", "Limits"].iter().all(|key| task.get(key).is_none()), "{task}");
    let v3 = world.json(&format!("/v3/{endpoint}/task")).await;
    assert_eq!(v3["AvailabilityZone"], "us-east-1a");
    let less = ["LaunchType", "VPCID", "AvailabilityZoneID", "FaultInjectionEnabled"];
    assert!(less.iter().all(|key| v3.get(key).is_none()), "{v3}");
    // Docker has not made it yet.
    let (status, _, said) = world.get(&format!("/v4/{endpoint}")).await;
    let text = format!(
        "\"V4 container metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: {endpoint}\""
    );
    assert_eq!((status, said), (404, text));
    assert_eq!(world.get("/v4/nobody/task").await.0, 404);
    let all = world.json("/v1/tasks").await;
    assert_eq!(all["Tasks"][0]["Containers"][0]["Name"], "default");
    assert_eq!(world.json(&format!("/v1/tasks?taskarn={TASK}")).await["Arn"], TASK);
    assert_eq!(world.json("/v1/metadata").await["ContainerInstanceArn"], "arn:ci");
    assert!(!format!("{task}{all}").contains("hunter2"), "environments stay where they are");
    let empty = r#"{"Arn":"","Containers":null,"Family":"","KnownStatus":"","Version":""}"#;
    for (query, status) in [("taskarn=x", 404), ("dockerid=abc", 404), ("taskarn=x&dockerid=y", 400)] {
        let (said, _, body) = world.get(&format!("/v1/tasks?{query}")).await;
        assert_eq!((said, body.as_str()), (status, empty), "{query}");
    }
    assert!(world.get("/license").await.2.contains("License"));
}

#[tokio::test]
async fn what_a_batch_job_has_none_of_is_answered_as_amazon_answers() {
    let world = world(ROOMY).await;
    let endpoint = EndpointId::derive(&KEY, &TaskArn::new(TASK), &ContainerName::new("default"));
    let quoted = |text: &str| Value::from(text).to_string();
    let deadline = world.json(&format!("/v4/{endpoint}/interruption")).await["deadline"].take();
    assert_eq!((&deadline["at_ms"], &deadline["cause"]), (&json!(61_000), &json!("spot")));
    assert_eq!(world.get(&format!("/v3/{endpoint}/interruption")).await.0, 404);
    assert_eq!(world.get("/v4/nobody/interruption").await.0, 404);
    assert_eq!(world.json(&format!("/v4/{endpoint}/associations/gpu")).await, json!({"Associations": null}));
    let (status, _, said) = world.get(&format!("/v3/{endpoint}/associations/gpu/GPU-1")).await;
    let text = "Unable to write container association response: unable to get association from association type gpu and \
                association name GPU-1";
    assert_eq!((status, said), (400, quoted(text)));
    for (path, status, text) in [
        (
            "associations/gpu",
            400,
            "V4 container associations handler: unable to get container id from request: unable to get docker ID from v3 endpoint ID: no",
        ),
        (
            "associations/gpu/x",
            400,
            "V4 container associations handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: no",
        ),
        (
            "stats",
            404,
            "V4 container stats handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: no",
        ),
        (
            "task/stats",
            404,
            "V4 task stats handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: no",
        ),
    ] {
        let (said, _, body) = world.get(&format!("/v4/no/{path}")).await;
        assert_eq!((said, body), (status, quoted(text)), "{path}");
    }
    let protection = |id: &str| format!("/api/{id}/task-protection/v1/state");
    let (status, _, said) = world.get(&protection("no")).await;
    let unknown =
        json!({"error": {"Code": "ResourceNotFoundException", "Message": "Failed to find a task for the request"}});
    assert_eq!((status, serde_json::from_str::<Value>(&said).unwrap()), (404, unknown));
    let (status, _, said) = world.get(&protection(endpoint.as_str())).await;
    let message = "Invalid Request: no task IAM role credentials available for task";
    let denied = json!({"error": {"Arn": TASK, "Code": "AccessDeniedException", "Message": message}});
    assert_eq!((status, serde_json::from_str::<Value>(&said).unwrap()), (403, denied));
    let (status, _, said) = world.ask("PUT", &protection(endpoint.as_str()), r#"{"Wrong": 1}"#).await;
    assert!(status == 400 && said.contains("UpdateTaskProtection: failed to decode request"), "{said}");
    let fault = |id: &str| format!("/api/{id}/fault/v1/network-latency/start");
    let (status, _, said) = world.ask("POST", &fault(endpoint.as_str()), "{}").await;
    assert_eq!((status, said), (400, format!(r#"{{"Error":"fault injection is not enabled for task: {TASK}"}}"#)));
    let (status, _, said) = world.ask("POST", &fault("no"), "{}").await;
    assert_eq!((status, said.as_str()), (404, r#"{"Error":"unable to lookup container: no"}"#));
}
