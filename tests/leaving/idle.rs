//! Leaving on the operator's word, for waiting work, and for age.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::metadata::Metadata;
use super::stage::{Stage, host_gone, order};
use crate::common::agent::{Agent, Setup};
use crate::common::eventually;
use crate::common::plane::Plane;

fn phase<'a>(phase: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |status| status["state"]["phase"] == phase
}

#[test]
fn a_drain_on_the_operators_word_and_back() {
    let plane = Plane::without_nodes();
    let agent = Agent::on(&plane);
    agent.joined();
    let plan = order(&agent, &["drain", "--terminate", "--dry-run"]);
    assert!(plan.contains("DRAINING") && plan.contains("terminate this host"), "{plan}");
    agent.status_with("a host that still works", phase("ACTIVE"));
    order(&agent, &["drain", "--wait"]);
    let status = agent.status_with("a drained host", phase("DRAINING"));
    assert!(status["state"]["why"].as_str().unwrap().contains("the operator said drain"), "{status}");
    order(&agent, &["drain", "--cancel"]);
    agent.status_with("a host at work again", phase("ACTIVE"));
    let shutdown = order(&agent, &["drain", "--host-shutdown"]);
    assert!(shutdown.contains("not going down"), "{shutdown}");
}

#[test]
fn a_held_host_stays_however_idle_until_it_is_released() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let agent = Agent::start(Setup::on(&plane, &instance).set("idle_timeout", r#""4s""#));
    agent.joined();
    order(&agent, &["hold", "a", "debugger"]);
    let status = agent.status_with("a hold", |s| s["leaving"]["hold"] == "a debugger");
    let since = status["agent"]["started_at_ms"].as_u64().unwrap();
    let long_idle = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    eventually("an idle time that is long over", || (long_idle() > since + 6_000).then_some(()));
    agent.status_with("a host that is held", phase("ACTIVE"));
    order(&agent, &["release"]);
    eventually("the instance's termination", || {
        plane.instances().iter().find(|i| i.id == instance.id && i.state == "terminated").cloned()
    });
}

#[test]
fn a_host_leaves_after_so_many_jobs_and_its_program_hears_of_it() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let dir = tempfile::tempdir().unwrap();
    let (hook, heard) = (dir.path().join("hook"), dir.path().join("heard"));
    std::fs::write(&hook, format!("#!/bin/sh\n(cat; echo) >> {}\n", heard.display())).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let setup = Setup::on(&plane, &instance).set("max_jobs", "1").set("event_command", &format!("{hook:?}"));
    let agent = Agent::start(setup);
    agent.joined();
    let job = plane.shell("hello", "true");
    plane.job_in(&job, "SUCCEEDED");
    eventually("the instance's termination", || {
        plane.instances().iter().find(|i| i.id == instance.id && i.state == "terminated").cloned()
    });
    let lines = std::fs::read_to_string(&heard).unwrap();
    let steps: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(steps.iter().any(|step| step["what"] == "drain" && step["cause"] == "jobs-done"), "{lines}");
}

#[test]
fn an_idle_host_does_not_wait_for_work_that_does_not_fit_it() {
    let plane = Plane::without_nodes();
    let large = json!({"vcpus": 2, "memory": 64, "command": ["true"]});
    let request =
        json!({"jobName": "large", "jobQueue": "local", "jobDefinition": "hello", "containerOverrides": large});
    let job = plane.submit(&request);
    plane.job_in(&job, "RUNNABLE");
    let instance = plane.run_instance();
    let agent = Agent::start(Setup::on(&plane, &instance).set("idle_timeout", r#""1s""#).set("cpu", "1"));
    agent.joined();
    eventually("the instance's termination", || {
        plane.instances().iter().find(|i| i.id == instance.id && i.state == "terminated").cloned()
    });
    assert_eq!(plane.job(&job)["status"], "RUNNABLE");
}

#[test]
fn a_spot_notice_drains_the_host_and_is_written_down_until_it_is_taken_back() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let metadata = Metadata::before(instance.imds.as_deref().unwrap());
    let mut setup = Setup::on(&plane, &instance).set("notice_interval", r#""100ms""#);
    setup.imds.clone_from(&metadata.url);
    let agent = Agent::start(setup);
    agent.joined();
    metadata.say("/latest/meta-data/spot/instance-action", r#"{"action":"terminate","time":"2099-01-01T00:00:00Z"}"#);
    agent.status_with("a host that waits to be taken", |s| {
        s["leaving"]["deadline"]["cause"] == "spot" && s["state"]["phase"] == "TERMINATING"
    });
    let file = agent.file("jobs/deadline.json");
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written["at_ms"], 4_070_908_800_000_u64);
    assert_eq!(written["kills"], false);
    metadata.forget();
    agent.status_with("a host at work again", phase("ACTIVE"));
    eventually("no deadline any more", || (!file.exists()).then_some(()));
}

#[test]
fn a_job_that_would_fit_keeps_an_idle_host_until_it_comes() {
    let stage = Stage::new();
    // Nothing is placed where no agent is connected.
    stage.plane.fault(&json!({"fault": "hang", "operation": "Poll"}));
    let job = stage.plane.shell("hello", "true");
    let host = stage.start(&[("idle_timeout", "1s")]);
    host.says("but 1 RUNNABLE and 0 STARTING job(s) that fit this host wait in its queues");
    stage.plane.fault_command(&["clear"]).unwrap();
    stage.plane.job_in(&job, "SUCCEEDED");
    assert_eq!(host.happened("drain"), 0);
    stage.terminated(&host.id);
}

#[test]
fn an_old_host_leaves_and_an_ordered_deadline_kills_as_the_end_of_the_host_does() {
    let stage = Stage::new();
    let old = stage.start(&[("max_age", "1s")]);
    stage.terminated(&old.id);
    old.line(&["-> DRAINING: it is "]);
    let host = stage.host(&[]);
    let job = stage.running("stubborn", "trap '' TERM", &json!([]));
    let plan = host.order(&["drain", "--terminate", "--deadline", "2s", "--dry-run"]);
    assert!(plan.contains("wait for 1 task(s) to end and be reported; SIGKILL what still runs in"), "{plan}");
    host.order(&["drain", "--terminate", "--deadline", "2s"]);
    let job = stage.plane.job_in(&job, "FAILED");
    assert_eq!(job["statusReason"], host_gone(&host.id).as_str(), "{job:#}");
    host.line(&["cut-off", "SIGKILL"]);
}
