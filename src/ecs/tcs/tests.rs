#![expect(clippy::result_large_err, reason = "the handshake callback's signature is tungstenite's")]

use ecs_wire::tcs::{FromAgent, PublishMetricsRequest, SignedFrame};
use futures_util::{SinkExt, StreamExt};
use node_core::{ContainerName, DockerId, HealthStatus, RunningContainer, TaskArn, Timestamp};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;
use crate::ecs::acs::liveness::Span;
use crate::ecs::testing::{FakeEcs, credentials};

const CI: &str = "arn:aws:ecs:us-east-1:1:container-instance/c1/abc";
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Nothing comes by itself but what a test asks for.
fn quiet() -> Cadence {
    let span = |base| Span { base, spread: Duration::ZERO };
    let limits = Limits { silence: span(LONG), age: span(LONG), goodbye: SHORT };
    Cadence { sample: LONG, publish: LONG, status: LONG, limits }
}

/// Telemetry of a host, and a listener in TCS's place.
struct World {
    tcs: TcpListener,
    run: JoinHandle<()>,
    /// Kept, as the agent's loop keeps it.
    tasks: watch::Sender<Arc<[RunningTask]>>,
    heartbeats: Arc<Notify>,
    stop: CancellationToken,
}

async fn world(cadence: Cadence, disable_metrics: bool, tasks: Vec<RunningTask>) -> World {
    let tcs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/tcs", tcs.local_addr().unwrap());
    let answer = json!({"endpoint": "http://127.0.0.1:1", "telemetryEndpoint": endpoint});
    let (_fake, ecs) = FakeEcs::start(move |_| (200, answer.clone())).await;
    let heartbeats = Arc::<Notify>::default();
    let telemetry = Telemetry {
        ecs: Arc::new(ecs),
        credentials: credentials(),
        region: "us-east-1".to_owned(),
        container_instance: ContainerInstanceArn::new(CI),
        // Nobody is there, so its version is not known and it does not answer.
        docker: Docker::new("unix:///nonexistent/docker.sock").unwrap(),
        disable_metrics,
        disable_health: false,
        heartbeats: Arc::clone(&heartbeats),
    };
    let (tasks, running) = watch::channel(Arc::from(tasks));
    let stop = CancellationToken::new();
    let run = tokio::spawn(run_at(cadence, telemetry, running, stop.clone()));
    World { tcs, run, tasks, heartbeats, stop }
}

fn running_task() -> RunningTask {
    let container = RunningContainer {
        name: ContainerName::new("default"),
        id: DockerId::new("no-such-container"),
        health: None,
        restarts: None,
    };
    RunningTask { arn: TaskArn::new("arn:task"), family: "f".into(), version: "1".into(), containers: vec![container] }
}

impl World {
    async fn accept(&self) -> WebSocketStream<TcpStream> {
        let (stream, _) = self.tcs.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    }
}

async fn frame(socket: &mut WebSocketStream<TcpStream>) -> SignedFrame {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => SignedFrame::decode(&text).unwrap(),
        other => panic!("a text frame: {other:?}"),
    }
}

async fn metrics(socket: &mut WebSocketStream<TcpStream>) -> PublishMetricsRequest {
    match FromAgent::decode(&frame(socket).await.json).unwrap() {
        FromAgent::PublishMetricsRequest(request) => request,
        other => panic!("metrics: {other:?}"),
    }
}

async fn health(socket: &mut WebSocketStream<TcpStream>) -> ecs_wire::tcs::PublishHealthRequest {
    match FromAgent::decode(&frame(socket).await.json).unwrap() {
        FromAgent::PublishHealthRequest(request) => request,
        other => panic!("health: {other:?}"),
    }
}

async fn status(socket: &mut WebSocketStream<TcpStream>) -> String {
    match FromAgent::decode(&frame(socket).await.json).unwrap() {
        FromAgent::PublishInstanceStatusRequest(mut request) => request.statuses.remove(0).status,
        other => panic!("a status: {other:?}"),
    }
}

#[tokio::test]
async fn the_upgrade_says_who_calls_in_the_words_of_tcs() {
    let world = world(quiet(), false, Vec::new()).await;
    let (stream, _) = world.tcs.accept().await.unwrap();
    let mut seen = None;
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        seen = Some(request.clone());
        Ok(response)
    };
    let _socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
    let request = seen.unwrap();
    assert_eq!(request.uri().path(), "/tcs/ws");
    let names: Vec<_> = request.uri().query().unwrap().split('&').filter_map(|p| p.split_once('=')).collect();
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["agentHash", "agentVersion", "cluster", "containerInstance"]);
    assert!(request.headers()["authorization"].to_str().unwrap().contains("/us-east-1/ecs/aws4_request"));
}

#[tokio::test]
async fn an_idle_host_says_so_at_once_and_again_each_message_signed_by_itself() {
    let world = world(Cadence { publish: SHORT, ..quiet() }, false, Vec::new()).await;
    let mut tcs = world.accept().await;
    let first = frame(&mut tcs).await;
    let host = world.tcs.local_addr().unwrap().to_string();
    assert_eq!(first.header("Host"), Some(host.as_str()));
    assert_eq!(first.header("X-Amz-Security-Token"), Some("t0ken"));
    let authorization = first.header("Authorization").unwrap();
    assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"), "{authorization}");
    let FromAgent::PublishMetricsRequest(first) = FromAgent::decode(&first.json).unwrap() else { panic!("metrics") };
    let second = metrics(&mut tcs).await;
    for message in [&first, &second] {
        assert!(message.metadata.idle && message.metadata.fin && message.task_metrics.is_empty());
        assert_eq!((message.metadata.cluster.as_str(), message.metadata.container_instance.as_str()), ("c1", CI));
    }
    assert_ne!(first.metadata.message_id, second.metadata.message_id);
    assert!(first.timestamp < second.timestamp);
}

