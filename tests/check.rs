//! `batch-node-agent check`: what it says of a sound host, and of each thing that can be wrong with one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Value, json};

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::{binary, docker, http, text};

/// What a run of the command came to.
struct Checked {
    code: i32,
    report: Value,
}

impl Checked {
    /// The first finding of this id.
    fn finding(&self, id: &str) -> &Value {
        self.findings().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id} in {:#}", self.report))
    }

    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.report["checks"].as_array().unwrap().iter()
    }

    fn status(&self, id: &str) -> &str {
        text(&self.finding(id)["status"])
    }

    fn found(&self, id: &str) -> &str {
        text(&self.finding(id)["found"])
    }

    /// The ids of what fails.
    fn failing(&self) -> Vec<&str> {
        self.findings().filter(|finding| finding["status"] == "failure").map(|finding| text(&finding["id"])).collect()
    }

    /// That exactly this fails, and what is said of the first.
    fn fails_at(&self, ids: &[&str]) -> &str {
        assert_eq!(self.failing(), ids, "{:#}", self.report);
        assert_eq!((self.code, &self.report["status"]), (1, &json!("failure")));
        let finding = self.finding(ids[0]);
        assert!(!text(&finding["fix"]).is_empty());
        text(&finding["found"])
    }
}

/// Checks the host of this set-up, where no agent runs.
fn check(setup: &Setup, args: &[&str]) -> Checked {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = setup.clone().set("disk_full", r#""100%""#).config;
    lines.push(r#"task_endpoint = "loopback:0""#.to_owned());
    lines.push(format!("data_dir = {:?}", dir.path().join("data")));
    lines.push(format!("admin_socket = {:?}", dir.path().join("agent.sock")));
    std::fs::write(dir.path().join("config.toml"), lines.join("\n")).unwrap();
    check_at(setup, &dir.path().join("config.toml"), args)
}

/// Checks the host of an agent that runs.
fn check_host(agent: &Agent, setup: &Setup, args: &[&str]) -> Checked {
    check_at(setup, &agent.file("config.toml"), args)
}

fn check_at(setup: &Setup, config: &Path, args: &[&str]) -> Checked {
    let (code, out) = run(setup, config, &[args, &["--json"]].concat());
    Checked { code, report: serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}")) }
}

fn run(setup: &Setup, config: &Path, args: &[&str]) -> (i32, String) {
    let mut command = binary();
    command.arg("check").arg("--config").arg(config).args(args);
    command.env("AWS_ENDPOINT_URL", &setup.endpoint).env("AWS_REGION", "us-east-1");
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &setup.imds);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Stands before a plane, answers some operations itself, and may have another time.
struct Front {
    url: String,
}

#[derive(Clone, Default)]
struct Script {
    /// An operation, in lower case, and its answer.
    answers: Vec<(&'static str, Value)>,
    date: Option<&'static str>,
}

impl Front {
    fn of(plane: &Plane, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = plane.endpoint.trim_start_matches("http://").to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (script, behind) = (script.clone(), behind.clone());
                // A connection that breaks is the client's to notice.
                std::thread::spawn(move || drop(serve(client, &script, &behind)));
            }
        });
        Self { url }
    }
}

/// One request on a connection.
fn serve(mut client: TcpStream, script: &Script, behind: &str) -> std::io::Result<()> {
    let head = head_of(&mut client)?;
    let length = header(&head, "content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    let operation = operation(&head);
    if let Some((_, answer)) = script.answers.iter().find(|(name, _)| *name == operation) {
        let answer = answer.to_string();
        let length = answer.len();
        return write!(
            client,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
        );
    }
    let mut plane = TcpStream::connect(behind)?;
    let mut lines: Vec<&str> = head.trim_end().lines().filter(|line| !is_header(line, "connection")).collect();
    lines.push("connection: close");
    plane.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    plane.write_all(&body)?;
    let head = head_of(&mut plane)?;
    let mut answer = Vec::new();
    plane.read_to_end(&mut answer)?;
    let dated = script.date.map(|date| format!("date: {date}"));
    let lines: Vec<&str> = head
        .trim_end()
        .lines()
        .map(|line| if is_header(line, "date") { dated.as_deref().unwrap_or(line) } else { line })
        .collect();
    client.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    client.write_all(&answer)
}

fn head_of(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(given, _)| given.eq_ignore_ascii_case(name))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find(|line| is_header(line, name))?.split_once(':').map(|(_, value)| value.trim())
}

