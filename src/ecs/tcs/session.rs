//! One TCS session: signed messages out, acknowledgements and heartbeats in.

use std::time::SystemTime;

use ecs_wire::tcs::{FromAgent, SignedFrame, ToAgent};
use futures_util::{SinkExt, StreamExt};
use http::Uri;
use node_core::{ApiFailure, CloseCause};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::doctor::Checked;
use super::pages::{Batch, Sender, messages};
use super::{Cadence, Telemetry};
use crate::ecs::acs::connect::{Socket, credentials, dial, failed};
use crate::ecs::acs::liveness::{Due, Liveness};
use crate::ecs::acs::url::{AGENT_HASH, AGENT_VERSION, with_query};
use crate::ecs::acs::{FAREWELL, WRITE, broken, closed};
use crate::ecs::failure::one_line;
use crate::ecs::sign::message_headers;

/// An open connection, and the URL that every message's signature names.
pub(super) struct Line {
    socket: Socket,
    url: Uri,
}

/// Asks where TCS is, connects and upgrades.
pub(super) async fn open(telemetry: &Telemetry) -> Result<Line, CloseCause> {
    let instance = &telemetry.container_instance;
    let urls = telemetry.ecs.poll_endpoint(instance).await.map_err(|failure| match failure {
        ApiFailure::Gone(text) => CloseCause::Inactive(text),
        other => CloseCause::Failed(format!("DiscoverPollEndpoint: {}", other.text())),
    })?;
    let endpoint = urls.tcs.ok_or_else(|| CloseCause::Failed("ECS names no telemetry endpoint".to_owned()))?;
    let docker = telemetry.docker.version().await.ok().map(|version| version.engine);
    let url = session_url(&endpoint, telemetry.ecs.cluster().as_str(), instance.as_str(), docker.as_deref())?;
    let (socket, url) = dial(url, &telemetry.credentials, &telemetry.region, telemetry.ecs.network()).await?;
    Ok(Line { socket, url })
}

/// Parameters sorted by name (amazon-ecs-agent, `ecs-agent/tcs/handler/handler.go`): not quite those of ACS.
fn session_url(endpoint: &str, cluster: &str, instance: &str, docker: Option<&str>) -> Result<String, CloseCause> {
    let parameters = [
        ("agentHash", Some(AGENT_HASH)),
        ("agentVersion", Some(AGENT_VERSION)),
        ("cluster", Some(cluster)),
        ("containerInstance", Some(instance)),
        ("dockerVersion", docker),
    ];
    with_query(endpoint, &parameters).map_err(failed)
}

/// Carries messages both ways until the session ends, and says why it did. A check that was told is marked as seen.
pub(super) async fn serve(
    cadence: Cadence,
    line: Line,
    telemetry: &Telemetry,
    batches: &mut mpsc::Receiver<Batch>,
    checked: &mut watch::Receiver<Checked>,
    stop: &CancellationToken,
) -> CloseCause {
    let mut status = interval_at(Instant::now() + cadence.status, cadence.status);
    status.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let liveness = Liveness::new(cadence.limits, Instant::now());
    let mut session = Session { line, telemetry, liveness, status, stop };
    loop {
        if let Some(cause) = session.step(batches, checked).await {
            return cause;
        }
    }
}

struct Session<'a> {
    line: Line,
    telemetry: &'a Telemetry,
    liveness: Liveness,
    /// When to look for news of the host's health.
    status: Interval,
    stop: &'a CancellationToken,
}

