use serde_json::json;

use super::*;
use crate::events::JobStatus;
use crate::model::group::Hook;
use crate::model::notice::{EventCode, EventState, Interrupt, SpotAction};
use crate::model::testing::{World, status};

const TIMEOUT: Millis = 60_000;

/// A world with a fleet and group `ce` that has launched `count` nodes.
fn fleet(count: u32) -> (World, Vec<Ec2Id>) {
    let mut w = World::with_fleet(4, 1024, 1024);
    w.state.settle(1);
    w.state.set_capacity("ce", count).unwrap();
    w.state.settle(2);
    let ids = w.state.in_service("ce");
    for id in &ids {
        w.state.nodes.get_mut(id).unwrap().state = NodeState::Running;
    }
    (w, ids)
}

fn hook(w: &mut World, name: &str) {
    let hook = Hook { name: name.into(), heartbeat_timeout: TIMEOUT, default_result: "CONTINUE".into() };
    w.state.group_mut("ce").unwrap().hooks.insert(name.into(), hook);
}

fn stage(w: &World, id: &Ec2Id) -> &'static str {
    w.state.nodes[id].lifecycle_state().unwrap()
}

fn gone(w: &mut World, id: &Ec2Id, now: Millis) {
    w.state.node_gone(id, now);
    w.state.settle(now);
}

fn sizes(w: &World) -> (u32, usize) {
    (w.state.group("ce").unwrap().desired, w.state.in_service("ce").len())
}

#[test]
fn capacity_that_is_wanted_is_there_and_jobs_raise_it() {
    let (mut w, ids) = fleet(2);
    assert_eq!(ids.len(), 2);
    for _ in 0..3 {
        w.submit(json!({}));
    }
    assert_eq!(sizes(&w), (3, 3), "one for each vCPU");
    assert!(w.state.set_capacity("ce", 5).unwrap_err().message.contains("above max value 4"));
}

#[test]
fn what_came_with_jobs_is_not_replaced_but_the_floor_is() {
    let mut w = World::with_fleet(4, 1024, 1024);
    let job = w.submit(json!({}));
    w.state.terminate(&job, "done", 2).unwrap();
    let id = w.state.in_service("ce")[0].clone();
    w.state.terminate_node(&id, "User initiated", 3).unwrap();
    w.state.settle(3);
    assert_eq!(sizes(&w), (0, 0));
    w.state.set_capacity("ce", 1).unwrap();
    w.state.settle(4);
    let id = w.state.in_service("ce")[0].clone();
    w.state.terminate_node(&id, "User initiated", 5).unwrap();
    w.state.settle(5);
    assert_eq!(sizes(&w), (1, 1));
    assert_ne!(w.state.in_service("ce")[0], id);
}

#[test]
fn at_min_size_an_instance_goes_only_for_another() {
    let (mut w, ids) = fleet(1);
    w.state.group_mut("ce").unwrap().min_size = 1;
    let refused = w.state.terminate_in_group(&ids[0], true, 3).unwrap_err();
    assert_eq!(refused.code, "ValidationError");
    assert!(refused.message.starts_with("Currently, desiredSize equals minSize (1). Terminating"), "{refused}");
    w.state.terminate_in_group(&ids[0], false, 4).unwrap();
    w.state.settle(4);
    assert_eq!(w.state.nodes[&ids[0]].state, NodeState::ShuttingDown);
    assert_eq!(sizes(&w), (1, 1));
}

#[test]
fn with_decrement_none_takes_its_place() {
    let (mut w, ids) = fleet(2);
    w.state.terminate_in_group(&ids[1], true, 3).unwrap();
    w.state.terminate_in_group(&ids[1], true, 3).unwrap();
    w.state.settle(3);
    assert_eq!(sizes(&w), (1, 1), "asking twice counts once");
    gone(&mut w, &ids[1], 4);
    assert!(w.state.member(&ids[1]).unwrap_err().message.starts_with("Instance Id not found"));
}

#[test]
fn suspended_processes_rest() {
    let (mut w, ids) = fleet(1);
    w.state.group_mut("ce").unwrap().suspended.extend(["Terminate".to_owned(), "Launch".to_owned()]);
    assert!(w.state.terminate_in_group(&ids[0], true, 3).unwrap_err().message.contains("suspended"));
    w.state.set_capacity("ce", 0).unwrap();
    w.state.settle(3);
    assert_eq!(sizes(&w), (0, 1));
    w.state.set_capacity("ce", 2).unwrap();
    w.submit(json!({}));
    assert_eq!(sizes(&w), (2, 1));
}

#[test]
fn scaling_in_spares_the_protected_and_a_failed_health_check_does_not() {
    let (mut w, ids) = fleet(2);
    let protect = |w: &mut World, id: &Ec2Id| {
        w.state.nodes.get_mut(id).unwrap().membership.as_mut().unwrap().is_protected = true;
    };
    protect(&mut w, &ids[0]);
    w.state.set_capacity("ce", 1).unwrap();
    w.state.settle(3);
    assert_eq!(w.state.in_service("ce"), [ids[0].clone()]);
    w.state.set_capacity("ce", 0).unwrap();
    w.state.settle(4);
    assert_eq!(w.state.in_service("ce"), [ids[0].clone()], "nobody is left to choose");
    w.state.set_capacity("ce", 1).unwrap();
    w.state.nodes.get_mut(&ids[0]).unwrap().membership.as_mut().unwrap().is_unhealthy = true;
    w.state.settle(5);
    assert_eq!((stage(&w, &ids[0]), sizes(&w)), ("Terminating:Proceed", (1, 1)));
}

