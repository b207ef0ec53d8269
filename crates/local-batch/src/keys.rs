//! The access keys that the plane has issued, to instances and to jobs' roles: opaque values that open nothing elsewhere.

use ecs_wire::task::Secret;
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::ids::{ACCOUNT, hex32};
use crate::model::table::Table;

/// Keys remembered before those that are over are forgotten: four for each of many thousand running tasks.
const KEYS_KEPT: usize = 65_536;
/// Random characters after a key's `ASIA`.
const KEY_CHARS: usize = 16;

/// A key, whom it was issued to, and until when it is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IssuedKey {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Secret,
    /// As STS names the caller: `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    pub(crate) arn: String,
    pub(crate) user_id: String,
    pub(crate) expires_at: Millis,
}

#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    pub(crate) keys: Table<String, IssuedKey>,
}

impl KeyRing {
    /// Issues a key for a session of a role, given by name or ARN.
    pub(crate) fn issue(&mut self, role: &str, session: &str, now: Millis, expires_at: Millis) -> IssuedKey {
        if self.keys.len() >= KEYS_KEPT {
            self.keys.retain(|key| key.expires_at > now);
        }
        let name = role.rsplit('/').next().unwrap_or(role);
        let random = hex32().to_uppercase();
        let (id, role_id) = random.split_at(KEY_CHARS);
        let key = IssuedKey {
            id: format!("ASIA{id}"),
            secret: Secret(format!("{}{}", hex32(), &hex32()[..8])),
            token: Secret(format!("local-token-{}{}", hex32(), hex32())),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}"),
            user_id: format!("AROA{role_id}:{session}"),
            expires_at,
        };
        self.keys.insert(key.id.clone(), key.clone());
        key
    }

    pub(crate) fn find(&self, id: &str) -> Option<&IssuedKey> {
        self.keys.get(id)
    }

    /// Makes every key expire now.
    pub(crate) fn expire_all(&mut self, now: Millis) -> usize {
        let live = self.keys.values_mut().filter(|key| key.expires_at > now);
        live.map(|key| key.expires_at = now).count()
    }
}
