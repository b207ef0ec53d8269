//! Framing: the `{"type", "message"}` envelope that every ACS text frame wears.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::acs::{FromAgent, ToAgent};
use crate::case;

/// Why a frame could not be read. The connection survives each of these: the frame is logged and dropped.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("not a frame of the form {{\"type\", \"message\"}}")]
    Envelope(#[source] serde_json::Error),
    #[error("message type {0:?} is not known to this agent")]
    UnknownType(String),
    #[error("a {kind} message with fields that do not fit its model")]
    Message {
        kind: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("a {kind} message without {field}, which it must have")]
    Missing { kind: &'static str, field: &'static str },
}

#[derive(Serialize, Deserialize)]
struct Envelope<M> {
    #[serde(rename = "type", alias = "Type", alias = "TYPE")]
    kind: String,
    #[serde(default = "Option::default", alias = "Message", alias = "MESSAGE")]
    message: Option<M>,
}

pub(crate) fn encode<M: Serialize>(kind: &str, message: &M) -> String {
    #[derive(Serialize)]
    struct Out<'a, M> {
        #[serde(rename = "type")]
        kind: &'a str,
        message: &'a M,
    }
    // Maps with string keys and plain structs cannot fail to serialize; an empty frame would be dropped by any peer.
    serde_json::to_string(&Out { kind, message }).unwrap_or_default()
}

/// Splits a text frame into its type and its undecoded message; an absent message reads as an empty object.
pub(crate) fn open(text: &str) -> Result<(String, serde_json::Value), FrameError> {
    let envelope: Envelope<serde_json::Value> = serde_json::from_str(text).map_err(FrameError::Envelope)?;
    let message = envelope.message.unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new()));
    Ok((envelope.kind, message))
}

pub(crate) fn read<M: DeserializeOwned>(kind: &'static str, message: serde_json::Value) -> Result<M, FrameError> {
    serde_json::from_value(message).map_err(|source| FrameError::Message { kind, source })
}

impl ToAgent {
    /// Reads a frame that came from ACS, whatever the case of its field names.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        let (kind, mut message) = open(text)?;
        case::normalize(&mut message);
        Self::from_parts(&kind, message)
    }
}

impl FromAgent {
    /// Reads a frame that an agent sent: the embedded plane's side.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        let (kind, message) = open(text)?;
        Self::from_parts(&kind, message)
    }
}
