//! Posting JSON to an operator's server, by the same ways as the rest.

use std::fmt;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use http::Uri;

use super::{NetError, Network};

/// An http or https address. Its path and query may hold a token, and its user information does: neither `Debug` nor
/// `Display` shows more than scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostUrl {
    /// Without the user information.
    uri: Uri,
    authorization: Option<String>,
}

impl PostUrl {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let path = path.split('#').next().unwrap_or_default();
        let uri: Uri = format!("{scheme}://{host}{path}").parse().ok()?;
        let served = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty());
        let authorization = match user {
            Some(user) => Some(format!("Basic {}", base64::encode(decoded(user)?))),
            None => None,
        };
        served.then_some(Self { uri, authorization })
    }

    fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }
}

/// `%40` and its like.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(plain)
}

impl fmt::Display for PostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.uri.authority().map_or("", http::uri::Authority::as_str);
        write!(f, "{}://{host}", self.uri.scheme_str().unwrap_or_default())
    }
}

impl fmt::Debug for PostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const UNFIT: &str = "its address cannot be used";

/// The way to one server.
pub(crate) struct Post {
    url: PostUrl,
    connector: SharedHttpConnector,
}

impl Network {
    pub(crate) fn post_to(&self, url: &PostUrl) -> Result<Post, NetError> {
        let secure = url.is_secure();
        let port = url.uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let proxy = self.proxies.of(url.uri.host().unwrap_or_default(), port, secure);
        let by_tls = secure || proxy.is_some_and(super::ProxyUrl::is_secure);
        let way = match (proxy, secure) {
            (None, _) => ProxyConfig::disabled(),
            (Some(_), true) => self.proxies.of_https(),
            (Some(_), false) => self.proxies.of_http(),
        };
        let builder = Connector::builder().proxy_config(way);
        let connector = match by_tls {
            true => builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(self.tls_context()?).build(),
            false => builder.build_http(),
        };
        Ok(Post { url: url.clone(), connector: SharedHttpConnector::new(connector) })
    }
}

impl Post {
    /// The status of the answer, or why there is none. It has no limit of its own, and follows nobody elsewhere.
    pub(crate) async fn send(&self, body: &str) -> Result<u16, String> {
        let mut request = HttpRequest::new(SdkBody::from(body));
        // The errors would show the address.
        request.set_method("POST").map_err(|_| UNFIT)?;
        request.set_uri(self.url.uri.clone()).map_err(|_| UNFIT)?;
        request.headers_mut().insert("content-type", "application/json");
        request.headers_mut().insert("user-agent", concat!("batch-node-agent/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.url.authorization {
            request.headers_mut().insert("authorization", authorization.clone());
        }
        let answer = self.connector.call(request).await;
        answer.map(|answer| answer.status().as_u16()).map_err(|error| crate::logging::chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_its_host_and_nothing_else() {
        let url = PostUrl::parse("https://me:pass@hooks.example.com:8443/services/T0/B0?sig=1#x").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://hooks.example.com:8443 https://hooks.example.com:8443");
        assert_eq!(url.authorization.as_deref(), Some("Basic bWU6cGFzcw=="));
        assert_eq!(url.uri.to_string(), "https://hooks.example.com:8443/services/T0/B0?sig=1");
        assert!(PostUrl::parse("http://[::1]:9/").is_some_and(|url| !url.is_secure()));
        for wrong in ["hooks.example.com", "ftp://h/", "http://", "http:///x", "http://%zz@h/"] {
            assert_eq!(PostUrl::parse(wrong), None, "{wrong}");
        }
    }
}
