//! Which addresses are reached through which proxy, and the tunnel that a websocket needs.

use std::fmt;
use std::io;

use aws_smithy_http_client::proxy::ProxyConfig;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What no proxy is ever asked for: the metadata and credential services, whose answers are this host's alone, and the
/// host itself. amazon-ecs-agent exempts the first two, and only where NO_PROXY is not set.
const ALWAYS_EXEMPT: &str = "169.254.169.254,fd00:ec2::254,169.254.170.2,169.254.170.23,localhost,127.0.0.0/8,::1";
/// Bytes of a proxy's answer to CONNECT that are read before it is taken for something else.
const ANSWER_MAX: usize = 8 * 1024;

/// A proxy's address, with its password if it has one: `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProxyUrl(Uri);

impl ProxyUrl {
    /// `http://[user:password@]host:port`; as in curl and Go the scheme may be left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().ok()?;
        let plain = uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty());
        plain.then_some(Self(uri))
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
    fn exempt(&self) -> String {
        let own = self.exempt.iter().map(String::as_str);
        std::iter::once(ALWAYS_EXEMPT).chain(own).collect::<Vec<_>>().join(",")
    }

    /// For the SDK's client of `http` addresses.
    pub(super) fn of_http(&self) -> ProxyConfig {
        self.config(self.http.as_ref(), ProxyConfig::http)
    }

    /// For the SDK's client of `https` addresses.
    pub(super) fn of_https(&self) -> ProxyConfig {
        self.config(self.https.as_ref(), ProxyConfig::https)
    }

    fn config<E>(&self, proxy: Option<&ProxyUrl>, make: impl FnOnce(Uri) -> Result<ProxyConfig, E>) -> ProxyConfig {
        // An address that cannot be a proxy's did not pass `ProxyUrl::parse`.
        let made = proxy.and_then(|ProxyUrl(uri)| make(uri.clone()).ok());
        made.map_or_else(ProxyConfig::disabled, |config| config.no_proxy(self.exempt()))
    }

    /// A connection to `host:port`, through the proxy for https (or for http, where not `secure`) unless it is exempt.
    pub(super) async fn dial(&self, host: &str, port: u16, secure: bool) -> io::Result<TcpStream> {
        let proxy = if secure { &self.https } else { &self.http };
        let Some(ProxyUrl(proxy)) = proxy else { return TcpStream::connect((host, port)).await };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let target: Uri = format!("http://{bracketed}:{port}").parse().map_err(io::Error::other)?;
        let matcher = Matcher::builder().http(proxy.to_string()).no(self.exempt()).build();
        let Some(way) = matcher.intercept(&target) else { return TcpStream::connect((host, port)).await };
        let proxy_host = way.uri().host().unwrap_or_default().trim_matches(['[', ']']);
        let proxy_port = way.uri().port_u16().unwrap_or(80);
        let stream = TcpStream::connect((proxy_host, proxy_port)).await;
        let stream =
            stream.map_err(|e| io::Error::new(e.kind(), format!("the proxy {proxy_host}:{proxy_port}: {e}")))?;
        let authorization = way.basic_auth().map(|value| value.as_bytes().to_vec());
        tunnel(stream, &format!("{bracketed}:{port}"), authorization).await
    }
}

/// Asks a proxy for a tunnel (RFC 9110, 9.3.6). Byte by byte, so that nothing of what follows the answer is lost.
async fn tunnel(mut stream: TcpStream, target: &str, authorization: Option<Vec<u8>>) -> io::Result<TcpStream> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(&value);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
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
        for wrong in ["https://proxy:3128", "socks5://proxy:1080", "http://", "http://a b"] {
            assert_eq!(ProxyUrl::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_hosts_own_services_are_always_exempt() {
        let proxies = Proxies { exempt: vec![".example.com".into()], ..Proxies::default() };
        let matcher = Matcher::builder().all("http://proxy:3128").no(proxies.exempt()).build();
        let proxied = |uri: &'static str| matcher.intercept(&Uri::from_static(uri)).is_some();
        for direct in [
            "http://169.254.169.254/latest",
            "http://169.254.170.2/v2",
            "http://[fd00:ec2::254]/latest",
            "http://127.0.0.53/",
            "http://localhost:4510/",
            "https://a.example.com/",
        ] {
            assert!(!proxied(direct), "{direct}");
        }
        assert!(proxied("https://ecs.us-east-1.amazonaws.com/"));
    }
}
