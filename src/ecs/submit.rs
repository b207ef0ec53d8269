//! A [`StateChange`] as the fields of `SubmitTaskStateChange`, within the API's length limits.

use aws_sdk_ecs::operation::submit_task_state_change::builders::SubmitTaskStateChangeFluentBuilder;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{ContainerStateChange, NetworkBinding, TransportProtocol};
use node_core::{
    ClusterRef, ContainerChange, ExitCode, NetworkBinding as Binding, Protocol, StateChange, TaskStatus, Timestamp,
};

/// Bytes of a reason that ECS takes; the front is kept (amazon-ecs-agent, `ecs_client.go`).
const REASON: usize = 1024;
/// Bytes of a Docker id and of an image digest.
const IDENTITY: usize = 255;

pub(super) fn fill(
    call: SubmitTaskStateChangeFluentBuilder,
    cluster: &ClusterRef,
    change: &StateChange,
) -> SubmitTaskStateChangeFluentBuilder {
    let containers: Vec<_> = change.containers.iter().map(container).collect();
    call.cluster(cluster.as_str())
        .task(change.task.as_str())
        .status(word(change.status))
        .reason(cut(&change.reason, REASON))
        .set_containers((!containers.is_empty()).then_some(containers))
        .set_pull_started_at(change.pull_started_at.map(time))
        .set_pull_stopped_at(change.pull_stopped_at.map(time))
        .set_execution_stopped_at(change.execution_stopped_at.map(time))
}

fn container(change: &ContainerChange) -> ContainerStateChange {
    let bindings = change.bindings.iter().filter(|b| b.bind_ip != "::");
    ContainerStateChange::builder()
        .container_name(change.name.as_str())
        .status(word(change.status))
        .set_runtime_id(change.runtime_id.as_ref().map(|id| cut(id.as_str(), IDENTITY)))
        .set_exit_code(change.exit_code.map(exit_code))
        .set_reason(change.reason.as_deref().filter(|reason| !reason.is_empty()).map(|reason| cut(reason, REASON)))
        .set_image_digest(change.image_digest.as_deref().map(|digest| cut(digest, IDENTITY)))
        // Present even when empty, as amazon-ecs-agent sends it.
        .set_network_bindings(Some(bindings.map(binding).collect()))
        .build()
}

fn binding(port: &Binding) -> NetworkBinding {
    NetworkBinding::builder()
        .bind_ip(&port.bind_ip)
        .container_port(port.container.into())
        .host_port(port.host.into())
        .protocol(match port.protocol {
            Protocol::Tcp => TransportProtocol::Tcp,
            Protocol::Udp => TransportProtocol::Udp,
        })
        .build()
}

/// ECS takes three words; whatever comes before PENDING is PENDING.
fn word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Running | TaskStatus::Stopped => status.as_str(),
        TaskStatus::None | TaskStatus::Pending => TaskStatus::Pending.as_str(),
    }
}

/// The API's exit code is 32 bits wide; a code that does not fit becomes the nearest that does.
fn exit_code(code: ExitCode) -> i32 {
    let nearest = if code.0 < 0 { i32::MIN } else { i32::MAX };
    i32::try_from(code.0).unwrap_or(nearest)
}

fn time(at: Timestamp) -> DateTime {
    DateTime::from_millis(i64::try_from(at.0).unwrap_or(i64::MAX))
}

/// The longest front of `text` that fits into `bytes` and is whole characters.
fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::operation::submit_task_state_change::SubmitTaskStateChangeInput;
    use node_core::{ContainerName, DockerId, TaskArn};

    use super::*;

    fn input(change: &StateChange) -> SubmitTaskStateChangeInput {
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(aws_sdk_ecs::config::BehaviorVersion::v2026_01_12())
            .build();
        let call = aws_sdk_ecs::Client::from_conf(config).submit_task_state_change();
        let filled = fill(call, &ClusterRef::new("c1"), change);
        filled.as_input().clone().build().unwrap()
    }

    fn change() -> StateChange {
        StateChange {
            task: TaskArn::new("arn:task/c/1"),
            status: TaskStatus::Stopped,
            reason: String::new(),
            containers: vec![ContainerChange {
                name: ContainerName::new("default"),
                status: TaskStatus::Stopped,
                runtime_id: Some(DockerId::new("4f0c")),
                exit_code: Some(ExitCode(137)),
                reason: Some("OutOfMemoryError: Container killed due to memory usage".into()),
                image_digest: None,
                bindings: vec![],
            }],
            pull_started_at: Some(Timestamp(1_760_000_001_512)),
            pull_stopped_at: None,
            execution_stopped_at: None,
        }
    }

    #[test]
    fn a_finished_job_has_the_fields_of_the_wire() {
        let input = input(&change());
        assert_eq!(input.status(), Some("STOPPED"));
        assert_eq!(input.reason(), Some(""));
        assert_eq!(input.pull_started_at(), Some(&DateTime::from_millis(1_760_000_001_512)));
        assert_eq!(input.pull_stopped_at(), None);
        let container = &input.containers()[0];
        assert_eq!(container.exit_code(), Some(137));
        assert_eq!(container.image_digest(), None);
        assert_eq!(container.network_bindings, Some(vec![]));
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let mut change = change();
        change.containers[0].reason = Some(String::new());
        change.containers[0].exit_code = None;
        let input1 = input(&change);
        assert_eq!(input1.containers()[0].reason(), None);
        assert_eq!(input1.containers()[0].exit_code(), None);
        change.containers.clear();
        change.status = TaskStatus::None;
        let input2 = input(&change);
        assert_eq!(input2.containers, None);
        assert_eq!(input2.status(), Some("PENDING"));
    }

    #[test]
    fn long_texts_keep_their_front_and_whole_characters() {
        assert_eq!(cut("abc", 1024), "abc");
        assert_eq!(cut("añb", 2), "a");
        let mut change = change();
        change.reason = "é".repeat(600);
        let input = input(&change);
        assert_eq!(input.reason().map(str::len), Some(1024));
    }

    #[test]
    fn ipv6_wildcard_bindings_are_dropped_and_codes_clamped() {
        let mut change = change();
        let port = |ip: &str| Binding { bind_ip: ip.into(), container: 80, host: 49153, protocol: Protocol::Tcp };
        change.containers[0].bindings = vec![port("0.0.0.0"), port("::")];
        let input = input(&change);
        assert_eq!(input.containers()[0].network_bindings().len(), 1);
        assert_eq!(exit_code(ExitCode(0xC000_0005)), i32::MAX);
    }
}
