//! One agent's ACS session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ecs_wire::acs::HeartbeatMessage;
use ecs_wire::{FromAgent, ToAgent};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::held::{Direction, Holder, Late};
use super::{HEARTBEAT_EVERY, Socket};
use crate::clock;
use crate::events::PlaneEvent;
use crate::hub::Hub;
use crate::ids::InstanceArn;
use crate::model::cluster::{Session, SessionOrder};
use crate::record::Service;

/// What a session says goes through here.
struct Outlet {
    hub: Arc<Hub>,
    arn: InstanceArn,
    sink: SplitSink<Socket, Message>,
    holder: Holder,
}

/// Orders from faults that a session may be behind with.
const ORDERS: usize = 16;
/// An agent that does not answer a Close frame is let go.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Serves the session until either side ends it.
pub(super) async fn run(hub: Arc<Hub>, arn: InstanceArn, send_credentials: bool, socket: Socket) {
    let (orders, mut ordered) = mpsc::channel(ORDERS);
    let session = hub.update(|state, _| {
        let (wake, close) = (Arc::new(Notify::new()), CancellationToken::new());
        let session = Session { id: state.next_ordinal(), wake, close, orders };
        state.connect(&arn, session.clone());
        state.resend_credentials(&arn, send_credentials);
        session
    });
    if let Err(error) = converse(&hub, &arn, &session, &mut ordered, socket).await {
        debug!(instance = %arn, %error, "an ACS session broke");
    }
    hub.update(|state, _| state.disconnect(&arn, session.id));
}

async fn converse(
    hub: &Arc<Hub>,
    arn: &InstanceArn,
    session: &Session,
    orders: &mut mpsc::Receiver<SessionOrder>,
    socket: Socket,
) -> Result<(), Error> {
    let (sink, mut source) = socket.split();
    let (holder, mut late) = Holder::new(hub);
    let mut out = Outlet { hub: Arc::clone(hub), arn: arn.clone(), sink, holder };
    let mut heartbeat = tokio::time::interval(HEARTBEAT_EVERY);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(manifest) = hub.update(|state, now| state.manifest(arn, now)) {
        out.send(manifest.into()).await?;
    }
    loop {
        out.send_payloads().await?;
        while let Some(credentials) = hub.update(|state, now| state.take_credentials(arn, now)) {
            out.send(credentials.into()).await?;
        }
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
                Some(Ok(Message::Text(text))) => out.hear(&text).await?,
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            Some(frame) = late.recv() => out.release(frame).await?,
            Some(order) = orders.recv() => match order {
                SessionOrder::Frame(text) => out.sink.send(Message::text(text)).await?,
                SessionOrder::Close(code) => return close(&mut out.sink, &mut source, code).await,
            },
            () = session.wake.notified() => {}
            () = redeliver => {}
            _ = heartbeat.tick() => {
                let beat = HeartbeatMessage { healthy: Some(true), message_id: Uuid::new_v4().to_string() };
                out.send(beat.into()).await?;
            }
            () = session.close.cancelled() => return out.sink.close().await,
            () = hub.closing.cancelled() => return out.sink.close().await,
        }
    }
}

/// Sends a Close frame and waits for its echo.
async fn close(
    sink: &mut SplitSink<Socket, Message>,
    source: &mut SplitStream<Socket>,
    code: u16,
) -> Result<(), Error> {
    let frame = CloseFrame { code: code.into(), reason: "a fault on order".into() };
    sink.send(Message::Close(Some(frame))).await?;
    let rest = async { while let Some(Ok(_)) = source.next().await {} };
    // Whether it came or not, the connection ends.
    drop(tokio::time::timeout(CLOSE_WITHIN, rest).await);
    Ok(())
}

impl Outlet {
    async fn send_payloads(&mut self) -> Result<(), Error> {
        while let Some(out) = self.hub.update(|state, now| state.take_payload(&self.arn, now)) {
            let payload = ToAgent::from(out.payload);
            if self.hub.faults.doubles() {
                self.send(payload.clone()).await?;
            }
            self.send(payload).await?;
            for task in out.starts {
                self.hub.publish(PlaneEvent::PayloadSent { task_arn: task.0, at: Instant::now() });
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: ToAgent) -> Result<(), Error> {
        let text = message.encode();
        if self.holder.passes(Direction::ToAgent, message.kind(), &text) { self.write(text).await } else { Ok(()) }
    }

    async fn write(&mut self, text: String) -> Result<(), Error> {
        self.hub.frames.write(Service::Acs, false, &text);
        self.sink.send(Message::text(text)).await
    }

    /// A frame that was held back.
    async fn release(&mut self, frame: Late) -> Result<(), Error> {
        match (frame.direction, FromAgent::decode(&frame.text)) {
            (Direction::ToAgent, _) => self.write(frame.text).await,
            (Direction::FromAgent, Ok(message)) => self.answer(message).await,
            (Direction::FromAgent, Err(_)) => Ok(()),
        }
    }

    async fn hear(&mut self, text: &str) -> Result<(), Error> {
        self.hub.frames.write(Service::Acs, true, text);
        match FromAgent::decode(text) {
            Ok(message) if self.holder.passes(Direction::FromAgent, message.kind(), text) => self.answer(message).await,
            Ok(_) => Ok(()),
            Err(error) => {
                warn!(instance = %self.arn, %error, "an agent sent a frame that ACS would not understand");
                Ok(())
            }
        }
    }

    async fn answer(&mut self, message: FromAgent) -> Result<(), Error> {
        let (hub, arn) = (&self.hub, &self.arn);
        match message {
            FromAgent::AckRequest(ack) => hub.update(|state, _| state.acknowledge(arn, &ack.message_id)),
            FromAgent::TaskStopVerificationMessage(asked) => {
                let ack = hub.read(|state| state.verify_stops(arn, asked, clock::now()));
                self.send(ack.into()).await?;
            }
            FromAgent::NackRequest(nack) => {
                warn!(instance = %arn, message_id = nack.message_id, reason = nack.reason, "an agent refused a message");
            }
            FromAgent::IAMRoleCredentialsAckRequest(ack) => {
                hub.update(|state, _| state.acknowledge_credentials(arn, &ack));
            }
            FromAgent::HeartbeatAckRequest(_) => {}
        }
        Ok(())
    }
}
