//! Frames as ACS sends them, and as it should not.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::World;

pub(crate) const CLUSTER: &str = "arn:aws:ecs:us-east-1:1:cluster/c";
pub(crate) const INSTANCE: &str = "arn:aws:ecs:us-east-1:1:container-instance/c/i";
/// Few, so that frames meet the tasks of other frames.
const TASKS: u8 = 5;

#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Payload(Vec<Task>),
    /// Newer or older than what was seen, listing some of the tasks as running.
    Manifest {
        timeline: i64,
        running: Vec<u8>,
    },
    /// Answers the newest manifest, or an older one.
    StopAck {
        stale: bool,
        tasks: Vec<u8>,
    },
    Credentials {
        task: u8,
        execution: bool,
        id: u8,
    },
    Heartbeat,
    /// A type by its name, with nothing but addresses in it.
    Other(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    number: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Run,
    RunTwo,
    RunWithRole,
    Stop,
    Unreadable,
    Unsupported,
    Unresolvable,
    Nameless,
}

const OTHERS: &[&str] = &[
    "AttachTaskNetworkInterfacesMessage",
    "AttachInstanceNetworkInterfacesMessage",
    "ConfirmAttachmentMessage",
    "StageUpdateMessage",
    "PerformUpdateMessage",
    "CloseMessage",
    "ErrorMessage",
    "ServerException",
    "AckRequest",
    "Novelty",
];

pub(crate) fn any() -> impl Strategy<Value = Frame> {
    let number = || 0..TASKS;
    let kind = prop_oneof![
        6 => Just(Kind::Run),
        3 => Just(Kind::RunTwo),
        2 => Just(Kind::RunWithRole),
        5 => Just(Kind::Stop),
        1 => Just(Kind::Unreadable),
        1 => Just(Kind::Unsupported),
        1 => Just(Kind::Unresolvable),
        1 => Just(Kind::Nameless),
    ];
    let task = (number(), kind).prop_map(|(number, kind)| Task { number, kind });
    let numbers = || prop::collection::vec(number(), 0..4);
    prop_oneof![
        8 => prop::collection::vec(task, 0..4).prop_map(Frame::Payload),
        3 => (0_i64..400, numbers()).prop_map(|(timeline, running)| Frame::Manifest { timeline, running }),
        3 => (prop::bool::weighted(0.2), numbers()).prop_map(|(stale, tasks)| Frame::StopAck { stale, tasks }),
        2 => (number(), prop::bool::ANY, 0_u8..3)
            .prop_map(|(task, execution, id)| Frame::Credentials { task, execution, id }),
        1 => Just(Frame::Heartbeat),
        1 => prop::sample::select(OTHERS).prop_map(Frame::Other),
    ]
}

pub(crate) fn arn(number: u8) -> String {
    format!("arn:aws:ecs:us-east-1:1:task/c/{number}")
}

impl Frame {
    /// As it goes onto the wire now; a message's id tells when that was.
    pub(crate) fn text(&self, world: &World) -> String {
        let id = format!("m-{}", world.frames_sent());
        let identify = |number: &u8, status: &str| json!({"taskArn": arn(*number), "taskClusterArn": CLUSTER, "desiredStatus": status});
        let listed = |numbers: &[u8], status: &str| numbers.iter().map(|n| identify(n, status)).collect::<Vec<_>>();
        let addressed = json!({"messageId": id, "clusterArn": CLUSTER, "containerInstanceArn": INSTANCE});
        let with = |key: &str, value: Value| {
            let mut message = addressed.clone();
            message[key] = value;
            message
        };
        let (kind, message) = match self {
            Self::Payload(tasks) => {
                let mut message = with("tasks", tasks.iter().map(Task::wire).collect());
                message["seqNum"] = json!(world.frames_sent());
                ("PayloadMessage", message)
            }
            Self::Manifest { timeline, running } => {
                let mut message = with("tasks", json!(listed(running, "RUNNING")));
                message["timeline"] = json!(timeline);
                ("TaskManifestMessage", message)
            }
            Self::StopAck { stale, tasks } => {
                let asked = world.asked().filter(|_| !stale).unwrap_or("m-stale");
                let message = json!({"messageId": asked, "generatedAt": 1, "stopTasks": listed(tasks, "STOPPED")});
                ("TaskStopVerificationAck", message)
            }
            Self::Credentials { task, execution, id: credentials } => {
                let role = if *execution { "TaskExecution" } else { "TaskApplication" };
                let message = json!({"messageId": id, "taskArn": arn(*task), "taskClusterArn": CLUSTER,
                    "roleType": role, "roleCredentials": role_credentials(*credentials)});
                ("IAMRoleCredentialsMessage", message)
            }
            Self::Heartbeat => ("HeartbeatMessage", json!({"messageId": id, "healthy": true})),
            Self::Other(kind) => (*kind, addressed),
        };
        json!({"type": kind, "message": message}).to_string()
    }
}

