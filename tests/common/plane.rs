//! `batch-node-agent local`, and what one asks of it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{binary, docker, eventually, http, last, text};

/// Longer than the plane gives itself to take everything down.
const STOP: Duration = Duration::from_secs(30);

pub(crate) struct Plane {
    process: Process,
    pub(crate) endpoint: String,
    pub(crate) dir: TempDir,
    args: Vec<String>,
}

/// An instance, as EC2 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) state: String,
    /// The address of the metadata service of one made by hand.
    pub(crate) imds: Option<String>,
}

impl Plane {
    /// With compute environment and queue `local` and definition `hello`, unless `args` say otherwise.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::listening("127.0.0.1:0", args)
    }

    /// Without nodes of its own, where containers on Docker's bridge can reach it.
    pub(crate) fn for_hosts() -> Self {
        let gateway =
            docker::docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]);
        Self::listening(&format!("{gateway}:0"), &["--max-nodes", "0"])
    }

    fn listening(address: &str, args: &[&str]) -> Self {
        docker::need_busybox();
        let dir = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let (process, endpoint) = spawn(&dir, address, &args);
        Self { process, endpoint, dir, args }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// As Ctrl-C would end it.
    pub(crate) fn stop(&mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.ends_within(STOP).and_then(|status| status.code()), Some(0));
    }

    /// What another plane on the same data directory says when it gives up.
    pub(crate) fn second(&self) -> String {
        let output = binary().args(["local", "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.dir.path()).output();
        String::from_utf8_lossy(&output.unwrap().stderr).into_owned()
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        let (process, endpoint) = spawn(&self.dir, self.endpoint.trim_start_matches("http://"), &self.args);
        assert_eq!(endpoint, self.endpoint);
        self.process = process;
    }

    /// Without nodes of its own.
    pub(crate) fn without_nodes() -> Self {
        Self::start(&["--max-nodes", "0"])
    }

    pub(crate) fn try_batch(&self, operation: &str, body: &Value) -> http::Answer {
        http::post(&format!("{}/v1/{operation}", self.endpoint), &[], &body.to_string())
    }

    pub(crate) fn batch(&self, operation: &str, body: &Value) -> Value {
        let answer = self.try_batch(operation, body);
        assert_eq!(answer.status, 200, "{operation} {body}: {}", answer.body);
        answer.json()
    }

    pub(crate) fn ecs(&self, operation: &str, body: &Value) -> Value {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let headers = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", target.as_str())];
        let answer = http::post(&self.endpoint, &headers, &body.to_string());
        assert_eq!(answer.status, 200, "{operation} {body}: {}", answer.body);
        answer.json()
    }

    /// Of an API that is told by its target, such as `AmazonSSM.PutParameter`.
    pub(crate) fn aws(&self, target: &str, body: &Value) -> Value {
        let headers = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", target)];
        let answer = http::post(&self.endpoint, &headers, &body.to_string());
        assert_eq!(answer.status, 200, "{target} {body}: {}", answer.body);
        answer.json()
    }

    fn ec2(&self, form: &str) -> String {
        let answer = http::post(&self.endpoint, &[("Content-Type", "application/x-www-form-urlencoded")], form);
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        answer.body
    }

    /// A compute environment and its queue, both of this name.
    pub(crate) fn environment(&self, name: &str) {
        self.batch("createcomputeenvironment", &json!({"computeEnvironmentName": name, "type": "UNMANAGED"}));
        let order = json!([{"order": 1, "computeEnvironment": name}]);
        self.batch("createjobqueue", &json!({"jobQueueName": name, "priority": 1, "computeEnvironmentOrder": order}));
    }

    /// The name of a compute environment's ECS cluster.
    pub(crate) fn cluster(&self, environment: &str) -> String {
        let found = self.batch("describecomputeenvironments", &json!({"computeEnvironments": [environment]}));
        last(text(&found["computeEnvironments"][0]["ecsClusterArn"])).to_owned()
    }

    /// A definition of this name: busybox with 1 vCPU and 64 MiB, unless `properties` say otherwise.
    pub(crate) fn define(&self, name: &str, properties: &Value) {
        let mut container = json!({"image": "busybox", "vcpus": 1, "memory": 64});
        merge(&mut container, properties);
        let definition = json!({"jobDefinitionName": name, "type": "container", "containerProperties": container});
        self.batch("registerjobdefinition", &definition);
    }

    /// A definition whose container finds `host` at `/work`.
    pub(crate) fn define_with_work(&self, name: &str, host: &std::path::Path) {
        let volumes = json!([{"name": "work", "host": {"sourcePath": host}}]);
        let mounts = json!([{"sourceVolume": "work", "containerPath": "/work"}]);
        self.define(name, &json!({"volumes": volumes, "mountPoints": mounts}));
    }

    /// Submits a job of definition `hello` to queue `local`, unless `request` says otherwise.
    pub(crate) fn submit(&self, request: &Value) -> String {
        let mut job = json!({"jobName": "job", "jobQueue": "local", "jobDefinition": "hello"});
        merge(&mut job, request);
        text(&self.batch("submitjob", &job)["jobId"]).to_owned()
    }

    /// Submits a shell script.
    pub(crate) fn shell(&self, definition: &str, script: &str) -> String {
        let command = json!(["sh", "-c", script]);
        self.submit(&json!({"jobDefinition": definition, "containerOverrides": {"command": command}}))
    }

    pub(crate) fn job(&self, id: &str) -> Value {
        self.batch("describejobs", &json!({"jobs": [id]}))["jobs"][0].take()
    }

    /// Waits until a job has this status, and fails at once when it is over with another one.
    pub(crate) fn job_in(&self, id: &str, status: &str) -> Value {
        eventually(&format!("job {id} in {status}"), || {
            let job = self.job(id);
            let now = text(&job["status"]);
            let missed = now != status && ["SUCCEEDED", "FAILED"].contains(&now);
            assert!(!missed, "job {id} is to be {status}: {job:#}");
            (now == status).then_some(job)
        })
    }

    /// Waits until a job is over, one way or the other.
    pub(crate) fn ended(&self, id: &str) -> Value {
        eventually(&format!("the end of job {id}"), || {
            let job = self.job(id);
            ["SUCCEEDED", "FAILED"].contains(&text(&job["status"])).then_some(job)
        })
    }

    /// The lines that a job's container wrote.
    pub(crate) fn output(&self, job: &Value) -> Vec<String> {
        let request = json!({"logGroupName": "/aws/batch/job", "logStreamName": job["container"]["logStreamName"],
            "startFromHead": true});
        let headers = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", "Logs_20140328.GetLogEvents")];
        let answer = http::post(&self.endpoint, &headers, &request.to_string());
        if answer.body.contains("ResourceNotFoundException") {
            // As with AWS, the stream comes with its first line.
            return Vec::new();
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["events"].as_array().unwrap().iter().map(|event| text(&event["message"]).to_owned()).collect()
    }

    /// All instances that there ever were, oldest first.
    pub(crate) fn instances(&self) -> Vec<Instance> {
        let xml = self.ec2("Action=DescribeInstances");
        // Each begins with its id.
        let items = xml.split("<instanceId>").skip(1);
        items.map(|item| Instance { id: before(item, "<"), ..instance(item) }).collect()
    }

    /// An instance without an agent: its test runs one.
    pub(crate) fn run_instance(&self) -> Instance {
        let xml = self.ec2("Action=RunInstances&MinCount=1&MaxCount=1&ImageId=ami-1");
        let (_, item) = xml.split_once("<instanceId>").unwrap();
        Instance { id: before(item, "<"), ..instance(item) }
    }

    /// Where a launched node keeps its files.
    pub(crate) fn node_dir(&self, instance: &str) -> PathBuf {
        self.dir.path().join("nodes").join(instance)
    }

    /// What the plane and its nodes have said.
    fn story(&self) -> String {
        let mut story = std::fs::read_to_string(self.dir.path().join("plane.out")).unwrap_or_default();
        for node in std::fs::read_dir(self.dir.path().join("nodes")).into_iter().flatten().flatten() {
            story += &format!("--- {}\n{}", node.path().display(), super::log(&node.path()));
        }
        story
    }
}

/// A plane's process, and where it can be reached.
fn spawn(dir: &TempDir, address: &str, args: &[String]) -> (Process, String) {
    let mut command = binary();
    command.args(["local", "--listen", address, "--data-dir"]).arg(dir.path()).args(args);
    command.arg("--frames").arg(dir.path().join("frames"));
    let out = dir.path().join("plane.out");
    // What an earlier one has said is kept.
    let said_before = std::fs::read_to_string(&out).map_or(0, |said| said.len());
    let mut process = Process::spawn(command, &out);
    let endpoint = eventually("the plane's address", || {
        let said = std::fs::read_to_string(&out).unwrap();
        assert!(process.exited().is_none(), "the plane did not start: {said}");
        let (_, rest) = said[said_before..].split_once("on this machine: ")?;
        rest.split_once('\n').map(|(endpoint, _)| endpoint.to_owned())
    });
    (process, endpoint)
}

fn instance(item: &str) -> Instance {
    let after = |mark: &str| item.split_once(mark).map(|(_, rest)| before(rest, "<"));
    let state = after("<name>").unwrap();
    Instance { id: String::new(), state, imds: after("<key>imds-endpoint</key><value>") }
}

fn before(text: &str, mark: &str) -> String {
    text.split_once(mark).unwrap().0.to_owned()
}

fn merge(into: &mut Value, more: &Value) {
    into.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
}

/// Ends as Ctrl-C would end it, and looks whether anything is left.
impl Drop for Plane {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            eprintln!("{}", self.story());
        }
        let clusters: Vec<String> = match self.process.exited() {
            Some(_) => Vec::new(),
            None if failed => Vec::new(),
            None => {
                let found = self.batch("describecomputeenvironments", &json!({}));
                let environments = found["computeEnvironments"].as_array().unwrap();
                environments.iter().map(|ce| last(text(&ce["ecsClusterArn"])).to_owned()).collect()
            }
        };
        self.process.signal("TERM");
        let ended = self.process.ends_within(STOP);
        if failed {
            return;
        }
        let left: usize = clusters.iter().map(|cluster| docker::remove(cluster)).sum();
        assert_eq!(left, 0, "the plane left containers behind");
        let ended = ended.unwrap_or_else(|| panic!("the plane did not end within {STOP:?} of SIGTERM"));
        assert_eq!(ended.code(), Some(0), "the plane ended badly");
        super::frames::check_recorded(&self.dir.path().join("frames"));
    }
}
