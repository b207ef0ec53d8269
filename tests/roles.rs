//! Jobs with a role: their credentials come from ACS, are served to them alone, survive a restart of the agent without ever being
//! on disk, and end with them.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::{eventually, http, text};

const ROLE: &str = "arn:aws:iam::123456789012:role/job";
/// Asks until it is answered, once before and once after the test says so.
const SCRIPT: &str = "env > /work/env
fetch() { until wget -qO /work/$1.new $2; do sleep 0.1; done; mv /work/$1.new /work/$1; }
fetch one $AWS_CONTAINER_CREDENTIALS_FULL_URI
fetch task $ECS_CONTAINER_METADATA_URI_V4/taskWithTags
fetch self $ECS_CONTAINER_METADATA_URI_V4
fetch first $ECS_CONTAINER_METADATA_URI_V4/stats
cp /work/first /work/next
while cmp -s /work/first /work/next; do sleep 0.2; wget -qO /work/next $ECS_CONTAINER_METADATA_URI_V4/stats; done
mv /work/next /work/stats
fetch all $ECS_CONTAINER_METADATA_URI_V4/task/stats
while [ ! -e /work/again ]; do sleep 0.05; done
fetch two $AWS_CONTAINER_CREDENTIALS_FULL_URI
while [ ! -e /work/go ]; do sleep 0.05; done";

fn written(work: &Path, name: &str) -> Value {
    let text = eventually(name, || std::fs::read_to_string(work.join(name)).ok());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_job_gets_its_roles_credentials_before_and_after_a_restart() {
    let plane = Plane::without_nodes();
    let mut agent = Agent::start(Setup::on(&plane, &plane.run_instance()));
    let work = tempfile::tempdir().unwrap();
    let volumes = json!([{"name": "work", "host": {"sourcePath": work.path()}}]);
    let mounts = json!([{"sourceVolume": "work", "containerPath": "/work"}]);
    plane.define("role", &json!({"jobRoleArn": ROLE, "volumes": volumes, "mountPoints": mounts}));
    let id = plane.shell("role", SCRIPT);
    let one = written(work.path(), "one");
    assert_eq!(one["RoleArn"], ROLE);
    let secrets = ["SecretAccessKey", "Token"].map(|key| text(&one[key]).to_owned());
    assert!(secrets.iter().all(|secret| !secret.is_empty()), "{one}");

    let job = plane.job_in(&id, "RUNNING");
    let task = text(&job["container"]["taskArn"]).to_owned();
    let shown = written(work.path(), "task");
    assert_eq!((text(&shown["TaskARN"]), text(&shown["Family"])), (task.as_str(), "role"));
    let own = written(work.path(), "self");
    assert_eq!(own["Labels"]["com.amazonaws.ecs.task-arn"], task.as_str(), "{own:#}");
    assert_eq!((&own["Name"], &own["Networks"][0]["NetworkMode"]), (&json!("default"), &json!("host")));
    let zone = [&shown["AvailabilityZone"], &shown["AvailabilityZoneID"], &shown["LaunchType"]];
    assert_eq!(zone, [&json!("us-east-1a"), &json!("use1-az1"), &json!("EC2")]);
    let [first, stats] = ["first", "stats"].map(|name| written(work.path(), name));
    for (reading, field) in [(&first, "cpu_stats"), (&first, "precpu_stats"), (&stats, "cpu_stats")] {
        assert!(reading[field]["cpu_usage"]["total_usage"].as_u64() > Some(0), "{field}: {reading:#}");
    }
    assert_eq!(stats["precpu_stats"], first["cpu_stats"], "the reading before, without a second look of Docker's");
    assert_eq!(stats["preread"], first["read"]);
    assert!(
        stats["memory_stats"]["usage"].as_u64() > Some(0) && stats["memory_stats"]["stats"].is_object(),
        "{stats:#}"
    );
    assert!(stats["blkio_stats"].is_object() && stats["pids_stats"].is_object(), "{stats:#}");
    assert!(stats.get("network_rate_stats").is_none(), "the host's network is not the container's");
    let all = written(work.path(), "all");
    assert_eq!(all[text(&own["DockerId"])]["memory_stats"]["limit"], stats["memory_stats"]["limit"]);
    let environment = std::fs::read_to_string(work.path().join("env")).unwrap();
    assert!(environment.contains("AWS_REGION=us-east-1") && environment.contains("AWS_DEFAULT_REGION=us-east-1"));

    agent.process().kill();
    agent.start_again();
    std::fs::write(work.path().join("again"), "").unwrap();
    assert_eq!(written(work.path(), "two")["RoleArn"], ROLE, "ACS sent them again");

    let address = environment.lines().find_map(|line| line.strip_prefix("AWS_CONTAINER_CREDENTIALS_FULL_URI="));
    let address = address.unwrap();
    assert_eq!(http::get(address, ("User-Agent", "test")).status, 200);
    std::fs::write(work.path().join("go"), "").unwrap();
    plane.job_in(&id, "SUCCEEDED");
    let over = eventually("the end of the credentials", || {
        Some(http::get(address, ("User-Agent", "test"))).filter(|answer| answer.status != 200)
    });
    assert_eq!((over.status, text(&over.json()["code"])), (400, "InvalidIdInRequest"));

    let audit = std::fs::read_to_string(agent.file("data/audit.log")).unwrap();
    assert!(audit.contains(&format!("{task} GetCredentials 2 ")), "{audit}");
    let saved = std::fs::read(agent.file("data/agent.redb")).unwrap();
    for secret in &secrets {
        assert!(!agent.log().contains(secret) && !audit.contains(secret), "a secret in a log");
        assert!(!saved.windows(secret.len()).any(|part| part == secret.as_bytes()), "a secret on disk");
    }
}

#[test]
fn without_an_endpoint_a_job_with_a_role_is_refused_and_others_run() {
    let plane = Plane::without_nodes();
    let agent = Agent::start(Setup::on(&plane, &plane.run_instance()).set("task_endpoint", r#""off""#));
    agent.joined();
    plane.define("role", &json!({"jobRoleArn": ROLE}));
    let job = plane.job_in(&plane.shell("role", "true"), "FAILED");
    assert!(text(&job["container"]["reason"]).contains("task endpoint is off"), "{job:#}");
    plane.job_in(&plane.shell("hello", "[ -z \"$ECS_CONTAINER_METADATA_URI_V4\" ]"), "SUCCEEDED");
}
