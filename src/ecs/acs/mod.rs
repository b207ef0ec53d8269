//! One ACS session: the websocket over which ECS hands out work.
//!
//! A session ends with its connection. Whether and when the next one is opened is node-core's to say.

pub(in crate::ecs) mod connect;
pub(in crate::ecs) mod liveness;
pub(in crate::ecs) mod url;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use acs_decode::{INACTIVE, Reaction, react};
use aws_credential_types::provider::SharedCredentialsProvider;
use ecs_wire::FromAgent;
use futures_util::{SinkExt, StreamExt};
use node_core::{CloseCause, ContainerInstanceArn, Event};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};
use tokio_util::sync::CancellationToken;

use self::connect::Socket;
use self::liveness::{Due, Limits, Liveness};
use super::api::Ecs;
use super::failure::one_line;
use crate::serve::credentials::CredentialStore;

/// A peer that takes nothing for this long is gone (amazon-ecs-agent, `ecs-agent/wsclient/client.go`).
pub(in crate::ecs) const WRITE: Duration = Duration::from_secs(180);
/// For a last close frame; the whole agent has two seconds to stop.
pub(in crate::ecs) const FAREWELL: Duration = Duration::from_millis(500);

/// What a session needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionParams<'a> {
    pub(crate) ecs: &'a Ecs,
    pub(crate) credentials: &'a SharedCredentialsProvider,
    pub(crate) region: &'a str,
    pub(crate) container_instance: &'a ContainerInstanceArn,
    /// Docker Engine's version, if it is known.
    pub(crate) docker_version: Option<&'a str>,
    /// Whether ECS is to send the credentials of the tasks that run here already.
    pub(crate) send_credentials: bool,
    /// Where the credentials of tasks' roles go.
    pub(crate) store: &'a CredentialStore,
    /// Told of each heartbeat of ECS.
    pub(crate) heartbeats: &'a Arc<Notify>,
}