#[test]
fn an_instance_waits_for_its_hooks_and_no_longer_than_they_do() {
    let (mut w, ids) = fleet(2);
    hook(&mut w, "a");
    hook(&mut w, "b");
    w.state.set_capacity("ce", 0).unwrap();
    w.state.settle(10);
    assert_eq!((stage(&w, &ids[0]), w.state.nodes[&ids[0]].state), ("Terminating:Wait", NodeState::Running));
    assert_eq!(w.state.next_deadline(), Some(10 + TIMEOUT));
    let waits = |w: &mut World, id: &Ec2Id, change: fn(&mut Vec<crate::model::group::Wait>)| {
        change(&mut w.state.nodes.get_mut(id).unwrap().membership.as_mut().unwrap().waits);
    };
    waits(&mut w, &ids[1], |waits| waits.truncate(1));
    w.state.go_on(&ids[1], 11);
    assert_eq!(stage(&w, &ids[1]), "Terminating:Wait", "one is left");
    waits(&mut w, &ids[1], Vec::clear);
    w.state.go_on(&ids[1], 12);
    assert_eq!((stage(&w, &ids[1]), w.state.nodes[&ids[1]].state), ("Terminating:Proceed", NodeState::ShuttingDown));
    w.state.settle(10 + TIMEOUT);
    assert_eq!(stage(&w, &ids[0]), "Terminating:Proceed", "the heartbeats stayed away");
}

#[test]
fn no_heartbeat_outlasts_the_global_timeout() {
    let of = |timeout| Hook { name: "h".into(), heartbeat_timeout: timeout, default_result: "ABANDON".into() };
    assert_eq!(of(TIMEOUT).global_timeout(), 100 * TIMEOUT);
    assert_eq!(of(7_200_000).global_timeout(), 48 * 3600 * 1000);
}

#[test]
fn spot_takes_the_host_and_the_job_is_tried_again() {
    let (mut w, ids) = fleet(1);
    w.instance_on(Some(ids[0].clone()), 1024, 1024);
    let rules = json!({"attempts": 2, "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]});
    let job = w.submit(json!({"retryStrategy": rules}));
    assert_eq!(status(&w.state, &job), JobStatus::Starting);
    let spot = Interrupt::Spot { seconds: 120, action: SpotAction::Terminate };
    w.state.interrupt(&ids[0], spot, 1_000).unwrap();
    w.state.settle(120_999);
    assert_eq!(w.state.nodes[&ids[0]].state, NodeState::Running);
    w.state.settle(121_000);
    assert_eq!(w.state.nodes[&ids[0]].state, NodeState::ShuttingDown);
    gone(&mut w, &ids[0], 122_000);
    let attempts = &w.state.job(&job).unwrap().attempts;
    assert_eq!((status(&w.state, &job), attempts.len()), (JobStatus::Runnable, 1));
    assert!(w.state.in_service("ce").len() == 1, "another one comes");
}

#[test]
fn what_was_cancelled_does_not_come() {
    let (mut w, ids) = fleet(1);
    for what in [
        Interrupt::Spot { seconds: 5, action: SpotAction::Stop },
        Interrupt::Rebalance,
        Interrupt::Maintenance { code: EventCode::InstanceStop, seconds: 5 },
        Interrupt::Cancel,
    ] {
        w.state.interrupt(&ids[0], what, 0).unwrap();
    }
    w.state.settle(60_000);
    let node = &w.state.nodes[&ids[0]];
    assert_eq!((node.state, node.notices.maintenance[0].state), (NodeState::Running, EventState::Canceled));
    assert!(node.notices.spot.is_none() && node.notices.rebalance.is_none());
}

#[test]
fn a_stopped_host_takes_its_tasks_with_it_and_its_group_ends_it() {
    let (mut w, _) = fleet(0);
    let alone = w.state.run_instance(NewNode::default(), "http://127.0.0.1:1".into(), 0);
    let arn = w.instance_on(Some(alone.clone()), 1024, 1024);
    let job = w.submit(json!({}));
    w.state.interrupt(&alone, Interrupt::Maintenance { code: EventCode::InstanceRetirement, seconds: 1 }, 0).unwrap();
    w.state.settle(1_000);
    assert_eq!(w.state.nodes[&alone].state, NodeState::Stopping);
    w.state.node_stopped(&alone, 1_001);
    w.state.settle(1_001);
    let reason = format!("Host EC2 (instance {alone}) stopped.");
    assert_eq!(w.state.job(&job).unwrap().status_reason.as_deref(), Some(reason.as_str()));
    assert!(w.state.instances[&arn].session.is_none());
    w.state.terminate_node(&alone, "User initiated", 1_002).unwrap();
    assert_eq!(w.state.nodes[&alone].state, NodeState::Terminated);

    let (mut w, ids) = fleet(1);
    w.state.interrupt(&ids[0], Interrupt::Stop, 5).unwrap();
    w.state.settle(5);
    assert_eq!((w.state.nodes[&ids[0]].state, sizes(&w)), (NodeState::ShuttingDown, (1, 1)));
}

#[test]
fn denials_are_actions_with_a_star_at_the_end_or_not() {
    let (mut w, _) = fleet(0);
    w.state.denied.insert("autoscaling:*".into(), 0);
    w.state.denied.insert("ec2:terminateinstances".into(), 0);
    assert!(w.state.denies("autoscaling:setinstancehealth") && w.state.denies("ec2:terminateinstances"));
    assert!(!w.state.denies("ec2:describetags"));
}
