//! An ECS that says what a test tells it to: just enough of the API for an agent to join, a websocket for its frames, and
//! a metadata service.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;

use super::agent::Setup;
use super::{docker, eventually};

pub(crate) struct FakeEcs {
    cluster: String,
    endpoint: String,
    shared: Arc<Shared>,
    /// Serves as long as this lives.
    _runtime: Runtime,
}

struct Shared {
    acs: String,
    /// `None`: this ECS has no telemetry.
    tcs: Option<String>,
    /// What came to telemetry, out of its signed frames.
    telemetry: Mutex<Vec<Value>>,
    /// What `SubmitTaskStateChange` was told.
    reports: Mutex<Vec<Value>>,
    /// What came up the websocket.
    frames: Mutex<Vec<Value>>,
    /// The error that each RegisterContainerInstance is answered with, while there is one.
    refusal: Mutex<Option<Value>>,
    /// Into the session that is open; one entry for each that ever was.
    sessions: Mutex<Vec<UnboundedSender<String>>>,
}

impl FakeEcs {
    pub(crate) fn start() -> Self {
        Self::begin(false)
    }

    /// One that takes telemetry, too.
    pub(crate) fn with_telemetry() -> Self {
        Self::begin(true)
    }

    fn begin(telemetry: bool) -> Self {
        docker::need_busybox();
        let cluster = format!("fake-{}", uuid::Uuid::new_v4().simple());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (http, acs, tcs) = (bind(), bind(), bind());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let endpoint = address(&http);
        let shared = Arc::new(Shared {
            acs: address(&acs),
            tcs: telemetry.then(|| address(&tcs)),
            telemetry: Mutex::default(),
            reports: Mutex::default(),
            frames: Mutex::default(),
            refusal: Mutex::default(),
            sessions: Mutex::default(),
        });
        let router = router(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(http, router).await });
        runtime.spawn(accept(acs, Arc::clone(&shared)));
        runtime.spawn(listen(tcs, Arc::clone(&shared)));
        Self { cluster, endpoint, shared, _runtime: runtime }
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup {
            endpoint: self.endpoint.clone(),
            imds: self.endpoint.clone(),
            config: vec![
                format!("cluster = {:?}", self.cluster),
                r#"idle_timeout = "never""#.to_owned(),
                r#"image_pull_behavior = "prefer-cached""#.to_owned(),
            ],
            environment: vec![
                ("AWS_ACCESS_KEY_ID".to_owned(), "AKIDTEST".to_owned()),
                ("AWS_SECRET_ACCESS_KEY".to_owned(), "secret".to_owned()),
            ],
            args: Vec::new(),
        }
    }

    /// From now on registrations are refused with this error, or taken.
    pub(crate) fn refuse(&self, error: Option<(&str, &str)>) {
        let refusal = error.map(|(code, message)| json!({"__type": code, "message": message}));
        *self.shared.refusal.lock().unwrap() = refusal;
    }

    /// Sends a frame as it is.
    pub(crate) fn send(&self, frame: &str) {
        self.shared.sessions.lock().unwrap().last().unwrap().send(frame.to_owned()).unwrap();
    }

    /// A payload with these tasks.
    pub(crate) fn payload(&self, message: &str, tasks: &[Value]) {
        let message = json!({"messageId": message, "clusterArn": self.cluster, "containerInstanceArn": INSTANCE,
            "seqNum": 1, "tasks": tasks});
        self.send(&json!({"type": "PayloadMessage", "message": message}).to_string());
    }

    pub(crate) fn arn(&self, id: &str) -> String {
        format!("arn:aws:ecs:us-east-1:123456789012:task/{}/{id}", self.cluster)
    }

    /// A task with one container that runs this script.
    pub(crate) fn task(&self, id: &str, script: &str) -> Value {
        let container = json!({"name": "default", "image": "busybox", "essential": true, "cpu": 10, "memory": 32,
            "command": ["sh", "-c", script]});
        json!({"arn": self.arn(id), "family": "fake", "version": "1", "desiredStatus": "RUNNING", "containers": [container]})
    }

    /// The reported end of a task, once there is one; later there must be no other.
    pub(crate) fn stopped(&self, id: &str) -> Value {
        let arn = self.arn(id);
        eventually(&format!("the end of task {id}"), || {
            let reports = self.shared.reports.lock().unwrap();
            let ends: Vec<&Value> = reports.iter().filter(|r| r["task"] == arn && r["status"] == "STOPPED").collect();
            assert!(ends.len() <= 1, "{ends:?}");
            ends.first().map(|end| (*end).clone())
        })
    }

    /// Waits for the report that a task runs.
    pub(crate) fn running(&self, id: &str) -> Value {
        let arn = self.arn(id);
        eventually(&format!("task {id} in RUNNING"), || {
            let reports = self.shared.reports.lock().unwrap();
            reports.iter().find(|report| report["task"] == arn && report["status"] == "RUNNING").cloned()
        })
    }

    /// The digest that was reported for a task's container.
    pub(crate) fn digest(&self, id: &str) -> Option<String> {
        let arn = self.arn(id);
        let reports = self.shared.reports.lock().unwrap();
        let of_task = reports.iter().filter(|report| report["task"] == arn);
        let mut digests: Vec<_> = of_task
            .flat_map(|report| report["containers"].as_array().into_iter().flatten())
            .filter_map(|container| container["imageDigest"].as_str().map(str::to_owned))
            .collect();
        digests.dedup();
        assert!(digests.len() <= 1, "{digests:?}");
        digests.pop()
    }

    /// Telemetry's messages so far, each with its type.
    pub(crate) fn telemetry(&self) -> Vec<Value> {
        self.shared.telemetry.lock().unwrap().clone()
    }

    /// How often a task was reported with this status.
    pub(crate) fn reports(&self, id: &str, status: &str) -> usize {
        let arn = self.arn(id);
        let reports = self.shared.reports.lock().unwrap();
        reports.iter().filter(|report| report["task"] == arn && report["status"] == status).count()
    }

    /// Waits for the acknowledgement of a message.
    pub(crate) fn acknowledged(&self, message: &str) {
        eventually(&format!("the acknowledgement of {message}"), || self.has_acknowledged(message).then_some(()));
    }

    pub(crate) fn has_acknowledged(&self, message: &str) -> bool {
        let frames = self.shared.frames.lock().unwrap();
        frames.iter().any(|frame| frame["type"] == "AckRequest" && frame["message"]["messageId"] == message)
    }

    /// How many sessions the agent has opened.
    pub(crate) fn sessions(&self) -> usize {
        self.shared.sessions.lock().unwrap().len()
    }
}

