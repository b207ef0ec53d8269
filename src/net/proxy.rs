//! Which addresses are reached through which proxy, and the tunnel that a websocket needs.

use std::fmt;
use std::io;

use aws_smithy_http_client::proxy::ProxyConfig;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::exempt::is_exempt;
use super::{Network, Stream};

/// Bytes of a proxy's answer to CONNECT that are read before it is taken for something else.
const ANSWER_MAX: usize = 8 * 1024;

/// A proxy's address, with its password if it has one: `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProxyUrl(Uri);

impl ProxyUrl {
    /// `http://[user:password@]host:port`, or `https` for one that is spoken to in TLS; as in curl and Go the scheme may be
    /// left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().ok()?;
        let served = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty());
        served.then_some(Self(uri))
    }

    pub(super) fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// The proxies of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Proxies {
    pub(crate) http: Option<ProxyUrl>,
    pub(crate) https: Option<ProxyUrl>,
    /// Names, domains and addresses that are reached without them.
    pub(crate) exempt: Vec<String>,
}

impl Proxies {
    /// The proxy for an address; `None` where it is reached straight.
    pub(super) fn of(&self, host: &str, port: u16, secure: bool) -> Option<&ProxyUrl> {
        let proxy = if secure { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !is_exempt(&self.exempt, host, port))
    }

    /// For the SDK's clients of `http` addresses.
    pub(super) fn of_http(&self) -> ProxyConfig {
        config(self.http.as_ref(), ProxyConfig::http)
    }

    /// For the SDK's clients of `https` addresses.
    pub(super) fn of_https(&self) -> ProxyConfig {
        config(self.https.as_ref(), ProxyConfig::https)
    }
}

fn config<E>(proxy: Option<&ProxyUrl>, make: impl FnOnce(Uri) -> Result<ProxyConfig, E>) -> ProxyConfig {
    // An address that cannot be a proxy's did not pass `ProxyUrl::parse`.
    proxy.and_then(|ProxyUrl(uri)| make(uri.clone()).ok()).unwrap_or_else(ProxyConfig::disabled)
}

impl Network {
    /// A connection to `host:port` (an IPv6 address without brackets), through the proxy that is set for it. `secure`
    /// says whose proxy: that for https, or that for http. It has no limit of its own.
    pub(crate) async fn dial(&self, host: &str, port: u16, secure: bool) -> io::Result<Stream> {
        let Some(ProxyUrl(proxy)) = self.proxies.of(host, port, secure) else {
            return connect(host, port).await.map(Stream::Plain);
        };
        // It takes the password out of the address.
        let matcher = Matcher::builder().http(proxy.to_string()).build();
        let way = matcher.intercept(&Uri::from_static("http://any/")).ok_or_else(|| io::Error::other("no proxy"))?;
        let by_tls = way.uri().scheme_str() == Some("https");
        let proxy_host = way.uri().host().unwrap_or_default().trim_matches(['[', ']']);
        let proxy_port = way.uri().port_u16().unwrap_or(if by_tls { 443 } else { 80 });
        let place = |e: io::Error| io::Error::new(e.kind(), format!("the proxy {proxy_host}:{proxy_port}: {e}"));
        let stream = connect(proxy_host, proxy_port).await.map_err(place)?;
        let stream = match by_tls {
            true => self.secured(stream, proxy_host).await.map_err(place)?,
            false => Stream::Plain(stream),
        };
        let authorization = way.basic_auth().map(|value| value.as_bytes().to_vec());
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        tunnel(stream, &format!("{bracketed}:{port}"), authorization).await
    }

    async fn secured(&self, stream: TcpStream, host: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = self.proxy_tls().map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await.map(Stream::Rustls)
    }
}

/// Small frames are waited for.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY on a connection to {host}: {error}");
    }
    Ok(stream)
}

/// Asks a proxy for a tunnel (RFC 9110, 9.3.6). Byte by byte, so that nothing of what follows the answer is lost.
async fn tunnel(mut stream: Stream, target: &str, authorization: Option<Vec<u8>>) -> io::Result<Stream> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(&value);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= ANSWER_MAX {
            return Err(io::Error::other("the proxy's answer to CONNECT does not end"));
        }
        answer.push(stream.read_u8().await?);
    }
    let answer = String::from_utf8_lossy(&answer);
    let status_line = answer.lines().next().unwrap_or_default();
    match status_line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(stream),
        _ => Err(io::Error::other(format!("the proxy refused the tunnel to {target}: {}", status_line.trim()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_http_address_and_its_password_is_not_shown() {
        let url = ProxyUrl::parse("http://user:s3cret@proxy.example.com:3128").unwrap();
        assert!(!format!("{url:?}").contains("s3cret"));
        assert!(ProxyUrl::parse("10.0.0.1:3128").is_some());
        assert!(ProxyUrl::parse("https://proxy:3128").unwrap().is_secure() && !url.is_secure());
        for wrong in ["socks5://proxy:1080", "http://", "http://a b"] {
            assert_eq!(ProxyUrl::parse(wrong), None, "{wrong}");
        }
    }
}
