//! Parameters of Systems Manager: `GetParameters`, ten at a time, decrypted.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::{Region, SdkConfig};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::Parameter;
use futures_util::future::try_join_all;
use node_core::SecretRef;
use zeroize::Zeroizing;

use super::{Failure, Key, timeouts};
use crate::ecs::classify;
use crate::serve::credentials::{Material, for_sdk};

/// As many as the API takes in one call.
const BATCH: usize = 10;

pub(super) async fn fetch(
    secrets: impl Iterator<Item = &SecretRef>,
    role: &Material,
    sdk: &SdkConfig,
) -> Result<BTreeMap<Key, Zeroizing<String>>, Failure> {
    let mut regions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for secret in secrets {
        regions.entry(&secret.region).or_default().insert(&secret.value_from);
    }
    let mut calls = Vec::new();
    for (region, names) in &regions {
        let client = client(region, role, sdk);
        let names: Vec<&str> = names.iter().copied().collect();
        calls.extend(names.chunks(BATCH).map(|batch| ask(client.clone(), region, batch.to_vec())));
    }
    Ok(try_join_all(calls).await?.into_iter().flatten().collect())
}

fn client(region: &str, role: &Material, sdk: &SdkConfig) -> Client {
    let config = aws_sdk_ssm::config::Builder::from(sdk).timeout_config(timeouts());
    let mut config = config.credentials_provider(for_sdk(role));
    if !region.is_empty() {
        config = config.region(Region::new(region.to_owned()));
    }
    Client::from_conf(config.build())
}

async fn ask(client: Client, region: &str, names: Vec<&str>) -> Result<Vec<(Key, Zeroizing<String>)>, Failure> {
    let word = |text: &str| format!("fetching secret data from SSM Parameter Store in {region}: {text}");
    let call =
        client.get_parameters().with_decryption(true).set_names(Some(names.iter().map(ToString::to_string).collect()));
    let answer = call.send().await.map_err(|error| Failure::of(&classify(&error), word))?;
    if !answer.invalid_parameters().is_empty() {
        return Err(Failure::Final(word(&format!("invalid parameters: {}", answer.invalid_parameters().join(",")))));
    }
    let found = names.iter().map(|name| {
        let parameter = answer.parameters().iter().find(|parameter| is_called(parameter, name));
        let value = parameter.and_then(Parameter::value);
        let value = value.ok_or_else(|| Failure::Final(word(&format!("no value for {name}"))))?;
        Ok(((false, region.to_owned(), (*name).to_owned()), Zeroizing::new(value.to_owned())))
    });
    found.collect()
}

/// A parameter may be asked for by its name or ARN, with a version or a label behind it.
fn is_called(parameter: &Parameter, asked: &str) -> bool {
    let selector = parameter.selector().unwrap_or_default();
    let names = [parameter.name(), parameter.arn()];
    names
        .into_iter()
        .flatten()
        .any(|name| asked.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest == selector))
}
