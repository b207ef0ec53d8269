//! `batch-node-agent status`: who the agent is, what it does, and what ECS does not know yet.

use serde_json::{Value, json};

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::proxy::Proxy;
use crate::common::{binary, eventually, text};

fn human(agent: &Agent) -> String {
    let output = binary().arg("status").arg("--config").arg(agent.file("config.toml")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_running_job_is_shown_with_what_it_uses() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let mut agent = Agent::start(Setup::on(&plane, &instance));
    // 20 MB in a variable, and a processor kept busy.
    let id = plane.shell("hello", "x=$(head -c 20000000 /dev/zero | tr '\\0' x); while :; do :; done");
    let job = plane.job_in(&id, "RUNNING");
    let used = |container: &Value, what: &str| container[what].as_f64().unwrap_or_default();
    let status = agent.status_with("a busy container", |status| {
        let container = &status["tasks"][0]["containers"][0];
        used(container, "cpu_percent") > 10.0 && used(container, "memory_mib") > 15.0
    });

    assert_eq!(status["agent"]["pid"], agent.process().pid());
    let who = &status["instance"];
    assert_eq!((text(&who["id"]), text(&who["region"])), (instance.id.as_str(), "us-east-1"));
    assert!(text(&who["cluster"]).contains(&plane.cluster("local")));
    assert_eq!(who["compute_environment"], "local");
    assert_eq!(who["container_instance"], job["container"]["containerInstanceArn"]);
    let state = &status["state"];
    assert_eq!(
        (text(&state["phase"]), &state["acs_connected"], text(&state["docker"])),
        ("ACTIVE", &json!(true), "up")
    );
    assert_eq!(status["tasks"].as_array().unwrap().len(), 1);
    let task = &status["tasks"][0];
    assert_eq!((&task["task"], &task["job_id"]), (&job["container"]["taskArn"], &json!(id)));
    assert_eq!((text(&task["queue"]), text(&task["attempt"]), text(&task["family"])), ("local", "1", "hello"));
    assert_eq!((text(&task["desired"]), text(&task["known"])), ("RUNNING", "RUNNING"));
    assert!(task["age_ms"].as_u64().unwrap() > 0);
    let container = &task["containers"][0];
    let cpus = std::thread::available_parallelism().unwrap().get() as f64;
    assert!(used(container, "cpu_percent") < 100.0 * cpus, "{container}");
    assert!(used(container, "memory_mib") <= 64.0, "no more than its limit: {container}");
    let host = &status["host"];
    assert!(used(host, "memory_used_mib") > 0.0 && used(host, "memory_used_mib") < used(host, "memory_total_mib"));
    assert!(used(host, "disk_used_percent") > 0.0 && used(host, "disk_used_percent") <= 100.0, "{host}");
    eventually("sent", || (agent.status()["tasks"][0]["sent"] == "RUNNING").then_some(()));
    assert_eq!(agent.status()["unreported"], json!([]));

    let shown = human(&agent);
    let row =
        |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {shown}"));
    assert!(row("instance ").contains(&instance.id) && row("cluster ").contains("local_Batch_"), "{shown}");
    assert!(row("state ").contains("ACTIVE") && row("environment ").contains("local"), "{shown}");
    let header: Vec<&str> = row("TASK ").split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(header, ["TASK", "JOB", "QUEUE", "ATTEMPT", "STATE", "AGE", "CPU %", "MIB"]);
    let of_job = shown.lines().find(|line| line.contains(&id)).unwrap();
    assert!(of_job.contains("RUNNING") && of_job.contains("local"), "{shown}");
    assert!(shown.contains("Everything is reported to ECS."), "{shown}");
}

#[test]
fn what_ecs_has_not_heard_is_shown_until_it_has() {
    let plane = Plane::without_nodes();
    let wire = Proxy::to(&plane.endpoint);
    let agent = Agent::start(Setup::on(&plane, &plane.run_instance()).through(&wire.endpoint));
    let work = tempfile::tempdir().unwrap();
    plane.define_with_work("wait", work.path());
    let id = plane.shell("wait", "while [ ! -e /work/go ]; do sleep 0.05; done; exit 5");
    let job = plane.job_in(&id, "RUNNING");
    wire.cut();
    std::fs::write(work.path().join("go"), "").unwrap();
    let status = agent.status_with("an unreported end", |status| status["unreported"][0]["status"] == "STOPPED");
    assert_eq!(status["unreported"][0]["task"], job["container"]["taskArn"]);
    assert_eq!(status["tasks"][0]["containers"][0]["exit_code"], 5);
    assert_eq!(plane.job(&id)["status"], "RUNNING", "the plane cannot know");
    let shown = human(&agent);
    assert!(shown.contains("Not reported to ECS yet:") && shown.contains("STOPPED (5)"), "{shown}");
    agent.line(&[&id, "report not delivered, will be tried again"]);
    wire.mend();
    assert_eq!(plane.job_in(&id, "FAILED")["container"]["exitCode"], 5);
    agent.status_with("nothing unreported", |status| status["unreported"] == json!([]));
}

#[test]
fn where_no_agent_runs_it_says_so() {
    let output = binary().args(["status", "--socket", "/nowhere/agent.sock"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no agent is running here") && said.contains("/nowhere/agent.sock"), "{said}");
}
