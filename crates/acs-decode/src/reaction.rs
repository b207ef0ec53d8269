//! What one frame from ACS means: an event for the node, an answer from here, or a line in the log.

use std::error::Error;

use ecs_wire::acs::{HeartbeatAckRequest, NackRequest, TaskManifestMessage, TaskStopVerificationAck, ToAgent};
use ecs_wire::{FrameError, FromAgent};
use node_core::{ClusterRef, ContainerInstanceArn, Event, MessageId, TaskArn};

use crate::credentials::Delivered;
use crate::payload;

/// ECS's word for a container instance that it has deregistered.
pub const INACTIVE: &str = "InactiveInstanceException";

/// What to do about a frame of a known type.
#[derive(Debug, PartialEq)]
pub enum Reaction {
    /// With the credentials it brought, which must be put away first.
    Event(Box<Event>, Vec<Delivered>),
    /// Answered by the transport: the node has no part in it.
    Reply(FromAgent),
    /// Logged, and that was it.
    Nothing,
    /// ECS says that this container instance is deregistered.
    Inactive(String),
}

/// `None` for a frame of no known type: it is logged here, and does not count as a sign of life.
pub fn react(text: &str) -> Option<Reaction> {
    match ToAgent::decode(text) {
        Ok(message) => Some(handle(message)),
        // It has no business here, but it is a type of the protocol, and so a sign of life.
        Err(FrameError::UnknownType(kind)) if FromAgent::is_kind(&kind) => {
            tracing::debug!("ignored a {kind}, which only agents send");
            Some(Reaction::Nothing)
        }
        Err(error) => {
            tracing::warn!("dropped a frame from ACS: {}", chain(&error));
            None
        }
    }
}

