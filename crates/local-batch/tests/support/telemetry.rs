//! The TCS side of a fake agent.

use ecs_wire::tcs::{SignedFrame, ToAgent};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{PATIENCE, STRANGER, Socket, World, model};

pub(crate) struct Telemetry {
    socket: Socket,
    arn: String,
    model: Option<model::Model>,
}

/// A TCS session of this container instance.
pub(crate) async fn telemetry(world: &World, arn: &str) -> Telemetry {
    let socket = world.upgrade("/tcs/ws?containerInstance=", arn, Some(STRANGER)).await.unwrap();
    Telemetry { socket, arn: arn.to_owned(), model: model::Model::load("tcs-api-2.json") }
}

impl Telemetry {
    /// Sends a message of this type with nothing to tell.
    pub(crate) async fn publish(&mut self, kind: &str) {
        let metadata = json!({"cluster": "c", "containerInstance": self.arn, "fin": true, "messageId": "m",
            "requestId": "m"});
        let json = json!({"type": kind, "message": {"metadata": metadata, "tasks": [], "statuses": [],
            "timestamp": 1_760_000_000}});
        let headers = [("Authorization", STRANGER), ("X-Amz-Date", "20260101T000000Z")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let frame = SignedFrame::new(headers, json.to_string());
        self.socket.send(Message::text(frame.encode())).await.unwrap();
    }

    /// The next message but heartbeats.
    pub(crate) async fn next(&mut self) -> ToAgent {
        let read = async {
            loop {
                let Some(Ok(Message::Text(text))) = self.socket.next().await else { panic!("the session ended") };
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
}
