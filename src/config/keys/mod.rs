//! The one table of settings. Parsing, the search for unknown keys, `config --docs`, docs/configuration.md and the
//! README's table all come from it. A file for each of its parts.

mod agent;
mod docker;
mod home;
mod images;
mod leaving;
mod network;
mod offer;

use super::draft::Draft;
use super::foreign::{FOREIGN, Foreign};
use super::value::Value;

/// A setting.
pub(super) struct Key {
    /// Its name in the file. In the environment it is [`PREFIX`] and the name in capitals.
    pub(super) name: &'static str,
    pub(super) default: Default,
    /// What a value must be, to follow "which is not".
    pub(super) expects: &'static str,
    /// One line for the reference.
    pub(super) help: &'static str,
    /// Gives the value its type and its place; `None` when it is not what the key expects.
    pub(super) apply: fn(&mut Draft, &Value) -> Option<()>,
}

/// What holds where a key is not set.
pub(super) enum Default {
    /// This, written as it would be in the environment.
    Is(&'static str),
    /// Nothing; the text says what follows from that.
    Unset(&'static str),
}

pub(super) const PREFIX: &str = "BATCH_NODE_AGENT_";

/// Variables that are no settings: builds with debug assertions take faults to inject from them (`store/crash.rs`).
pub(super) const TEST_PREFIX: &str = "BATCH_NODE_AGENT_TEST_";

impl Key {
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// Variables of other programs that set it too where neither ours nor the file does, the first one first.
    pub(super) fn foreign_variables(&self) -> impl Iterator<Item = &'static Foreign> {
        let name = self.name;
        FOREIGN.iter().filter(move |foreign| foreign.key == name)
    }

    /// Its value is shown to nobody. A proxy's URL may hold a password, a webhook's a token.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.name, "registry_auth_data" | "http_proxy" | "https_proxy" | "event_webhook")
    }
}

/// The parts in the order of the reference: what one must set, what one may well set, and the rest.
const PARTS: [&[Key]; 7] =
    [home::KEYS, leaving::KEYS, images::KEYS, offer::KEYS, network::KEYS, docker::KEYS, agent::KEYS];

/// All keys, in the order of the reference.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    PARTS.into_iter().flatten()
}
