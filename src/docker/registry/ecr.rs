//! ECR's short-lived logins, each asked for once and kept until shortly before it ends.
//! Source: amazon-ecs-agent, agent/dockerclient/dockerauth/ecr.go and agent/ecr.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::{Region, SdkConfig};
use aws_sdk_ecr::types::AuthorizationData;
use node_core::{CredentialsId, EcrAuth, Rng};

use super::host::Login;
use crate::ecs::classify;
use crate::serve::credentials::{Material, for_sdk};

/// A login is renewed this long before it ends, at a random time in between, so that a fleet does not ask all at once.
const EARLIEST: Duration = Duration::from_secs(60 * 60);
const LATEST: Duration = Duration::from_secs(30 * 60);
/// One for each role, region and registry that this host's jobs use; each is about 3 KiB.
const TOKENS_MAX: usize = 100;

/// Whose login, for which registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The credentials' id and the role's ARN; both empty for the instance's own role.
    credentials: String,
    role: String,
    region: String,
    registry: String,
    endpoint: String,
}

#[derive(Debug, Clone)]
struct Token {
    login: Login,
    /// Images that begin with this are ECR's: nobody else is sent the login.
    registry: String,
    renew_at: SystemTime,
}

#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<BTreeMap<Key, Token>>);

impl Tokens {
    /// The login for `image`, with the execution role's credentials if there is one, else the instance's. The error's text
    /// may be shown.
    pub(super) async fn login(
        &self,
        image: &str,
        wanted: &EcrAuth,
        role: Option<(&CredentialsId, &Material)>,
        sdk: &SdkConfig,
    ) -> Result<Login, String> {
        let key = key(wanted, role);
        let known = self.entries().get(&key).filter(|token| SystemTime::now() < token.renew_at).cloned();
        let token = match known {
            Some(token) => token,
            None => {
                let token = ask(wanted, role.map(|(_, material)| material), sdk).await?;
                self.keep(key, token.clone());
                token
            }
        };
        let serves = super::full_name(image).strip_prefix(&token.registry).is_some_and(|rest| rest.starts_with('/'));
        match serves {
            true => Ok(token.login),
            false => Err(format!("ECR answers for {}, which {image} is not of", token.registry)),
        }
    }

    fn keep(&self, key: Key, token: Token) {
        let mut entries = self.entries();
        if entries.len() >= TOKENS_MAX
            && let Some(oldest) = entries.iter().min_by_key(|(_, token)| token.renew_at).map(|(key, _)| key.clone())
        {
            entries.remove(&oldest);
        }
        entries.insert(key, token);
    }

    /// Held for a map operation at a time, never across an await.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Key, Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(wanted: &EcrAuth, role: Option<(&CredentialsId, &Material)>) -> Key {
    let (credentials, role) = role
        .map_or((String::new(), String::new()), |(id, material)| (id.as_str().to_owned(), material.role_arn.clone()));
    Key {
        credentials,
        role,
        region: wanted.region.clone(),
        registry: wanted.registry_id.clone(),
        endpoint: wanted.endpoint_override.clone().unwrap_or_default(),
    }
}

/// `GetAuthorizationToken`.
async fn ask(wanted: &EcrAuth, role: Option<&Material>, sdk: &SdkConfig) -> Result<Token, String> {
    let mut config = aws_sdk_ecr::config::Builder::from(sdk).timeout_config(super::timeouts());
    if !wanted.region.is_empty() {
        config = config.region(Region::new(wanted.region.clone()));
    }
    if let Some(endpoint) = &wanted.endpoint_override {
        let whole = if endpoint.contains("://") { endpoint.clone() } else { format!("https://{endpoint}") };
        config = config.endpoint_url(whole);
    }
    if let Some(role) = role {
        config = config.credentials_provider(for_sdk(role));
    }
    let registry = Some(wanted.registry_id.clone()).filter(|id| !id.is_empty());
    let client = aws_sdk_ecr::Client::from_conf(config.build());
    // The API calls the parameter deprecated; ECS still means it, for registries of other accounts.
    #[expect(deprecated, reason = "registryIds is what names another account's registry")]
    let call = client.get_authorization_token().set_registry_ids(registry.map(|id| vec![id]));
    let answer = call.send().await.map_err(|error| classify(&error).text().to_owned())?;
    let data = answer.authorization_data().first();
    data.and_then(token).ok_or_else(|| "ECR's answer to GetAuthorizationToken has no usable login in it".to_owned())
}

fn token(data: &AuthorizationData) -> Option<Token> {
    let registry = data.proxy_endpoint()?.trim_start_matches("https://").trim_end_matches('/').to_owned();
    let ends = data.expires_at().and_then(|at| SystemTime::try_from(*at).ok());
    let ends = ends.unwrap_or_else(SystemTime::now);
    let before = Rng::new(uuid::Uuid::new_v4().as_u64_pair().0).between(LATEST, EARLIEST);
    let login = Login::decode(data.authorization_token()?)?;
    Some(Token { login, registry, renew_at: ends.checked_sub(before)? })
}
