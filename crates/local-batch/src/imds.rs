//! The instance metadata service, version 2: a listener of its own for each instance, as it is link-local on EC2.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use tokio::net::TcpListener;

use crate::clock;
use crate::hub::Hub;
use crate::ids::{ACCOUNT, Ec2Id, hex32};
use crate::keys::IssuedKey;
use crate::model::node::Node;
use crate::model::roles::INSTANCE_ROLE;

mod notice;

const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
/// AWS's longest life of a token, in seconds.
const MAX_TTL: u64 = 21_600;
/// Tokens remembered for an instance; the oldest client asks anew.
const TOKENS_KEPT: usize = 1_024;
/// Where every instance is.
const VPC: &str = "vpc-0123456789abcdef0";
const SUBNET: &str = "subnet-0123456789abcdef0";
const CIDR: &str = "10.0.0.0/16";

struct Metadata {
    hub: Arc<Hub>,
    id: Ec2Id,
    tokens: Mutex<HashSet<String>>,
    /// Opaque, and unlike any other instance's.
    secret: String,
}

/// Takes a free port of the plane's address.
pub(crate) async fn bind(address: IpAddr) -> std::io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind(SocketAddr::new(address, 0)).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    Ok((listener, endpoint))
}

/// Takes the port that an instance's metadata service had before the plane was started again: its agent knows no other.
pub(crate) async fn bind_again(endpoint: &str) -> std::io::Result<TcpListener> {
    TcpListener::bind(endpoint.trim_start_matches("http://")).await
}

/// Serves one instance's metadata until the future is dropped.
pub(crate) async fn serve(hub: Arc<Hub>, id: Ec2Id, listener: TcpListener) {
    let metadata = Arc::new(Metadata { hub, id, tokens: Mutex::default(), secret: hex32() });
    let router = Router::new()
        .route("/latest/api/token", put(token))
        .route("/latest/meta-data/{*path}", get(meta_data))
        .route("/latest/dynamic/instance-identity/{part}", get(identity))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .with_state(metadata);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!(%error, "a metadata service ended");
    }
}

async fn token(Shared(imds): Shared<Arc<Metadata>>, headers: HeaderMap) -> Response {
    let ttl = headers.get(TTL_HEADER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let Some(ttl) = ttl.filter(|ttl| (1..=MAX_TTL).contains(ttl)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let token = hex32();
    let mut tokens = imds.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    if tokens.len() >= TOKENS_KEPT {
        tokens.clear();
    }
    tokens.insert(token.clone());
    ([(TTL_HEADER, ttl.to_string())], token).into_response()
}

impl Metadata {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let token = headers.get(TOKEN_HEADER).and_then(|v| v.to_str().ok());
        token.is_some_and(|token| self.tokens.lock().unwrap_or_else(PoisonError::into_inner).contains(token))
    }

    fn answer(&self, headers: &HeaderMap, find: impl FnOnce(&Node) -> Option<String>) -> Response {
        if !self.admits(headers) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let found = self.hub.read(|state| state.nodes.get(&self.id).and_then(find));
        found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
    }

    fn meta_data(&self, path: &str, node: &Node) -> Option<String> {
        let arns = &self.hub.arns;
        Some(match path.trim_end_matches('/') {
            "instance-id" => node.id.to_string(),
            "ami-id" => node.image_id.clone(),
            "instance-type" => node.instance_type.clone(),
            "instance-life-cycle" => if node.is_spot { "spot" } else { "on-demand" }.to_owned(),
            "local-ipv4" => node.private_ip.clone(),
            "local-hostname" | "hostname" => format!("ip-{}.ec2.internal", node.private_ip.replace('.', "-")),
            "mac" => node.mac.clone(),
            "placement/region" => arns.region.clone(),
            "placement/availability-zone" => arns.zone(),
            "placement/availability-zone-id" => arns.zone_id(),
            "services/domain" => "amazonaws.com".to_owned(),
            "services/partition" => "aws".to_owned(),
            "iam/security-credentials" => INSTANCE_ROLE.to_owned(),
            "iam/info" => serde_json::json!({"Code": "Success",
                "InstanceProfileArn": format!("arn:aws:iam::{ACCOUNT}:instance-profile/{INSTANCE_ROLE}")})
            .to_string(),
            path if path.starts_with("network/") => network(path, node)?,
            path if notice::is_one(path) => notice::find(path, node)?,
            "tags/instance" => node.tags.iter().map(|tag| tag.key.as_str()).collect::<Vec<_>>().join("\n"),
            other => {
                let key = other.strip_prefix("tags/instance/")?;
                node.tags.iter().find(|tag| tag.key == key)?.value.clone()
            }
        })
    }
}

/// The one network interface, in the default VPC's subnet.
fn network(path: &str, node: &Node) -> Option<String> {
    let below = path.strip_prefix("network/interfaces/macs")?;
    if below.is_empty() {
        return Some(format!("{}/", node.mac));
    }
    let known = [
        ("device-number", "0"),
        ("local-ipv4s", node.private_ip.as_str()),
        ("mac", node.mac.as_str()),
        ("owner-id", ACCOUNT),
        ("subnet-id", SUBNET),
        ("subnet-ipv4-cidr-block", CIDR),
        ("vpc-id", VPC),
        ("vpc-ipv4-cidr-block", CIDR),
    ];
    match below.trim_start_matches('/').strip_prefix(node.mac.as_str())?.trim_start_matches('/') {
        "" => Some(known.map(|(name, _)| name).join("\n")),
        asked => known.into_iter().find(|(name, _)| *name == asked).map(|(_, value)| value.to_owned()),
    }
}

fn credentials(key: IssuedKey) -> String {
    serde_json::json!({
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": clock::rfc3339_seconds(clock::now()),
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "Token": key.token,
        "Expiration": clock::rfc3339_seconds(key.expires_at),
    })
    .to_string()
}

async fn meta_data(Shared(imds): Shared<Arc<Metadata>>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    if path.trim_end_matches('/').strip_prefix("iam/security-credentials/") == Some(INSTANCE_ROLE)
        && imds.admits(&headers)
    {
        let key = imds.hub.update(|state, now| state.instance_key(&imds.id, now));
        return key.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |key| credentials(key).into_response());
    }
    imds.answer(&headers, |node| imds.meta_data(&path, node))
}

async fn identity(Shared(imds): Shared<Arc<Metadata>>, Path(part): Path<String>, headers: HeaderMap) -> Response {
    imds.answer(&headers, |node| match part.as_str() {
        "document" => Some(document(&imds.hub, node)),
        "signature" => Some(format!("local{}", imds.secret)),
        _ => None,
    })
}

fn document(hub: &Hub, node: &Node) -> String {
    let arns = &hub.arns;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    serde_json::json!({
        "accountId": ACCOUNT,
        "architecture": architecture,
        "availabilityZone": arns.zone(),
        "imageId": node.image_id,
        "instanceId": node.id,
        "instanceType": node.instance_type,
        "pendingTime": clock::rfc3339_seconds(node.launched_at),
        "privateIp": node.private_ip,
        "region": arns.region,
        "version": "2017-09-30",
    })
    .to_string()
}
