//! Opening the websocket: where ACS is, with whose credentials, and what a refusal says.

use std::time::{Duration, SystemTime};

use acs_decode::INACTIVE;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use http::{Request, Response, Uri};
use node_core::{ApiFailure, CloseCause};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::SessionParams;
use super::url::{Caller, websocket_url};
use crate::ecs::failure::one_line;
use crate::ecs::sign::sign;
use crate::net::{Network, Stream};

pub(in crate::ecs) type Socket = WebSocketStream<MaybeTlsStream<Stream>>;

/// For the TCP connection, and again for TLS and the upgrade (amazon-ecs-agent, `ecs-agent/wsclient/client.go`).
const STEP: Duration = Duration::from_secs(30);
/// As amazon-ecs-agent's; tungstenite's own buffers are 128 KiB each, of which an idle session uses none.
const READ_BUFFER: usize = 4 * 1024;
const WRITE_BUFFER: usize = 32 * 1024;
/// A payload of ten tasks with the longest of environments is a tenth of this; who sends more would fill the host's memory.
const FRAME_MAX: usize = 16 * 1024 * 1024;
/// Characters of a refusal's body that are worth a log line.
const BODY: usize = 300;

/// Discovers, signs, connects and upgrades.
pub(super) async fn open(params: SessionParams<'_>) -> Result<Socket, CloseCause> {
    let endpoint = params.ecs.poll_endpoint(params.container_instance).await;
    let endpoint = endpoint.map_err(|failure| match failure {
        ApiFailure::Gone(text) => CloseCause::Inactive(text),
        other => CloseCause::Failed(format!("DiscoverPollEndpoint: {}", other.text())),
    })?;
    let caller = Caller {
        cluster: params.ecs.cluster().as_str(),
        container_instance: params.container_instance.as_str(),
        docker_version: params.docker_version,
        send_credentials: params.send_credentials,
    };
    let url = websocket_url(&endpoint.acs, &caller).map_err(failed)?;
    let (socket, _url) = dial(url, params.credentials, params.region, params.ecs.network()).await?;
    Ok(socket)
}

/// Signs, connects and upgrades, be it for ACS or TCS. The URL comes back as it was signed.
pub(in crate::ecs) async fn dial(
    url: String,
    provider: &SharedCredentialsProvider,
    region: &str,
    network: &Network,
) -> Result<(Socket, Uri), CloseCause> {
    let mut request = url.into_client_request().map_err(failed)?;
    let credentials = credentials(provider).await?;
    sign(&mut request, credentials, region, SystemTime::now()).map_err(failed)?;
    let url = request.uri().clone();
    Ok((upgrade(request, network).await?, url))
}

pub(in crate::ecs) async fn credentials(
    provider: &SharedCredentialsProvider,
) -> Result<aws_credential_types::Credentials, CloseCause> {
    match timeout(STEP, provider.provide_credentials()).await {
        Ok(found) => found.map_err(|e| CloseCause::Failed(format!("no AWS credentials: {}", one_line(&e)))),
        Err(_) => Err(late("the AWS credentials")),
    }
}

async fn upgrade(request: Request<()>, network: &Network) -> Result<Socket, CloseCause> {
    let (host, port) =
        address(request.uri()).ok_or_else(|| CloseCause::Failed("the endpoint names no host".to_owned()))?;
    let secure = request.uri().scheme_str() == Some("wss");
    let stream = match timeout(STEP, network.dial(&host, port, secure)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return Err(CloseCause::Failed(format!("{host}:{port}: {e}"))),
        Err(_) => return Err(late("a TCP connection to ECS")),
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_frame_size(Some(FRAME_MAX))
        .max_message_size(Some(FRAME_MAX));
    let upgrade = client_async_tls_with_config(request, stream, Some(config), network.websocket_tls());
    match timeout(STEP, upgrade).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(Error::Http(response))) => Err(refusal(&response)),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(late("the websocket upgrade")),
    }
}

fn address(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?.trim_matches(['[', ']']);
    let default = if uri.scheme_str() == Some("wss") { 443 } else { 80 };
    Some((host.to_owned(), uri.port_u16().unwrap_or(default)))
}

/// An answer other than 101. Its body, if ACS wrote it, names an exception.
fn refusal(response: &Response<Option<Vec<u8>>>) -> CloseCause {
    let body = response.body().as_deref().unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    let text = exception(&body).unwrap_or_else(|| body.chars().take(BODY).collect());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.contains(INACTIVE) {
        CloseCause::Inactive(text)
    } else {
        CloseCause::Failed(format!("ECS answered HTTP {}: {text}", response.status().as_u16()))
    }
}

/// `{"type":"X","message":{"message":"text"}}` or `{"X":"text"}` as `X: text`.
fn exception(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    if let Some(kind) = value.get("type").and_then(Value::as_str) {
        let text = value.pointer("/message/message").and_then(Value::as_str);
        return Some(format!("{kind}: {}", text.unwrap_or("")));
    }
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    let (kind, text) = fields.iter().next()?;
    Some(format!("{kind}: {}", text.as_str()?))
}

pub(in crate::ecs) fn failed(error: impl std::error::Error + 'static) -> CloseCause {
    CloseCause::Failed(one_line(&error))
}

fn late(what: &str) -> CloseCause {
    CloseCause::Failed(format!("{what}: nothing within {} s", STEP.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> CloseCause {
        let response = Response::builder().status(status).body(Some(body.as_bytes().to_vec())).unwrap();
        refusal(&response)
    }

    #[test]
    fn an_inactive_instance_is_recognised_in_either_form() {
        for body in [
            r#"{"type":"InactiveInstanceException","message":{"message":"Your instance is INACTIVE"}}"#,
            r#"{"InactiveInstanceException":"Your instance is INACTIVE"}"#,
        ] {
            let text = "InactiveInstanceException: Your instance is INACTIVE".to_owned();
            assert_eq!(refused(400, body), CloseCause::Inactive(text));
        }
    }

    #[test]
    fn other_refusals_are_quoted_in_one_short_line() {
        let denied = refused(403, r#"{"AccessDeniedException":"no"}"#);
        assert_eq!(denied, CloseCause::Failed("ECS answered HTTP 403: AccessDeniedException: no".into()));
        let CloseCause::Failed(text) = refused(502, &"<html>\n".repeat(200)) else { panic!("a failure") };
        assert!(text.len() < BODY + 50 && !text.contains('\n'), "{text}");
    }

    #[test]
    fn the_port_follows_the_scheme() {
        let of = |uri: &'static str| address(&Uri::from_static(uri)).unwrap();
        assert_eq!(of("wss://acs.example.com/ws"), ("acs.example.com".into(), 443));
        assert_eq!(of("ws://[::1]:4510/ws"), ("::1".into(), 4510));
    }
}