#[tokio::test]
async fn without_metrics_a_busy_host_is_idle_and_with_them_it_keeps_silent_until_it_knows_something() {
    let cadence = Cadence { publish: SHORT, status: Duration::from_millis(200), ..quiet() };
    let disabled = world(cadence, true, vec![running_task()]).await;
    assert!(metrics(&mut disabled.accept().await).await.metadata.idle);
    let enabled = world(cadence, false, vec![running_task()]).await;
    // Three publications were due before it.
    assert_eq!(status(&mut enabled.accept().await).await, "INITIALIZING");
}

#[tokio::test]
async fn each_check_of_docker_is_told_once() {
    let cadence = Cadence { status: SHORT, ..quiet() };
    let world = world(cadence, false, Vec::new()).await;
    let mut tcs = world.accept().await;
    assert!(metrics(&mut tcs).await.metadata.idle, "the first keep-alive");
    assert_eq!(status(&mut tcs).await, "INITIALIZING");
    world.heartbeats.notify_one();
    assert_eq!(status(&mut tcs).await, "IMPAIRED", "and INITIALIZING not again");
    // Not before the next heartbeat: what comes next is what that one brings.
    world.heartbeats.notify_one();
    assert_eq!(status(&mut tcs).await, "IMPAIRED");
}

#[tokio::test]
async fn health_is_told_with_every_batch_even_where_nothing_is_measured_yet() {
    let mut task = running_task();
    task.containers[0].health = Some((HealthStatus::Healthy, Some(Timestamp(1_760_000_000_250))));
    let world = world(Cadence { publish: SHORT, ..quiet() }, false, vec![task.clone()]).await;
    let mut tcs = world.accept().await;
    let first = health(&mut tcs).await;
    assert!(first.metadata.fin && first.metadata.container_instance == CI);
    let told = &first.tasks[0];
    assert_eq!((told.task_arn.as_str(), told.task_definition_family.as_str()), ("arn:task", "f"));
    assert_eq!(told.containers[0].health_status, "HEALTHY");
    assert_eq!(told.containers[0].status_since, Time { epoch_ms: 1_760_000_000_250 });
    task.containers[0].health = Some((HealthStatus::Unhealthy, Some(Timestamp(1_760_000_001_000))));
    world.tasks.send_replace(Arc::from([task]));
    while health(&mut tcs).await.tasks[0].containers[0].health_status != "UNHEALTHY" {}
}

#[tokio::test]
async fn without_a_session_fifteen_batches_wait_and_the_newest_give_way() {
    let (tasks, running) = watch::channel(Arc::from([]));
    let (batches, mut waiting) = mpsc::channel(BATCHES_MAX);
    let cadence = Cadence { publish: Duration::from_millis(1), ..quiet() };
    let said = Said { metrics: true, health: true };
    let collecting = tokio::spawn(collect::run(cadence, running, said, batches.clone()));
    while batches.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    let full = now();
    drop((batches, tasks));
    collecting.await.unwrap();
    let mut late = Vec::new();
    while let Some(batch) = waiting.recv().await {
        late.push(batch.at);
    }
    assert!(late.len() == BATCHES_MAX && late.is_sorted(), "{late:?}");
    assert!(late.iter().all(|at| *at <= full), "the oldest were kept: {late:?}");
}

#[tokio::test]
async fn a_lost_connection_is_opened_again_and_what_came_meanwhile_is_sent() {
    let world = world(Cadence { publish: Duration::from_millis(300), ..quiet() }, false, Vec::new()).await;
    let mut tcs = world.accept().await;
    let before = metrics(&mut tcs).await;
    // A bare end of stream within the first second: it looks like a loop, so the next try waits half a second at the least.
    drop(tcs);
    let mut tcs = world.accept().await;
    let (first, second) = (metrics(&mut tcs).await, metrics(&mut tcs).await);
    assert!(before.timestamp < first.timestamp && first.timestamp < second.timestamp);
    let late = now().epoch_ms - first.timestamp.epoch_ms;
    assert!(late >= 100, "it was made {late} ms ago, while there was no session");
}

#[tokio::test]
async fn silence_is_answered_with_a_polite_close_and_an_acknowledgement_is_not_silence() {
    let silence = Span { base: Duration::from_millis(400), spread: Duration::ZERO };
    let limits = Limits { silence, ..quiet().limits };
    let world = world(Cadence { limits, ..quiet() }, false, Vec::new()).await;
    let mut tcs = world.accept().await;
    let opened = Instant::now();
    assert!(metrics(&mut tcs).await.metadata.idle);
    tokio::time::sleep(Duration::from_millis(200)).await;
    tcs.send(Message::text(r#"{"type":"AckPublishMetric","message":{}}"#)).await.unwrap();
    let goodbye = tcs.next().await;
    assert!(
        matches!(&goodbye, Some(Ok(Message::Close(Some(f)))) if f.code == CloseCode::Normal && f.reason.starts_with("ConnectionExpired")),
        "{goodbye:?}"
    );
    assert!(opened.elapsed() >= Duration::from_millis(550), "the acknowledgement put it off");
}

#[tokio::test]
async fn stopping_ends_it_at_once_with_a_goodbye() {
    let world = world(quiet(), false, Vec::new()).await;
    let mut tcs = world.accept().await;
    assert!(metrics(&mut tcs).await.metadata.idle);
    world.stop.cancel();
    assert!(matches!(tcs.next().await, Some(Ok(Message::Close(Some(f)))) if f.code == CloseCode::Away));
    world.run.await.unwrap();
}
