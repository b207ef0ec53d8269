//! A host in an Auto Scaling group: hooks, protection, MinSize, suspended processes.

use std::time::{Duration, Instant};

use serde_json::json;

use super::stage::Stage;
use crate::common::{eventually, text};

/// Longer than the agent lets pass between two heartbeats, and some time for a loaded machine.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Longer than any test.
const HOURS: Duration = Duration::from_secs(2 * 3600);

#[test]
fn a_busy_host_is_protected_and_its_hook_waits_for_its_job() {
    let stage = Stage::new();
    let hook = |stage: &Stage| stage.hook("hooked", "drain", HEARTBEAT);
    let host = stage.start_in(("hooked", 0), hook, &[("protect_while_busy", "true")]);
    let first = stage.running("first", "", &json!([]));
    stage.protected(&host.id, true);
    stage.release("first");
    stage.plane.job_in(&first, "SUCCEEDED");
    stage.protected(&host.id, false);

    let job = stage.running("second", "", &json!([]));
    stage.protected(&host.id, true);
    stage.autoscaling("SetDesiredCapacity", "hooked", "DesiredCapacity=0");
    assert_eq!(stage.member(&host.id, "LifecycleState"), "InService", "it is not the group's to choose");
    stage.autoscaling("SetDesiredCapacity", "hooked", "DesiredCapacity=1");
    stage.interrupt(&host.id, json!({"interrupt": "scale-in"}));
    let status = host.in_phase("DRAINING");
    assert!(text(&status["state"]["why"]).contains("hook drain waits"), "{status}");
    let since = Instant::now();
    eventually("a hook that has waited longer than without heartbeats", || {
        (since.elapsed() > HEARTBEAT + Duration::from_secs(1)).then_some(())
    });
    assert_eq!(stage.member(&host.id, "LifecycleState"), "Terminating:Wait");
    assert_eq!(stage.plane.job(&job)["status"], "RUNNING");
    stage.release("second");
    stage.plane.job_in(&job, "SUCCEEDED");
    stage.terminated(&host.id);
    host.line(&["hook-completed"]);
    assert_eq!(host.happened("hook-lost"), 0);
    assert_eq!(stage.members("hooked").0, "0");
}

#[test]
fn a_group_that_keeps_its_host_is_obeyed_unless_it_may_have_another() {
    let stage = Stage::new();
    let idle = [("idle_timeout", "1s"), ("look_for_work", "false")];
    let keep = stage.start_in(("keep", 1), |_| (), &idle);
    // Its own end makes the hook wait as well, for hours if it were not completed.
    let hook = |stage: &Stage| stage.hook("renew", "drain", HOURS);
    let renew = stage.start_in(("renew", 1), hook, &[&idle[..], &[("at_min_size", "replace")]].concat());
    let suspend =
        |stage: &Stage| drop(stage.autoscaling("SuspendProcesses", "frozen", "ScalingProcesses.member.1=Terminate"));
    let frozen = stage.start_in(("frozen", 0), suspend, &idle);
    keep.says("but Auto Scaling group keep is at its MinSize (desired 1, MinSize 1); asks again in");
    frozen.says("but the Terminate process of Auto Scaling group frozen is suspended; asks again in");
    stage.terminated(&renew.id);
    let replaced = |group: &str, old: &str| {
        let (desired, members) = eventually("another host in its place", || {
            Some(stage.members(group)).filter(|(_, members)| !members.is_empty() && !members.contains(&old.to_owned()))
        });
        assert_eq!((desired.as_str(), members.len()), ("1", 1));
    };
    replaced("renew", &renew.id);
    for host in [&keep, &frozen] {
        assert_eq!(text(&host.status()["state"]["phase"]), "ACTIVE");
        assert!(!host.log().contains("-> DRAINING"), "it knew before it drained: {}", host.log());
    }
    stage.works();
    // The operator's word counts for more: MinSize brings another, a suspended process is passed by.
    for host in [&keep, &frozen] {
        host.order(&["drain", "--terminate"]);
        stage.terminated(&host.id);
    }
    replaced("keep", &keep.id);
}