fn role_credentials(id: u8) -> Value {
    json!({"credentialsId": format!("c-{id}"), "roleArn": "arn:r", "accessKeyId": "ASIA", "secretAccessKey": "s3cret",
        "sessionToken": "t0ken", "expiration": "2030-01-01T00:00:00Z"})
}

impl Task {
    fn wire(&self) -> Value {
        let container = |name: &str, on: Value| json!({"name": name, "image": "busybox", "essential": name == "a", "dependsOn": on});
        let on = |name: &str, condition: &str| json!([{"containerName": name, "condition": condition}]);
        let mut task = json!({"arn": arn(self.number), "family": "f", "version": "1", "desiredStatus": "RUNNING",
            "containers": [container("a", json!(null))]});
        match self.kind {
            Kind::Run => {}
            Kind::RunTwo => {
                task["containers"] = json!([container("a", on("b", "SUCCESS")), container("b", json!(null))]);
            }
            Kind::RunWithRole => task["roleCredentials"] = role_credentials(9),
            Kind::Stop => task["desiredStatus"] = json!("STOPPED"),
            Kind::Unreadable => task["containers"] = json!("none"),
            Kind::Unsupported => task["networkMode"] = json!("awsvpc"),
            Kind::Unresolvable => task["containers"] = json!([container("a", on("a", "START"))]),
            Kind::Nameless => task["arn"] = json!(""),
        }
        task
    }
}

/// Harm done to a frame's text.
#[derive(Debug, Clone)]
pub(crate) enum Garbling {
    CutOff(usize),
    Byte(usize, char),
    Without(usize, usize),
    Twice(usize, usize),
}

pub(crate) fn garbling() -> impl Strategy<Value = Garbling> {
    let at = || 0_usize..600;
    let odd = prop::sample::select(vec!['"', '{', '}', '[', ']', ',', ':', '\\', '0', '-', 'e', '\u{0}', 'é', 'n']);
    prop_oneof![
        at().prop_map(Garbling::CutOff),
        (at(), odd).prop_map(|(at, odd)| Garbling::Byte(at, odd)),
        (at(), 1_usize..40).prop_map(|(at, len)| Garbling::Without(at, len)),
        (at(), 1_usize..40).prop_map(|(at, len)| Garbling::Twice(at, len)),
    ]
}

impl Garbling {
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let within = |at: usize| at % chars.len().max(1);
        let span = |at: usize, len: usize| within(at)..(within(at) + len).min(chars.len());
        match *self {
            Self::CutOff(at) => chars.truncate(within(at)),
            Self::Byte(at, odd) => {
                let at = within(at);
                chars.splice(at..(at + 1).min(chars.len()), [odd]);
            }
            Self::Without(at, len) => {
                let span = span(at, len);
                chars.drain(span);
            }
            Self::Twice(at, len) => {
                let span = span(at, len);
                let again = chars[span.clone()].to_vec();
                chars.splice(span.end..span.end, again);
            }
        }
        chars.into_iter().collect()
    }
}
