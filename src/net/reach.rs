//! Whether a server can be reached at all, for someone who examines the host.

use std::io;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::Network;

impl Network {
    /// Connects as a websocket would, with TLS where the address wants it, and says which way it went. It has no limit of
    /// its own.
    pub(crate) async fn reach(&self, uri: &Uri) -> io::Result<&'static str> {
        let secure = matches!(uri.scheme_str(), Some("https" | "wss"));
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = self.dial(host, port, secure).await?;
        if secure {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let config = self.proxy_tls().map_err(io::Error::other)?;
            TlsConnector::from(config).connect(name, stream).await?;
        }
        Ok(if self.proxies.of(host, port, secure).is_some() { "through the proxy" } else { "without a proxy" })
    }
}
