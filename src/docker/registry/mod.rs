//! Who the host is to a registry: the login that an image is pulled with.

mod asm;
mod ecr;
mod host;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bollard::auth::DockerCredentials;
use node_core::{CredentialsId, OpFailure, RegistryAuth};

use super::failure::{names, refused};
use crate::serve::credentials::{CredentialStore, Found, Material};

pub(crate) use host::{AuthFormat, HostRegistries};

/// The logins of this host and of the tasks' execution roles.
#[derive(Debug)]
pub(crate) struct Registries {
    host: HostRegistries,
    ecr: ecr::Tokens,
    roles: CredentialStore,
}

/// One call for a login; the SDK tries again within [`LIMIT`].
const ATTEMPT: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(20);
const NO_LOGIN: &str = "engine docker private registry credentials: not found";

/// Whose login: part of the name under which pulls of one image are shared, so that no task is served by what only
/// another task's role could fetch.
pub(crate) fn identity(auth: Option<&RegistryAuth>, execution_role: Option<&CredentialsId>) -> String {
    match auth {
        None => "host".to_owned(),
        Some(auth) if auth.needs_execution_role() => format!("{auth:?} {execution_role:?}"),
        Some(auth) => format!("{auth:?}"),
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(LIMIT).build()
}

impl Registries {
    pub(crate) fn new(host: HostRegistries, roles: CredentialStore) -> Self {
        Self { host, ecr: ecr::Tokens::default(), roles }
    }

    /// What to pull `image` with; `None` is nothing, which public images need. `sdk` says how AWS is reached, as this host.
    pub(crate) async fn login(
        &self,
        image: &str,
        auth: Option<&RegistryAuth>,
        execution_role: Option<&CredentialsId>,
        sdk: &SdkConfig,
    ) -> Result<Option<DockerCredentials>, OpFailure> {
        let Some(auth) = auth else {
            return Ok(self.host.login(image).map(host::Login::for_docker));
        };
        let role = match auth.needs_execution_role() {
            true => Some(self.execution_role(auth, execution_role)?),
            false => None,
        };
        let login = match (auth, role) {
            (RegistryAuth::Ecr(wanted), role) => {
                self.ecr.login(image, wanted, execution_role.zip(role.as_deref()), sdk).await
            }
            (RegistryAuth::Asm(wanted), Some(role)) => asm::login(wanted, &role, sdk).await,
            (RegistryAuth::Asm(_), None) => Err(NO_LOGIN.to_owned()),
        };
        login.map(|login| Some(login.for_docker())).map_err(|text| refused(error_name(auth), text))
    }

    /// After a restart a role's credentials are on their way: that is worth waiting for.
    fn execution_role(&self, auth: &RegistryAuth, id: Option<&CredentialsId>) -> Result<Arc<Material>, OpFailure> {
        match id.map(|id| self.roles.find(id)) {
            Some(Found::Ready(_, material)) => Ok(material),
            Some(Found::Pending(_)) => {
                Err(OpFailure::Unreachable("the execution role's credentials have yet to come from ECS".to_owned()))
            }
            Some(Found::Unknown) | None => match auth {
                RegistryAuth::Ecr(_) => Err(refused(names::ECR, "engine ecr credentials: not found".to_owned())),
                RegistryAuth::Asm(_) => Err(refused(names::AUTH, NO_LOGIN.to_owned())),
            },
        }
    }
}

fn error_name(auth: &RegistryAuth) -> &'static str {
    match auth {
        RegistryAuth::Ecr(_) => names::ECR,
        RegistryAuth::Asm(_) => names::AUTH,
    }
}

/// An image's name with its registry, and Docker Hub's unspoken parts: `docker.io/library/busybox`.
fn full_name(image: &str) -> String {
    let (first, rest) = image.split_once('/').unwrap_or(("", image));
    let is_host = first.contains(['.', ':']) || first == "localhost";
    match (is_host, first) {
        (true, _) => format!("{first}/{rest}"),
        (false, "") => format!("docker.io/library/{rest}"),
        (false, _) => format!("docker.io/{image}"),
    }
}
