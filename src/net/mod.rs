//! The way out of the host: through proxies where there are any, and trusting whom the operator trusts. The SDK's clients
//! and the websockets go the same way.

mod proxy;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;

pub(crate) use proxy::{Proxies, ProxyUrl};

#[derive(Debug, thiserror::Error)]
pub(crate) enum NetError {
    #[error("the CA bundle {}: {why}: set `ca_bundle` or AWS_CA_BUNDLE to a readable PEM file", .path.display())]
    Bundle { path: PathBuf, why: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("TLS cannot be set up: {0}")]
    Sdk(String),
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    proxies: Proxies,
    bundle: Option<Arc<Bundle>>,
}

/// Authorities to trust besides the system's.
struct Bundle {
    pem: Vec<u8>,
    rustls: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("bytes", &self.pem.len()).finish_non_exhaustive()
    }
}

impl Network {
    /// Reads the bundle, if there is one.
    pub(crate) fn new(proxies: Proxies, ca_bundle: Option<&Path>) -> Result<Self, NetError> {
        let bundle = ca_bundle.map(|path| bundle(path).map(Arc::new)).transpose()?;
        Ok(Self { proxies, bundle })
    }

    /// The SDK's client for `http` addresses.
    pub(crate) fn plain_client(&self) -> SharedHttpClient {
        let proxies = self.proxies.of_http();
        Builder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder().proxy_config(proxies.clone());
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(|c| c.sleep_impl()));
            builder.build_http()
        })
    }

    /// The SDK's client for `https` addresses.
    pub(crate) fn tls_client(&self) -> Result<SharedHttpClient, NetError> {
        let mut trusted = TrustStore::default();
        if let Some(bundle) = &self.bundle {
            trusted.add_pem_certificate(bundle.pem.clone());
        }
        let context = TlsContext::builder().with_trust_store(trusted).build();
        let context = context.map_err(|error| NetError::Sdk(error.to_string()))?;
        let proxies = self.proxies.of_https();
        Ok(Builder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder()
                .proxy_config(proxies.clone())
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(context.clone());
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(|c| c.sleep_impl()));
            builder.build()
        }))
    }

    /// A TCP connection to `host:port` (an IPv6 address without brackets), through the proxy that is set for it. `secure`
    /// says whose proxy: that for https, or that for http. It has no limit of its own.
    pub(crate) async fn dial(&self, host: &str, port: u16, secure: bool) -> io::Result<TcpStream> {
        self.proxies.dial(host, port, secure).await
    }

    /// The TLS settings of a websocket; `None` leaves it to the system's roots.
    pub(crate) fn websocket_tls(&self) -> Option<tokio_tungstenite::Connector> {
        self.bundle.as_ref().map(|bundle| tokio_tungstenite::Connector::Rustls(Arc::clone(&bundle.rustls)))
    }
}

fn bundle(path: &Path) -> Result<Bundle, NetError> {
    let refuse = |why: String| NetError::Bundle { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let mut roots = rustls::RootCertStore::empty();
    // What the system has and rustls cannot read is passed over, as in the SDK.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut own = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
        own += 1;
    }
    if own == 0 {
        return Err(refuse("there is no certificate in it".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Bundle { pem, rustls: Arc::new(config) })
}