/// `Service.Operation` in a header, or Batch's path.
fn operation(head: &str) -> String {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let name = match header(head, "x-amz-target") {
        Some(target) => target.rsplit('.').next(),
        None => path.rsplit('/').next(),
    };
    name.unwrap_or_default().to_lowercase()
}

fn host(plane: &Plane) -> Setup {
    Setup::on(plane, &plane.run_instance())
}

#[test]
fn a_sound_host_passes_with_its_agent_and_without() {
    let plane = Plane::without_nodes();
    let setup = host(&plane).set("disk_full", r#""100%""#).set("https_proxy", r#""http://me:s3cret@127.0.0.1:9""#);
    let before = check(&setup, &[]);
    assert_eq!((before.failing(), before.code), (vec![], 0), "{:#}", before.report);
    assert_eq!(before.report["scope"], "host");
    assert_eq!(before.status("agent.running"), "skipped");
    let agent = Agent::start(setup.clone());
    agent.joined();
    let checked = check_host(&agent, &setup, &[]);
    assert_eq!((checked.failing(), checked.code), (vec![], 0), "{:#}", checked.report);
    for id in [
        "docker.reachable",
        "docker.log-drivers",
        "aws.credentials",
        "aws.clock",
        "imds.identity",
        "batch.compute-environment",
        "batch.queues",
        "ecs.cluster",
        "ecs.acs",
        "ecs.tcs",
        "iam.TerminateInstances",
        "iam.ListJobs",
        "agent.running",
        "agent.state",
    ] {
        assert_eq!(checked.status(id), "ok", "{:#}", checked.finding(id));
    }
    assert!(checked.found("agent.offer").starts_with("16 vCPU, 4096 MiB"));
    assert!(checked.found("iam.not-tried").contains("ecs:RegisterContainerInstance"));
    assert!(!checked.report.to_string().contains("s3cret"));
}

#[test]
fn people_get_a_table_without_colours_in_a_file() {
    let plane = Plane::without_nodes();
    let setup = host(&plane).set("compute_environment", r#""nobody""#);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    std::fs::write(&config, setup.config.join("\n")).unwrap();
    let (code, table) = run(&setup, &config, &[]);
    assert_eq!(code, 1);
    let line = table.lines().find(|line| line.contains("batch.compute-environment")).unwrap();
    assert!(line.starts_with("FAILURE  batch.compute-environment ") && line.contains("\"nobody\""), "{line}");
    assert!(
        table.contains("fix: see that `compute_environment`")
            && table.contains("This host is not ready for jobs: 1 failure")
    );
    assert!(!table.contains('\x1b'));
}

#[test]
fn a_compute_environment_that_is_not_there_or_not_for_us() {
    let plane = Plane::without_nodes();
    let setup = host(&plane);
    let absent = check(&setup.clone().set("compute_environment", r#""nobody""#), &[]);
    assert!(absent.fails_at(&["batch.compute-environment"]).contains("no compute environment \"nobody\""));
    assert_eq!((absent.status("batch.queues"), absent.status("ecs.acs")), ("skipped", "skipped"));
    let off = json!({"computeEnvironment": "local", "state": "DISABLED"});
    plane.batch("updatecomputeenvironment", &off);
    assert!(check(&setup, &[]).fails_at(&["batch.compute-environment"]).contains("DISABLED"));
    let homeless: Vec<String> =
        setup.config.iter().filter(|line| !line.contains("compute_environment")).cloned().collect();
    let homeless = check(&Setup { config: homeless, ..setup }, &[]);
    assert!(homeless.fails_at(&["config.valid"]).contains("neither"));
}

#[test]
fn a_queue_that_is_disabled() {
    let plane = Plane::without_nodes();
    plane.batch("updatejobqueue", &json!({"jobQueue": "local", "state": "DISABLED"}));
    let checked = check(&host(&plane), &[]);
    assert!(checked.fails_at(&["batch.queues"]).contains("local is DISABLED"));
}

#[test]
fn permissions_that_are_denied() {
    let plane = Plane::without_nodes();
    let setup = host(&plane);
    let deny = |action: &str| {
        let order = json!({"action": action}).to_string();
        assert_eq!(http::post(&format!("{}/local/denials", plane.endpoint), &[], &order).status, 200);
    };
    deny("batch:ListJobs");
    deny("ec2:TerminateInstances");
    let checked = check(&setup, &[]);
    assert!(checked.fails_at(&["iam.TerminateInstances", "iam.ListJobs"]).contains("cannot terminate itself"));
    assert!(text(&checked.finding("iam.ListJobs")["fix"]).contains("allow batch:ListJobs"));
    deny("batch:DescribeComputeEnvironments");
    let checked = check(&setup, &[]);
    assert!(checked.found("batch.compute-environment").contains("Batch could not be asked"));
    assert!(text(&checked.finding("batch.compute-environment")["fix"]).contains("batch:DescribeComputeEnvironments"));
    deny("ecs:DiscoverPollEndpoint");
    let by_cluster = setup.set("cluster", &format!("{:?}", plane.cluster("local")));
    let config = by_cluster.config.iter().filter(|line| !line.contains("compute_environment")).cloned().collect();
    let checked = check(&Setup { config, ..by_cluster }, &[]);
    assert!(text(&checked.finding("ecs.poll-endpoint")["fix"]).contains("ecs:DiscoverPollEndpoint"));
}

#[test]
fn a_clock_that_aws_would_refuse() {
    let plane = Plane::without_nodes();
    let front = Front::of(&plane, Script { date: Some("Thu, 01 Jan 2015 00:00:00 GMT"), ..Script::default() });
    let checked = check(&host(&plane).through(&front.url), &[]);
    // The SDK goes by that clock as well, and the plane may refuse what it then signs.
    assert!(checked.failing().contains(&"aws.clock") && checked.code == 1, "{:#}", checked.report);
    let found = checked.found("aws.clock");
    assert!(found.contains("ahead of AWS's") && found.contains("refuses what is signed"), "{found}");
}

#[test]
fn an_acs_that_cannot_be_reached() {
    let plane = Plane::without_nodes();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answers = vec![("discoverpollendpoint", json!({"endpoint": closed, "telemetryEndpoint": plane.endpoint}))];
    let front = Front::of(&plane, Script { answers, ..Script::default() });
    let checked = check(&host(&plane).through(&front.url), &[]);
    assert!(checked.fails_at(&["ecs.acs"]).contains("cannot be reached"));
    assert_eq!(checked.status("ecs.tcs"), "ok");
}

#[test]
fn a_docker_that_is_not_there() {
    let plane = Plane::without_nodes();
    let checked = check(&host(&plane).set("docker_host", r#""unix:///nowhere/docker.sock""#), &[]);
    let found = checked.fails_at(&["docker.reachable"]);
    assert!(found.contains("/nowhere/docker.sock"), "{found}");
    assert_eq!((checked.status("docker.storage"), checked.status("batch.queues")), ("skipped", "ok"));
}

#[test]
fn what_does_not_answer_does_not_hold_up_the_rest() {
    let plane = Plane::without_nodes();
    let setup = host(&plane);
    plane.fault(&json!({"fault": "hang", "operation": "DescribeJobQueues"}));
    let checked = check(&setup, &[]);
    assert!(checked.found("batch.queues").contains("no answer within"));
    assert_eq!(checked.status("batch.compute-environment"), "ok");
}

#[test]
fn a_job_that_would_be_placed_and_jobs_that_would_not() {
    let plane = Plane::without_nodes();
    let setup = host(&plane);
    let fits = check(&setup, &["job", "hello"]);
    assert_eq!((fits.failing(), fits.code, &fits.report["scope"]), (vec![], 0, &json!("job")), "{:#}", fits.report);
    plane.define("big", &json!({"memory": 4303, "vcpus": 17}));
    let big = check(&setup, &["job", "big"]);
    big.fails_at(&["job.vcpus", "job.memory"]);
    assert_eq!(big.found("job.memory"), "short by 207 MiB: it asks for 4303 MiB, this host offers 4096 MiB");
    plane.define("splunk", &json!({"logConfiguration": {"logDriver": "splunk"}}));
    let offered = setup.clone().set("logging_drivers", r#"["awslogs", "json-file"]"#);
    let driverless = check(&offered, &["job", "splunk:1"]);
    assert!(driverless.fails_at(&["job.attributes"]).contains("logging-driver.splunk"));
    let gone = check(&setup, &["job", "hello:99"]);
    gone.fails_at(&["job.found"]);
}

#[test]
fn jobs_for_other_kinds_of_hosts() {
    let plane = Plane::without_nodes();
    let setup = host(&plane);
    let defined = |definition: Value| {
        let mut whole = json!({"jobDefinitionName": "d", "jobDefinitionArn": "arn:d", "revision": 1, "status": "ACTIVE",
            "type": "container"});
        whole.as_object_mut().unwrap().extend(definition.as_object().unwrap().clone());
        let answers = vec![("describejobdefinitions", json!({"jobDefinitions": [whole]}))];
        let front = Front::of(&plane, Script { answers, ..Script::default() });
        check(&setup.clone().through(&front.url), &["job", "d"])
    };
    let many = json!({"type": "multinode",
        "nodeProperties": {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:1"}]}});
    assert!(defined(many).fails_at(&["job.kind"]).contains("multi-node"));
    let container = |more: Value| {
        let mut container = json!({"image": "busybox", "resourceRequirements": [{"type": "VCPU", "value": "1"},
            {"type": "MEMORY", "value": "64"}]});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"containerProperties": container})
    };
    let volume = json!({"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}});
    let efs = defined(container(json!({"volumes": [volume]})));
    assert!(efs.fails_at(&["job.attributes"]).contains("ecs.capability.efs "));
    let other = if cfg!(target_arch = "aarch64") { "X86_64" } else { "ARM64" };
    let foreign = defined(container(json!({"runtimePlatform": {"cpuArchitecture": other}})));
    assert!(foreign.fails_at(&["job.architecture"]).contains(other));
}

#[test]
fn a_job_that_waits_says_why_it_does_not_come_here() {
    let plane = Plane::without_nodes();
    let setup = host(&plane);
    let agent = Agent::start(setup.clone());
    agent.joined();
    plane.define("big", &json!({"memory": 4303}));
    let id = plane.submit(&json!({"jobDefinition": "big"}));
    plane.job_in(&id, "RUNNABLE");
    let waiting = check_host(&agent, &setup, &["job", &id]);
    assert!(waiting.fails_at(&["job.memory"]).contains("207 MiB"));
    assert!(waiting.found("job.state").contains("RUNNABLE"));
    assert_eq!((waiting.status("job.queue"), waiting.status("job.host")), ("ok", "ok"));
    plane.environment("other");
    let elsewhere = plane.submit(&json!({"jobQueue": "other"}));
    let elsewhere = check_host(&agent, &setup, &["job", &elsewhere]);
    assert!(elsewhere.fails_at(&["job.queue"]).contains("other does not feed local"));
    let drain = binary().args(["drain", "--socket"]).arg(agent.file("agent.sock")).output().unwrap();
    assert!(drain.status.success());
    agent.status_with("a host that drains", |status| status["state"]["phase"] == "DRAINING");
    let drained = crate::common::eventually("a host that ECS has as DRAINING", || {
        let checked = check_host(&agent, &setup, &["job", "hello"]);
        (checked.status("job.host") == "failure").then_some(checked)
    });
    assert!(drained.fails_at(&["job.host"]).contains("DRAINING"));
}

#[test]
fn an_image_is_checked_without_role_and_metadata() {
    docker::need_busybox();
    let nowhere = Setup {
        endpoint: "http://127.0.0.1:9".into(),
        imds: "http://127.0.0.1:9".into(),
        config: Vec::new(),
        environment: Vec::new(),
        args: Vec::new(),
    };
    let checked = check(&nowhere, &["--bake", "--image", "busybox", "--image", "no.such/image:1"]);
    assert_eq!((checked.code, &checked.report["scope"]), (1, &json!("image")));
    assert_eq!(checked.found("image.pulled"), "not pulled: no.such/image:1");
    assert!(checked.found("config.valid").contains("left to user data"));
    assert_eq!(checked.status("docker.reachable"), "ok");
    let of_cloud = ["aws.", "imds.", "batch.", "ecs.", "iam."];
    assert!(!checked.findings().any(|finding| of_cloud.iter().any(|group| text(&finding["id"]).starts_with(group))));
    for wrong in [&["check", "--image", "busybox"][..], &["check", "--bake", "job", "hello"], &["check", "job"]] {
        assert_eq!(binary().args(wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
}
