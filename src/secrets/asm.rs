//! Secrets of Secrets Manager: `GetSecretValue`, and a key of its JSON where one is named.

use std::collections::BTreeMap;

use aws_config::{Region, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use futures_util::future::join_all;
use node_core::SecretRef;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Failure, Key, key, timeouts};
use crate::ecs::classify;
use crate::serve::credentials::{Material, for_sdk};

/// `valueFrom`, taken apart: `<ARN>[:<json key>:<version stage>:<version id>]`, where each part may be empty.
#[derive(Debug, PartialEq)]
struct Reference<'a> {
    id: String,
    json_key: Option<&'a str>,
    stage: Option<&'a str>,
    version: Option<&'a str>,
}

impl<'a> Reference<'a> {
    fn parse(value_from: &'a str) -> Result<Self, Failure> {
        let parts: Vec<&str> = value_from.split(':').collect();
        let some = |part: &'a str| Some(part).filter(|part| !part.is_empty());
        match parts[..] {
            // arn:partition:secretsmanager:region:account:secret:id
            ["arn", _, _, _, _, _, _, json_key, stage, version] => Ok(Self {
                id: parts.get(..7).unwrap_or_default().join(":"),
                json_key: some(json_key),
                stage: some(stage),
                version: some(version),
            }),
            ["arn", _, _, _, _, _, _] => Ok(Self::whole(value_from)),
            ["arn", ..] => Err(Failure::Final(format!(
                "trying to retrieve secret with value {value_from} resulted in error: an invalid ARN format for the AWS \
                 Secrets Manager secret was specified. Specify a valid ARN and try again."
            ))),
            _ => Ok(Self::whole(value_from)),
        }
    }

    fn whole(id: &str) -> Self {
        Self { id: id.to_owned(), json_key: None, stage: None, version: None }
    }
}

pub(super) async fn fetch(
    secrets: impl Iterator<Item = &SecretRef>,
    role: &Material,
    sdk: &SdkConfig,
) -> Result<BTreeMap<Key, Zeroizing<String>>, Failure> {
    let wanted: BTreeMap<Key, &SecretRef> = secrets.map(|secret| (key(secret), secret)).collect();
    let calls = wanted.into_iter().map(|(key, secret)| async move { Ok((key, ask(secret, role, sdk).await?)) });
    let (mut found, mut failures) = (BTreeMap::new(), Vec::new());
    for answer in join_all(calls).await {
        match answer {
            Ok((key, value)) => drop(found.insert(key, value)),
            Err(Failure::Throttled(text)) => return Err(Failure::Throttled(text)),
            Err(Failure::Final(text)) => failures.push(text),
        }
    }
    if failures.is_empty() { Ok(found) } else { Err(Failure::Final(failures.join(";"))) }
}

async fn ask(secret: &SecretRef, role: &Material, sdk: &SdkConfig) -> Result<Zeroizing<String>, Failure> {
    let reference = Reference::parse(&secret.value_from)?;
    let config = aws_sdk_secretsmanager::config::Builder::from(sdk).timeout_config(timeouts());
    let mut config = config.credentials_provider(for_sdk(role));
    if !secret.region.is_empty() {
        config = config.region(Region::new(secret.region.clone()));
    }
    let client = Client::from_conf(config.build());
    let call = client.get_secret_value().secret_id(&reference.id);
    let call = call.set_version_stage(reference.stage.map(str::to_owned));
    let call = call.set_version_id(reference.version.map(str::to_owned));
    let answer = call.send().await.map_err(|error| failure(&error, &reference.id, &secret.region))?;
    let text = Zeroizing::new(answer.secret_string().unwrap_or_default().to_owned());
    match reference.json_key {
        None => Ok(text),
        Some(key) => member(&text, key).map_err(Failure::Final),
    }
}

/// The value of one key. The error quotes nothing of the secret.
fn member(text: &str, key: &str) -> Result<Zeroizing<String>, String> {
    let value: Value = serde_json::from_str(text)
        .map_err(|_| format!("retrieved secret from Secrets Manager is not JSON, and so has no json key {key}"))?;
    match value.get(key) {
        Some(Value::String(text)) => Ok(Zeroizing::new(text.clone())),
        Some(other) => Ok(Zeroizing::new(other.to_string())),
        None => Err(format!("retrieved secret from Secrets Manager did not contain json key {key}")),
    }
}

fn failure(error: &SdkError<GetSecretValueError, HttpResponse>, id: &str, region: &str) -> Failure {
    let missing = error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception);
    Failure::of(&classify(error), |text| match missing {
        true => format!(
            "ResourceInitializationError: The task can't retrieve the secret with ARN '{id}' from AWS Secrets Manager. Check \
             that the secret ARN is correct: {text}"
        ),
        false => format!("fetching secret data from AWS Secrets Manager in region {region}: secret {id}: {text}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_comes_apart() {
        let arn = "arn:aws:secretsmanager:us-east-1:1:secret:db-AbCdEf";
        assert_eq!(Reference::parse(arn), Ok(Reference::whole(arn)));
        let whole = format!("{arn}:password::v7");
        let parsed = Reference::parse(&whole).unwrap();
        assert_eq!(
            (parsed.id.as_str(), parsed.json_key, parsed.stage, parsed.version),
            (arn, Some("password"), None, Some("v7"))
        );
        let stage = format!("{arn}::AWSPREVIOUS:");
        assert_eq!(Reference::parse(&stage).unwrap().stage, Some("AWSPREVIOUS"));
        assert!(Reference::parse(&format!("{arn}:password")).is_err());
    }

    #[test]
    fn a_key_of_the_json_is_taken_and_a_missing_one_named() {
        let text = r#"{"user": "bob", "port": 5432, "tls": true}"#;
        assert_eq!(*member(text, "user").unwrap(), "bob");
        assert_eq!((member(text, "port").unwrap().as_str(), member(text, "tls").unwrap().as_str()), ("5432", "true"));
        let why = member(text, "password").unwrap_err();
        assert_eq!(why, "retrieved secret from Secrets Manager did not contain json key password");
        let why = member("hunter2", "password").unwrap_err();
        assert!(why.contains("not JSON") && !why.contains("hunter2"), "{why}");
    }
}
