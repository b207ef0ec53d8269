use serde_json::json;

use super::*;
use crate::model::cluster::Delivery;
use crate::model::testing::{World, status};

/// The world again, from what it wrote at each step.
fn restored(w: &mut World, now: Millis) -> World {
    w.state.touch_all();
    let text = w.state.take_changes().unwrap().unwrap();
    let mut state = World::blank();
    for record in serde_json::from_slice::<Vec<Record>>(&text).unwrap() {
        state.replay(record);
    }
    state.resume(now);
    World { state }
}

#[test]
fn everything_is_as_it_was_but_the_sessions() {
    let mut w = World::new();
    let instance = w.instance(3072, 1024);
    let running = w.submit(json!({"timeout": {"attemptDurationSeconds": 60}}));
    let array = w.submit(json!({"arrayProperties": {"size": 3}}));
    let dependent = w.submit(json!({"dependsOn": [{"jobId": array.as_str()}]}));
    let task = w.task_of(&running);
    w.deliver(&instance);
    w.change(&task, TaskStatus::Running, None, 1_000);
    let before = format!("{:?}", (&w.state.runnable, &w.state.order, &w.state.dependents, &w.state.deadlines));
    let debug =
        |w: &World| format!("{:?}", (&w.state.jobs, &w.state.queues, &w.state.definitions, &w.state.environments));
    let mut again = restored(&mut w, 2_000);
    let tables = debug(&w);
    let state = &again.state;
    assert_eq!(format!("{:?}", (&state.runnable, &state.order, &state.dependents, &state.deadlines)), before);
    assert_eq!(debug(&again), tables);
    assert!(again.state.instances[&instance].session.is_none());
    assert_eq!(again.state.tasks[&task].delivery, Delivery::Acked);
    // And life goes on: nothing is placed before an agent is back, times run out, arrays end.
    again.state.settle(61_000);
    assert!(again.state.tasks[&task].stop_wanted);
    again.change(&task, TaskStatus::Stopped, Some(137), 61_500);
    assert_eq!(status(&again.state, &running), JobStatus::Failed);
    assert_eq!(status(&again.state, &array.child(2)), JobStatus::Runnable);
    for index in 0..3 {
        again.state.finish(&array.child(index), true, None, 62_000);
    }
    assert_eq!(
        (status(&again.state, &array), status(&again.state, &dependent)),
        (JobStatus::Succeeded, JobStatus::Runnable)
    );
}

#[test]
fn a_change_writes_what_it_touched_and_no_more() {
    let mut w = World::new();
    w.submit(json!({}));
    w.state.take_changes().unwrap();
    assert!(w.state.take_changes().unwrap().is_none());
    let second = w.submit(json!({}));
    let text = String::from_utf8(w.state.take_changes().unwrap().unwrap()).unwrap();
    assert_eq!(text.matches(r#"{"Job":["#).count(), 1, "{text}");
    assert!(text.contains(second.as_str()) && !text.contains(r#"{"Queue""#), "{text}");
}

#[test]
fn sequence_numbers_and_credentials_go_on() {
    let mut w = World::new();
    let instance = w.instance(2048, 1024);
    w.register("r", json!({"image": "busybox", "vcpus": 1, "memory": 100, "jobRoleArn": "arn:aws:iam::1:role/r"}));
    let job = w.submit(json!({"jobDefinition": "r"}));
    let task = w.task_of(&job);
    let first = w.state.take_payload(&instance, 1).unwrap().payload.seq_num;
    let renewals = w.state.renewals.clone();
    let again = restored(&mut w, 2);
    assert_eq!(again.state.renewals, renewals);
    assert!(again.state.counters().sequence >= first.unwrap());
    let key = &again.state.tasks[&task].wire.role_credentials.as_ref().unwrap().access_key_id;
    assert_eq!(again.state.keys.find(key), w.state.keys.find(key));
}

#[test]
fn groups_notices_and_denials_go_on() {
    let mut w = World::with_fleet(2, 1024, 1024);
    w.submit(json!({}));
    let id = w.state.in_service("ce")[0].clone();
    let spot = crate::model::notice::Interrupt::Spot { seconds: 9, action: crate::model::notice::SpotAction::Stop };
    w.state.interrupt(&id, spot, 1_000).unwrap();
    w.state.denied.insert("ec2:*".into(), 1);
    let again = restored(&mut w, 2_000);
    assert_eq!(again.state.alarms, [(10_000, id.clone())].into());
    assert!(again.state.nodes[&id].membership.is_some() && again.state.denies("ec2:stopinstances"));
    assert_eq!(again.state.group("ce").unwrap().desired, 1);
}

#[test]
fn nodes_of_an_older_plane_are_read() {
    let mut w = World::with_fleet(1, 1024, 1024);
    w.submit(json!({}));
    let mut node = serde_json::to_value(w.state.nodes.values().next().unwrap()).unwrap();
    for new in ["is_spot", "membership", "notices"] {
        node.as_object_mut().unwrap().remove(new).unwrap();
    }
    let node: Node = serde_json::from_value(node).unwrap();
    assert!(node.membership.is_none() && !node.is_spot);
}
