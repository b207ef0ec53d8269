//! The SDK's HTTP client: plain or TLS, straight or through a proxy, as each request's address wants it.

use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector, proxy::ProxyConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http::Uri;

use super::{NetError, Network};

impl Network {
    /// For all services, and for IMDS.
    pub(crate) fn client(&self) -> Result<SharedHttpClient, NetError> {
        let context = self.tls_context()?;
        let (http, https) = (self.proxies.of_http(), self.proxies.of_https());
        let by_tls = self.proxies.http.as_ref().is_some_and(super::ProxyUrl::is_secure);
        let ways = Ways {
            direct: Pair { plain: plain(ProxyConfig::disabled()), tls: tls(ProxyConfig::disabled(), &context) },
            proxied: Pair { plain: if by_tls { tls(http, &context) } else { plain(http) }, tls: tls(https, &context) },
        };
        Ok(SharedHttpClient::new(ByAddress { network: self.clone(), ways }))
    }

    pub(super) fn tls_context(&self) -> Result<TlsContext, NetError> {
        let mut trusted = TrustStore::default();
        if let Some(bundle) = &self.bundle {
            trusted.add_pem_certificate(bundle.pem.clone());
        }
        let context = TlsContext::builder().with_trust_store(trusted).build();
        context.map_err(|error| NetError::Sdk(error.to_string()))
    }
}

fn plain(proxy: ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(proxy.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(|c| c.sleep_impl()));
        builder.build_http()
    })
}

fn tls(proxy: ProxyConfig, context: &TlsContext) -> SharedHttpClient {
    let context = context.clone();
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder()
            .proxy_config(proxy.clone())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(|c| c.sleep_impl()));
        builder.build()
    })
}

#[derive(Debug, Clone)]
struct Pair {
    plain: SharedHttpClient,
    tls: SharedHttpClient,
}

#[derive(Debug, Clone)]
struct Ways {
    direct: Pair,
    proxied: Pair,
}

/// Leaves TLS alone until the first request that wants it. The SDK's own client loads and parses the host's root certificates
/// as soon as a service client is made, once for every service and once more for IMDS, which is never `https`.
#[derive(Debug)]
struct ByAddress {
    network: Network,
    ways: Ways,
}

impl HttpClient for ByAddress {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(AddressConnector {
            network: self.network.clone(),
            ways: self.ways.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }
}

/// Made for each attempt; the connections live in the clients, which cache their connectors.
#[derive(Debug)]
struct AddressConnector {
    network: Network,
    ways: Ways,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for AddressConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let secure = request.uri().starts_with("https:");
        let uri = request.uri().parse::<Uri>().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let proxied = self.network.proxies.of(uri.host().unwrap_or_default(), port, secure).is_some();
        let pair = if proxied { &self.ways.proxied } else { &self.ways.direct };
        let client = if secure { &pair.tls } else { &pair.plain };
        client.http_connector(&self.settings, &self.components).call(request)
    }
}
