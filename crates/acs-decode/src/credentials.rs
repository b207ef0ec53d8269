//! Role credentials on their way from a frame to whoever keeps them. They never pass through the node, which knows ids alone.

use std::fmt;

use ecs_wire::task::Credentials;
use node_core::{CredentialsId, RoleKind, TaskArn};
use zeroize::Zeroizing;

/// Whose credentials an id names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub task: TaskArn,
    pub role: RoleKind,
}

/// What a role's credentials are made of. The secret parts are wiped when the last holder lets go, and `Debug` shows none.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    pub role_arn: String,
    pub access_key_id: String,
    pub secret_access_key: Zeroizing<String>,
    pub session_token: Zeroizing<String>,
    /// RFC 3339, as the service wrote it.
    pub expiration: String,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("role_arn", &self.role_arn)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

impl From<Credentials> for Material {
    /// The secrets are moved, not copied.
    fn from(wire: Credentials) -> Self {
        Self {
            role_arn: wire.role_arn,
            access_key_id: wire.access_key_id,
            secret_access_key: Zeroizing::new(wire.secret_access_key.0),
            session_token: Zeroizing::new(wire.session_token.0),
            expiration: wire.expiration,
        }
    }
}

/// Credentials that have come from ACS, on their way into the store.
#[derive(Debug, PartialEq)]
pub struct Delivered {
    pub id: CredentialsId,
    pub owner: Owner,
    pub material: Material,
}
