//! A TCS session: the plane keeps no metrics. It checks each signed frame, acknowledges what it can read, and publishes it as
//! an event to whoever listens.

use std::sync::Arc;

use ecs_wire::tcs::{
    AckPublishHealth, AckPublishInstanceStatus, AckPublishMetric, BadRequestException, FromAgent, HeartbeatMessage,
    ToAgent,
};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::warn;

use super::held::{Direction, Holder};
use super::{HEARTBEAT_EVERY, Socket};
use crate::clock;
use crate::events::PlaneEvent;
use crate::hub::Hub;
use crate::ids::InstanceArn;
use crate::record::Service;
use crate::sigv4::{Frame, Refusal, Scope, verify_frame};

/// Whose session it is, and the URL that every frame signs again.
pub(super) struct Caller {
    pub(super) instance: InstanceArn,
    pub(super) url: Uri,
}

/// Sends heartbeats and takes what the agent publishes, until either side ends it.
pub(super) async fn run(hub: &Arc<Hub>, caller: &Caller, socket: Socket) {
    if let Err(error) = converse(hub, caller, socket).await {
        tracing::debug!(instance = %caller.instance, %error, "a TCS session broke");
    }
}

async fn converse(hub: &Arc<Hub>, caller: &Caller, mut socket: Socket) -> Result<(), Error> {
    let (holder, mut late) = Holder::new(hub);
    let mut heartbeat = tokio::time::interval(HEARTBEAT_EVERY);
    loop {
        let reply = tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => match read(hub, caller, &text) {
                    Ok((message, json)) => {
                        hub.frames.write(Service::Tcs, true, json);
                        let passes = holder.passes(Direction::FromAgent, message.kind(), json);
                        passes.then(|| take(hub, caller, &message, json))
                    }
                    Err(why) => Some(refuse(caller, why)),
                },
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => None,
                Some(Err(error)) => return Err(error),
            },
            Some(frame) = late.recv() => match (frame.direction, FromAgent::decode(&frame.text)) {
                (Direction::ToAgent, _) => {
                    write(hub, &mut socket, frame.text).await?;
                    None
                }
                (Direction::FromAgent, message) => message.ok().map(|message| take(hub, caller, &message, &frame.text)),
            },
            _ = heartbeat.tick() => Some(HeartbeatMessage { healthy: Some(true) }.into()),
            () = hub.closing.cancelled() => return Ok(()),
        };
        let Some(reply) = reply else { continue };
        let text = reply.encode();
        if holder.passes(Direction::ToAgent, reply.kind(), &text) {
            write(hub, &mut socket, text).await?;
        }
    }
}

async fn write(hub: &Hub, socket: &mut Socket, text: String) -> Result<(), Error> {
    hub.frames.write(Service::Tcs, false, &text);
    socket.send(Message::text(text)).await
}

/// Publishes a message, whose JSON this is, and gives its acknowledgement.
fn take(hub: &Hub, caller: &Caller, message: &FromAgent, json: &str) -> ToAgent {
    hub.publish(PlaneEvent::Telemetry {
        container_instance_arn: caller.instance.to_string(),
        kind: message.kind(),
        message: json.to_owned(),
    });
    acknowledgement(message)
}

fn refuse(caller: &Caller, why: String) -> ToAgent {
    warn!(instance = %caller.instance, "an agent sent telemetry that TCS would not take: {why}");
    BadRequestException { message: why }.into()
}

/// The message of a frame, and its JSON as it came.
fn read<'a>(hub: &Hub, caller: &'a Caller, text: &'a str) -> Result<(FromAgent, &'a str), String> {
    let json = opened(hub, caller, text).map_err(|refused| format!("{}: {refused}", refused.code()))?;
    let message = FromAgent::decode(json).map_err(|error| error.to_string())?;
    Ok((message, json))
}

/// Each frame is signed by itself, as a GET of the session's URL.
fn opened<'a>(hub: &Hub, caller: &'a Caller, text: &'a str) -> Result<&'a str, Refusal> {
    let frame = Frame { path: caller.url.path(), query: caller.url.query().unwrap_or_default(), text };
    let scope = Scope { region: &hub.config.region, service: "ecs" };
    hub.read(|state| verify_frame(&frame, scope, &state.keys, clock::now())).map(|(_, json)| json)
}

fn acknowledgement(message: &FromAgent) -> ToAgent {
    let nothing = String::new();
    match message {
        FromAgent::PublishMetricsRequest(_) => AckPublishMetric { message: nothing }.into(),
        FromAgent::PublishHealthRequest(_) => AckPublishHealth { message: nothing }.into(),
        FromAgent::PublishInstanceStatusRequest(_) => AckPublishInstanceStatus { message: nothing }.into(),
    }
}
