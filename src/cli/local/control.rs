//! The client of the plane's own control API.

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A plane of this machine has a socket for orders, which is there even while the plane is away.
async fn connect((host, port): (&str, u16)) -> std::io::Result<Box<dyn Stream>> {
    for address in lookup_host((host, port)).await? {
        let name = format!("\0{}", local_batch::control_socket(address));
        if let Ok(stream) = UnixStream::connect(name).await {
            return Ok(Box::new(stream));
        }
    }
    Ok(Box::new(TcpStream::connect((host, port)).await?))
}

/// One call of `/local/faults`, its answer read.
///
/// # Errors
/// When no plane answers at the endpoint, or it refuses, in its words.
pub(super) async fn ask(endpoint: &str, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    ask_at(endpoint, method, &format!("/local/faults{path}"), body).await
}

/// One call of the control API, its answer read.
///
/// # Errors
/// As above.
pub(super) async fn ask_at(endpoint: &str, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let uri: Uri = endpoint.parse().context("its address is no URL of the form http://127.0.0.1:8700")?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        bail!("its address must be of the form http://127.0.0.1:8700");
    };
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let stream = connect(address)
        .await
        .context("it cannot be reached; start it with `batch-node-agent local`, or give --endpoint")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the request; its errors come back through the sender.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, uri.authority().map_or("local", |authority| authority.as_str()))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default())))?;
    let response = sender.send_request(request).await?;
    let is_success = response.status().is_success();
    let body = response.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&body).context("it does not answer as a plane of this version would")?;
    if !is_success {
        bail!("{}", answer["message"].as_str().unwrap_or("it refused the order"));
    }
    Ok(answer)
}
