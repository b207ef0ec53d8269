//! The listener of the agents' websockets: ACS at `/ws`, TCS at `/tcs/ws`.

mod session;
mod telemetry;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tracing::{debug, warn};

use crate::hub::Hub;
use crate::ids::InstanceArn;

/// A client that does not finish its handshake is let go.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(30);
/// Both servers show that they live.
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);

/// What an upgrade asked for.
enum Purpose {
    Acs(InstanceArn),
    Tcs,
}

type Socket = WebSocketStream<TcpStream>;

/// Accepts websockets until the plane closes.
pub(crate) async fn serve(hub: Arc<Hub>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hub.closing.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => drop(hub.tracker.spawn(handle(hub.clone(), stream))),
            Err(error) => {
                warn!(%error, "cannot accept an agent's connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
async fn handle(hub: Arc<Hub>, stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let mut purpose = None;
    let admit = |request: &Request, response: Response| {
        purpose = Some(admission(&hub, request)?);
        Ok(response)
    };
    let handshake = tokio_tungstenite::accept_hdr_async(stream, admit);
    let closing = hub.closing.clone();
    let socket = tokio::select! {
        socket = tokio::time::timeout(HANDSHAKE_WITHIN, handshake) => socket,
        () = closing.cancelled() => return,
    };
    match (socket, purpose) {
        (Ok(Ok(socket)), Some(Purpose::Acs(instance))) => session::run(hub, instance, socket).await,
        (Ok(Ok(socket)), Some(Purpose::Tcs)) => telemetry::run(&hub, socket).await,
        (Ok(Err(error)), _) => debug!(%error, "a websocket was refused"),
        _ => debug!("a websocket's handshake took too long"),
    }
}

/// Lets in signed requests for instances that exist.
#[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
fn admission(hub: &Hub, request: &Request) -> Result<Purpose, ErrorResponse> {
    let signed = request.headers().get("authorization").and_then(|v| v.to_str().ok());
    if !signed.is_some_and(|v| v.starts_with("AWS4-HMAC-SHA256 ")) {
        return Err(refusal("AccessDeniedException", "the request is not signed with AWS4-HMAC-SHA256"));
    }
    let query: HashMap<_, _> = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).collect();
    let instance = |name: &str| InstanceArn(query.get(name).map(|v| v.to_string()).unwrap_or_default());
    let (arn, purpose) = match request.uri().path() {
        "/ws" => (instance("containerInstanceArn"), Purpose::Acs(instance("containerInstanceArn"))),
        "/tcs/ws" => (instance("containerInstance"), Purpose::Tcs),
        other => return Err(refusal("BadRequestException", &format!("no websocket at {other}"))),
    };
    hub.read(|state| state.may_connect(&arn))
        .map_err(|exception| refusal(exception, &format!("container instance {arn} cannot connect")))?;
    Ok(purpose)
}

fn refusal(exception: &str, message: &str) -> ErrorResponse {
    let body = serde_json::json!({"type": exception, "message": {"message": message}});
    let mut response = ErrorResponse::new(Some(body.to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
