//! What a host registers, and where: GPUs, and a compute environment that is deleted and made again.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::agent::{Agent, Setup};
use crate::common::ecs::FakeEcs;
use crate::common::plane::Plane;
use crate::common::{docker, eventually, last, text};

/// Deletes a compute environment with its cluster, and makes it again under its name. Its queue waits meanwhile.
fn recreate(plane: &Plane, name: &str) {
    delete(plane, name);
    create(plane, name);
}

fn delete(plane: &Plane, name: &str) {
    plane.batch("createcomputeenvironment", &json!({"computeEnvironmentName": "spare", "type": "UNMANAGED"}));
    order(plane, name, "spare");
    plane.batch("updatecomputeenvironment", &json!({"computeEnvironment": name, "state": "DISABLED"}));
    plane.batch("deletecomputeenvironment", &json!({"computeEnvironment": name}));
}

fn create(plane: &Plane, name: &str) {
    plane.batch("createcomputeenvironment", &json!({"computeEnvironmentName": name, "type": "UNMANAGED"}));
    order(plane, name, name);
}

fn order(plane: &Plane, queue: &str, environment: &str) {
    let order = json!([{"order": 1, "computeEnvironment": environment}]);
    plane.batch("updatejobqueue", &json!({"jobQueue": queue, "computeEnvironmentOrder": order}));
}

/// Waits until the agent has joined the environment's present cluster.
fn joined(agent: &Agent, plane: &Plane, environment: &str) -> Value {
    let cluster = plane.cluster(environment);
    agent.status_with("an agent in the new cluster", |status| {
        let there = status["instance"]["cluster"].as_str().is_some_and(|arn| last(arn) == cluster);
        there && status["state"]["acs_connected"] == true && status["state"]["phase"] == "ACTIVE"
    })
}

#[test]
fn a_recreated_compute_environment_is_followed_at_once_when_nothing_runs() {
    let plane = Plane::without_nodes();
    let agent = Agent::on(&plane);
    let before = agent.joined();
    let old = last(text(&before["instance"]["cluster"])).to_owned();
    recreate(&plane, "local");
    let after = joined(&agent, &plane, "local");
    assert_ne!(after["instance"]["container_instance"], before["instance"]["container_instance"]);
    agent.line(&["the compute environment has a new cluster", &old]);
    plane.job_in(&plane.shell("hello", "true"), "SUCCEEDED");
}

#[test]
fn jobs_of_the_old_cluster_end_before_the_new_one_is_joined_even_over_a_restart() {
    let plane = Plane::without_nodes();
    let mut agent = Agent::on(&plane);
    let work = tempfile::tempdir().unwrap();
    plane.define_with_work("wait", work.path());
    let script = "touch /work/started; while [ ! -e /work/go ]; do sleep 0.05; done; touch /work/ended";
    let first = plane.shell("wait", script);
    plane.job_in(&first, "RUNNING");
    eventually("its first words", || work.path().join("started").exists().then_some(()));
    let old = plane.cluster("local");
    recreate(&plane, "local");
    plane.job_in(&first, "FAILED");
    let next = plane.shell("hello", "true");
    let waits = |status: &Value| status["state"]["why"].as_str().is_some_and(|why| why.contains("new cluster"));
    let waiting = agent.status_with("an agent that waits for its job", waits);
    assert_eq!(last(text(&waiting["instance"]["cluster"])), old);
    agent.process().signal("KILL");
    agent.process().ends_within(crate::common::PATIENCE).unwrap();
    agent.start_again();
    let waiting = agent.status_with("a restarted agent that waits for its job", waits);
    assert_eq!(last(text(&waiting["instance"]["cluster"])), old);
    assert_eq!(plane.job(&next)["status"], "RUNNABLE", "nobody is in the new cluster yet");
    assert!(!work.path().join("ended").exists(), "the job still runs");
    std::fs::write(work.path().join("go"), "").unwrap();
    joined(&agent, &plane, "local");
    assert!(work.path().join("ended").exists(), "the job has ended by itself");
    plane.job_in(&next, "SUCCEEDED");
    docker::remove(&old);
}

#[test]
fn a_compute_environment_that_is_gone_is_shown_and_waited_for() {
    let plane = Plane::without_nodes();
    let agent = Agent::on(&plane);
    agent.joined();
    delete(&plane, "local");
    let shown = agent.status_with("the trouble in the status", |status| {
        status["state"]["why"].as_str().is_some_and(|why| why.contains("there is no compute environment"))
    });
    assert_eq!(shown["state"]["acs_connected"], false);
    agent.line(&["WARN", "there is no compute environment \"local\""]);
    create(&plane, "local");
    joined(&agent, &plane, "local");
    assert_eq!(agent.count("there is no compute environment"), 1, "{}", agent.log());
}

#[test]
fn a_restart_while_batch_does_not_answer_keeps_the_cluster_it_had() {
    let plane = Plane::without_nodes();
    let mut agent = Agent::on(&plane);
    let before = agent.joined();
    agent.process().signal("TERM");
    agent.process().ends_within(crate::common::PATIENCE).unwrap();
    // A name that Batch does not know is as good as no answer.
    let path = agent.file("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, config.replace("compute_environment = \"local\"", "compute_environment = \"lost\"")).unwrap();
    agent.start_again();
    let after = agent.joined();
    assert_eq!(after["instance"]["container_instance"], before["instance"]["container_instance"]);
    assert!(text(&after["state"]["why"]).contains("there is no compute environment \"lost\""), "{after:#}");
}

