//! A plane to test, raw HTTP to talk to it, and a fake agent.

#[path = "../../../../tests/common/model.rs"]
mod model;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use ecs_wire::acs::{AckRequest, PayloadMessage};
use ecs_wire::{FromAgent, ToAgent};
use futures_util::{SinkExt, StreamExt};
use local_batch::{NodeTemplate, Plane, PlaneConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A well-formed signature with a key that the plane has not issued.
pub(crate) const STRANGER: &str = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/ecs/aws4_request, \
    SignedHeaders=host;x-amz-date, Signature=00";

pub(crate) struct World {
    pub(crate) plane: Plane,
    pub(crate) dir: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// A plane with environment `ce`, queue `q` and definition `d`.
pub(crate) async fn world(max_nodes: u32, node: NodeTemplate) -> World {
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(PlaneConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        region: "us-east-1".to_owned(),
        max_nodes,
        node,
        data_dir: dir.path().to_path_buf(),
        docker_host: None,
        credentials_lifetime: None,
    })
    .await
    .unwrap();
    let world = World { plane, dir };
    world.batch("createcomputeenvironment", json!({"computeEnvironmentName": "ce", "type": "UNMANAGED"})).await;
    let order = json!([{"order": 1, "computeEnvironment": "ce"}]);
    world.batch("createjobqueue", json!({"jobQueueName": "q", "priority": 1, "computeEnvironmentOrder": order})).await;
    let container = json!({"image": "busybox", "vcpus": 1, "memory": 64, "command": ["true"]});
    let definition = json!({"jobDefinitionName": "d", "type": "container", "containerProperties": container});
    world.batch("registerjobdefinition", definition).await;
    world
}

/// One HTTP request on a connection of its own.
pub(crate) async fn http(endpoint: &str, request: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let address = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

impl World {
    pub(crate) fn endpoint(&self) -> String {
        self.plane.endpoint()
    }

    pub(crate) async fn try_batch(&self, operation: &str, body: &str) -> Answer {
        // As busybox wget sends it.
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        http(&self.endpoint(), &format!("POST /v1/{operation}"), &form, body).await
    }

    pub(crate) async fn batch(&self, operation: &str, body: Value) -> Value {
        let answer = self.try_batch(operation, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.body);
        answer.json()
    }

    pub(crate) async fn try_ecs(&self, operation: &str, body: Value) -> Answer {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let headers = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", target.as_str())];
        http(&self.endpoint(), "POST /", &headers, &body.to_string()).await
    }

    pub(crate) async fn ecs(&self, operation: &str, body: Value) -> Value {
        let answer = self.try_ecs(operation, body).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.body);
        answer.json()
    }

    pub(crate) async fn ec2(&self, form: &str) -> Answer {
        http(&self.endpoint(), "POST /", &[], form).await
    }

    pub(crate) async fn cluster(&self) -> String {
        let found = self.batch("describecomputeenvironments", json!({})).await;
        found["computeEnvironments"][0]["ecsClusterArn"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn submit(&self, more: Value) -> String {
        let mut request = json!({"jobName": "j", "jobQueue": "q", "jobDefinition": "d"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.batch("submitjob", request).await["jobId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn job(&self, id: &str) -> Value {
        self.batch("describejobs", json!({"jobs": [id]})).await["jobs"][0].clone()
    }

    /// Waits until the job has this status.
    pub(crate) async fn job_in(&self, id: &str, status: &str) -> Value {
        let wait = async {
            loop {
                let job = self.job(id).await;
                if job["status"] == status {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let job = tokio::time::timeout(PATIENCE, wait).await;
        job.unwrap_or_else(|_| panic!("the job never became {status}"))
    }

    /// An instance made by hand: its id and the address of its metadata service.
    pub(crate) async fn instance(&self) -> (String, String) {
        let answer = self.ec2("Action=RunInstances&MinCount=1&MaxCount=1&ImageId=ami-1").await;
        (between(&answer.body, "<instanceId>", "<"), between(&answer.body, "<value>", "<"))
    }

    /// A fake agent on an instance, registered with 2 vCPUs and 1 GiB, and connected.
    pub(crate) async fn agent(&self, instance_id: &str) -> Agent {
        let cluster = self.cluster().await;
        let resource = |name: &str, n: u32| json!({"name": name, "type": "INTEGER", "integerValue": n});
        let request = json!({"cluster": cluster, "totalResources": [resource("CPU", 2048), resource("MEMORY", 1024)],
            "instanceIdentityDocument": json!({"instanceId": instance_id}).to_string()});
        let registered = self.ecs("RegisterContainerInstance", request).await;
        let arn = registered["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
        self.connect(&arn).await
    }

    pub(crate) async fn connect(&self, arn: &str) -> Agent {
        let socket = self.dial(arn, Some(STRANGER)).await.unwrap();
        Agent { socket, arn: arn.to_owned(), model: model::Model::load("acs-api-2.json") }
    }

    pub(crate) async fn dial(&self, arn: &str, authorization: Option<&str>) -> Result<Socket, Error> {
        let found = self.ecs("DiscoverPollEndpoint", json!({"containerInstance": arn})).await;
        let endpoint = found["endpoint"].as_str().unwrap().replacen("http", "ws", 1);
        let query: String = arn.bytes().map(|b| format!("%{b:02x}")).collect();
        let mut request = format!("{endpoint}/ws?containerInstanceArn={query}").into_client_request().unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert("Authorization", value.parse().unwrap());
            request.headers_mut().insert("X-Amz-Date", "20260101T000000Z".parse().unwrap());
        }
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
    }

    pub(crate) async fn report(&self, task: &str, status: &str, exit_code: Option<i32>) -> Value {
        let mut container = json!({"containerName": "default", "status": status});
        if let Some(code) = exit_code {
            container["exitCode"] = json!(code);
        }
        let cluster = task.split('/').nth(1);
        let change = json!({"cluster": cluster, "task": task, "status": status, "containers": [container]});
        self.ecs("SubmitTaskStateChange", change).await
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) struct Agent {
    socket: Socket,
    pub(crate) arn: String,
    model: Option<model::Model>,
}

impl Agent {
    /// The next message but heartbeats.
    pub(crate) async fn next(&mut self) -> ToAgent {
        let read = async {
            loop {
                let Some(Ok(Message::Text(text))) = self.socket.next().await else { panic!("the session ended") };
                // Whatever the test is about, the plane says nothing that ACS could not say.
                if let Some(model) = &self.model {
                    assert_eq!(model.faults_of_frame(&text), Vec::<String>::new(), "{text}");
                }
                match ToAgent::decode(&text).unwrap() {
                    ToAgent::HeartbeatMessage(_) => {}
                    other => return other,
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap()
    }

    /// The next payload, not acknowledged.
    pub(crate) async fn payload(&mut self) -> PayloadMessage {
        loop {
            if let ToAgent::PayloadMessage(payload) = self.next().await {
                return payload;
            }
        }
    }

    /// The next payload's only task, acknowledged.
    pub(crate) async fn task(&mut self) -> Value {
        let payload = self.payload().await;
        let ack = AckRequest {
            cluster: payload.cluster_arn,
            container_instance: payload.container_instance_arn,
            message_id: payload.message_id,
        };
        self.send(ack.into()).await;
        assert_eq!(payload.tasks.len(), 1);
        payload.tasks[0].clone()
    }

    pub(crate) async fn send(&mut self, message: FromAgent) {
        self.socket.send(Message::text(message.encode())).await.unwrap();
    }

    /// Waits for the plane to end the session.
    pub(crate) async fn closed(mut self) {
        let read = async {
            while let Some(Ok(frame)) = self.socket.next().await {
                if frame.is_close() {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap();
    }
}

/// A node program that notes its start and then does `then`.
pub(crate) fn program(dir: &Path, then: &str) -> NodeTemplate {
    let path = dir.join("program");
    std::fs::write(
        &path,
        format!("#!/bin/sh\necho \"$AWS_EC2_METADATA_SERVICE_ENDPOINT $3\" >> {}/starts\n{then}\n", dir.display()),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    NodeTemplate { program: path, vcpus: Some(1.0), memory_mib: Some(512), ..NodeTemplate::default() }
}

/// The lines that the program noted, once there are so many.
pub(crate) async fn starts(dir: &Path, count: usize) -> Vec<String> {
    for _ in 0..500 {
        let text = std::fs::read_to_string(dir.join("starts")).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the program was not started {count} times");
}

pub(crate) fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0.to_owned()
}
