//! The real AWS CLI against `batch-node-agent local`.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::common::plane::Plane;
use crate::common::{eventually, text};

/// A program of the pinned virtual environment, or of `PATH` where there is none.
pub(crate) fn of_venv(name: &str) -> PathBuf {
    let venv = std::env::var("TEST_VENV").unwrap_or_else(|_| "target/test-venv".to_owned());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(venv).join("bin").join(name);
    if path.exists() { path } else { name.into() }
}

/// A command that finds dummy credentials and a region, as the README tells users to set them.
pub(crate) fn with_credentials(program: &str) -> Command {
    let mut command = Command::new(of_venv(program));
    command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
    command.env("AWS_DEFAULT_REGION", "us-east-1").env("AWS_PAGER", "");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}

pub(crate) struct Aws<'a>(pub(crate) &'a Plane);

impl Aws<'_> {
    fn run(&self, args: &[&str]) -> Output {
        let mut command = with_credentials("aws");
        command.args(["--endpoint-url", &self.0.endpoint, "--output", "json"]).args(args);
        command.output().unwrap()
    }

    /// What it prints; `null` where that is nothing.
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aws {}: {errors}", args.join(" "));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// What it complains about.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let code = output.status.code();
        assert!([Some(254), Some(255)].contains(&code), "aws {}: {code:?}", args.join(" "));
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_job_from_the_first_command_to_its_output() {
    let plane = Plane::start(&["--empty", "--max-nodes", "1"]);
    let aws = Aws(&plane);
    let made =
        aws.ok(&["batch", "create-compute-environment", "--compute-environment-name", "ce", "--type", "UNMANAGED"]);
    assert_eq!(made["computeEnvironmentName"], "ce");
    let order = "order=1,computeEnvironment=ce";
    aws.ok(&[
        "batch",
        "create-job-queue",
        "--job-queue-name",
        "q",
        "--priority",
        "1",
        "--compute-environment-order",
        order,
    ]);
    let container = json!({"image": "busybox", "command": ["sh", "-c", "echo Ref::greeting $NAME; exit 0"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]});
    let container = container.to_string();
    let register = ["batch", "register-job-definition", "--job-definition-name", "greet", "--type", "container"];
    let registered = aws.ok(&[&register[..], &["--container-properties", &container]].concat());
    assert_eq!((text(&registered["jobDefinitionName"]), &registered["revision"]), ("greet", &json!(1)));
    let overrides = r#"{"environment": [{"name": "NAME", "value": "world"}]}"#;
    let submit = ["batch", "submit-job", "--job-name", "one", "--job-queue", "q", "--job-definition", "greet"];
    let more = ["--parameters", "greeting=hello", "--container-overrides", overrides];
    let submitted = aws.ok(&[&submit[..], &more].concat());
    let id = text(&submitted["jobId"]).to_owned();
    plane.job_in(&id, "SUCCEEDED");

    let job = aws.ok(&["batch", "describe-jobs", "--jobs", &id])["jobs"][0].take();
    assert_eq!((text(&job["jobName"]), text(&job["status"])), ("one", "SUCCEEDED"));
    assert_eq!(job["jobArn"], submitted["jobArn"]);
    assert_eq!(job["statusReason"], "Essential container in task exited");
    let at = |name: &str| job[name].as_u64().unwrap_or_else(|| panic!("{name} of {job:#}"));
    assert!(at("createdAt") <= at("startedAt") && at("startedAt") <= at("stoppedAt"), "{job:#}");
    assert_eq!((&job["container"]["exitCode"], &job["parameters"]["greeting"]), (&json!(0), &json!("hello")));
    let task = text(&job["container"]["taskArn"]);
    assert!(task.contains(":task/ce_Batch_"), "{task}");
    assert!(text(&job["container"]["containerInstanceArn"]).contains(":container-instance/ce_Batch_"));
    let attempts = job["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (&attempts[0]["container"]["taskArn"], &attempts[0]["container"]["exitCode"]),
        (&json!(task), &json!(0))
    );
    assert_eq!(attempts[0]["stoppedAt"], job["stoppedAt"]);

    let stream = text(&job["container"]["logStreamName"]);
    assert!(stream.starts_with("greet/default/"), "{stream}");
    let get = ["logs", "get-log-events", "--log-group-name", "/aws/batch/job", "--log-stream-name", stream];
    let events = aws.ok(&get)["events"].take();
    let messages: Vec<&str> = events.as_array().unwrap().iter().map(|event| text(&event["message"])).collect();
    assert_eq!(messages, ["hello world"]);

    let listed = aws.ok(&["batch", "list-jobs", "--job-queue", "q", "--job-status", "SUCCEEDED"]);
    assert_eq!(listed["jobSummaryList"][0]["jobId"], id.as_str());
    let environments = aws.ok(&["batch", "describe-compute-environments"]);
    let environment = &environments["computeEnvironments"][0];
    assert_eq!((text(&environment["type"]), text(&environment["status"])), ("UNMANAGED", "VALID"));
    let queues = aws.ok(&["batch", "describe-job-queues", "--job-queues", "q"]);
    assert_eq!(queues["jobQueues"][0]["state"], "ENABLED");
    let definitions =
        aws.ok(&["batch", "describe-job-definitions", "--job-definition-name", "greet", "--status", "ACTIVE"]);
    assert_eq!(definitions["jobDefinitions"][0]["containerProperties"]["image"], "busybox");
}

#[test]
fn a_waiting_job_is_cancelled_and_a_running_one_terminated() {
    let plane = Plane::start(&["--max-nodes", "1", "--node-vcpus", "1"]);
    let aws = Aws(&plane);
    let running = plane.shell("hello", "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done");
    plane.job_in(&running, "RUNNING");
    eventually("the job's first words", || plane.output(&plane.job(&running)).first().cloned());
    let waiting = plane.shell("hello", "true");
    plane.job_in(&waiting, "RUNNABLE");
    aws.ok(&["batch", "cancel-job", "--job-id", &waiting, "--reason", "not needed"]);
    aws.ok(&["batch", "terminate-job", "--job-id", &running, "--reason", "too long"]);
    let cancelled = plane.job_in(&waiting, "FAILED");
    assert_eq!(cancelled["statusReason"], "not needed");
    assert_eq!(cancelled["attempts"], json!([]));
    let terminated = plane.job_in(&running, "FAILED");
    assert_eq!(terminated["statusReason"], "too long");
    assert_eq!(terminated["container"]["exitCode"], 3);
}

#[test]
fn a_bad_request_is_a_client_exception() {
    let plane = Plane::without_nodes();
    let aws = Aws(&plane);
    let submit = ["batch", "submit-job", "--job-name", "one", "--job-queue", "local", "--job-definition"];
    let cases: [(&[&str], &str); 4] = [
        (&[&submit[..], &["nope"]].concat(), "calling the SubmitJob operation"),
        (&["batch", "list-jobs", "--job-queue", "nope"], "JobQueue nope not found"),
        (&["batch", "terminate-job", "--job-id", "nope", "--reason", "x"], "Job nope not found"),
        (
            &["batch", "create-compute-environment", "--compute-environment-name", "m", "--type", "MANAGED"],
            "only UNMANAGED",
        ),
    ];
    for (args, expected) in cases {
        let said = aws.refused(args);
        assert!(said.contains("An error occurred (ClientException)") && said.contains(expected), "{said}");
    }
    // It lives on.
    assert_eq!(aws.ok(&["batch", "list-jobs", "--job-queue", "local"])["jobSummaryList"], json!([]));
}
