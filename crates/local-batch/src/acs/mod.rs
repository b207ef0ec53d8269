//! The listener of the agents' websockets: ACS at `/ws`, TCS at `/tcs/ws`.

mod session;
mod telemetry;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{StatusCode, Uri};
use tracing::debug;

use crate::clock;
use crate::faults::{ErrorKind, Gate, Label, Line, Mishap};
use crate::hub::Hub;
use crate::ids::InstanceArn;
use crate::sigv4::{self, Caller, Refusal, Scope};

/// A client that does not finish its handshake is let go.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(30);
/// Both servers show that they live.
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);

/// What an upgrade asked for.
enum Purpose {
    Acs {
        send_credentials: bool,
    },
    /// With the URL that every frame signs again.
    Tcs(Uri),
}

type Socket = WebSocketStream<Line>;

/// Accepts websockets until the plane closes.
pub(crate) async fn serve(hub: Arc<Hub>, mut gate: Gate) {
    loop {
        let line = tokio::select! {
            line = gate.next() => line,
            () = hub.closing.cancelled() => return,
        };
        hub.tracker.spawn(handle(hub.clone(), line));
    }
}

#[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
async fn handle(hub: Arc<Hub>, mut line: Line) {
    let mut purpose = None;
    let closing = hub.closing.clone();
    let error = tokio::select! {
        met = tokio::time::timeout(HANDSHAKE_WITHIN, line.first_line()) => match met {
            Ok(Ok(first)) => suffer(&hub, &first).await,
            _ => return debug!("a websocket's handshake took too long"),
        },
        () = closing.cancelled() => return,
    };
    let admit = |request: &Request, response: Response| {
        if let Some(kind) = error {
            return Err(failure(kind));
        }
        purpose = Some(admission(&hub, request)?);
        Ok(response)
    };
    let handshake = tokio_tungstenite::accept_hdr_async(line, admit);
    let socket = tokio::select! {
        socket = tokio::time::timeout(HANDSHAKE_WITHIN, handshake) => socket,
        () = closing.cancelled() => return,
    };
    match (socket, purpose) {
        (Ok(Ok(socket)), Some((instance, purpose))) => {
            socket.get_ref().label(Label::Agent(instance.to_string()));
            match purpose {
                Purpose::Acs { send_credentials } => session::run(hub, instance, send_credentials, socket).await,
                Purpose::Tcs(url) => telemetry::run(&hub, &telemetry::Caller { instance, url }, socket).await,
            }
        }
        (Ok(Err(error)), _) => debug!(%error, "a websocket was refused"),
        _ => debug!("a websocket's handshake took too long"),
    }
}

/// Lets a fault have its way with an upgrade, whose request begins with this line. What is left is the error to answer.
async fn suffer(hub: &Hub, first_line: &str) -> Option<ErrorKind> {
    let target = first_line.split(' ').nth(1).unwrap_or_default();
    let operation = if target.starts_with("/tcs/ws") { "StartTelemetrySession" } else { "Poll" };
    match hub.faults.on_call(operation)? {
        Mishap::Error(kind) => Some(kind),
        Mishap::Hang(id) => {
            hub.faults.unhang(id).await;
            Some(ErrorKind::Server)
        }
        Mishap::Delay(delay) => {
            tokio::time::sleep(delay).await;
            None
        }
    }
}

fn failure(kind: ErrorKind) -> ErrorResponse {
    match kind {
        ErrorKind::Server => refusal(500, "ServerException", "A fault on order: the service failed"),
        ErrorKind::Throttle => refusal(400, "ThrottlingException", "Rate exceeded"),
        ErrorKind::AccessDenied => refusal(403, "AccessDeniedException", "A fault on order: not authorized"),
    }
}

/// Lets in signed requests for instances that exist.
#[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
fn admission(hub: &Hub, request: &Request) -> Result<(InstanceArn, Purpose), ErrorResponse> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let parameters: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
    let of = |name: &str| parameters.get(name).map(|v| v.to_string()).unwrap_or_default();
    let (arn, purpose) = match path {
        "/ws" => (of("containerInstanceArn"), Purpose::Acs { send_credentials: of("sendCredentials") == "true" }),
        "/tcs/ws" => (of("containerInstance"), Purpose::Tcs(request.uri().clone())),
        other => return Err(refusal(400, "BadRequestException", &format!("no websocket at {other}"))),
    };
    let signed =
        sigv4::Request { method: request.method().as_str(), path, query, headers: request.headers(), body: &[] };
    let scope = Scope { region: &hub.config.region, service: "ecs" };
    let refused = match hub.read(|state| sigv4::verify(signed, scope, &state.keys, clock::now())) {
        Ok(Caller::Nobody) => Some(Refusal::Missing),
        Ok(_) => None,
        Err(refused) => Some(refused),
    };
    if let Some(refused) = refused {
        return Err(refusal(403, refused.code(), &refused.to_string()));
    }
    let arn = InstanceArn(arn);
    hub.read(|state| state.may_connect(&arn))
        .map_err(|exception| refusal(400, exception, &format!("container instance {arn} cannot connect")))?;
    Ok((arn, purpose))
}

fn refusal(status: u16, exception: &str, message: &str) -> ErrorResponse {
    let body = serde_json::json!({"type": exception, "message": {"message": message}});
    let mut response = ErrorResponse::new(Some(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response
}
