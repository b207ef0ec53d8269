//! A host that is not allowed to end: it never stands there drained and billed in silence.

use std::time::Duration;

use serde_json::json;

use super::stage::Stage;
use crate::common::text;

/// By which a host may end itself at once; the group is still told of its health.
const ENDS: [&str; 2] = ["autoscaling:TerminateInstanceInAutoScalingGroup", "ec2:TerminateInstances"];

#[test]
fn a_refused_host_calls_itself_unhealthy_or_goes_back_to_work() {
    let stage = Stage::new();
    ENDS.iter().for_each(|action| stage.deny(action));
    let idle = [("idle_timeout", "1s"), ("look_for_work", "false")];
    let hook = |stage: &Stage| stage.hook("cared-for", "drain", Duration::from_secs(2 * 3600));
    let sick = stage.start_in(("cared-for", 0), hook, &idle);
    stage.terminated(&sick.id);
    sick.line(&["rung-failed", "TerminateInstanceInAutoScalingGroup: "]);
    let (desired, members) = stage.members("cared-for");
    assert!(desired == "1" && !members.contains(&sick.id), "the group cares for its size: {members:?}");

    // Without a group it knows before it drains; in one, when all has been tried.
    stage.deny("autoscaling:SetInstanceHealth");
    let rejoin = [&idle[..], &[("termination_refused", "rejoin")]].concat();
    let alone = stage.start(&rejoin);
    alone.says("but this host may not terminate itself: ");
    assert!(!alone.log().contains("-> DRAINING"), "{}", alone.log());
    let member = stage.start_in(("deaf", 0), |_| (), &rejoin);
    member.status_with("a host that is back", |status| {
        status["state"]["phase"] == "ACTIVE" && status["leaving"]["counters"]["rejoined"] == 1
    });
    assert_eq!(member.happened("rung-failed"), 3);
    drop(alone);
    member.joined();
    let place = stage.works()["container"]["containerInstanceArn"].take();
    assert_eq!(place, member.status()["instance"]["container_instance"]);
}

#[test]
fn a_refused_host_asks_on_through_its_own_death_until_it_may_end() {
    let stage = Stage::new();
    ENDS.iter().for_each(|action| stage.deny(action));
    let mut host = stage.start(&[("idle_timeout", "1s"), ("look_for_work", "false")]);
    host.line(&["rung-failed", "powering off: this is no EC2 instance"]);
    let status = host.says("no way has worked; the last: ");
    assert_eq!(status["state"]["phase"], "TERMINATING");
    assert!(host.count("TerminateInstances failed, will be tried again") >= 3, "{}", host.log());
    host.process().kill();
    stage.allow_all();
    host.start_again();
    stage.terminated(&host.id);
    assert_eq!(host.count("-> DRAINING"), 1, "it went on where it was: {}", host.log());
    let late = stage.plane.shell("hello", "true");
    assert_eq!(stage.plane.job(&late)["status"], "RUNNABLE");
    assert_eq!(host.status()["tasks"], json!([]), "{}", text(&host.status()["state"]["why"]));
}
