//! The ECS API as a node uses it: register, ask where ACS is, report, drain, count, deregister.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{ContainerInstanceStatus, Failure};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use node_core::{ApiFailure, ClusterRef, ContainerInstanceArn, InstanceState, StateChange, TaskCounts};

use super::failure::classify;
use super::register::{Registration, refused};
use super::submit;
use crate::net::Network;

/// How long a poll endpoint is good for (amazon-ecs-agent: 12 h).
const ENDPOINT_AGE: Duration = Duration::from_secs(12 * 60 * 60);

/// The ECS API of one cluster, for one container instance.
#[derive(Debug)]
pub(crate) struct Ecs {
    client: Client,
    cluster: ClusterRef,
    network: Network,
    memory: Mutex<Memory>,
}

/// What is learnt on the way and needed by later calls.
#[derive(Debug, Default)]
struct Memory {
    container_instance: Option<ContainerInstanceArn>,
    /// Of the registration that has not succeeded yet.
    token: Option<Token>,
    endpoint: Option<Endpoint>,
}

/// The same for every try of one registration, so that ECS makes no second container instance when its answer was lost.
#[derive(Debug, Clone)]
struct Token {
    previous: Option<ContainerInstanceArn>,
    text: String,
}

#[derive(Debug, Clone)]
struct Endpoint {
    of: ContainerInstanceArn,
    urls: PollEndpoint,
    since: Instant,
}

/// Base URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PollEndpoint {
    pub(crate) acs: String,
    /// `None` where there is none, which has not been seen.
    pub(crate) tcs: Option<String>,
}

impl Ecs {
    #[must_use]
    pub(crate) fn new(client: Client, cluster: ClusterRef) -> Self {
        Self { client, cluster, network: Network::default(), memory: Mutex::default() }
    }

