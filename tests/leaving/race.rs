//! Work that comes while a host is on its way out, and hosts whose agent dies on it.

use serde_json::json;

use super::stage::Stage;

/// A payload is under way for as long as the plane holds it back.
fn hold_payloads(stage: &Stage) {
    stage.plane.fault(&json!({"fault": "hang", "operation": "PayloadMessage"}));
}

fn deliver(stage: &Stage) {
    stage.plane.fault_command(&["clear"]).unwrap();
}

#[test]
fn work_under_way_keeps_an_idle_host_that_had_begun_to_leave() {
    let stage = Stage::new();
    hold_payloads(&stage);
    let job = stage.begin("late", "", &json!([]));
    let host = stage.start(&[("idle_timeout", "1s"), ("look_for_work", "false")]);
    host.says("ECS still counts 0 running and 1 pending tasks here");
    host.in_phase("IDLE");
    deliver(&stage);
    stage.runs(&job, "late");
    let status = host.in_phase("ACTIVE");
    assert_eq!((&status["leaving"]["counters"]["undone"], &status["leaving"]["reasons"]), (&json!(1), &json!([])));
    stage.works();
    stage.release("late");
    stage.plane.job_in(&job, "SUCCEEDED");
    stage.terminated(&host.id);
}

#[test]
fn work_under_way_is_run_to_its_end_on_a_host_that_must_leave_though_its_agent_dies() {
    let stage = Stage::new();
    hold_payloads(&stage);
    let job = stage.begin("late", "", &json!([]));
    let mut host = stage.host(&[]);
    stage.plane.job_in(&job, "STARTING");
    host.order(&["drain", "--terminate"]);
    host.in_phase("IDLE");
    host.order(&["drain", "--cancel"]);
    host.in_phase("ACTIVE");
    host.order(&["drain", "--terminate"]);
    host.says("ECS still counts 0 running and 1 pending tasks here");
    deliver(&stage);
    stage.runs(&job, "late");
    host.says("waiting for 1 task(s) to end and be reported (the operator said drain and terminate)");
    host.process().kill();
    host.start_again();
    let status = host.in_phase("DRAINING");
    assert_eq!(status["tasks"].as_array().unwrap().len(), 1);
    let other = stage.plane.shell("hello", "true");
    stage.release("late");
    assert_eq!(stage.plane.job_in(&job, "SUCCEEDED")["attempts"].as_array().unwrap().len(), 1);
    stage.terminated(&host.id);
    assert_eq!((stage.said("late"), stage.plane.job(&other)["status"].as_str()), (1, Some("RUNNABLE")));
}

#[test]
fn a_drain_taken_back_lets_the_work_that_came_meanwhile_run() {
    let stage = Stage::new();
    hold_payloads(&stage);
    let job = stage.begin("late", "", &json!([]));
    let host = stage.host(&[]);
    stage.plane.job_in(&job, "STARTING");
    host.order(&["drain"]);
    host.says("drained, and stays until the reason is taken back");
    deliver(&stage);
    stage.runs(&job, "late");
    host.in_phase("DRAINING");
    host.order(&["drain", "--cancel"]);
    host.in_phase("ACTIVE");
    stage.works();
    stage.release("late");
    stage.plane.job_in(&job, "SUCCEEDED");
}
