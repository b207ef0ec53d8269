#![expect(clippy::result_large_err, reason = "the handshake callback's signature is tungstenite's")]

use std::time::Duration;

use ecs_wire::acs::AckRequest;
use futures_util::{SinkExt, StreamExt};
use node_core::Incoming;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::liveness::Span;
use super::*;
use crate::ecs::testing::{FakeEcs, credentials};

const CI: &str = "arn:aws:ecs:us-east-1:1:container-instance/c1/abc";
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(150);

/// Limits that no test runs into unless it means to.
fn limits(silence: Duration, age: Duration) -> Limits {
    let span = |base| Span { base, spread: Duration::ZERO };
    Limits { silence: span(silence), age: span(age), goodbye: SHORT }
}

/// The agent's side of a session, and a listener in ACS's place.
struct World {
    acs: TcpListener,
    session: JoinHandle<CloseCause>,
    outbound: mpsc::Sender<FromAgent>,
    events: mpsc::Receiver<Event>,
    stop: CancellationToken,
}

async fn world(limits: Limits) -> World {
    let acs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", acs.local_addr().unwrap());
    let (_fake, ecs) = FakeEcs::start(move |_| (200, json!({"endpoint": endpoint}))).await;
    let (outbound, from_agent) = mpsc::channel(8);
    // One place: a payload more and the session must wait for the node.
    let (to_node, events) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let token = stop.clone();
    let session = tokio::spawn(async move {
        let (arn, credentials) = (ContainerInstanceArn::new(CI), credentials());
        let params = SessionParams {
            ecs: &ecs,
            credentials: &credentials,
            region: "us-east-1",
            container_instance: &arn,
            docker_version: Some("25.0.8"),
            send_credentials: true,
            store: &CredentialStore::default(),
            heartbeats: &Arc::default(),
        };
        serve(params, limits, from_agent, to_node, token).await
    });
    World { acs, session, outbound, events, stop }
}

impl World {
    /// Upgrades the agent's connection and waits until the node knows.
    async fn accept(&mut self) -> WebSocketStream<TcpStream> {
        let (stream, _) = self.acs.accept().await.unwrap();
        let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        assert_eq!(self.events.recv().await, Some(Event::SessionOpened));
        socket
    }

    /// Answers the upgrade with an error.
    async fn refuse(self, status: u16, body: &str) -> CloseCause {
        let (stream, _) = self.acs.accept().await.unwrap();
        let refusal = |_: &Request, _: Response| -> Result<Response, ErrorResponse> {
            let mut response = ErrorResponse::new(Some(body.to_owned()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Err(response)
        };
        assert!(tokio_tungstenite::accept_hdr_async(stream, refusal).await.is_err());
        self.session.await.unwrap()
    }
}

fn frame(kind: &str, message: &Value) -> Message {
    Message::text(json!({"type": kind, "message": message}).to_string())
}

fn payload(id: &str) -> Message {
    let container = json!({"name": "default", "image": "busybox", "essential": true});
    let task = json!({"arn": "arn:task/c1/1", "family": "f", "version": "1", "desiredStatus": "RUNNING", "containers": [container]});
    frame("PayloadMessage", &json!({"messageId": id, "clusterArn": "c", "containerInstanceArn": "i", "tasks": [task]}))
}

async fn text(socket: &mut WebSocketStream<TcpStream>) -> String {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => text.to_string(),
        other => panic!("a text frame: {other:?}"),
    }
}

async fn close(socket: &mut WebSocketStream<TcpStream>, code: u16, reason: &str) {
    let frame = CloseFrame { code: code.into(), reason: reason.into() };
    socket.close(Some(frame)).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn the_upgrade_says_who_calls_and_is_signed() {
    let world = world(limits(LONG, LONG)).await;
    let (stream, _) = world.acs.accept().await.unwrap();
    let mut seen = None;
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        seen = Some(request.clone());
        Ok(response)
    };
    let _socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
    let request = seen.unwrap();
    let query = request.uri().query().unwrap();
    assert_eq!(request.uri().path(), "/ws");
    for part in
        ["clusterArn=c1&", "sendCredentials=true", "protocolVersion=2", "dockerVersion=DockerVersion%3A%2025.0.8"]
    {
        assert!(query.contains(part), "{query}");
    }
    let authorization = request.headers()["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDTEST/"), "{authorization}");
    assert!(authorization.contains("/us-east-1/ecs/aws4_request"), "{authorization}");
    assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"), "{authorization}");
    assert_eq!(request.headers()["x-amz-security-token"], "t0ken");
    assert_eq!(request.headers().get("user-agent"), None);
}

