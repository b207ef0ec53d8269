use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;

const HOST: &str = "ecs.example.com";

/// A proxy that takes everybody to `server`, and remembers what it was asked.
async fn proxy(server: std::net::SocketAddr) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let head = head(&mut client).await;
                let tunnel = head.starts_with("CONNECT ");
                let allowed = !head.contains("forbidden.example.com");
                seen.lock().unwrap().push(head.clone());
                if !allowed {
                    return drop(client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await);
                }
                let mut server = TcpStream::connect(server).await.unwrap();
                match tunnel {
                    true => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap(),
                    false => server.write_all(head.as_bytes()).await.unwrap(),
                }
                drop(copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    (address, asked)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// A network whose proxy for both schemes is at `address`.
fn behind(address: &str, bundle: Option<&Path>) -> Network {
    let url = ProxyUrl::parse(&format!("http://me:s3cret@{address}"));
    let proxies = Proxies { http: url.clone(), https: url, exempt: vec!["direct.example.com".into()] };
    Network::new(proxies, bundle).unwrap()
}

/// A certificate for [`HOST`] from an authority of this test's own: `ca.pem`, `server.pem` and `server.key` in `folder`.
fn certificates(folder: &Path) {
    let openssl = |args: &str| {
        let done = Command::new("openssl").current_dir(folder).args(args.split(' ')).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    std::fs::write(folder.join("names"), format!("subjectAltName=DNS:{HOST}\nbasicConstraints=CA:FALSE\n")).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN={HOST}"));
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile names");
}

/// A TLS server that plays ECS's API, or a websocket that says once more what it hears first.
async fn tls_server(folder: &Path, websocket: bool) -> std::net::SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain: Vec<_> = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust us hangs up here.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if websocket {
                    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                    let heard = socket.next().await.unwrap().unwrap();
                    drop(socket.send(heard).await);
                    return;
                }
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let body = r#"{"clusterArns":["arn:c1"]}"#;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    address
}

/// `ListClusters` at `url`, through `network`: what it answered, or why not.
async fn clusters(network: &Network, url: &str) -> Result<Vec<String>, String> {
    let http = match url.starts_with("https:") {
        true => network.tls_client().unwrap(),
        false => network.plain_client(),
    };
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIDTEST", "s3cret", None, None, "test"))
        .endpoint_url(url)
        .http_client(http)
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .build();
    let answer = aws_sdk_ecs::Client::from_conf(config).list_clusters().send().await;
    answer.map(|a| a.cluster_arns().to_vec()).map_err(|e| crate::ecs::classify(&e).text().to_owned())
}

#[tokio::test]
async fn an_https_call_goes_through_a_tunnel_and_trusts_the_bundle_only_if_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let (address, asked) = proxy(tls_server(folder.path(), false).await).await;
    let url = format!("https://{HOST}/");
    let trusting = behind(&address, Some(&folder.path().join("ca.pem")));
    assert_eq!(clusters(&trusting, &url).await, Ok(vec!["arn:c1".to_owned()]));
    let first = asked.lock().unwrap()[0].clone();
    assert!(first.starts_with("CONNECT ecs.example.com:443 HTTP/1.1\r\n"), "{first}");
    // me:s3cret
    assert!(first.to_ascii_lowercase().contains("proxy-authorization: basic bwu6cznjcmv0"), "{first}");
    let why = clusters(&behind(&address, None), &url).await.unwrap_err();
    assert!(why.contains("certificate"), "{why}");
}

#[tokio::test]
async fn an_http_call_names_its_host_to_the_proxy() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        head(&mut stream).await;
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await);
    });
    let (address, asked) = proxy(at).await;
    assert_eq!(clusters(&behind(&address, None), &format!("http://{HOST}/")).await, Ok(vec![]));
    assert!(asked.lock().unwrap()[0].starts_with("POST http://ecs.example.com/ HTTP/1.1\r\n"), "{asked:?}");
}

#[tokio::test]
async fn a_websocket_goes_through_a_tunnel_with_tls_inside() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let (address, asked) = proxy(tls_server(folder.path(), true).await).await;
    let open = async |network: &Network| {
        let request = format!("wss://{HOST}/ws").into_client_request().unwrap();
        let stream = network.dial(HOST, 443, true).await.unwrap();
        tokio_tungstenite::client_async_tls_with_config(request, stream, None, network.websocket_tls()).await
    };
    let (mut socket, _) = open(&behind(&address, Some(&folder.path().join("ca.pem")))).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    let tunnel = asked.lock().unwrap()[0].clone();
    assert!(tunnel.starts_with("CONNECT ecs.example.com:443 HTTP/1.1\r\nHost: ecs.example.com:443\r\n"), "{tunnel}");
    assert!(tunnel.contains("Proxy-Authorization: Basic bWU6czNjcmV0"), "{tunnel}");
    let why = open(&behind(&address, None)).await.unwrap_err().to_string();
    assert!(why.contains("certificate"), "{why}");
}

#[tokio::test]
async fn a_refused_tunnel_says_why_and_what_is_exempt_goes_straight() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    let (address, asked) = proxy(at).await;
    let network = behind(&address, None);
    let why = network.dial("forbidden.example.com", 443, true).await.unwrap_err().to_string();
    assert_eq!(why, "the proxy refused the tunnel to forbidden.example.com:443: HTTP/1.1 403 Forbidden");
    let (direct, accepted) = tokio::join!(network.dial("127.0.0.1", at.port(), true), server.accept());
    assert_eq!(direct.unwrap().local_addr().unwrap(), accepted.unwrap().1);
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert!(!format!("{network:?}").contains("s3cret"));
}

#[test]
fn a_bundle_that_is_none_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let refused = |path: &Path| Network::new(Proxies::default(), Some(path)).unwrap_err().to_string();
    assert!(refused(&path).contains("No such file"));
    std::fs::write(&path, "no certificate").unwrap();
    let why = refused(&path);
    assert!(why.contains("there is no certificate in it") && why.contains("AWS_CA_BUNDLE"), "{why}");
}
