//! Logins that a job definition keeps in Secrets Manager (`repositoryCredentials`), fetched with the execution role.
//! Source: amazon-ecs-agent, agent/asm/asm.go.

use aws_config::{Region, SdkConfig};
use ecs_wire::task::Secret;
use node_core::AsmAuth;
use serde::Deserialize;

use super::host::Login;
use crate::ecs::classify;
use crate::serve::credentials::{Material, for_sdk};

#[derive(Deserialize)]
struct Stored {
    username: String,
    password: String,
}

/// `GetSecretValue`. The error's text may be shown: it quotes nothing of the secret.
pub(super) async fn login(wanted: &AsmAuth, role: &Material, sdk: &SdkConfig) -> Result<Login, String> {
    let mut config = aws_sdk_secretsmanager::config::Builder::from(sdk)
        .timeout_config(super::timeouts())
        .credentials_provider(for_sdk(role));
    if !wanted.region.is_empty() {
        config = config.region(Region::new(wanted.region.clone()));
    }
    let client = aws_sdk_secretsmanager::Client::from_conf(config.build());
    let call = client.get_secret_value().secret_id(&wanted.credentials_parameter);
    let answer = call.send().await.map_err(|error| classify(&error).text().to_owned())?;
    let stored: Option<Stored> = answer.secret_string().and_then(|text| serde_json::from_str(text).ok());
    let stored = stored.filter(|stored| !stored.username.is_empty() && !stored.password.is_empty());
    let stored = stored.ok_or_else(|| {
        format!("the secret {} is not JSON with a username and a password", wanted.credentials_parameter)
    })?;
    Ok(Login { username: stored.username, password: Secret(stored.password) })
}
