//! A TCS session: the plane keeps no metrics, it only keeps the agent's telemetry connection alive.

use ecs_wire::ToAgent;
use ecs_wire::acs::HeartbeatMessage;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::{HEARTBEAT_EVERY, Socket};
use crate::hub::Hub;

/// Sends heartbeats and passes over whatever the agent publishes, until either side ends it.
pub(super) async fn run(hub: &Hub, mut socket: Socket) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT_EVERY);
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            _ = heartbeat.tick() => {
                let beat = HeartbeatMessage { healthy: Some(true), message_id: Uuid::new_v4().to_string() };
                if socket.send(Message::text(ToAgent::from(beat).encode())).await.is_err() {
                    return;
                }
            }
            () = hub.closing.cancelled() => return,
        }
    }
}