impl Drop for FakeEcs {
    fn drop(&mut self) {
        docker::remove(&self.cluster);
    }
}

const INSTANCE: &str = "arn:aws:ecs:us-east-1:123456789012:container-instance/fake/1";

fn router(shared: Arc<Shared>) -> Router {
    let token = || async { ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "token") };
    Router::new()
        .route("/", post(api))
        .route("/latest/api/token", put(token))
        .route("/latest/meta-data/instance-id", get(|| async { "i-0fake" }))
        .route("/latest/dynamic/instance-identity/{part}", get(|| async { "signed" }))
        .with_state(shared)
}

async fn api(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let target = headers.get("x-amz-target").unwrap().to_str().unwrap();
    let answer = match target.rsplit('.').next().unwrap() {
        "RegisterContainerInstance" => {
            if let Some(error) = shared.refusal.lock().unwrap().clone() {
                return (StatusCode::BAD_REQUEST, Json(error)).into_response();
            }
            let instance =
                json!({"containerInstanceArn": INSTANCE, "attributes": request["attributes"], "status": "ACTIVE"});
            json!({"containerInstance": instance})
        }
        "DiscoverPollEndpoint" => match &shared.tcs {
            Some(tcs) => json!({"endpoint": shared.acs, "telemetryEndpoint": tcs}),
            None => json!({"endpoint": shared.acs}),
        },
        "SubmitTaskStateChange" => {
            shared.reports.lock().unwrap().push(request);
            json!({"acknowledgment": "ok"})
        }
        other => {
            let error =
                json!({"__type": "InvalidParameterException", "message": format!("{other} is not played here")});
            return (StatusCode::BAD_REQUEST, Json(error)).into_response();
        }
    };
    Json(answer).into_response()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (sender, to_send) = unbounded_channel();
        tokio::spawn(session(stream, to_send, sender, Arc::clone(&shared)));
    }
}

/// Telemetry, which is neither answered nor verified here.
async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else { continue };
                let frame = ecs_wire::tcs::SignedFrame::decode(&text).unwrap();
                shared.telemetry.lock().unwrap().push(serde_json::from_str(&frame.json).unwrap());
            }
        });
    }
}

/// One websocket: what the test sends goes down, what the agent sends is kept.
async fn session(
    stream: TcpStream,
    mut to_send: UnboundedReceiver<String>,
    sender: UnboundedSender<String>,
    shared: Arc<Shared>,
) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    shared.sessions.lock().unwrap().push(sender);
    loop {
        tokio::select! {
            Some(text) = to_send.recv() => drop(socket.send(Message::text(text)).await),
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => {
                    shared.frames.lock().unwrap().push(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
