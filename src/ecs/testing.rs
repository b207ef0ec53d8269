//! A loopback ECS for tests: it keeps what it is asked and answers what it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ecs::config::{BehaviorVersion, Region};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use node_core::ClusterRef;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::api::Ecs;

type Answers = dyn Fn(&str) -> (u16, Value) + Send + Sync;

#[derive(Clone)]
pub(super) struct FakeEcs {
    /// Operation and body, in the order of arrival.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    answers: Arc<Answers>,
    url: String,
}

impl FakeEcs {
    /// Starts a server whose answer to an operation is `answers(operation)`: the HTTP status and the JSON.
    pub(super) async fn start(answers: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> (Self, Ecs) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { asked: Arc::default(), answers: Arc::new(answers), url: url.clone() };
        let router = Router::new().route("/", post(answer)).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, ecs(&url))
    }

    /// The API with the agent's own retries, but for their pauses.
    pub(super) fn retrying(&self) -> Ecs {
        api(&self.url, credentials(), crate::aws::retries().with_initial_backoff(Duration::from_millis(1)))
    }

    pub(super) fn asked(&self, operation: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let of_this = asked.iter().filter(|(op, _)| op == operation);
        of_this.map(|(_, body)| body.clone()).collect()
    }
}

async fn answer(State(fake): State<FakeEcs>, headers: HeaderMap, request: Request) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap();
    fake.asked.lock().unwrap().push((operation.clone(), body));
    let (status, json) = (fake.answers)(&operation);
    let kind = [("content-type", "application/x-amz-json-1.1")];
    (StatusCode::from_u16(status).unwrap(), kind, json.to_string()).into_response()
}

pub(super) fn error(code: &str, message: &str) -> (u16, Value) {
    (400, json!({"__type": code, "message": message}))
}

pub(super) fn credentials() -> SharedCredentialsProvider {
    let token = Some("t0ken".to_owned());
    SharedCredentialsProvider::new(Credentials::new("AKIDTEST", "s3cret", token, None, "test"))
}

/// The API at `url`, one attempt a call.
pub(super) fn ecs(url: &str) -> Ecs {
    ecs_as(url, credentials())
}

pub(super) fn ecs_as(url: &str, credentials: SharedCredentialsProvider) -> Ecs {
    api(url, credentials, RetryConfig::disabled())
}

fn api(url: &str, credentials: SharedCredentialsProvider, retries: RetryConfig) -> Ecs {
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .endpoint_url(url)
        .http_client(crate::aws::http_client())
        .retry_config(retries)
        .build();
    Ecs::new(aws_sdk_ecs::Client::from_conf(config), ClusterRef::new("c1"))
}
