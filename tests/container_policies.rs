//! What a container definition may ask for beyond one run: health checks, with who waits for them and who is told, and restarts.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::ecs::FakeEcs;
use crate::common::model::Model;
use crate::common::{docker, eventually, lines};

/// The task of this id within telemetry's messages of one type, newest first; each message is held against ECS's model.
fn told(ecs: &FakeEcs, model: Option<&Model>, kind: &str, tasks: &str, id: &str) -> Vec<Value> {
    let of_kind = ecs.telemetry().into_iter().rev().filter(|frame| frame["type"] == kind);
    let all = of_kind.flat_map(|frame| {
        let faults = model.map(|model| model.faults(kind, &frame["message"])).unwrap_or_default();
        assert_eq!(faults, Vec::<String>::new(), "{frame:#}");
        frame["message"][tasks].as_array().cloned().unwrap_or_default()
    });
    all.filter(|task| task["taskArn"] == ecs.arn(id)).collect()
}

/// A task whose container writes a line into `runs` each time it is run, and then does as `script` says, which knows the line's
/// number as `$n`. It is started again unless it ends with 7, or within a second.
fn restarting(ecs: &FakeEcs, id: &str, runs: &Path, script: &str) -> Value {
    let script = format!("echo run >> /shared/runs; n=$(wc -l < /shared/runs); {script}");
    let mut task = ecs.task(id, &script);
    let shared = runs.parent().unwrap();
    task["volumes"] = json!([{"name": "shared", "host": {"sourcePath": shared}}]);
    let container = &mut task["containers"][0];
    container["mountPoints"] = json!([{"sourceVolume": "shared", "containerPath": "/shared"}]);
    container["restartPolicy"] = json!({"enabled": true, "ignoredExitCodes": [7], "restartAttemptPeriod": 1});
    container["stopTimeout"] = json!(1);
    task
}

#[test]
fn a_restarted_container_is_one_run_to_ecs_whose_telemetry_counts_the_restarts() {
    let ecs = FakeEcs::with_telemetry();
    let agent = Agent::start(ecs.setup());
    agent.joined();
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let mut task = restarting(&ecs, "again", &runs, "[ $n -gt 2 ] || { sleep 2; exit 3; }; sleep 600");
    ecs.payload("m-1", &[task.clone()]);
    eventually("the third run", || (lines(&runs) == 3).then_some(()));
    let model = Model::load("tcs-api-2.json");
    eventually("metrics with both restarts", || {
        let told = told(&ecs, model.as_ref(), "PublishMetricsRequest", "taskMetrics", "again");
        let counts = told.iter().map(|task| task["containerMetrics"][0]["restartStatsSet"]["restartCount"].as_u64());
        let counts: Vec<u64> = counts.map(Option::unwrap).collect();
        (counts.iter().sum::<u64>() == 2).then_some(())
    });
    assert_eq!((ecs.reports("again", "RUNNING"), ecs.reports("again", "STOPPED")), (1, 0));
    assert_eq!(docker::containers(&ecs.arn("again")).len(), 1, "it is the same container");
    task["desiredStatus"] = json!("STOPPED");
    ecs.payload("m-2", &[task]);
    let end = ecs.stopped("again");
    assert_eq!(end["containers"][0]["exitCode"], 137, "a stop is no reason to start again: {end:#}");
    assert_eq!(lines(&runs), 3);
}

#[test]
fn a_restart_policy_outlives_a_crash_of_the_agent() {
    let ecs = FakeEcs::start();
    let mut agent = Agent::start(ecs.setup());
    agent.joined();
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let script = "while [ ! -e /shared/end-$n ]; do sleep 0.1; done; exit $((n + 5))";
    let task = restarting(&ecs, "crash", &runs, script);
    ecs.payload("m-1", &[task]);
    ecs.running("crash");
    let started = || docker::inspect(&ecs.arn("crash"))["State"]["StartedAt"].clone();
    let first = started();
    // Long enough to be worth a restart, by the very clock that decides.
    eventually("a second of running", || {
        let age = std::fs::metadata(&runs).ok()?.modified().ok()?.elapsed().ok()?;
        (age.as_millis() > 1_500).then_some(())
    });
    agent.process().signal("KILL");
    std::fs::write(dir.path().join("end-1"), "").unwrap();
    eventually("the end of the first run", || {
        (docker::inspect(&ecs.arn("crash"))["State"]["Running"] == false).then_some(())
    });
    agent.start_again();
    eventually("the second run", || (lines(&runs) == 2).then_some(()));
    assert_ne!(started(), first);
    std::fs::write(dir.path().join("end-2"), "").unwrap();
    let end = ecs.stopped("crash");
    assert_eq!(end["containers"][0]["exitCode"], 7, "which is to be left as it is: {end:#}");
    assert_eq!(lines(&runs), 2);
    assert_eq!(agent.count("is started again"), 1);
}

#[test]
fn a_container_waits_for_anothers_health_and_telemetry_tells_it() {
    let ecs = FakeEcs::with_telemetry();
    let agent = Agent::start(ecs.setup());
    agent.joined();
    let mut task = ecs.task("healthy", "exit 9");
    let mut server = task["containers"][0].clone();
    server["name"] = json!("server");
    server["essential"] = json!(false);
    server["command"] = json!(["sh", "-c", "sleep 1; touch /ready; sleep 600"]);
    server["stopTimeout"] = json!(1);
    server["healthCheckType"] = json!("docker");
    let check = json!({"Test": ["CMD-SHELL", "test -e /ready"], "Interval": 300_000_000, "Timeout": 5_000_000_000_u64,
        "Retries": 100});
    server["dockerConfig"] = json!({"version": "1.24", "config": json!({"Healthcheck": check}).to_string()});
    let mut lonely = task.clone();
    lonely["arn"] = json!(ecs.arn("lonely"));
    lonely["containers"] = json!([server.clone()]);
    lonely["containers"][0]["essential"] = json!(true);
    task["containers"][0]["dependsOn"] = json!([{"containerName": "server", "condition": "HEALTHY"}]);
    task["containers"].as_array_mut().unwrap().push(server);
    ecs.payload("m-1", &[task, lonely]);
    ecs.stopped("healthy");
    agent.line(&["container exited", "container=\"default\"", "exit_code=9"]);
    let model = Model::load("tcs-api-2.json");
    let health = eventually("word of the health", || {
        let told = told(&ecs, model.as_ref(), "PublishHealthRequest", "tasks", "lonely");
        told.into_iter().map(|task| task["containers"][0].clone()).find(|c| c["healthStatus"] == "HEALTHY")
    });
    assert_eq!(health["containerName"], "server");
    assert!(health["statusSince"].as_f64().unwrap() > 1_700_000_000.0, "{health}");
}
