//! Faults on order, over real sockets.

use std::time::Duration;

use ecs_wire::acs::TaskStopVerificationMessage;
use ecs_wire::{ToAgent, tcs};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Error;

use super::plain;
use super::support::{Agent, STRANGER, World, http, telemetry};

async fn order(w: &World, order: Value) -> Value {
    let answer = http(&w.endpoint(), "POST /local/faults", &[], &order.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

async fn clear(w: &World) {
    assert_eq!(http(&w.endpoint(), "DELETE /local/faults", &[], "").await.status, 200);
}

/// A question that the plane answers at once: whatever it said before has been said by then.
async fn asked(agent: &mut Agent) -> ToAgent {
    let question = TaskStopVerificationMessage { message_id: "m".into(), stop_candidates: Vec::new() };
    agent.send(question.into()).await;
    agent.next().await
}

#[tokio::test]
async fn faults_meet_the_upgrades_of_websockets() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let agent = w.agent(&instance).await;
    let order = async |order: Value| {
        let answer = http(&w.endpoint(), "POST /local/faults", &[], &order.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["id"].as_u64()
    };
    let status = async || match w.dial(&agent.arn, Some(STRANGER)).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        Ok(_) => 101,
        Err(error) => panic!("{error}"),
    };
    order(json!({"fault": "error", "operation": "Poll", "error": "throttle", "times": 1})).await;
    assert_eq!((status().await, status().await), (400, 101));
    // One that is late is served; one that hangs is refused when the fault is over, and the next is served.
    order(json!({"fault": "delay", "operation": "Poll", "delaySeconds": 0.1, "times": 1})).await;
    let begun = std::time::Instant::now();
    assert_eq!(status().await, 101);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    order(json!({"fault": "hang", "operation": "Poll", "seconds": 0.2})).await;
    assert_eq!((status().await, status().await), (500, 101));
    // Telemetry's is another operation.
    order(json!({"fault": "error", "operation": "StartTelemetrySession", "error": "server"})).await;
    assert_eq!(status().await, 101);
    w.plane.shutdown().await;
}

#[tokio::test]
async fn a_frame_that_is_held_back_lets_others_pass_and_goes_in_the_end() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let mut agent = w.agent(&instance).await;
    assert!(matches!(agent.next().await, ToAgent::TaskManifestMessage(_)));
    let held = order(&w, json!({"fault": "hang", "operation": "PayloadMessage", "times": 1})).await;
    assert_eq!(held["fault"], "PayloadMessage frames held back");
    let id = w.submit(json!({})).await;
    assert!(matches!(asked(&mut agent).await, ToAgent::TaskStopVerificationAck(_)), "the payload waits");
    // Another order lets nothing go, a clear does.
    order(&w, json!({"fault": "delay", "operation": "HeartbeatMessage", "delaySeconds": 60})).await;
    assert!(matches!(asked(&mut agent).await, ToAgent::TaskStopVerificationAck(_)), "the payload waits");
    clear(&w).await;
    let task = agent.task().await;
    w.report(task["arn"].as_str().unwrap(), "STOPPED", Some(0)).await;
    w.job_in(&id, "SUCCEEDED").await;
    w.plane.shutdown().await;
}

#[tokio::test]
async fn an_agents_frame_is_held_back_too() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let mut agent = w.agent(&instance).await;
    order(&w, json!({"fault": "hang", "operation": "AckRequest"})).await;
    w.submit(json!({})).await;
    let task = agent.task().await;
    // Its acknowledgement is lost with the session, so that the next one gets the task again.
    let mut again = w.connect(&agent.arn).await;
    assert_eq!(again.payload().await.tasks[0]["arn"], task["arn"]);
    clear(&w).await;
    // An answer that is late comes all the same.
    order(&w, json!({"fault": "delay", "operation": "TaskStopVerificationMessage", "delaySeconds": 0.05})).await;
    assert!(matches!(asked(&mut again).await, ToAgent::TaskStopVerificationAck(_)));
    w.plane.shutdown().await;
}

#[tokio::test]
async fn telemetrys_frames_are_held_back_either_way() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let agent = w.agent(&instance).await;
    let mut socket = telemetry(&w, &agent.arn).await;
    for kind in ["PublishHealthRequest", "AckPublishHealth"] {
        order(&w, json!({"fault": "hang", "operation": kind})).await;
        socket.publish("PublishHealthRequest").await;
        socket.publish("PublishInstanceStatusRequest").await;
        assert!(matches!(socket.next().await, tcs::ToAgent::AckPublishInstanceStatus(_)), "{kind}");
        clear(&w).await;
        assert!(matches!(socket.next().await, tcs::ToAgent::AckPublishHealth(_)), "{kind}");
    }
    w.plane.shutdown().await;
}

/// One request on the socket for orders.
async fn on_the_socket(w: &World, request: &str) -> String {
    let address = w.endpoint().trim_start_matches("http://").parse().unwrap();
    let mut stream = UnixStream::connect(format!("\0{}", local_batch::control_socket(address))).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_absence_can_be_ended() {
    for silent in [false, true] {
        let w = plain().await;
        let order = json!({"fault": "away", "silent": silent, "seconds": 3600}).to_string();
        let endpoint = w.endpoint();
        // Its answer may be lost in the absence that it orders.
        let sent = tokio::spawn(async move { http(&endpoint, "POST /local/faults", &[], &order).await });
        while !on_the_socket(&w, "GET /local/faults").await.contains("away") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Nothing else is served there.
        assert!(on_the_socket(&w, "POST /v1/describejobqueues").await.starts_with("HTTP/1.1 404"));
        let cleared = on_the_socket(&w, "DELETE /local/faults/1").await;
        assert!(cleared.ends_with(r#"{"cleared":1}"#), "{cleared}");
        let address = w.endpoint().trim_start_matches("http://").to_owned();
        while TcpStream::connect(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        w.submit(json!({})).await;
        drop(sent.await);
        w.plane.shutdown().await;
    }
}
