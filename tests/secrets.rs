//! Jobs with secrets: fetched with the execution role when their container is made, and told to nobody but the container.

use serde_json::json;

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::{docker, eventually, http, text};

const ROLE: &str = "arn:aws:iam::123456789012:role/execution";
const PARAMETER: &str = "hunter2-of-ssm";
const PASSWORD: &str = "hunter3-of-asm";

#[test]
fn a_job_gets_its_secrets_and_nobody_else_does() {
    let plane = Plane::start(&["--max-nodes", "0", "--log-level", "trace"]);
    let agent = Agent::start(Setup::on(&plane, &plane.run_instance()).set("log_level", r#""trace""#));
    let work = tempfile::tempdir().unwrap();
    plane.aws("AmazonSSM.PutParameter", &json!({"Name": "/app/token", "Value": PARAMETER, "Type": "SecureString"}));
    let secret = json!({"Name": "db", "SecretString": json!({"password": PASSWORD}).to_string()});
    let arn = text(&plane.aws("secretsmanager.CreateSecret", &secret)["ARN"]).to_owned();
    let secrets = json!([{"name": "TOKEN", "valueFrom": "/app/token"},
        {"name": "PASSWORD", "valueFrom": format!("{arn}:password::")}]);
    let volumes = json!([{"name": "work", "host": {"sourcePath": work.path()}}]);
    let mounts = json!([{"sourceVolume": "work", "containerPath": "/work"}]);
    let definition = json!({"executionRoleArn": ROLE, "secrets": secrets, "volumes": volumes, "mountPoints": mounts});
    plane.define("secret", &definition);
    let script =
        "echo $TOKEN $PASSWORD >/work/new; echo $ECS_CONTAINER_METADATA_URI_V4 >/work/uri; mv /work/new /work/got
        while [ ! -e /work/go ]; do sleep 0.05; done";
    let id = plane.shell("secret", script);
    let got = eventually("the job's words", || std::fs::read_to_string(work.path().join("got")).ok());
    assert_eq!(got, format!("{PARAMETER} {PASSWORD}\n"));

    let task = text(&plane.job_in(&id, "RUNNING")["container"]["taskArn"]).to_owned();
    let uri = std::fs::read_to_string(work.path().join("uri")).unwrap();
    let told = ["", "/task"].map(|path| http::get(&format!("{}{path}", uri.trim()), ("User-Agent", "test")).body);
    let mut inspect = docker::inspect(&task);
    let environment = inspect["Config"]["Env"].take().to_string();
    assert!(environment.contains(PARAMETER) && environment.contains(PASSWORD));
    std::fs::write(work.path().join("go"), "").unwrap();
    plane.job_in(&id, "SUCCEEDED");
    let status = agent.status().to_string();
    let saved = String::from_utf8_lossy(&std::fs::read(agent.file("data/agent.redb")).unwrap()).into_owned();
    let plane_log = std::fs::read_to_string(plane.dir.path().join("plane.out")).unwrap();
    let [own, whole] = told;
    for (place, text) in [
        ("the rest of docker inspect", inspect.to_string()),
        ("the metadata of the container", own),
        ("the metadata of the task", whole),
        ("the status", status),
        ("the record", saved),
        ("the agent's log", agent.log()),
        ("the plane's log", plane_log),
        ("the job's description", plane.job(&id).to_string()),
    ] {
        assert!(!text.contains(PARAMETER) && !text.contains(PASSWORD), "a secret in {place}");
    }
}

#[test]
fn a_secret_that_is_not_there_is_the_jobs_reason() {
    let plane = Plane::without_nodes();
    let agent = Agent::on(&plane);
    agent.joined();
    let secrets = json!([{"name": "A", "valueFrom": "/none"}, {"name": "B", "valueFrom": "/nowhere"}]);
    plane.define("secret", &json!({"executionRoleArn": ROLE, "secrets": secrets}));
    let job = plane.job_in(&plane.shell("secret", "true"), "FAILED");
    let reason = "Fetching secret data from SSM Parameter Store in us-east-1: invalid parameters: /none,/nowhere";
    assert_eq!(text(&job["statusReason"]), reason, "{job:#}");
    assert!(docker::containers(text(&job["container"]["taskArn"])).is_empty(), "nothing was made for it");
    let refused = plane.try_batch(
        "registerjobdefinition",
        &json!({"jobDefinitionName": "x", "type": "container",
            "containerProperties": {"image": "busybox", "vcpus": 1, "memory": 64, "secrets": secrets}}),
    );
    assert!(refused.status == 400 && refused.body.contains("executionRoleArn"), "{}", refused.body);
}
