//! A node's life: it works, goes idle, drains, deregisters, and terminates itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::common::plane::{Instance, Plane};
use crate::common::{eventually, log, status, text};

fn only(plane: &Plane) -> Instance {
    let instances = plane.instances();
    assert_eq!(instances.len(), 1, "{instances:?}");
    instances[0].clone()
}

fn terminated(plane: &Plane, id: &str) {
    eventually("the instance's termination", || {
        plane.instances().iter().find(|i| i.id == id && i.state == "terminated").cloned()
    });
}

/// The time of the first log line that has `part`, in seconds of the day.
fn seconds(log: &str, part: &str) -> f64 {
    let line = log.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part:?} in {log}"));
    let (_, time) = line.split_whitespace().next().unwrap().split_once('T').unwrap();
    let parts: Vec<f64> = time.trim_end_matches('Z').split(':').map(|part| part.parse().unwrap()).collect();
    parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]
}

/// From one line to another, over midnight too.
fn between(log: &str, from: &str, to: &str) -> f64 {
    (seconds(log, to) - seconds(log, from)).rem_euclid(86_400.0)
}

#[test]
fn a_node_without_work_drains_deregisters_and_terminates_itself() {
    let plane = Plane::start(&["--max-nodes", "2", "--idle-timeout", "2s"]);
    let id = plane.shell("hello", "true");
    let job = plane.job_in(&id, "SUCCEEDED");
    let node = only(&plane);
    let dir = plane.node_dir(&node.id);
    let pid = eventually("the node's status", || status(&dir))["agent"]["pid"].as_u64().unwrap();
    terminated(&plane, &node.id);
    let log = log(&dir);
    let idle = between(&log, "container exited", "ACTIVE -> DRAINING");
    assert!(idle >= 2.0, "it was idle for {idle} s only");
    let phases = ["ACTIVE -> DRAINING", "DRAINING -> IDLE", "IDLE -> DEREGISTERING", "DEREGISTERING -> TERMINATING"];
    let places: Vec<usize> =
        phases.iter().map(|phase| log.find(phase).unwrap_or_else(|| panic!("{phase}: {log}"))).collect();
    assert!(places.is_sorted(), "{log}");
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is gone with its instance");
    let instance = text(&job["container"]["containerInstanceArn"]);
    let described = json!({"cluster": plane.cluster("local"), "containerInstances": [instance]});
    let shown = plane.ecs("DescribeContainerInstances", &described);
    assert_eq!(shown["containerInstances"][0]["status"], "INACTIVE", "{shown}");
    assert_eq!(plane.instances().len(), 1, "nobody was launched for nothing");
}

#[test]
fn work_that_comes_in_time_keeps_the_node() {
    let plane = Plane::start(&["--max-nodes", "1", "--idle-timeout", "4s"]);
    let hosts: BTreeSet<String> = (0..3)
        .map(|_| {
            let id = plane.shell("hello", "sleep 1");
            text(&plane.job_in(&id, "SUCCEEDED")["container"]["containerInstanceArn"]).to_owned()
        })
        .collect();
    assert_eq!(hosts.len(), 1);
    let node = only(&plane);
    terminated(&plane, &node.id);
    let log = log(&plane.node_dir(&node.id));
    assert_eq!(log.matches("ACTIVE -> DRAINING").count(), 1, "{log}");
    let first = log.find("ACTIVE -> DRAINING").unwrap();
    assert_eq!(log[..first].matches("reported STOPPED").count(), 3, "it drained after the last job only: {log}");
}

#[test]
fn there_are_as_many_nodes_as_allowed_and_no_more() {
    let plane = Plane::start(&["--max-nodes", "2", "--node-vcpus", "1", "--idle-timeout", "1s"]);
    let work = tempfile::tempdir().unwrap();
    plane.define_with_work("wait", work.path());
    let jobs: Vec<String> =
        (0..5).map(|_| plane.shell("wait", "while [ ! -e /work/go ]; do sleep 0.05; done")).collect();
    let in_state = |state: &str| jobs.iter().filter(|id| plane.job(id)["status"] == state).count();
    eventually("two running jobs", || (in_state("RUNNING") == 2).then_some(()));
    let watched = SystemTime::now();
    while watched.elapsed().unwrap() < Duration::from_secs(1) {
        assert_eq!((in_state("RUNNING"), in_state("RUNNABLE")), (2, 3));
        assert_eq!(plane.instances().len(), 2);
    }
    std::fs::write(work.path().join("go"), "").unwrap();
    let done: Vec<Value> = jobs.iter().map(|id| plane.job_in(id, "SUCCEEDED")).collect();
    let hosts: BTreeSet<&str> = done.iter().map(|job| text(&job["container"]["containerInstanceArn"])).collect();
    assert_eq!(hosts.len(), 2);
    for node in plane.instances() {
        terminated(&plane, &node.id);
    }
}
