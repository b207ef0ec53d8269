//! Systems Manager's parameters and Secrets Manager's secrets, as far as jobs and those who prepare them need.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Outcome, json as wire, unknown_operation};
use crate::clock::Millis;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::model::vault::{Entry, Vault, Version};

/// `GetParameters` takes so many names.
const NAMES_MOST: usize = 10;

pub(super) fn parameters(hub: &Arc<Hub>, operation: &str, body: &[u8]) -> Outcome {
    match operation {
        "PutParameter" => put_parameter(hub, read(body)?),
        "GetParameter" => get_parameter(hub, &read(body)?),
        "GetParameters" => get_parameters(hub, &read(body)?),
        "DeleteParameter" => delete_parameter(hub, &read(body)?),
        other => Err(unknown_operation(other)),
    }
}

pub(super) fn secrets(hub: &Arc<Hub>, operation: &str, body: &[u8]) -> Outcome {
    match operation {
        "CreateSecret" => create_secret(hub, read(body)?),
        "PutSecretValue" => put_secret(hub, read(body)?),
        "GetSecretValue" => get_secret(hub, &read(body)?),
        "DeleteSecret" => delete_secret(hub, &read(body)?),
        other => Err(unknown_operation(other)),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    wire::read(body, "ValidationException")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutParameter {
    name: String,
    value: String,
    #[serde(rename = "Type", default = "string")]
    kind: String,
    #[serde(default)]
    overwrite: bool,
}

fn string() -> String {
    "String".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Names {
    names: Vec<String>,
}

fn put_parameter(hub: &Arc<Hub>, request: PutParameter) -> Outcome {
    let PutParameter { name, value, kind, overwrite } = request;
    let number =
        hub.update(|state, now| state.vault.put_parameter(&state.arns, (&name, &kind, value), overwrite, now))?;
    Ok(json!({"Version": number, "Tier": "Standard"}))
}

fn get_parameter(hub: &Hub, request: &Named) -> Outcome {
    let found = hub.read(|state| parameter(&state.vault, &request.name));
    let missing = || ApiError::new("ParameterNotFound", format!("Parameter {} not found.", request.name));
    Ok(json!({"Parameter": found.ok_or_else(missing)?}))
}

fn get_parameters(hub: &Hub, request: &Names) -> Outcome {
    if request.names.is_empty() || request.names.len() > NAMES_MOST {
        let text = format!("'names' must have between 1 and {NAMES_MOST} members");
        return Err(ApiError::new("ValidationException", text));
    }
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    hub.read(|state| {
        for name in &request.names {
            match parameter(&state.vault, name) {
                Some(shown) => found.push(shown),
                None => invalid.push(name),
            }
        }
    });
    Ok(json!({"Parameters": found, "InvalidParameters": invalid}))
}

/// By name or ARN, with `:<version>` behind it or without.
fn parameter(vault: &Vault, asked: &str) -> Option<Value> {
    if let Some(entry) = vault.parameter(asked) {
        return Some(shown(entry, entry.latest()?, None));
    }
    let (name, number) = asked.rsplit_once(':')?;
    let entry = vault.parameter(name)?;
    Some(shown(entry, entry.version(None, Some(number))?, Some(number)))
}

fn shown(entry: &Entry, version: &Version, selector: Option<&str>) -> Value {
    let number: u64 = version.id.parse().unwrap_or_default();
    let mut shown = json!({"Name": entry.name, "ARN": entry.arn, "Type": entry.kind, "Value": version.value.0,
        "Version": number, "DataType": "text", "LastModifiedDate": seconds(version.at)});
    if let Some(selector) = selector {
        shown = wire::merge(shown, json!({"Selector": format!(":{selector}")}));
    }
    shown
}

fn delete_parameter(hub: &Arc<Hub>, request: &Named) -> Outcome {
    match hub.update(|state, _| state.vault.delete_parameter(&request.name)) {
        true => Ok(json!({})),
        false => Err(ApiError::new("ParameterNotFound", format!("Parameter {} not found.", request.name))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateSecret {
    name: String,
    secret_string: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutSecretValue {
    secret_id: String,
    secret_string: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecretId {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

fn create_secret(hub: &Arc<Hub>, request: CreateSecret) -> Outcome {
    let CreateSecret { name, secret_string } = request;
    let made =
        hub.update(|state, now| state.vault.create_secret(&state.arns, &name, secret_string, now).and_then(named));
    made.ok_or_else(|| {
        ApiError::new(
            "ResourceExistsException",
            format!("The operation failed because the secret {name} already exists."),
        )
    })
}

fn put_secret(hub: &Arc<Hub>, request: PutSecretValue) -> Outcome {
    let PutSecretValue { secret_id, secret_string } = request;
    hub.update(|state, now| state.vault.put_secret(&secret_id, secret_string, now).and_then(named))
        .ok_or_else(no_secret)
}

fn named(entry: &Entry) -> Option<Value> {
    Some(json!({"ARN": entry.arn, "Name": entry.name, "VersionId": entry.latest()?.id}))
}

fn get_secret(hub: &Hub, request: &SecretId) -> Outcome {
    hub.read(|state| {
        let entry = state.vault.secret(&request.secret_id).ok_or_else(no_secret)?;
        let version = entry.version(request.version_stage.as_deref(), request.version_id.as_deref());
        let version = version.ok_or_else(no_secret)?;
        Ok(json!({"ARN": entry.arn, "Name": entry.name, "VersionId": version.id, "SecretString": version.value.0,
            "VersionStages": stages(entry, version), "CreatedDate": seconds(version.at)}))
    })
}

fn stages(entry: &Entry, version: &Version) -> Vec<&'static str> {
    let is = |stage: &str| entry.version(Some(stage), None).is_some_and(|staged| staged.id == version.id);
    ["AWSCURRENT", "AWSPREVIOUS"].into_iter().filter(|stage| is(stage)).collect()
}

fn delete_secret(hub: &Arc<Hub>, request: &SecretId) -> Outcome {
    let gone = hub.update(|state, _| state.vault.delete_secret(&request.secret_id));
    gone.map(|entry| json!({"ARN": entry.arn, "Name": entry.name})).ok_or_else(no_secret)
}

fn no_secret() -> ApiError {
    ApiError::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

/// As AWS JSON writes times.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a float's 53 bits")]
fn seconds(at: Millis) -> f64 {
    at as f64 / 1000.0
}
