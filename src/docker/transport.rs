//! The way to the daemon: a connection a request, opened when the request is made.
//!
//! bollard's own unix transport refuses to be built while the socket does not exist, but an agent may well start before its
//! Docker does. So bollard is given this one, which also speaks TCP without bollard's feature `http`.

use std::path::PathBuf;
use std::sync::Arc;

use bollard::BollardRequest;
use bollard::errors::Error;
use http::header::{HOST, HeaderMap, HeaderValue};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::DockerError;

/// bollard cuts a request at this age if no answer has begun by then. Each operation has a limit of its own, all of them
/// shorter, except the event stream, which answers at once.
const BOLLARD_TIMEOUT_SECS: u64 = 24 * 60 * 60;

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Endpoint {
    /// `unix:///path`, a bare absolute path, `tcp://host:port` or `http://host:port`.
    pub(super) fn parse(docker_host: &str) -> Result<Self, DockerError> {
        let unsupported = || DockerError::UnsupportedHost(docker_host.to_owned());
        let (scheme, rest) = docker_host.split_once("://").unwrap_or(("unix", docker_host));
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "tcp" | "http" => {
                let address = rest.trim_end_matches('/');
                let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
                match port {
                    Some(_) if !address.contains('/') => Ok(Self::Tcp(address.to_owned())),
                    _ => Err(unsupported()),
                }
            }
            _ => Err(unsupported()),
        }
    }

    /// A bollard client over this endpoint. Nothing is connected yet.
    pub(super) fn client(self) -> Result<bollard::Docker, Error> {
        let endpoint = Arc::new(self);
        let transport = move |request: BollardRequest| {
            let endpoint = Arc::clone(&endpoint);
            async move { endpoint.send(request).await }
        };
        bollard::Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            BOLLARD_TIMEOUT_SECS,
            bollard::API_DEFAULT_VERSION,
        )
    }

    async fn send(&self, request: BollardRequest) -> Result<Response<Incoming>, Error> {
        match self {
            Self::Unix(path) => exchange(UnixStream::connect(path).await?, request).await,
            Self::Tcp(address) => exchange(TcpStream::connect(address).await?, request).await,
        }
    }
}

/// One request and its answer over one connection. The connection lives on until the answer's body has been read or dropped.
async fn exchange<S>(stream: S, mut request: BollardRequest) -> Result<Response<Incoming>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // No version in the path: every daemon then speaks its own newest dialect. bollard 0.21.1 never sends one anyway (bollard
    // issue 736). Here would be the place to pin it, but a fixed 1.41 is refused by Docker 29, whose oldest is 1.44.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse()?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    url_safe(request.headers_mut());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It fails when the daemon goes away or when nobody waits any more; whoever reads the answer is told.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// bollard 0.21.1 writes the login in base64's plain alphabet; Docker reads the one for URLs, and takes a login that it cannot
/// read for none at all. The two differ where a password holds `~`, `?` or `>`.
fn url_safe(headers: &mut HeaderMap) {
    let Some(login) = headers.get_mut("x-registry-auth") else { return };
    let other = |byte: &u8| match byte {
        b'+' => b'-',
        b'/' => b'_',
        same => *same,
    };
    let bytes: Vec<u8> = login.as_bytes().iter().map(other).collect();
    if let Ok(mut safe) = HeaderValue::from_bytes(&bytes) {
        safe.set_sensitive(true);
        *login = safe;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_written_in_the_alphabet_that_docker_reads() {
        let mut headers = HeaderMap::new();
        headers.insert("x-registry-auth", HeaderValue::from_static("ab+/cd=="));
        url_safe(&mut headers);
        assert_eq!(headers["x-registry-auth"], "ab-_cd==");
        assert!(!format!("{headers:?}").contains("ab-_"));
    }

    #[test]
    fn hosts_are_unix_sockets_or_tcp_addresses() {
        let parse = |host: &str| Endpoint::parse(host).ok();
        let unix = Some(Endpoint::Unix("/var/run/docker.sock".into()));
        assert_eq!(parse("unix:///var/run/docker.sock"), unix);
        assert_eq!(parse("/var/run/docker.sock"), unix);
        assert_eq!(parse("tcp://10.0.0.1:2375"), Some(Endpoint::Tcp("10.0.0.1:2375".into())));
        assert_eq!(parse("http://[::1]:2375/"), Some(Endpoint::Tcp("[::1]:2375".into())));
        for wrong in
            ["", "docker.sock", "unix://docker.sock", "tcp://host", "tcp://h:1/v1.41", "ssh://h:22", "https://h:1"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