#[test]
fn a_registration_that_nothing_can_mend_ends_the_agent_with_code_5() {
    for code in ["InvalidParameterException", "ClientException"] {
        let ecs = FakeEcs::start();
        ecs.refuse(Some((code, "The instance identity document is not valid.")));
        let mut agent = Agent::start(ecs.setup());
        let ended = agent.process().ends_within(crate::common::PATIENCE).unwrap();
        assert_eq!(ended.code(), Some(5), "{}", agent.log());
        agent.line(&["ERROR", "ECS refuses to register this host", code]);
    }
}

#[test]
fn a_registration_that_may_yet_be_taken_is_tried_until_it_is() {
    let ecs = FakeEcs::start();
    ecs.refuse(Some(("AccessDeniedException", "not yet allowed")));
    let agent = Agent::start(ecs.setup());
    // What each other error leads to is a matter of the unit tests; the waits between the tries add up.
    let errors = [
        ("ThrottlingException", "Rate exceeded"),
        ("InvalidParameterException", "The referenced cluster was inactive."),
    ];
    agent.line(&["WARN", "RegisterContainerInstance failed, will be tried again", "AccessDeniedException"]);
    for (code, message) in errors {
        ecs.refuse(Some((code, message)));
        agent.line(&["WARN", "RegisterContainerInstance failed, will be tried again", message]);
    }
    ecs.refuse(None);
    agent.joined();
}

/// `libnvidia-ml.so.1` of a machine with two GPUs, in this folder.
fn driver(dir: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/nvml.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(dir.join("libnvidia-ml.so.1")).arg(source);
    assert!(cc.status().unwrap().success(), "a C compiler is needed");
}

fn gpu_agent(plane: &Plane, driver: &Path, runtime: &str) -> Agent {
    let setup = Setup::on(plane, &plane.run_instance()).set("nvidia_runtime", &format!("{runtime:?}"));
    let setup = setup.set("gpu_wait", r#""0s""#).env("LD_LIBRARY_PATH", driver.to_str().unwrap());
    Agent::start(setup)
}

const GPUS: [&str; 2] = ["GPU-00000000-0000-0000-0000-000000000000", "GPU-11111111-1111-1111-1111-111111111111"];

/// No runtime for GPUs is installed here: `runc`, which ignores what it is told of them, stands in for it.
#[test]
fn gpus_are_registered_and_jobs_are_told_which_are_theirs() {
    let plane = Plane::without_nodes();
    let dir = tempfile::tempdir().unwrap();
    driver(dir.path());
    let agent = gpu_agent(&plane, dir.path(), "runc");
    let status = agent.joined();
    let uuids: Vec<&str> =
        status["instance"]["gpus"].as_array().unwrap().iter().map(|gpu| text(&gpu["uuid"])).collect();
    assert_eq!(uuids, GPUS);
    assert_eq!(status["instance"]["gpu_driver"], "550.54.14");
    let described = json!({"cluster": plane.cluster("local"),
        "containerInstances": [status["instance"]["container_instance"]]});
    let shown = plane.ecs("DescribeContainerInstances", &described)["containerInstances"][0].take();
    let has = |attribute: Value| shown["attributes"].as_array().unwrap().contains(&attribute);
    assert!(has(json!({"name": "ecs.capability.nvidia-driver-version.550.54.14"})), "{shown:#}");
    assert!(has(json!({"name": "ecs.capability.gpu-driver-version", "value": "550.54.14"})));

    let work = tempfile::tempdir().unwrap();
    plane.define_with_work("gpu", work.path());
    let submit = |gpus: u32| {
        let script = "echo $NVIDIA_VISIBLE_DEVICES; while [ ! -e /work/go ]; do sleep 0.05; done";
        let need = json!([{"type": "GPU", "value": gpus.to_string()}]);
        let overrides = json!({"command": ["sh", "-c", script], "resourceRequirements": need});
        plane.submit(&json!({"jobDefinition": "gpu", "containerOverrides": overrides}))
    };
    let (first, second, both) = (submit(1), submit(1), submit(2));
    for id in [&first, &second] {
        plane.job_in(id, "RUNNING");
    }
    assert_eq!(plane.job(&both)["status"], "RUNNABLE", "each GPU has its job");
    std::fs::write(work.path().join("go"), "").unwrap();
    let told = |id: &str| {
        let job = plane.job_in(id, "SUCCEEDED");
        eventually("the job's output", || plane.output(&job).first().cloned())
    };
    let mut ones = [told(&first), told(&second)];
    ones.sort();
    assert_eq!(ones, GPUS);
    assert_eq!(told(&both), GPUS.join(","));
}

#[test]
fn gpus_without_a_runtime_are_not_offered_and_the_status_says_why() {
    let plane = Plane::without_nodes();
    let dir = tempfile::tempdir().unwrap();
    driver(dir.path());
    let agent = gpu_agent(&plane, dir.path(), "no-such-runtime");
    let status = agent.joined();
    assert_eq!(status["instance"]["gpus"], json!([]));
    assert!(text(&status["instance"]["gpu_trouble"]).contains("NVIDIA Container Toolkit"), "{status:#}");
    agent.line(&["WARN", "not offered to jobs", "no-such-runtime"]);
}
