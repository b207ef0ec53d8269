//! Images from a real registry, by each pull behaviour: what is pulled, what runs and which digest ECS hears while the registry
//! is up, down, or gives the tag to another image; and how images leave the host again.

use serde_json::Value;

use crate::common::agent::Agent;
use crate::common::ecs::FakeEcs;
use crate::common::registry::{Registry, SCRIPT};
use crate::common::{eventually, text};

/// The end of a task of this image: exit code, digest, reason.
fn run(ecs: &FakeEcs, id: &str, image: &str) -> (Option<i64>, Option<String>, Option<String>) {
    let mut task = ecs.task(id, SCRIPT);
    task["containers"][0]["image"] = image.into();
    ecs.payload(id, &[task]);
    told(ecs, id)
}

fn told(ecs: &FakeEcs, id: &str) -> (Option<i64>, Option<String>, Option<String>) {
    let end = &ecs.stopped(id)["containers"][0];
    let words = |value: &Value| value.as_str().map(str::to_owned);
    (end["exitCode"].as_i64(), ecs.digest(id), words(&end["reason"]))
}

/// An agent with this behaviour, and a registry whose `app:1` ends with 11.
fn start(behavior: &str) -> (FakeEcs, Agent, Registry) {
    let registry = Registry::open();
    registry.push("app:1", 11);
    let ecs = FakeEcs::start();
    let agent = Agent::start(ecs.setup().set("image_pull_behavior", &format!("{behavior:?}")));
    agent.joined();
    (ecs, agent, registry)
}

/// The reason for an image that nobody has.
const UNKNOWN: &str = "CannotPullImageManifestError: Error response from daemon: manifest unknown: manifest unknown";

fn unreachable(host: &str) -> String {
    format!(
        "CannotPullImageManifestError: Error response from daemon: Get \"http://{host}/v2/\": dial tcp {host}: \
        connect: connection refused"
    )
}

/// Runs `app:1` as it is first, after the tag has moved to an image that ends with 12, and with the registry down; then an
/// image that nobody has. `follows`: whether the moved tag is followed. Gives what the run without a registry told.
fn story(behavior: &str, follows: bool) -> (FakeEcs, Agent, Registry, (Option<i64>, Option<String>, Option<String>)) {
    let (ecs, agent, mut registry) = start(behavior);
    let image = registry.image("app:1");
    let (code, first, reason) = run(&ecs, "first", &image);
    assert_eq!((code, reason), (Some(11), None));
    let first = first.expect("a digest");
    assert!(first.starts_with("sha256:"), "{first}");
    registry.push("app:1", 12);
    let (code, second, reason) = run(&ecs, "moved", &image);
    assert_eq!((code, reason), (Some(if follows { 12 } else { 11 }), None));
    assert_eq!(second.as_ref() != Some(&first), follows, "{first} {second:?}");
    let none = registry.image("none:1");
    assert_eq!(run(&ecs, "none", &none), (None, None, Some(UNKNOWN.to_owned())));
    registry.down();
    let alone = run(&ecs, "alone", &image);
    (ecs, agent, registry, alone)
}

#[test]
fn default_follows_the_registry_and_falls_back_on_what_is_cached() {
    let (_ecs, agent, registry, alone) = story("default", true);
    assert_eq!(alone, (Some(12), None, None), "the cached image ran; whose digest it is nobody could tell");
    let line = agent.line(&["image not pulled: CannotPullImageManifestError", "connection refused"]);
    assert!(line.contains("WARN") && line.contains(&registry.host()), "{line}");
}

#[test]
fn always_fails_without_the_registry() {
    let (_ecs, _agent, registry, alone) = story("always", true);
    assert_eq!(alone, (None, None, Some(unreachable(&registry.host()))));
}

#[test]
fn once_pulls_an_image_once_even_across_a_restart() {
    let (ecs, mut agent, registry, (code, digest, reason)) = story("once", false);
    assert_eq!((code, reason), (Some(11), None));
    assert!(digest.is_some(), "what is held has a digest");
    assert_eq!(registry.requests(&["HEAD /v2/app/manifests/1 "]), 1, "asked once");
    agent.process().kill();
    agent.start_again();
    agent.joined();
    assert_eq!(run(&ecs, "again", &registry.image("app:1")).0, Some(11));
    let other = registry.image("other:1");
    assert_eq!(run(&ecs, "other", &other), (None, None, Some(unreachable(&registry.host()))));
}

#[test]
fn prefer_cached_asks_only_for_what_is_not_here() {
    let (ecs, _agent, registry, (code, digest, reason)) = story("prefer-cached", false);
    assert_eq!((code, reason), (Some(11), None));
    assert!(digest.is_some(), "what is held has a digest");
    assert_eq!(registry.requests(&["HEAD /v2/app/manifests/1 "]), 1, "asked once");
    let other = registry.image("other:1");
    assert_eq!(run(&ecs, "other", &other), (None, None, Some(unreachable(&registry.host()))));
}

#[test]
fn many_tasks_of_an_image_cause_one_pull() {
    let (ecs, _agent, registry) = start("always");
    let tasks: Vec<Value> = (0..20)
        .map(|n| {
            let mut task = ecs.task(&format!("t{n}"), SCRIPT);
            task["containers"][0]["image"] = registry.image("app:1").into();
            task
        })
        .collect();
    ecs.payload("many", &tasks);
    let ends: Vec<_> = (0..20).map(|n| told(&ecs, &format!("t{n}"))).collect();
    assert!(ends.iter().all(|end| end.0 == Some(11) && end.1.is_some() && end.1 == ends[0].1), "{ends:?}");
    assert_eq!(registry.pulls(), 1);
    // Who comes while it is under way shares one more question.
    assert!((1..=2).contains(&registry.requests(&["HEAD /v2/app/manifests/1 "])));
}

#[test]
fn an_image_leaves_when_no_job_needs_it_and_what_is_to_be_kept_stays() {
    let registry = Registry::open();
    for name in ["app:1", "busy:1", "kept:1"] {
        registry.push(name, 11);
    }
    let ecs = FakeEcs::start();
    let setup = ecs.setup().set("image_pull_behavior", "\"always\"").set("task_cleanup_wait", "\"1s\"");
    let setup = setup.set("image_cleanup_interval", "\"1s\"").set("image_cleanup_min_age", "\"0s\"");
    let setup = setup.set("image_cleanup_free_space", "\"0%\"");
    let agent = Agent::start(setup.set("image_cleanup_keep", &format!("[{:?}]", registry.image("kept:1"))));
    agent.joined();
    let mut busy = ecs.task("busy", "sleep 600");
    busy["containers"][0]["image"] = registry.image("busy:1").into();
    ecs.payload("busy", &[busy]);
    ecs.running("busy");
    for name in ["kept:1", "app:1"] {
        assert_eq!(run(&ecs, text(&name.replace(':', "-").into()), &registry.image(name)).0, Some(11));
    }
    let line = agent.line(&["image removed", &registry.image("app")]);
    assert!(line.contains("mib="), "{line}");
    eventually("app:1 to be gone", || (!registry.is_held("app:1")).then_some(()));
    let listings = agent.count("image removed");
    assert_eq!(listings, 1, "{}", agent.log());
    assert!(registry.is_held("busy:1") && registry.is_held("kept:1"));
    assert_eq!(run(&ecs, "anew", &registry.image("app:1")).0, Some(11), "it is pulled anew");
}
