//! What ECS may get wrong: each is one clear log line, and the agent goes on.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::common::agent::{Agent, Setup};
use crate::common::ecs::FakeEcs;
use crate::common::plane::Plane;
use crate::common::proxy::{Proxy, unused_address};
use crate::common::{docker, eventually, text};

/// Runs a task, as a sign of life.
fn still_works(ecs: &FakeEcs, id: &str) {
    ecs.payload(&format!("m-{id}"), &[ecs.task(id, "exit 4")]);
    ecs.acknowledged(&format!("m-{id}"));
    let end = ecs.stopped(id);
    assert_eq!(end["containers"][0]["exitCode"], 4, "{end:#}");
}

#[test]
fn a_bad_frame_is_a_line_in_the_log_and_the_next_task_runs() {
    let ecs = FakeEcs::start();
    let agent = Agent::start(ecs.setup());
    agent.joined();
    let unaddressed = json!({"clusterArn": "c", "containerInstanceArn": "i", "tasks": [ecs.task("lost", "true")]});
    let unaddressed = json!({"type": "PayloadMessage", "message": unaddressed}).to_string();
    let cases = [
        ("{ not json", "not a frame of the form"),
        ("[1, 2]", "not a frame of the form"),
        (r#"{"type": "NoveltyMessage", "message": {}}"#, "\"NoveltyMessage\" is not known to this agent"),
        (
            r#"{"type": "PayloadMessage", "message": {"messageId": "m", "tasks": 3}}"#,
            "a PayloadMessage message with fields",
        ),
        (&unaddressed, "a PayloadMessage message without messageId"),
        (r#"{"type": "HeartbeatMessage", "message": {"messageId": 7}}"#, "a HeartbeatMessage message with fields"),
        (r#"{"type": "ErrorMessage", "message": {"message": "oh no"}}"#, "ErrorMessage: oh no"),
    ];
    for (number, (frame, expected)) in cases.into_iter().enumerate() {
        let before = agent.log().lines().count();
        ecs.send(frame);
        let line = eventually(&format!("a line about {frame}"), || {
            agent.log().lines().skip(before).find(|line| line.contains(expected)).map(str::to_owned)
        });
        assert!(line.contains("WARN") || line.contains("ERROR"), "{line}");
        still_works(&ecs, &format!("after-{number}"));
        let log = agent.log();
        // This ECS has no telemetry endpoint, of which the telemetry session tells in its own time.
        let of_others = |line: &&str| line.contains(" task: ") || line.contains(" telemetry: ");
        let lines: Vec<&str> = log.lines().skip(before).filter(|line| !of_others(line)).collect();
        assert_eq!(lines.len(), 1, "one line for {frame}: {lines:#?}");
    }
    assert_eq!(ecs.sessions(), 1, "it is the same connection still");
    assert!(docker::containers(&ecs.arn("lost")).is_empty(), "what cannot be acknowledged does not run");
}

#[test]
fn an_invalid_task_is_refused_beside_a_valid_one() {
    let ecs = FakeEcs::start();
    let agent = Agent::start(ecs.setup());
    agent.joined();
    let mut ill_typed = ecs.task("ill-typed", "true");
    ill_typed["containers"] = json!("many");
    let mut no_volume = ecs.task("no-volume", "true");
    no_volume["containers"][0]["mountPoints"] = json!([{"sourceVolume": "v", "containerPath": "/v"}]);
    let mut unsupported = ecs.task("unsupported", "true");
    unsupported["networkMode"] = json!("awsvpc");
    let mut circular = ecs.task("circular", "true");
    circular["containers"][0]["dependsOn"] = json!([{"containerName": "default", "condition": "START"}]);
    let invalid: [(&str, Value, &str); 4] = [
        ("ill-typed", ill_typed, "invalid type"),
        ("no-volume", no_volume, "volume \"v\", which the task does not declare"),
        ("unsupported", unsupported, "awsvpc"),
        ("circular", circular, "Task dependencies cannot be resolved"),
    ];
    let mut tasks: Vec<Value> = invalid.iter().map(|(_, task, _)| task.clone()).collect();
    tasks.insert(2, ecs.task("valid", "exit 6"));
    ecs.payload("mixed", &tasks);
    ecs.acknowledged("mixed");
    assert_eq!(ecs.stopped("valid")["containers"][0]["exitCode"], 6);
    for (id, _, words) in invalid {
        let end = ecs.stopped(id);
        let reason = text(&end["reason"]);
        // Dependencies are looked at once a task can be read.
        let unread = reason.starts_with("UnrecogniedTaskError: Error loading task - ");
        assert!(reason.contains(words) && unread == (id != "circular"), "{reason}");
        agent.line(&["WARN", id, "task refused, reported as STOPPED", words]);
        assert_eq!(agent.log().lines().filter(|line| line.contains("task refused") && line.contains(id)).count(), 1);
        assert!(docker::containers(&ecs.arn(id)).is_empty());
    }
    still_works(&ecs, "next");
}

#[test]
fn a_task_without_an_address_keeps_its_payload_unacknowledged() {
    let ecs = FakeEcs::start();
    let agent = Agent::start(ecs.setup());
    agent.joined();
    ecs.payload("half", &[json!({"family": "nameless"}), ecs.task("named", "exit 2")]);
    assert_eq!(ecs.stopped("named")["containers"][0]["exitCode"], 2);
    still_works(&ecs, "next");
    assert!(!ecs.has_acknowledged("half"), "nobody could be told what became of the nameless task");
}

#[test]
fn a_host_joins_when_ecs_can_be_reached() {
    let plane = Plane::without_nodes();
    let address = unused_address();
    let setup = Setup::on(&plane, &plane.run_instance()).through(&format!("http://{address}"));
    let mut agent = Agent::start(setup);
    let line = agent.line(&["this host cannot join yet"]);
    assert!(line.contains("WARN") && line.contains("retry_ms"), "{line}");
    let status = agent.status();
    assert_eq!((text(&status["state"]["phase"]), &status["state"]["acs_connected"]), ("BOOTING", &json!(false)));
    let _wire = Proxy::at(TcpListener::bind(address).unwrap(), &plane.endpoint);
    agent.joined();
    let id = plane.shell("hello", "true");
    plane.job_in(&id, "SUCCEEDED");
    assert!(agent.process().exited().is_none());
    assert_eq!(agent.count("batch-node-agent starts"), 1);
}

#[test]
fn a_connection_that_breaks_loses_nothing() {
    let plane = Plane::without_nodes();
    let wire = Proxy::to(&plane.endpoint);
    wire.cut();
    let agent = Agent::start(Setup::on(&plane, &plane.run_instance()).through(&wire.endpoint));
    agent.line(&["WARN", "this host cannot join yet"]);
    wire.mend();
    agent.joined();
    wire.cut();
    let id = plane.shell("hello", "exit 3");
    // The websocket is another connection: the job comes and runs, its reports do not get through.
    agent.line(&["WARN", "report not delivered", &id]);
    wire.mend();
    assert_eq!(plane.job_in(&id, "FAILED")["container"]["exitCode"], 3);
}
