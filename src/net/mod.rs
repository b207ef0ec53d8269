//! The way out of the host: through proxies where there are any, and trusting whom the operator trusts. The SDK's clients
//! and the websockets go the same way.

mod exempt;
mod post;
mod proxy;
mod reach;
mod sdk;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;

pub(crate) use post::{Post, PostUrl};
pub(crate) use proxy::{Proxies, ProxyUrl};

/// To a server or to a proxy, and with the latter perhaps in TLS.
pub(crate) type Stream = tokio_tungstenite::MaybeTlsStream<TcpStream>;

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

    /// How a proxy is spoken to in TLS. The system's roots are read again each time: a session lives for half an hour.
    fn proxy_tls(&self) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
        match &self.bundle {
            Some(bundle) => Ok(Arc::clone(&bundle.rustls)),
            None => trusting(roots()),
        }
    }

    /// The TLS settings of a websocket; `None` leaves it to the system's roots.
    pub(crate) fn websocket_tls(&self) -> Option<tokio_tungstenite::Connector> {
        self.bundle.as_ref().map(|bundle| tokio_tungstenite::Connector::Rustls(Arc::clone(&bundle.rustls)))
    }
}

fn roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    // What the system has and rustls cannot read is passed over, as in the SDK.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn trusting(roots: rustls::RootCertStore) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn bundle(path: &Path) -> Result<Bundle, NetError> {
    let refuse = |why: String| NetError::Bundle { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let mut roots = roots();
    let mut own = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
        own += 1;
    }
    if own == 0 {
        return Err(refuse("there is no certificate in it".to_owned()));
    }
    Ok(Bundle { pem, rustls: trusting(roots)? })
}