fn handle(message: ToAgent) -> Reaction {
    let kind = message.kind();
    match message {
        ToAgent::HeartbeatMessage(heartbeat) => {
            Reaction::Reply(HeartbeatAckRequest { message_id: heartbeat.message_id }.into())
        }
        ToAgent::PayloadMessage(message) => match message.validate() {
            Ok(()) => {
                let (payload, delivered) = payload::decode(message);
                Reaction::Event(Box::new(Event::Payload(payload)), delivered)
            }
            Err(error) => dropped(&error),
        },
        ToAgent::TaskManifestMessage(manifest) => self::manifest(manifest),
        ToAgent::TaskStopVerificationAck(ack) => stops(ack),
        ToAgent::IAMRoleCredentialsMessage(message) => match payload::credentials(message) {
            Ok((event, delivered)) => Reaction::Event(Box::new(event), vec![delivered]),
            Err(error) => dropped(&error),
        },
        ToAgent::StageUpdateMessage(m) => nack(m.cluster_arn, m.container_instance_arn, m.message_id),
        ToAgent::PerformUpdateMessage(m) => nack(m.cluster_arn, m.container_instance_arn, m.message_id),
        ToAgent::AttachTaskNetworkInterfacesMessage(_)
        | ToAgent::AttachInstanceNetworkInterfacesMessage(_)
        | ToAgent::ConfirmAttachmentMessage(_) => {
            tracing::warn!("ignored {kind}: attachments are not supported by this agent");
            Reaction::Nothing
        }
        ToAgent::InactiveInstanceException(e) => Reaction::Inactive(format!("{INACTIVE}: {}", e.message)),
        ToAgent::CloseMessage(m) => {
            tracing::info!("ACS is about to close the connection: {}", m.message);
            Reaction::Nothing
        }
        ToAgent::ErrorMessage(e) => complaint(kind, &e.message),
        ToAgent::ServerException(e) => complaint(kind, &e.message),
        ToAgent::BadRequestException(e) => complaint(kind, &e.message),
        ToAgent::InvalidClusterException(e) => complaint(kind, &e.message),
        ToAgent::InvalidInstanceException(e) => complaint(kind, &e.message),
        ToAgent::AccessDeniedException(e) => complaint(kind, &e.message),
    }
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn event(event: Event) -> Reaction {
    Reaction::Event(Box::new(event), Vec::new())
}

fn dropped(error: &FrameError) -> Reaction {
    tracing::warn!("dropped a message from ACS: {error}");
    Reaction::Nothing
}

/// ACS leaves the connection open or closes it itself: there is nothing to do but say so.
fn complaint(kind: &str, text: &str) -> Reaction {
    tracing::error!("ACS says {kind}: {text}");
    Reaction::Nothing
}

fn nack(cluster: String, container_instance: String, message_id: String) -> Reaction {
    tracing::info!("declined an agent update that ECS offered");
    let reason = "Updates are disabled".to_owned();
    Reaction::Reply(NackRequest { cluster, container_instance, message_id, reason }.into())
}

fn manifest(manifest: TaskManifestMessage) -> Reaction {
    if manifest.message_id.is_empty() {
        return dropped(&missing_id("TaskManifestMessage"));
    }
    let running = manifest.tasks.into_iter();
    event(Event::Manifest {
        message: MessageId::new(manifest.message_id),
        cluster: ClusterRef::new(manifest.cluster_arn),
        container_instance: ContainerInstanceArn::new(manifest.container_instance_arn),
        timeline: manifest.timeline.unwrap_or(0),
        running: running
            .filter(|task| task.desired_status == "RUNNING")
            .map(|task| TaskArn::new(task.task_arn))
            .collect(),
    })
}

fn stops(ack: TaskStopVerificationAck) -> Reaction {
    if ack.message_id.is_empty() {
        return dropped(&missing_id("TaskStopVerificationAck"));
    }
    event(Event::StopsVerified {
        message: MessageId::new(ack.message_id),
        tasks: ack.stop_tasks.into_iter().map(|task| TaskArn::new(task.task_arn)).collect(),
    })
}

fn missing_id(kind: &'static str) -> FrameError {
    FrameError::Missing { kind, field: "messageId" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: &str, message: &str) -> Option<Reaction> {
        react(&format!(r#"{{"type":"{kind}","message":{message}}}"#))
    }

    fn reply(reaction: Option<Reaction>) -> String {
        match reaction {
            Some(Reaction::Reply(message)) => message.encode(),
            other => panic!("a reply: {other:?}"),
        }
    }

    #[test]
    fn heartbeats_and_updates_are_answered_here() {
        let ack = reply(frame("HeartbeatMessage", r#"{"healthy":true,"messageId":"h-1"}"#));
        assert_eq!(ack, r#"{"type":"HeartbeatAckRequest","message":{"messageId":"h-1"}}"#);
        // amazon-ecs-agent does not look at a heartbeat before it answers.
        let ack = reply(frame("HeartbeatMessage", "{}"));
        assert_eq!(ack, r#"{"type":"HeartbeatAckRequest","message":{"messageId":""}}"#);
        let update = r#"{"messageId":"u-1","clusterArn":"c","containerInstanceArn":"i","updateInfo":{}}"#;
        for kind in ["StageUpdateMessage", "PerformUpdateMessage"] {
            let nack = r#"{"type":"NackRequest","message":{"cluster":"c","containerInstance":"i","messageId":"u-1","reason":"Updates are disabled"}}"#;
            assert_eq!(reply(frame(kind, update)), nack);
        }
    }

    #[test]
    fn a_payloads_addresses_come_from_the_message_and_their_case_does_not_matter() {
        let message = r#"{"MessageID":"m","clusterARN":"c","ContainerInstanceArn":"i","SEQNUM":3,"Tasks":[{"ARN":"t","DesiredStatus":"STOPPED"}]}"#;
        let Some(Reaction::Event(event, _)) = react(&format!(r#"{{"Type":"PayloadMessage","Message":{message}}}"#))
        else {
            panic!("an event")
        };
        let Event::Payload(payload) = *event else { panic!("a payload") };
        assert_eq!(
            (payload.message.as_str(), payload.cluster.as_str(), payload.container_instance.as_str()),
            ("m", "c", "i")
        );
        assert_eq!((payload.seq_num, payload.tasks[0].arn.as_str()), (3, "t"));
        // The type itself is exact.
        assert_eq!(react(&format!(r#"{{"type":"payloadmessage","message":{message}}}"#)), None);
    }

    /// There is no reply that refuses an attachment: ECS takes silence for a no once the attachment's time is up.
    #[test]
    fn attachments_are_refused_by_silence() {
        let message =
            r#"{"messageId":"m","clusterArn":"c","containerInstanceArn":"i","taskArn":"t","waitTimeoutMs":1000}"#;
        for kind in
            ["AttachTaskNetworkInterfacesMessage", "AttachInstanceNetworkInterfacesMessage", "ConfirmAttachmentMessage"]
        {
            assert_eq!(frame(kind, message), Some(Reaction::Nothing), "{kind}");
        }
    }

    #[test]
    fn types_that_only_agents_send_are_a_sign_of_life_and_nothing_else() {
        for kind in [
            "AckRequest",
            "NackRequest",
            "HeartbeatAckRequest",
            "IAMRoleCredentialsAckRequest",
            "TaskStopVerificationMessage",
        ] {
            assert_eq!(frame(kind, "{}"), Some(Reaction::Nothing), "{kind}");
        }
    }

    #[test]
    fn a_manifest_lists_what_is_to_run() {
        let tasks = r#"[{"taskArn":"a","desiredStatus":"RUNNING"},{"taskArn":"b","desiredStatus":"STOPPED"}]"#;
        let message =
            format!(r#"{{"messageId":"m","clusterArn":"c","containerInstanceArn":"i","timeline":18,"tasks":{tasks}}}"#);
        let Some(Reaction::Event(event, _)) = frame("TaskManifestMessage", &message) else { panic!("an event") };
        let Event::Manifest { timeline, running, .. } = *event else { panic!("a manifest") };
        assert_eq!((timeline, running), (18, vec![TaskArn::new("a")]));
        assert_eq!(frame("TaskManifestMessage", "{}"), Some(Reaction::Nothing));
    }

    #[test]
    fn verified_stops_name_their_tasks() {
        let message = r#"{"messageId":"m","stopTasks":[{"taskArn":"a","desiredStatus":"STOPPED"}]}"#;
        let expected = Event::StopsVerified { message: MessageId::new("m"), tasks: vec![TaskArn::new("a")] };
        assert_eq!(frame("TaskStopVerificationAck", message), Some(event(expected)));
        assert_eq!(frame("TaskStopVerificationAck", "{}"), Some(Reaction::Nothing));
    }

    #[test]
    fn what_only_an_operator_can_use_is_logged() {
        for kind in [
            "ErrorMessage",
            "ServerException",
            "BadRequestException",
            "InvalidClusterException",
            "InvalidInstanceException",
            "AccessDeniedException",
            "CloseMessage",
            "IAMRoleCredentialsMessage",
        ] {
            assert_eq!(frame(kind, "{}"), Some(Reaction::Nothing), "{kind}");
        }
        // A payload that could not be acknowledged.
        assert_eq!(frame("PayloadMessage", "{}"), Some(Reaction::Nothing));
        let inactive = frame("InactiveInstanceException", r#"{"message":"gone"}"#);
        assert_eq!(inactive, Some(Reaction::Inactive("InactiveInstanceException: gone".into())));
    }

    #[test]
    fn a_bad_frame_is_no_sign_of_life() {
        for text in ["", "{", "[]", "{}", r#"{"type":"Novelty"}"#, r#"{"type":"PayloadMessage","message":{"tasks":3}}"#]
        {
            assert_eq!(react(text), None, "{text}");
        }
    }
}
