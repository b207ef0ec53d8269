//! Secrets of jobs, fetched with the execution role just before their container is made, and kept nowhere.
//!
//! Semantics and texts: amazon-ecs-agent, agent/taskresource/ssmsecret and asmsecret.

mod asm;
mod ssm;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use node_core::{
    ApiFailure, ContainerSpec, CredentialsId, OpFailure, RESOURCE_ERROR, SecretProvider, SecretRef, SecretTarget,
};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::serve::credentials::{CredentialStore, Found, Material};

/// One call; the SDK tries again within [`LIMIT`]. A create that waits holds one of the node's places for creates.
const ATTEMPT: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(15);
const SHOWN: &str = "<redacted>";

/// What has been fetched, by what was asked for. It has no `Debug`, and is wiped when dropped.
#[derive(Default)]
struct Values(BTreeMap<Key, Zeroizing<String>>);

/// Provider, region and `valueFrom`.
type Key = (bool, String, String);

fn key(secret: &SecretRef) -> Key {
    (secret.provider == SecretProvider::Asm, secret.region.clone(), secret.value_from.clone())
}

/// Why a secret is not to be had.
#[derive(Debug, PartialEq)]
enum Failure {
    /// The service asks for patience.
    Throttled(String),
    /// As amazon-ecs-agent words it.
    Final(String),
}

impl Failure {
    /// Throttling of a whole fleet that starts at once passes; everything else is the job's to hear about.
    fn of(failure: &ApiFailure, word: impl FnOnce(&str) -> String) -> Self {
        match failure {
            ApiFailure::Throttled(text) => Self::Throttled(text.clone()),
            other => Self::Final(word(other.text())),
        }
    }
}

/// The secret texts that a container was given, to keep them out of what is said about it.
#[derive(Default)]
pub(crate) struct Given(Vec<Zeroizing<String>>);

impl Given {
    /// Docker quotes what it refuses.
    pub(crate) fn redact(&self, failure: OpFailure) -> OpFailure {
        let hide = |text: String| {
            let secrets = self.0.iter().filter(|secret| !secret.is_empty());
            secrets.fold(text, |text, secret| text.replace(secret.as_str(), SHOWN))
        };
        match failure {
            OpFailure::Unreachable(text) => OpFailure::Unreachable(hide(text)),
            OpFailure::Refused { name, text } => OpFailure::Refused { name, text: hide(text) },
            OpFailure::Missing => OpFailure::Missing,
        }
    }
}

/// Puts a container's secrets where they belong: into this copy of its specification, which goes to Docker and nowhere else.
pub(crate) async fn give(
    container: &mut ContainerSpec,
    role: Option<&CredentialsId>,
    roles: &CredentialStore,
    sdk: Option<&SdkConfig>,
) -> Result<Given, OpFailure> {
    if container.secrets.is_empty() {
        return Ok(Given::default());
    }
    let material = match role.map(|id| roles.find(id)) {
        Some(Found::Ready(_, material)) => material,
        Some(Found::Pending(_)) => {
            return Err(OpFailure::Unreachable(
                "the execution role's credentials have yet to come from ECS".to_owned(),
            ));
        }
        Some(Found::Unknown) | None => return Err(refused(no_role(&container.secrets))),
    };
    let sdk = sdk.ok_or_else(|| OpFailure::Unreachable("this host does not know its region yet".to_owned()))?;
    match fetch(&container.secrets, &material, sdk).await {
        Ok(values) => place(container, &values),
        Err(Failure::Throttled(text)) => {
            tracing::warn!(container = %container.name, "its secrets are asked for again, as the service throttles: {text}");
            Err(OpFailure::Unreachable(text))
        }
        Err(Failure::Final(text)) => Err(refused(&text)),
    }
}

fn no_role(secrets: &[SecretRef]) -> &'static str {
    match secrets.iter().any(|secret| secret.provider == SecretProvider::Ssm) {
        true => "ssm secret resource: unable to find execution role credentials",
        false => "ASM secret resource: unable to find execution role credentials",
    }
}

/// amazon-ecs-agent sends a resource's reason on one line, and begins it with a capital.
fn refused(text: &str) -> OpFailure {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = text.chars();
    let text = rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default();
    OpFailure::Refused { name: RESOURCE_ERROR, text }
}

/// Each once, both services at a time.
async fn fetch(secrets: &[SecretRef], role: &Material, sdk: &SdkConfig) -> Result<Values, Failure> {
    let of = |provider| secrets.iter().filter(move |secret| secret.provider == provider);
    let (parameters, secrets) = tokio::try_join!(
        ssm::fetch(of(SecretProvider::Ssm), role, sdk),
        asm::fetch(of(SecretProvider::Asm), role, sdk)
    )?;
    let mut values = Values(parameters);
    values.0.extend(secrets);
    Ok(values)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(LIMIT).build()
}

/// A secret wins over a variable and over an option of the same name.
fn place(container: &mut ContainerSpec, values: &Values) -> Result<Given, OpFailure> {
    let mut given = Given::default();
    let mut options = BTreeMap::new();
    for secret in &container.secrets {
        let Some(value) = values.0.get(&key(secret)) else { continue };
        given.0.push(value.clone());
        let (name, value) = (secret.name.clone(), value.as_str().to_owned());
        match secret.target {
            SecretTarget::Environment => drop(container.environment.insert(name, value)),
            SecretTarget::LogDriver => drop(options.insert(name, value)),
        }
    }
    if !options.is_empty() {
        container.docker_host_config = Some(with_log_options(container.docker_host_config.as_deref(), options)?);
    }
    Ok(given)
}

fn with_log_options(host_config: Option<&str>, secret: BTreeMap<String, String>) -> Result<String, OpFailure> {
    let unusable = |_| refused("the log driver's secret options have no log configuration to go to");
    let mut config: Value = serde_json::from_str(host_config.unwrap_or_default()).map_err(unusable)?;
    let log = config.get_mut("LogConfig").and_then(Value::as_object_mut);
    let log = log.ok_or("no LogConfig").map_err(|_| refused("secret log options without a log driver"))?;
    let options = log.entry("Config").or_insert(Value::Null);
    if !options.is_object() {
        *options = Value::Object(Map::new());
    }
    if let Some(options) = options.as_object_mut() {
        options.extend(secret.into_iter().map(|(name, value)| (name, Value::from(value))));
    }
    Ok(config.to_string())
}