#[tokio::test]
async fn work_comes_in_and_acknowledgements_go_out_past_bad_frames() {
    let mut world = world(limits(LONG, LONG)).await;
    let mut acs = world.accept().await;
    for bad in ["{", "[1]", r#"{"type":"Novelty","message":{}}"#, r#"{"type":"PayloadMessage","message":{"tasks":7}}"#]
    {
        acs.send(Message::text(bad)).await.unwrap();
    }
    acs.send(Message::binary(vec![0xff, 0xfe])).await.unwrap();
    acs.send(Message::Ping(vec![1].into())).await.unwrap();
    acs.send(payload("m-1")).await.unwrap();
    let Some(Event::Payload(payload)) = world.events.recv().await else { panic!("a payload") };
    assert_eq!(payload.message.as_str(), "m-1");
    assert!(matches!(payload.tasks[0].work, Incoming::Run(_)));
    assert!(matches!(acs.next().await, Some(Ok(Message::Pong(_)))));

    let ack = AckRequest { cluster: "c".into(), container_instance: "i".into(), message_id: "m-1".into() };
    world.outbound.send(ack.into()).await.unwrap();
    assert!(text(&mut acs).await.contains(r#""messageId":"m-1""#));
    acs.send(frame("HeartbeatMessage", &json!({"healthy": true, "messageId": "h-1"}))).await.unwrap();
    assert_eq!(text(&mut acs).await, r#"{"type":"HeartbeatAckRequest","message":{"messageId":"h-1"}}"#);
}

#[tokio::test]
async fn a_busy_node_does_not_hold_up_acknowledgements() {
    let mut world = world(limits(LONG, LONG)).await;
    let mut acs = world.accept().await;
    for id in ["m-1", "m-2", "m-3"] {
        acs.send(payload(id)).await.unwrap();
    }
    let ack = AckRequest { cluster: "c".into(), container_instance: "i".into(), message_id: "m-0".into() };
    world.outbound.send(ack.into()).await.unwrap();
    assert!(text(&mut acs).await.contains("m-0"));
    for id in ["m-1", "m-2", "m-3"] {
        assert!(matches!(world.events.recv().await, Some(Event::Payload(p)) if p.message.as_str() == id));
    }
}

#[tokio::test]
async fn each_close_code_has_its_cause() {
    for code in [1000, 1001, 1011] {
        let mut world = world(limits(LONG, LONG)).await;
        let mut acs = world.accept().await;
        close(&mut acs, code, "").await;
        assert_eq!(world.session.await.unwrap(), CloseCause::Clean, "{code}");
    }
    for (code, reason) in [(1008, "policy"), (4000, "odd")] {
        let mut world = world(limits(LONG, LONG)).await;
        let mut acs = world.accept().await;
        close(&mut acs, code, reason).await;
        let cause = world.session.await.unwrap();
        assert!(matches!(&cause, CloseCause::Failed(text) if text.contains(reason)), "{cause:?}");
    }
}

#[tokio::test]
async fn a_close_without_a_code_is_a_failure_and_one_that_names_the_instance_inactive_is_told_apart() {
    let mut bare = world(limits(LONG, LONG)).await;
    let mut acs = bare.accept().await;
    acs.close(None).await.unwrap();
    while let Some(Ok(_)) = acs.next().await {}
    assert!(matches!(bare.session.await.unwrap(), CloseCause::Failed(text) if text.contains("without a code")));

    let mut inactive = world(limits(LONG, LONG)).await;
    let mut acs = inactive.accept().await;
    close(&mut acs, 1000, "InactiveInstanceException: gone").await;
    assert!(matches!(inactive.session.await.unwrap(), CloseCause::Inactive(_)));
}

/// Refused at its header: what it announces is never read, let alone held.
#[tokio::test]
async fn a_frame_too_large_ends_the_session() {
    let mut world = world(limits(LONG, LONG)).await;
    let mut acs = world.accept().await;
    let mut header = vec![0x81, 127];
    header.extend((1_u64 << 40).to_be_bytes());
    acs.get_mut().write_all(&header).await.unwrap();
    let cause = world.session.await.unwrap();
    assert!(matches!(&cause, CloseCause::Failed(text) if text.contains("too")), "{cause:?}");
}

#[tokio::test]
async fn a_bare_end_of_stream_is_clean() {
    let mut world = world(limits(LONG, LONG)).await;
    drop(world.accept().await);
    assert_eq!(world.session.await.unwrap(), CloseCause::Clean);
}

#[tokio::test]
async fn a_deregistered_instance_is_told_apart() {
    let body = r#"{"type":"InactiveInstanceException","message":{"message":"gone"}}"#;
    let cause = world(limits(LONG, LONG)).await.refuse(400, body).await;
    assert_eq!(cause, CloseCause::Inactive("InactiveInstanceException: gone".into()));

    let mut world = world(limits(LONG, LONG)).await;
    let mut acs = world.accept().await;
    acs.send(frame("InactiveInstanceException", &json!({"message": "gone"}))).await.unwrap();
    assert!(matches!(world.session.await.unwrap(), CloseCause::Inactive(_)));
}

#[tokio::test]
async fn a_refused_upgrade_is_quoted() {
    let cause = world(limits(LONG, LONG)).await.refuse(403, r#"{"AccessDeniedException":"no"}"#).await;
    assert_eq!(cause, CloseCause::Failed("ECS answered HTTP 403: AccessDeniedException: no".into()));
}

#[tokio::test]
async fn silence_ends_a_session_and_unknown_frames_do_not_break_it() {
    let mut world = world(limits(SHORT, LONG)).await;
    let mut acs = world.accept().await;
    acs.send(Message::text(r#"{"type":"Novelty"}"#)).await.unwrap();
    let cause = world.session.await.unwrap();
    assert!(matches!(&cause, CloseCause::Failed(text) if text.contains("silent")), "{cause:?}");
}

#[tokio::test]
async fn an_old_session_is_closed_politely_even_without_an_answer() {
    let mut world = world(limits(LONG, SHORT)).await;
    let mut acs = world.accept().await;
    let goodbye = acs.next().await;
    assert!(
        matches!(&goodbye, Some(Ok(Message::Close(Some(f)))) if f.code == CloseCode::Normal && f.reason.starts_with("ConnectionExpired")),
        "{goodbye:?}"
    );
    assert_eq!(world.session.await.unwrap(), CloseCause::Clean);
}

/// The limit for an answer is far off: it is the answer that ends it.
#[tokio::test]
async fn an_old_session_ends_with_acs_s_answer() {
    let mut world = world(Limits { goodbye: LONG, ..limits(LONG, SHORT) }).await;
    let mut acs = world.accept().await;
    assert!(matches!(acs.next().await, Some(Ok(Message::Close(_)))));
    while let Some(Ok(_)) = acs.next().await {}
    assert_eq!(world.session.await.unwrap(), CloseCause::Clean);
}

#[tokio::test]
async fn pings_are_no_sign_of_life() {
    let mut world = world(limits(SHORT, LONG)).await;
    let mut acs = world.accept().await;
    let pinging = tokio::spawn(async move {
        while acs.send(Message::Ping(vec![1].into())).await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    assert!(matches!(world.session.await.unwrap(), CloseCause::Failed(text) if text.contains("silent")));
    pinging.await.unwrap();
}

#[tokio::test]
async fn stopping_ends_a_session_at_once() {
    let mut world = world(limits(LONG, LONG)).await;
    let mut acs = world.accept().await;
    world.stop.cancel();
    assert!(matches!(acs.next().await, Some(Ok(Message::Close(Some(f)))) if f.code == CloseCode::Away));
    assert_eq!(world.session.await.unwrap(), CloseCause::Clean);
}

#[tokio::test]
async fn an_acs_that_is_not_there_is_a_failure() {
    let World { acs, session, .. } = world(limits(LONG, LONG)).await;
    drop(acs);
    assert!(matches!(session.await.unwrap(), CloseCause::Failed(text) if text.contains("refused")));
}
