//! What AWS and networks do wrong, on order: no job is lost, none runs twice, and every end is reported as it was.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::agent::{Agent, Setup};
use crate::common::model::Model;
use crate::common::plane::Plane;
use crate::common::tap::Tap;
use crate::common::{docker, eventually, lines, text};

/// A plane, an agent on it, and jobs that note their start and wait for a word to end.
struct World {
    // Dropped before the plane, which would take it for one that vanished.
    agent: Agent,
    plane: Plane,
    work: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let plane = Plane::without_nodes();
        Self::with(Agent::on(&plane), plane)
    }

    fn with(agent: Agent, plane: Plane) -> Self {
        let work = tempfile::tempdir().unwrap();
        plane.define_with_work("waiting", work.path());
        Self { agent, plane, work }
    }

    /// Submits a job that ends with `code` once it is released, and waits until it runs.
    fn running(&self, code: u8) -> String {
        let id = self.submitted(code);
        self.plane.job_in(&id, "RUNNING");
        eventually("its first words", || (self.starts(code) == 1).then_some(()));
        id
    }

    fn submitted(&self, code: u8) -> String {
        let wait = format!("echo start >>/work/{code}; while [ ! -e /work/go ]; do sleep 0.05; done; exit {code}");
        self.plane.shell("waiting", &wait)
    }

    fn starts(&self, code: u8) -> usize {
        lines(&self.work.path().join(code.to_string()))
    }

    fn release(&self) {
        std::fs::write(self.work.path().join("go"), "").unwrap();
    }

    /// Waits for the job's end and looks whether it is the right one.
    fn ended(&self, id: &str, code: u8) {
        let job = self.plane.ended(id);
        assert_eq!(job["container"]["exitCode"], code, "{job:#}");
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job:#}");
        assert_eq!(self.starts(code), 1, "job {code} ran once\n{}", self.agent.log());
    }

    fn quick_job(&self) {
        let id = self.plane.shell("hello", "true");
        self.plane.job_in(&id, "SUCCEEDED");
    }
}

#[test]
fn dropped_sockets_lose_no_job() {
    let w = World::new();
    let long = w.running(3);
    let orders = [
        json!({"fault": "drop", "how": "fin"}),
        json!({"fault": "drop", "how": "rst"}),
        json!({"fault": "drop", "how": "close", "code": 1000}),
        json!({"fault": "drop", "how": "close", "code": 1001}),
        json!({"fault": "drop", "how": "close", "code": 1011}),
        json!({"fault": "drop", "how": "close", "code": 1008}),
        json!({"fault": "drop", "how": "close", "code": 4000}),
    ];
    for order in orders {
        let said = w.plane.fault(&order);
        assert!(text(&said["done"]).ends_with(['1', '2', 't']), "{order}: {said}");
        // Nothing is placed on an instance whose agent is not connected: this one runs in the next session.
        w.quick_job();
        w.agent.joined();
    }
    w.release();
    w.ended(&long, 3);
}

#[test]
fn reports_wait_for_the_end_of_20_s_of_errors() {
    reports_survive("server", Some(Duration::from_secs(5)));
}

#[test]
fn reports_survive_20_s_of_throttling() {
    // Patience is right where ECS asks for it.
    reports_survive("throttle", None);
}

fn reports_survive(error: &str, within: Option<Duration>) {
    const OUTAGE: u32 = 20;
    let w = World::new();
    let jobs = [0, 7, 42].map(|code| (code, w.running(code)));
    w.plane.errors("SubmitTaskStateChange", error, OUTAGE);
    let over = Instant::now() + Duration::from_secs(OUTAGE.into());
    w.release();
    // One that is to begin in the meantime begins, reported or not.
    let late = w.submitted(9);
    eventually("the late one's start", || (w.starts(9) == 1).then_some(()));
    for (_, id) in &jobs {
        assert_eq!(text(&w.plane.job(id)["status"]), "RUNNING", "nobody could tell");
    }
    assert!(Instant::now() < over, "this machine is too slow for the test");
    for (code, id) in jobs.iter().chain([&(9, late)]) {
        w.ended(id, *code);
    }
    if let Some(within) = within {
        let took = Instant::now().saturating_duration_since(over);
        assert!(took <= within, "all were reported {took:?} after the end of the errors");
    }
}