impl Session<'_> {
    async fn step(
        &mut self,
        batches: &mut mpsc::Receiver<Batch>,
        checked: &mut watch::Receiver<Checked>,
    ) -> Option<CloseCause> {
        let (at, due) = self.liveness.next();
        let open = !self.liveness.is_closing();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Some(self.farewell().await),
            () = sleep_until(at) => self.due(due).await,
            frame = self.line.socket.next() => self.read(frame).await,
            Some(batch) = batches.recv(), if open => {
                let ids = [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.to_string());
                self.send_all(messages(batch, sender(self.telemetry), &ids).into_iter()).await
            }
            _ = self.status.tick(), if open => {
                if !checked.has_changed().unwrap_or(false) {
                    return None;
                }
                let message = checked.borrow_and_update().message(sender(self.telemetry), Uuid::new_v4().to_string());
                self.send_all(std::iter::once(message.into())).await
            }
        }
    }

    async fn read(&mut self, frame: Option<Result<Message, Error>>) -> Option<CloseCause> {
        let message = match frame {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Some(broken(&error)),
            None => return Some(CloseCause::Clean),
        };
        match message {
            Message::Text(text) => self.hear(&text),
            Message::Close(frame) => {
                let cause = closed(frame.as_ref(), self.liveness.is_closing());
                // Sends the answer that tungstenite has prepared.
                let _ = timeout(FAREWELL, self.line.socket.close(None)).await;
                return Some(cause);
            }
            // tungstenite answers pings; nothing here is a sign of life.
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        None
    }

    /// Heartbeats and acknowledgements show that ECS listens; neither is answered.
    fn hear(&mut self, text: &str) {
        match ToAgent::decode(text) {
            Ok(
                ToAgent::HeartbeatMessage(_)
                | ToAgent::AckPublishMetric(_)
                | ToAgent::AckPublishHealth(_)
                | ToAgent::AckPublishInstanceStatus(_),
            ) => self.liveness.heard(Instant::now()),
            Ok(ToAgent::StopTelemetrySessionMessage(m)) => {
                tracing::info!("TCS is about to end the session: {}", m.message);
            }
            Ok(ToAgent::ServerException(e)) => complaint("ServerException", &e.message),
            Ok(ToAgent::BadRequestException(e)) => complaint("BadRequestException", &e.message),
            Ok(ToAgent::ResourceValidationException(e)) => complaint("ResourceValidationException", &e.message),
            Ok(ToAgent::InvalidParameterException(e)) => complaint("InvalidParameterException", &e.message),
            Err(error) => tracing::debug!("dropped a frame from TCS: {}", one_line(&error)),
        }
    }

    /// In order; the first failure ends the session, and what is left of the batch is lost with it.
    async fn send_all(&mut self, messages: impl Iterator<Item = FromAgent>) -> Option<CloseCause> {
        for message in messages {
            if let Some(cause) = self.send(&message).await {
                return Some(cause);
            }
        }
        None
    }

    async fn send(&mut self, message: &FromAgent) -> Option<CloseCause> {
        let frame = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            frame = self.signed(message) => frame,
        };
        let frame = match frame {
            Ok(frame) => Message::text(frame.encode()),
            Err(cause) => return Some(cause),
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            sent = timeout(WRITE, self.line.socket.send(frame)) => match sent {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(broken(&error)),
                Err(_) => Some(CloseCause::Failed(format!("TCS took nothing for {} s", WRITE.as_secs()))),
            },
        }
    }

    /// Credentials are asked for anew each time: those that opened the session may be over.
    async fn signed(&self, message: &FromAgent) -> Result<SignedFrame, CloseCause> {
        let credentials = credentials(&self.telemetry.credentials).await?;
        let json = message.encode();
        let headers = message_headers(&self.line.url, &json, credentials, &self.telemetry.region, SystemTime::now());
        Ok(SignedFrame::new(headers.map_err(failed)?, json))
    }

    async fn due(&mut self, due: Due) -> Option<CloseCause> {
        match due {
            Due::Unanswered => Some(CloseCause::Clean),
            // Unlike an ACS session, one that has gone silent is closed as politely as an old one.
            Due::Silent | Due::Old => {
                self.liveness.closing(Instant::now());
                let reason = "ConnectionExpired: Reconnect to continue";
                let goodbye = CloseFrame { code: CloseCode::Normal, reason: reason.into() };
                match timeout(FAREWELL, self.line.socket.close(Some(goodbye))).await {
                    Ok(Ok(())) => None,
                    Ok(Err(_)) | Err(_) => Some(CloseCause::Clean),
                }
            }
        }
    }

    /// Ends the session from our side without waiting for an answer.
    async fn farewell(&mut self) -> CloseCause {
        let away = CloseFrame { code: CloseCode::Away, reason: "the agent is stopping".into() };
        let _ = timeout(FAREWELL, self.line.socket.close(Some(away))).await;
        CloseCause::Clean
    }
}

/// TCS leaves the connection open or closes it itself: there is nothing to do but say so.
fn complaint(kind: &str, text: &str) {
    tracing::warn!("TCS says {kind}: {text}");
}

fn sender(telemetry: &Telemetry) -> Sender<'_> {
    Sender { cluster: telemetry.ecs.cluster().as_str(), container_instance: telemetry.container_instance.as_str() }
}