/// Opens a session, carries frames both ways, and says what ended it. [`Event::SessionOpened`] goes out once the connection is
/// upgraded. What is still in `outbound` at the end is lost with the connection: ECS repeats what was not acknowledged.
pub(crate) async fn session(
    params: SessionParams<'_>,
    outbound: mpsc::Receiver<FromAgent>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> CloseCause {
    serve(params, Limits::ACS, outbound, events, stop).await
}

async fn serve(
    params: SessionParams<'_>,
    limits: Limits,
    outbound: mpsc::Receiver<FromAgent>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> CloseCause {
    let opened = tokio::select! {
        biased;
        () = stop.cancelled() => return CloseCause::Clean,
        opened = connect::open(params) => opened,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(cause) => return cause,
    };
    let session = Session {
        socket,
        liveness: Liveness::new(limits, Instant::now()),
        undelivered: Some(Event::SessionOpened),
        credentials: params.store.clone(),
        heartbeats: Arc::clone(params.heartbeats),
        stop,
    };
    session.run(outbound, events).await
}

struct Session {
    socket: Socket,
    liveness: Liveness,
    /// At most one event waits for the node to take it; until then no further frame is read, while acknowledgements
    /// still go out. So neither side can wait for the other for ever.
    undelivered: Option<Event>,
    credentials: CredentialStore,
    heartbeats: Arc<Notify>,
    stop: CancellationToken,
}

enum Step {
    Stop,
    Due(Due),
    Send(Option<FromAgent>),
    Delivered(bool),
    Read(Option<Result<Message, Error>>),
}

impl Session {
    async fn run(mut self, mut outbound: mpsc::Receiver<FromAgent>, events: mpsc::Sender<Event>) -> CloseCause {
        let mut sending = true;
        loop {
            let ended = match self.step(&mut outbound, sending, &events).await {
                Step::Stop => Some(self.farewell().await),
                Step::Due(due) => self.due(due).await,
                Step::Send(Some(message)) => self.send(message).await,
                Step::Send(None) => {
                    sending = false;
                    None
                }
                Step::Delivered(true) => None,
                // Nobody listens any more: the agent is going down.
                Step::Delivered(false) => Some(self.farewell().await),
                Step::Read(Some(Ok(message))) => self.read(message).await,
                Step::Read(Some(Err(error))) => Some(broken(&error)),
                Step::Read(None) => Some(CloseCause::Clean),
            };
            if let Some(cause) = ended {
                return cause;
            }
        }
    }

    /// Waits for the next thing to do. Every branch may be dropped unfinished without losing anything.
    async fn step(
        &mut self,
        outbound: &mut mpsc::Receiver<FromAgent>,
        sending: bool,
        events: &mpsc::Sender<Event>,
    ) -> Step {
        let (at, due) = self.liveness.next();
        let closing = self.liveness.is_closing();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Step::Stop,
            () = sleep_until(at) => Step::Due(due),
            message = outbound.recv(), if sending && !closing => Step::Send(message),
            permit = events.reserve(), if self.undelivered.is_some() => {
                if let (Ok(permit), Some(event)) = (permit, self.undelivered.take()) {
                    permit.send(event);
                    Step::Delivered(true)
                } else {
                    Step::Delivered(false)
                }
            }
            frame = self.socket.next(), if self.undelivered.is_none() => Step::Read(frame),
        }
    }

    async fn read(&mut self, message: Message) -> Option<CloseCause> {
        let text = match &message {
            Message::Text(text) => text.as_str(),
            Message::Binary(bytes) => std::str::from_utf8(bytes).unwrap_or(""),
            Message::Close(frame) => {
                let cause = closed(frame.as_ref(), self.liveness.is_closing());
                // Sends the answer that tungstenite has prepared.
                let _ = timeout(FAREWELL, self.socket.close(None)).await;
                return Some(cause);
            }
            // tungstenite answers pings; neither kind counts as a sign of life.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return None,
        };
        let reaction = react(text)?;
        self.liveness.heard(Instant::now());
        match reaction {
            Reaction::Event(event, credentials) => {
                credentials.into_iter().for_each(|delivered| self.credentials.put(delivered));
                self.undelivered = Some(*event);
            }
            Reaction::Reply(reply) => {
                if matches!(reply, FromAgent::HeartbeatAckRequest(_)) {
                    self.heartbeats.notify_one();
                }
                return self.send(reply).await;
            }
            Reaction::Inactive(text) => {
                self.farewell().await;
                return Some(CloseCause::Inactive(text));
            }
            Reaction::Nothing => {}
        }
        None
    }

    async fn send(&mut self, message: FromAgent) -> Option<CloseCause> {
        if self.liveness.is_closing() {
            return None;
        }
        let sent = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            sent = timeout(WRITE, self.socket.send(Message::text(message.encode()))) => sent,
        };
        match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(broken(&error)),
            Err(_) => Some(CloseCause::Failed(format!("ACS took nothing for {} s", WRITE.as_secs()))),
        }
    }

    async fn due(&mut self, due: Due) -> Option<CloseCause> {
        match due {
            Due::Silent => Some(CloseCause::Failed("ACS has been silent for too long: no heartbeat".to_owned())),
            Due::Unanswered => Some(CloseCause::Clean),
            Due::Old => {
                let goodbye =
                    CloseFrame { code: CloseCode::Normal, reason: "ConnectionExpired: Reconnect to continue".into() };
                self.liveness.closing(Instant::now());
                match timeout(FAREWELL, self.socket.close(Some(goodbye))).await {
                    Ok(Ok(())) => None,
                    Ok(Err(_)) | Err(_) => Some(CloseCause::Clean),
                }
            }
        }
    }

    /// Ends the session from our side without waiting for an answer.
    async fn farewell(&mut self) -> CloseCause {
        let away = CloseFrame { code: CloseCode::Away, reason: "the agent is stopping".into() };
        let _ = timeout(FAREWELL, self.socket.close(Some(away))).await;
        CloseCause::Clean
    }
}

/// ECS closed. 1000, 1001, 1006 and 1011 are part of its life; the rest tells of trouble.
pub(in crate::ecs) fn closed(frame: Option<&CloseFrame>, expected: bool) -> CloseCause {
    let code = frame.map_or(1005, |f| u16::from(f.code));
    let reason = frame.map_or("", |f| f.reason.as_str());
    match code {
        _ if reason.contains(INACTIVE) => CloseCause::Inactive(reason.to_owned()),
        _ if expected => CloseCause::Clean,
        1000 | 1001 | 1006 | 1011 => CloseCause::Clean,
        1005 => CloseCause::Failed("ECS closed the connection without a code".to_owned()),
        code => CloseCause::Failed(format!("ECS closed the connection: {code} {reason}")),
    }
}

/// The connection broke. A bare end of stream is close code 1006, and so no trouble.
pub(in crate::ecs) fn broken(error: &Error) -> CloseCause {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => CloseCause::Clean,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CloseCause::Clean,
        Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => CloseCause::Clean,
        other => CloseCause::Failed(one_line(other)),
    }
}

#[cfg(test)]
mod tests;