#[test]
fn duplicates_and_redelivery_run_nothing_twice() {
    let w = World::new();
    w.plane.fault(&json!({"fault": "duplicate"}));
    let jobs = [1, 2, 3].map(|code| (code, w.running(code)));
    let again = w.plane.fault(&json!({"fault": "redeliver"}));
    assert_eq!(again["done"], "tasks sent again: 3");
    for (kind, frame) in
        [("malformed", "{\"type\": \"PayloadMessage\", "), ("unknown", r#"{"type":"Novelty","message":{}}"#)]
    {
        w.plane.fault(&json!({"fault": "frame", "text": frame}));
        w.agent.line(&["dropped a frame from ACS", if kind == "unknown" { "Novelty" } else { "not a frame" }]);
    }
    w.release();
    for (code, id) in &jobs {
        w.ended(id, *code);
    }
    // Sent once more after their end, they would find nothing to do; the plane sends only what is not over.
    assert_eq!(w.plane.fault(&json!({"fault": "redeliver"}))["done"], "tasks sent again: 0");
    w.quick_job();
}

#[test]
fn an_absence_of_the_plane_is_sat_out() {
    away(false);
}

#[test]
fn a_silence_of_the_plane_is_sat_out() {
    away(true);
}

fn away(silent: bool) {
    const SECONDS: u32 = 6;
    let w = World::new();
    let jobs = [0, 5].map(|code| (code, w.running(code)));
    // Its answer may be lost in the silence that it orders.
    let url = format!("{}/local/faults", w.plane.endpoint);
    let order = json!({"fault": "away", "silent": silent, "seconds": SECONDS}).to_string();
    let begun = Instant::now();
    crate::common::faults::post_unheard(&url, &order);
    w.release();
    // The plane cannot be asked; its agent can.
    eventually("both reports", || (w.agent.count("reported STOPPED") == jobs.len()).then_some(()));
    for (code, id) in &jobs {
        w.ended(id, *code);
    }
    assert!(begun.elapsed() >= Duration::from_secs(SECONDS.into()), "it was away");
    w.quick_job();
}

#[test]
fn calls_that_hang_or_come_late_only_delay_a_report() {
    let w = World::new();
    let id = w.running(4);
    w.plane.fault(&json!({"fault": "delay", "operation": "SubmitTaskStateChange", "delaySeconds": 0.5}));
    w.plane.fault(&json!({"fault": "hang", "operation": "SubmitTaskStateChange", "times": 1, "seconds": 3}));
    w.release();
    w.ended(&id, 4);
}

#[test]
fn faults_are_ordered_listed_and_cleared_from_the_command_line() {
    let plane = Plane::without_nodes();
    let fault = |args: &[&str]| plane.fault_command(args);
    assert_eq!(fault(&["list"]).unwrap(), "no faults");
    let said = fault(&["error", "SubmitTaskStateChange", "--error", "throttle", "--times", "3"]).unwrap();
    assert_eq!(said, "fault 1  SubmitTaskStateChange calls answered with throttling (3 more times)");
    assert_eq!(
        fault(&["hang", "submitjob", "--for", "1h"]).unwrap(),
        "fault 2  submitjob calls not answered (3600 s more)"
    );
    assert_eq!(fault(&["duplicate"]).unwrap(), "fault 3  payloads sent twice (until cleared)");
    assert_eq!(fault(&["clear", "2"]).unwrap(), "faults cleared: 1");
    assert_eq!(fault(&["list"]).unwrap().lines().count(), 2);
    assert!(fault(&["clear", "2"]).unwrap_err().contains("no fault 2 stands"));
    assert!(fault(&["drop"]).unwrap_err().contains("no agent is connected"));
    assert!(fault(&["drop", "--code", "1006"]).unwrap_err().contains("1000 to 1003"));
    assert_eq!(fault(&["clear"]).unwrap(), "faults cleared: 2");
    // Nothing of it keeps the plane from its work.
    let denied = fault(&["error", "DescribeJobQueues", "--error", "access-denied", "--times", "1"]);
    assert!(denied.unwrap().starts_with("fault 4"));
    let answer = plane.try_batch("describejobqueues", &json!({}));
    assert_eq!((answer.status, plane.try_batch("describejobqueues", &json!({})).status), (403, 200), "{}", answer.body);
}

#[test]
fn a_task_that_ecs_does_not_know_any_more_is_stopped_after_a_reconnect() {
    let plane = Plane::without_nodes();
    let tap = Tap::on(&plane.endpoint);
    let agent = Agent::start(Setup::on(&plane, &plane.run_instance()).through(&tap.endpoint));
    let w = World::with(agent, plane);
    let (stays, goes) = (w.running(2), w.running(8));
    let task = text(&w.plane.job(&goes)["container"]["taskArn"]).to_owned();
    // ECS takes it for over, whoever said so; the agent hears of it by the next manifest.
    let over = json!({"cluster": w.plane.cluster("local"), "task": task, "status": "STOPPED", "reason": "lost"});
    w.plane.ecs("SubmitTaskStateChange", &over);
    w.plane.fault(&json!({"fault": "drop", "how": "fin"}));
    for kind in ["TaskManifestMessage", "TaskStopVerificationMessage", "TaskStopVerificationAck"] {
        tap.has_seen(kind);
    }
    eventually("the end of its container", || (docker::inspect(&task)["State"]["Status"] != "running").then_some(()));
    assert_eq!(text(&w.plane.job(&stays)["status"]), "RUNNING", "the other one is left in peace");
    w.release();
    w.ended(&stays, 2);
}

#[test]
fn every_frame_of_a_session_is_as_the_model_says() {
    let Some(acs) = Model::load("acs-api-2.json") else { return };
    let plane = Plane::without_nodes();
    let tap = Tap::on(&plane.endpoint);
    let agent = Agent::start(Setup::on(&plane, &plane.run_instance()).through(&tap.endpoint));
    let w = World::with(agent, plane);
    let long = w.running(6);
    w.plane.fault(&json!({"fault": "drop", "how": "fin"}));
    w.quick_job();
    w.release();
    w.ended(&long, 6);
    for kind in ["PayloadMessage", "AckRequest", "HeartbeatMessage", "HeartbeatAckRequest", "TaskManifestMessage"] {
        tap.has_seen(kind);
    }
    // TCS frames are checked where telemetry is; those of the agent begin with their signature.
    for frame in tap.frames().iter().filter(|frame| frame.starts_with('{') && !is_telemetry(frame)) {
        assert_eq!(acs.faults_of_frame(frame), Vec::<String>::new(), "{frame}");
    }
}

fn is_telemetry(frame: &str) -> bool {
    ["Publish", "AckPublish"].iter().any(|name| frame.contains(&format!(r#""type":"{name}"#)))
        // TCS's heartbeat has no message id.
        || frame == r#"{"type":"HeartbeatMessage","message":{"healthy":true}}"#
}
