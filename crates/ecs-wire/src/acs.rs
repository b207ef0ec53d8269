//! The messages of an ACS session, one enum a direction.

use serde::{Deserialize, Serialize};

use crate::frame::{self, FrameError};
use crate::task::Credentials;

/// Declares a direction's messages: the variants, their wire names, and the two conversions.
macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($kind:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name { $($kind($kind)),+ }

        impl $name {
            /// The frame's `type`.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($kind)),+ }
            }

            /// The frame as it goes onto the wire.
            #[must_use]
            pub fn encode(&self) -> String {
                match self { $(Self::$kind(m) => frame::encode(stringify!($kind), m)),+ }
            }

            /// Whether frames of this type belong to this direction.
            #[must_use]
            pub fn is_kind(kind: &str) -> bool {
                [$(stringify!($kind)),+].contains(&kind)
            }

            pub(crate) fn from_parts(kind: &str, message: serde_json::Value) -> Result<Self, FrameError> {
                match kind {
                    $(stringify!($kind) => frame::read(stringify!($kind), message).map(Self::$kind),)+
                    other => Err(FrameError::UnknownType(other.to_owned())),
                }
            }
        }

        $(impl From<$kind> for $name { fn from(m: $kind) -> Self { Self::$kind(m) } })+
    };
}
pub(crate) use messages;

messages! {
    /// What ACS sends to an agent.
    ToAgent {
        PayloadMessage, HeartbeatMessage, IAMRoleCredentialsMessage, TaskManifestMessage, TaskStopVerificationAck,
        AttachTaskNetworkInterfacesMessage, AttachInstanceNetworkInterfacesMessage, ConfirmAttachmentMessage,
        StageUpdateMessage, PerformUpdateMessage, CloseMessage, ErrorMessage, ServerException, BadRequestException,
        InvalidClusterException, InvalidInstanceException, AccessDeniedException, InactiveInstanceException,
    }
}

messages! {
    /// What an agent sends to ACS: nothing else goes up this socket.
    FromAgent {
        AckRequest, NackRequest, HeartbeatAckRequest, IAMRoleCredentialsAckRequest, TaskStopVerificationMessage,
    }
}

/// Work for this container instance. Tasks stay undecoded, so that one bad task does not take its siblings with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayloadMessage {
    #[serde(default)]
    pub message_id: String,
    #[serde(default)]
    pub cluster_arn: String,
    #[serde(default)]
    pub container_instance_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_num: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,
    #[serde(default, deserialize_with = "crate::task::null_as_default")]
    pub tasks: Vec<serde_json::Value>,
}

impl PayloadMessage {
    /// What ECS promises to send; without these a payload cannot be acknowledged.
    pub fn validate(&self) -> Result<(), FrameError> {
        let missing = |field| Err(FrameError::Missing { kind: "PayloadMessage", field });
        if self.message_id.is_empty() {
            return missing("messageId");
        }
        if self.cluster_arn.is_empty() {
            return missing("clusterArn");
        }
        if self.container_instance_arn.is_empty() {
            return missing("containerInstanceArn");
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    #[serde(default)]
    pub message_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IAMRoleCredentialsMessage {
    #[serde(default)]
    pub message_id: String,
    #[serde(default)]
    pub task_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_cluster_arn: Option<String>,
    #[serde(default)]
    pub role_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_credentials: Option<Credentials>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskIdentifier {
    #[serde(default)]
    pub task_arn: String,
    #[serde(default)]
    pub task_cluster_arn: String,
    #[serde(default)]
    pub desired_status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManifestMessage {
    #[serde(default)]
    pub message_id: String,
    #[serde(default)]
    pub cluster_arn: String,
    #[serde(default)]
    pub container_instance_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,
    #[serde(default, deserialize_with = "crate::task::null_as_default")]
    pub tasks: Vec<TaskIdentifier>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStopVerificationMessage {
    pub message_id: String,
    pub stop_candidates: Vec<TaskIdentifier>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStopVerificationAck {
    #[serde(default)]
    pub message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<i64>,
    #[serde(default, deserialize_with = "crate::task::null_as_default")]
    pub stop_tasks: Vec<TaskIdentifier>,
}

/// Messages about attachments and agent updates: this agent answers or refuses them by id, and reads no more of them.
macro_rules! addressed {
    ($($name:ident),+) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            #[serde(default)]
            pub message_id: String,
            #[serde(default)]
            pub cluster_arn: String,
            #[serde(default)]
            pub container_instance_arn: String,
        }
    )+};
}
addressed!(
    AttachTaskNetworkInterfacesMessage,
    AttachInstanceNetworkInterfacesMessage,
    ConfirmAttachmentMessage,
    StageUpdateMessage,
    PerformUpdateMessage
);

/// Errors and the notice of a close: text for the log.
macro_rules! texts {
    ($($name:ident),+) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            #[serde(default)]
            pub message: String,
        }
    )+};
}
pub(crate) use texts;

texts!(
    CloseMessage,
    ErrorMessage,
    ServerException,
    BadRequestException,
    InvalidClusterException,
    InvalidInstanceException,
    AccessDeniedException,
    InactiveInstanceException
);

/// Acknowledges a message: `cluster` and `container_instance` are copied from the message, never from configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AckRequest {
    pub cluster: String,
    pub container_instance: String,
    pub message_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NackRequest {
    pub cluster: String,
    pub container_instance: String,
    pub message_id: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAckRequest {
    pub message_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IAMRoleCredentialsAckRequest {
    pub message_id: String,
    pub expiration: String,
    pub credentials_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_the_wire_names() {
        let ack = FromAgent::from(HeartbeatAckRequest { message_id: "m-1".into() });
        assert_eq!(ack.encode(), r#"{"type":"HeartbeatAckRequest","message":{"messageId":"m-1"}}"#);
        assert_eq!(FromAgent::decode(&ack.encode()).unwrap(), ack);
    }

    #[test]
    fn a_payload_keeps_a_bad_task_beside_a_good_one() {
        let text = r#"{"type":"PayloadMessage","message":{"messageId":"m","clusterArn":"c","containerInstanceArn":"i",
            "tasks":[{"arn":"a"},{"arn":7}]}}"#;
        let ToAgent::PayloadMessage(payload) = ToAgent::decode(text).unwrap() else { panic!("a payload") };
        payload.validate().unwrap();
        assert_eq!(payload.tasks.len(), 2);
    }

    #[test]
    fn each_bad_frame_says_what_is_wrong_with_it() {
        let error = |text| ToAgent::decode(text).unwrap_err();
        assert!(matches!(error("{"), FrameError::Envelope(_)));
        assert!(matches!(error("[1]"), FrameError::Envelope(_)));
        assert!(matches!(error(r#"{"type":"Novelty","message":{}}"#), FrameError::UnknownType(t) if t == "Novelty"));
        assert!(matches!(error(r#"{"type":"PayloadMessage","message":{"tasks":3}}"#), FrameError::Message { .. }));
        let empty = r#"{"type":"PayloadMessage"}"#;
        let ToAgent::PayloadMessage(payload) = ToAgent::decode(empty).unwrap() else { panic!("a payload") };
        assert!(matches!(payload.validate(), Err(FrameError::Missing { field: "messageId", .. })));
    }
}
