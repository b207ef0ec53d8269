//! Lines of text as ACS might send them, decoded and handed to a node. Nothing may panic, no secret may show, what a node saves
//! must be there before it acknowledges, and a node restored from that must hold as many tasks.
#![no_main]

use std::time::Duration;

use acs_decode::{Delivered, Reaction, react};
use libfuzzer_sys::fuzz_target;
use node_core::*;

const NOW: Timestamp = Timestamp(1_000_000);
/// Frames of one input: enough for a payload, its repeat, a manifest and its answer.
const FRAMES: usize = 8;

fn node(saved: Saved) -> Node {
    let policy = Policy {
        pull_behavior: PullBehavior::Default,
        idle_timeout: None,
        cleanup_wait: Duration::from_secs(10),
        stop_timeout_secs: 30,
        docker_concurrency: 2,
        leaving: LeavingPolicy::alone(),
    };
    let mut node = Node::restore(policy, saved, 1, NOW);
    node.handle(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") }, NOW);
    node.handle(Event::DockerUp(Vec::new()), NOW);
    node.handle(Event::Registered(Ok(ContainerInstanceArn::new("ci"))), NOW);
    node.handle(Event::SessionOpened, NOW);
    node
}

fn commit(node: &mut Node, disk: &mut Saved) {
    loop {
        let saves = node.take_saves();
        if saves.is_empty() {
            return;
        }
        for save in saves {
            match save {
                Save::Node(record) => disk.node = Some(*record),
                Save::Task(record) => {
                    disk.tasks.retain(|task| task.arn() != record.arn());
                    disk.tasks.push(*record);
                }
                Save::Forget(arn) => disk.tasks.retain(|task| *task.arn() != arn),
                Save::Clear => *disk = Saved::default(),
            }
        }
    }
}

/// A secret that stands in the input once can stand nowhere but where secrets go.
fn check_secrets(text: &str, event: &Event, delivered: &[Delivered]) {
    for one in delivered {
        let secret = one.material.secret_access_key.as_str();
        if secret.len() >= 12 && text.matches(secret).count() == 1 {
            assert!(!format!("{event:?} {delivered:?}").contains(secret), "a secret shows");
        }
    }
}

fuzz_target!(|text: &str| {
    let mut disk = Saved::default();
    let mut node = node(disk.clone());
    commit(&mut node, &mut disk);
    for frame in text.lines().take(FRAMES) {
        let Some(Reaction::Event(event, delivered)) = react(frame) else { continue };
        check_secrets(text, &event, &delivered);
        let arns: Vec<_> = match &*event {
            Event::Payload(payload) => payload.tasks.iter().map(|task| task.arn.clone()).collect(),
            _ => Vec::new(),
        };
        node.handle(*event, NOW);
        commit(&mut node, &mut disk);
        assert!(arns.iter().all(|arn| disk.tasks.iter().any(|task| task.arn() == arn)), "acknowledged and not saved");
        while node.next_command().is_some() {}
        node.handle_timeout(NOW);
    }
    let restored = self::node(disk.clone());
    assert_eq!(restored.live_tasks(), disk.tasks.iter().filter(|task| task.live()).count());
});
