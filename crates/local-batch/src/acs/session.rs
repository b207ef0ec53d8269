//! One agent's ACS session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ecs_wire::acs::HeartbeatMessage;
use ecs_wire::{FromAgent, ToAgent};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::{HEARTBEAT_EVERY, Socket};
use crate::clock;
use crate::events::PlaneEvent;
use crate::hub::Hub;
use crate::ids::InstanceArn;
use crate::model::cluster::Session;

type Sink = SplitSink<Socket, Message>;

/// Serves the session until either side ends it.
pub(super) async fn run(hub: Arc<Hub>, arn: InstanceArn, socket: Socket) {
    let session = hub.update(|state, _| {
        let session =
            Session { id: state.next_ordinal(), wake: Arc::new(Notify::new()), close: CancellationToken::new() };
        state.connect(&arn, session.clone());
        session
    });
    if let Err(error) = converse(&hub, &arn, &session, socket).await {
        debug!(instance = %arn, %error, "an ACS session broke");
    }
    hub.update(|state, _| state.disconnect(&arn, session.id));
}

async fn converse(hub: &Arc<Hub>, arn: &InstanceArn, session: &Session, socket: Socket) -> Result<(), Error> {
    let (mut sink, mut source) = socket.split();
    let mut heartbeat = tokio::time::interval(HEARTBEAT_EVERY);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(manifest) = hub.update(|state, now| state.manifest(arn, now)) {
        send(&mut sink, manifest.into()).await?;
    }
    loop {
        send_payloads(hub, arn, &mut sink).await?;
        let redelivery = hub
            .read(|state| state.redelivery_due(arn))
            .map(|at| Duration::from_millis(u64::try_from(at - clock::now()).unwrap_or_default()));
        let redeliver = async {
            match redelivery {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            frame = source.next() => match frame {
                Some(Ok(Message::Text(text))) => answer(hub, arn, &text, &mut sink).await?,
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            () = session.wake.notified() => {}
            () = redeliver => {}
            _ = heartbeat.tick() => {
                let beat = HeartbeatMessage { healthy: Some(true), message_id: Uuid::new_v4().to_string() };
                send(&mut sink, beat.into()).await?;
            }
            () = session.close.cancelled() => return sink.close().await,
            () = hub.closing.cancelled() => return sink.close().await,
        }
    }
}

async fn send_payloads(hub: &Arc<Hub>, arn: &InstanceArn, sink: &mut Sink) -> Result<(), Error> {
    while let Some(out) = hub.update(|state, now| state.take_payload(arn, now)) {
        send(sink, out.payload.into()).await?;
        for task in out.starts {
            hub.publish(PlaneEvent::PayloadSent { task_arn: task.0, at: Instant::now() });
        }
    }
    Ok(())
}

async fn send(sink: &mut Sink, message: ToAgent) -> Result<(), Error> {
    sink.send(Message::text(message.encode())).await
}

async fn answer(hub: &Arc<Hub>, arn: &InstanceArn, text: &str, sink: &mut Sink) -> Result<(), Error> {
    match FromAgent::decode(text) {
        Ok(FromAgent::AckRequest(ack)) => hub.update(|state, _| state.acknowledge(arn, &ack.message_id)),
        Ok(FromAgent::TaskStopVerificationMessage(asked)) => {
            let ack = hub.read(|state| state.verify_stops(arn, asked, clock::now()));
            send(sink, ack.into()).await?;
        }
        Ok(FromAgent::NackRequest(nack)) => {
            warn!(instance = %arn, message_id = nack.message_id, reason = nack.reason, "an agent refused a message");
        }
        Ok(FromAgent::HeartbeatAckRequest(_) | FromAgent::IAMRoleCredentialsAckRequest(_)) => {}
        Err(error) => warn!(instance = %arn, %error, "an agent sent a frame that ACS would not understand"),
    }
    Ok(())
}
