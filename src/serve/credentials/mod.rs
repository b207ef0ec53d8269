//! The credentials of tasks' roles: in memory and nowhere else. After a restart they are pending until ACS sends them again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use acs_decode::{Delivered, Material, Owner};
use aws_credential_types::Credentials as SdkCredentials;
use node_core::CredentialsId;

/// A role's credentials, for one SDK client.
pub(crate) fn for_sdk(role: &Material) -> SdkCredentials {
    let (key, secret, token) = (&role.access_key_id, &role.secret_access_key, &role.session_token);
    SdkCredentials::new(key.as_str(), secret.as_str(), Some(token.to_string()), None, "task role")
}

/// What is known of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Unknown,
    /// A task here has it, and ACS has yet to send what it stands for.
    Pending(Owner),
    Ready(Owner, Arc<Material>),
}

/// `None` for what is still expected.
type Entries = BTreeMap<CredentialsId, (Owner, Option<Arc<Material>>)>;

/// By id. Every clone is the same store. It is no part of the node's state: the core knows the ids, and says when one ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct CredentialStore(Arc<Mutex<Entries>>);

impl CredentialStore {
    /// Puts credentials away, in place of older ones of the same id.
    pub(crate) fn put(&self, delivered: Delivered) {
        self.entries().insert(delivered.id, (delivered.owner, Some(Arc::new(delivered.material))));
    }

    /// An id that a restored task has. What came meanwhile stays.
    pub(crate) fn expect(&self, id: &CredentialsId, owner: Owner) {
        self.entries().entry(id.clone()).or_insert((owner, None));
    }

    /// Nobody may have these any more.
    pub(crate) fn forget(&self, id: &CredentialsId) {
        self.entries().remove(id);
    }

    pub(crate) fn find(&self, id: &CredentialsId) -> Found {
        match self.entries().get(id) {
            None => Found::Unknown,
            Some((owner, None)) => Found::Pending(owner.clone()),
            Some((owner, Some(material))) => Found::Ready(owner.clone(), Arc::clone(material)),
        }
    }

    /// Held for a map operation at a time, never across an await.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ecs_wire::task::{Credentials, Secret};
    use node_core::{RoleKind, TaskArn};

    use super::*;

    pub(crate) fn delivered(id: &str, secret: &str) -> Delivered {
        let wire = Credentials {
            credentials_id: id.into(),
            role_arn: "arn:aws:iam::1:role/job".into(),
            access_key_id: "ASIAEXAMPLE".into(),
            secret_access_key: Secret(secret.into()),
            session_token: Secret("t0ken".into()),
            expiration: "2030-01-01T00:00:00Z".into(),
        };
        let owner = Owner { task: TaskArn::new("arn:aws:ecs:us-east-1:1:task/c/t1"), role: RoleKind::Task };
        Delivered { id: CredentialsId::new(id), owner, material: wire.into() }
    }

    #[test]
    fn what_is_expected_is_pending_until_it_comes_and_gone_when_forgotten() {
        let store = CredentialStore::default();
        let id = CredentialsId::new("c-1");
        assert_eq!(store.find(&id), Found::Unknown);
        let owner = delivered("c-1", "").owner;
        store.expect(&id, owner.clone());
        assert_eq!(store.find(&id), Found::Pending(owner.clone()));
        store.put(delivered("c-1", "old"));
        store.put(delivered("c-1", "new"));
        store.expect(&id, owner);
        let Found::Ready(_, material) = store.find(&id) else { panic!("they came") };
        assert_eq!(*material.secret_access_key, "new");
        store.forget(&id);
        assert_eq!(store.find(&id), Found::Unknown);
    }

    #[test]
    fn debug_shows_no_secret() {
        let store = CredentialStore::default();
        store.put(delivered("c-1", "hunter2"));
        let shown = format!("{store:?} {:?}", delivered("c-1", "hunter2"));
        assert!(shown.contains("role/job") && !shown.contains("hunter2") && !shown.contains("t0ken"), "{shown}");
    }
}
