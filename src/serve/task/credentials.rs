//! `GET /v1/credentials?id=<id>` and `GET /v2/credentials/<id>`: what an SDK in a container asks for
//! (ecs-agent/tmds/handlers/v1 and v2).

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use node_core::CredentialsId;
use serde::Serialize;
use zeroize::Zeroizing;

use super::audit::Entry;
use super::listener::Client;
use super::{Shared, query};
use crate::serve::credentials::{Found, Material, Owner};

/// The fields of an answer, in amazon-ecs-agent's order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    role_arn: &'a str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: &'a str,
}

#[derive(Serialize)]
struct Refusal<'a> {
    code: &'a str,
    message: String,
    #[serde(rename = "HTTPErrorCode")]
    status: u16,
}

struct Asked {
    version: u8,
    path: &'static str,
    client: SocketAddr,
    user_agent: String,
}

pub(super) async fn v1(
    State(shared): State<Shared>,
    ConnectInfo(Client(client)): ConnectInfo<Client>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let asked = Asked { version: 1, path: "/v1/credentials", client, user_agent: user_agent(&headers) };
    answer(&shared, &asked, query(&uri, "id").unwrap_or_default())
}

pub(super) async fn v2(
    State(shared): State<Shared>,
    ConnectInfo(Client(client)): ConnectInfo<Client>,
    id: Option<Path<String>>,
    headers: HeaderMap,
) -> Response {
    let asked = Asked { version: 2, path: "/v2/credentials", client, user_agent: user_agent(&headers) };
    answer(&shared, &asked, id.as_ref().map_or("", |Path(id)| id))
}

pub(super) fn user_agent(headers: &HeaderMap) -> String {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn answer(shared: &Shared, asked: &Asked, id: &str) -> Response {
    if id.is_empty() {
        return refuse(
            shared,
            asked,
            None,
            StatusCode::BAD_REQUEST,
            "NoIdInRequest",
            "No Credential ID in the request",
        );
    }
    match shared.credentials.find(&CredentialsId::new(id)) {
        Found::Ready(owner, material) => {
            note(shared, asked, StatusCode::OK, Some(&owner));
            body(&material)
        }
        Found::Pending(owner) => refuse(
            shared,
            asked,
            Some(&owner),
            StatusCode::SERVICE_UNAVAILABLE,
            "CredentialsUninitialized",
            "Credentials uninitialized for ID",
        ),
        Found::Unknown => {
            refuse(shared, asked, None, StatusCode::BAD_REQUEST, "InvalidIdInRequest", "Credentials not found")
        }
    }
}

fn body(material: &Material) -> Response {
    let body = Body {
        role_arn: &material.role_arn,
        access_key_id: &material.access_key_id,
        secret_access_key: &material.secret_access_key,
        token: &material.session_token,
        expiration: &material.expiration,
    };
    // Texts alone cannot fail to serialize. What hyper holds of it is beyond wiping.
    let text = Zeroizing::new(serde_json::to_string(&body).unwrap_or_default());
    json(StatusCode::OK, text.as_str().to_owned())
}

fn refuse(
    shared: &Shared,
    asked: &Asked,
    owner: Option<&Owner>,
    status: StatusCode,
    code: &str,
    text: &str,
) -> Response {
    note(shared, asked, status, owner);
    let message = format!("CredentialsV{}Request: {text}", asked.version);
    let refusal = Refusal { code, message, status: status.as_u16() };
    json(status, serde_json::to_string(&refusal).unwrap_or_default())
}

pub(super) fn json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn note(shared: &Shared, asked: &Asked, status: StatusCode, owner: Option<&Owner>) {
    let place = shared.place.borrow();
    shared.audit.note(&Entry {
        status: status.as_u16(),
        client: asked.client,
        path: asked.path,
        user_agent: &asked.user_agent,
        owner,
        cluster: place.cluster.as_deref(),
        container_instance: place.container_instance.as_deref(),
    });
}
