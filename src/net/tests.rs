use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;

const HOST: &str = "ecs.example.com";

/// A proxy that takes everybody to `server`, and remembers what it was asked; in TLS if it has a certificate in `folder`.
async fn proxy_of(server: std::net::SocketAddr, folder: Option<&Path>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&asked);
    let acceptor = folder.map(acceptor);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (seen, acceptor) = (Arc::clone(&seen), acceptor.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => carry(client, server, &seen).await,
                    // Who does not trust us hangs up here.
                    Some(acceptor) => match acceptor.accept(client).await {
                        Ok(client) => carry(client, server, &seen).await,
                        Err(_) => {}
                    },
                }
            });
        }
    });
    (address, asked)
}

async fn proxy(server: std::net::SocketAddr) -> (String, Arc<Mutex<Vec<String>>>) {
    proxy_of(server, None).await
}

async fn carry(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    server: std::net::SocketAddr,
    seen: &Mutex<Vec<String>>,
) {
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
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// A network whose proxy for both schemes is at `address`.
fn behind(address: &str, bundle: Option<&Path>) -> Network {
    behind_url(&format!("http://me:s3cret@{address}"), bundle)
}

fn behind_url(url: &str, bundle: Option<&Path>) -> Network {
    let url = ProxyUrl::parse(url);
    let proxies = Proxies { http: url.clone(), https: url, exempt: vec!["direct.example.com".into()] };
    Network::new(proxies, bundle).unwrap()
}

/// A certificate for [`HOST`] from an authority of this test's own: `ca.pem`, `server.pem` and `server.key` in `folder`.
fn certificates(folder: &Path) {
    let openssl = |args: &str| {
        let done = Command::new("openssl").current_dir(folder).args(args.split(' ')).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    std::fs::write(
        folder.join("names"),
        format!("subjectAltName=DNS:{HOST},IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"),
    )
    .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN={HOST}"));
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile names");
}

/// With the certificate in `folder`.
fn acceptor(folder: &Path) -> tokio_rustls::TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain: Vec<_> = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// A TLS server that plays ECS's API, or a websocket that says once more what it hears first.
async fn tls_server(folder: &Path, websocket: bool) -> std::net::SocketAddr {
    let acceptor = acceptor(folder);
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
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIDTEST", "s3cret", None, None, "test"))
        .endpoint_url(url)
        .http_client(network.client().unwrap())
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
async fn a_proxy_of_https_is_spoken_to_in_tls_and_only_if_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let pem = folder.path().join("ca.pem");
    let (address, asked) = proxy_of(tls_server(folder.path(), false).await, Some(folder.path())).await;
    let url = format!("https://me:s3cret@{address}");
    let trusting = behind_url(&url, Some(&pem));
    assert_eq!(clusters(&trusting, &format!("https://{HOST}/")).await, Ok(vec!["arn:c1".to_owned()]));
    assert!(asked.lock().unwrap()[0].starts_with("CONNECT ecs.example.com:443 HTTP/1.1\r\n"), "{asked:?}");

    let (address, asked) = proxy_of(tls_server(folder.path(), true).await, Some(folder.path())).await;
    let url = format!("https://me:s3cret@{address}");
    let trusting = behind_url(&url, Some(&pem));
    let request = format!("wss://{HOST}/ws").into_client_request().unwrap();
    let stream = trusting.dial(HOST, 443, true).await.unwrap();
    let tls = trusting.websocket_tls();
    let (mut socket, _) = tokio_tungstenite::client_async_tls_with_config(request, stream, None, tls).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    assert!(asked.lock().unwrap()[0].contains("Proxy-Authorization: Basic bWU6czNjcmV0"), "{asked:?}");

    let why = behind_url(&url, None).dial(HOST, 443, true).await.unwrap_err().to_string();
    assert!(why.starts_with(&format!("the proxy {address}: ")) && why.contains("certificate"), "{why}");
    assert!(!why.contains("s3cret"));
}

#[tokio::test]
async fn the_sdk_goes_straight_to_what_is_exempt_port_and_all() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            head(&mut stream).await;
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await);
        }
    });
    let (address, asked) = proxy(at).await;
    let url = ProxyUrl::parse(&format!("http://{address}"));
    let exempt = |entry: String| Network {
        proxies: Proxies { http: url.clone(), https: None, exempt: vec![entry] },
        ..Network::default()
    };
    // A name that nobody resolves but the proxy.
    let target = format!("http://ecs.invalid:{}/", at.port());
    assert_eq!(clusters(&exempt("ecs.invalid:1".to_owned()), &target).await, Ok(vec![]));
    assert_eq!(asked.lock().unwrap().len(), 1);
    let straight = clusters(&exempt(format!("invalid:{}", at.port())), &target).await;
    assert!(straight.is_err(), "{straight:?}");
    assert_eq!(asked.lock().unwrap().len(), 1, "the proxy was not asked");
}

fn local_address(stream: &Stream) -> std::net::SocketAddr {
    match stream {
        Stream::Plain(stream) => stream.local_addr().unwrap(),
        other => panic!("{other:?}"),
    }
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
    assert_eq!(local_address(&direct.unwrap()), accepted.unwrap().1);
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