    /// The websockets go out as `network` says, like the client's own calls.
    #[must_use]
    pub(crate) fn through(self, network: Network) -> Self {
        Self { network, ..self }
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    #[must_use]
    pub(crate) fn cluster(&self) -> &ClusterRef {
        &self.cluster
    }

    /// `RegisterContainerInstance`. With `previous` it is a re-registration, which keeps the ARN. `clientToken` is not in the
    /// public model, and amazon-ecs-agent sends it.
    pub(crate) async fn register(
        &self,
        previous: Option<&ContainerInstanceArn>,
        registration: &Registration,
    ) -> Result<ContainerInstanceArn, ApiFailure> {
        let attributes = registration.attributes(previous);
        let call = self
            .client
            .register_container_instance()
            .cluster(self.cluster.as_str())
            .set_container_instance_arn(previous.map(|arn| arn.as_str().to_owned()))
            .instance_identity_document(&registration.identity.document)
            .instance_identity_document_signature(&registration.identity.signature)
            .set_total_resources(Some(registration.resources()))
            .set_attributes(Some(attributes.clone()))
            .set_platform_devices(registration.platform_devices())
            .set_tags(registration.tags());
        let token = self.token(previous);
        let call = call.customize().mutate_request(move |request| add_token(request, &token));
        let answer = call.send().await.map_err(|error| classify(&error))?;
        self.memory().token = None;
        let instance = answer.container_instance.ok_or_else(|| incomplete("RegisterContainerInstance"))?;
        if let Some(text) = refused(&attributes, &instance) {
            return Err(ApiFailure::Rejected(text));
        }
        let arn = instance
            .container_instance_arn()
            .filter(|arn| !arn.is_empty())
            .map(ContainerInstanceArn::new)
            .ok_or_else(|| incomplete("RegisterContainerInstance"))?;
        self.memory().container_instance = Some(arn.clone());
        Ok(arn)
    }

    fn token(&self, previous: Option<&ContainerInstanceArn>) -> String {
        let mut memory = self.memory();
        if memory.token.as_ref().is_none_or(|token| token.previous.as_ref() != previous) {
            memory.token = Some(Token { previous: previous.cloned(), text: uuid::Uuid::new_v4().to_string() });
        }
        memory.token.as_ref().map_or_else(String::new, |token| token.text.clone())
    }

    /// `DiscoverPollEndpoint`: where ACS and TCS are. An answer serves for 12 hours, and beyond that while ECS does not answer.
    pub(crate) async fn poll_endpoint(
        &self,
        container_instance: &ContainerInstanceArn,
    ) -> Result<PollEndpoint, ApiFailure> {
        let known = self.memory().endpoint.clone();
        let known = known.filter(|e| e.of == *container_instance);
        if let Some(known) = known.as_ref().filter(|e| e.since.elapsed() < ENDPOINT_AGE) {
            return Ok(known.urls.clone());
        }
        let call = self
            .client
            .discover_poll_endpoint()
            .cluster(self.cluster.as_str())
            .container_instance(container_instance.as_str());
        let found = call.send().await.map_err(|error| classify(&error));
        let found = found.and_then(|answer| {
            let given = |url: Option<String>| url.filter(|url| !url.is_empty());
            let acs = given(answer.endpoint).ok_or_else(|| incomplete("DiscoverPollEndpoint"))?;
            Ok(PollEndpoint { acs, tcs: given(answer.telemetry_endpoint) })
        });
        match (found, known) {
            (Ok(urls), _) => {
                self.memory().endpoint =
                    Some(Endpoint { of: container_instance.clone(), urls: urls.clone(), since: Instant::now() });
                Ok(urls)
            }
            (Err(failure), Some(stale)) => {
                tracing::warn!(
                    "keeping the endpoints of {} h ago: {}",
                    stale.since.elapsed().as_secs() / 3600,
                    failure.text()
                );
                Ok(stale.urls)
            }
            (Err(failure), None) => Err(failure),
        }
    }

    /// `SubmitTaskStateChange`, tried once: node-core repeats it and keeps the order.
    pub(crate) async fn submit(&self, change: &StateChange) -> Result<(), ApiFailure> {
        let once = aws_sdk_ecs::config::Builder::new().retry_config(RetryConfig::standard().with_max_attempts(1));
        let call = submit::fill(self.client.submit_task_state_change(), &self.cluster, change);
        let call = call.customize().config_override(once);
        call.send().await.map_err(|error| match classify(&error) {
            // A report is dropped for what ECS calls an invalid parameter, and for nothing else: an exit code hangs on it.
            ApiFailure::Rejected(text) if !text.starts_with("InvalidParameterException") => ApiFailure::Denied(text),
            failure => failure,
        })?;
        Ok(())
    }

    /// `UpdateContainerInstancesState`.
    pub(crate) async fn set_state(&self, state: InstanceState) -> Result<(), ApiFailure> {
        let arn = self.container_instance()?;
        let status = match state {
            InstanceState::Active => ContainerInstanceStatus::Active,
            InstanceState::Draining => ContainerInstanceStatus::Draining,
        };
        let call = self
            .client
            .update_container_instances_state()
            .cluster(self.cluster.as_str())
            .container_instances(arn.as_str())
            .status(status);
        let answer = call.send().await.map_err(|error| classify(&error))?;
        answer.failures().first().map_or(Ok(()), |f| Err(refusal(f)))
    }

    /// `DescribeContainerInstances`: how many tasks ECS counts here.
    pub(crate) async fn counts(&self) -> Result<TaskCounts, ApiFailure> {
        let arn = self.container_instance()?;
        let call =
            self.client.describe_container_instances().cluster(self.cluster.as_str()).container_instances(arn.as_str());
        let answer = call.send().await.map_err(|error| classify(&error))?;
        if let Some(failure) = answer.failures().first() {
            return Err(refusal(failure));
        }
        let instance = answer.container_instances().first();
        let instance = instance.ok_or_else(|| incomplete("DescribeContainerInstances"))?;
        if instance.status() == Some("INACTIVE") {
            return Err(ApiFailure::Gone(format!("{arn} is INACTIVE")));
        }
        let count = |n: i32| u32::try_from(n).unwrap_or(0);
        Ok(TaskCounts {
            running: count(instance.running_tasks_count()),
            pending: count(instance.pending_tasks_count()),
        })
    }

    /// `DeregisterContainerInstance`, without force: ECS refuses while it counts tasks here.
    pub(crate) async fn deregister(&self) -> Result<(), ApiFailure> {
        let arn = self.container_instance()?;
        let call = self
            .client
            .deregister_container_instance()
            .cluster(self.cluster.as_str())
            .container_instance(arn.as_str())
            .force(false);
        call.send().await.map_err(|error| classify(&error))?;
        Ok(())
    }

    fn container_instance(&self) -> Result<ContainerInstanceArn, ApiFailure> {
        let known = self.memory().container_instance.clone();
        known.ok_or_else(|| ApiFailure::Unavailable("this host is not registered yet".to_owned()))
    }

    /// Held for a copy at a time, never across an await.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before the request is signed.
fn add_token(request: &mut HttpRequest, token: &str) {
    let body = request.body().bytes().and_then(|body| serde_json::from_slice(body).ok());
    let Some(serde_json::Value::Object(mut members)) = body else { return };
    members.insert("clientToken".to_owned(), token.into());
    let body = serde_json::Value::Object(members).to_string();
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = body.into();
}

/// A 2xx answer without what it is for.
fn incomplete(call: &str) -> ApiFailure {
    ApiFailure::Unavailable(format!("ECS answered {call} without the part that matters"))
}

/// ECS reports some failures inside a successful answer.
fn refusal(failure: &Failure) -> ApiFailure {
    let reason = failure.reason().unwrap_or("no reason given");
    let arn = failure.arn().unwrap_or("this container instance");
    let detail = failure.detail().map_or_else(String::new, |d| format!(" ({d})"));
    let text = format!("{reason}: {arn}{detail}");
    match reason {
        "MISSING" | "INACTIVE" => ApiFailure::Gone(text),
        _ => ApiFailure::Unavailable(text),
    }
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
