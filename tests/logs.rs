//! Logs: JSON on demand, each line about a job with its names, and never a secret.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::agent::{Agent, Setup};
use crate::common::plane::{Instance, Plane};
use crate::common::{eventually, http, last, text};

/// The secrets of the credentials that an instance's metadata service hands out.
fn secrets(instance: &Instance) -> Vec<String> {
    let imds = format!("{}/latest", instance.imds.clone().unwrap());
    let token = http::put(&format!("{imds}/api/token"), ("X-aws-ec2-metadata-token-ttl-seconds", "60")).body;
    let get = |path: &str| {
        let answer = http::get(
            &format!("{imds}/meta-data/iam/security-credentials/{path}"),
            ("X-aws-ec2-metadata-token", &token),
        );
        assert_eq!(answer.status, 200, "{path}");
        answer
    };
    let credentials = get(&get("").body).json();
    ["SecretAccessKey", "Token"].map(|name| text(&credentials[name]).to_owned()).to_vec()
}

/// The story that the logs tell: a good job, one that fails, one without an image; the agent stops and starts again.
/// Gives the ids of the jobs and of their tasks, and what must stay secret.
fn story(plane: &Plane, agent: &mut Agent, instance: &Instance) -> (Vec<[String; 2]>, Vec<String>) {
    const OF_JOB: [&str; 2] = ["hunter2-of-the-job", "hunter3-of-the-definition"];
    let environment = json!([{"name": "PASSWORD", "value": OF_JOB[1]}]);
    plane.define("good", &json!({"environment": environment, "command": ["true"]}));
    plane.define("no-image", &json!({"image": "localhost:1/none", "environment": environment}));
    let request = |definition: &str, script: &str| {
        json!({"jobDefinition": definition, "containerOverrides": {"command": ["sh", "-c", script],
            "environment": [{"name": "API_KEY", "value": OF_JOB[0]}]}})
    };
    let requests = [request("good", "true"), request("good", "exit 3"), request("no-image", "true")];
    let jobs: Vec<String> = requests.iter().map(|request| plane.submit(request)).collect();
    let with_task = |id: &String| {
        let job = plane.ended(id);
        [id.clone(), last(text(&job["container"]["taskArn"])).to_owned()]
    };
    let jobs = jobs.iter().map(with_task).collect();
    agent.process().signal("TERM");
    eventually("the agent's end", || agent.process().exited());
    agent.start_again();
    agent.joined();
    let mut secret = secrets(instance);
    secret.extend(OF_JOB.map(str::to_owned));
    (jobs, secret)
}

fn hides(log: &str, secrets: &[String]) {
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "a secret in a log");
    }
}

#[test]
fn json_lines_name_their_job_and_hide_secrets_at_any_level() {
    let plane = Plane::start(&["--max-nodes", "0", "--log-level", "trace"]);
    let instance = plane.run_instance();
    let setup = Setup::on(&plane, &instance).args(&["--log-format", "json", "--log-level", "trace"]);
    let mut agent = Agent::start(setup);
    let (jobs, secrets) = story(&plane, &mut agent, &instance);
    let log = agent.log();
    let of_job = ["task", "job_id", "queue", "attempt"];
    let mut seen = BTreeSet::new();
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(entry[field].is_string(), "no {field} in {line}");
        }
        for [job, task] in &jobs {
            if line.contains(job) || line.contains(task) {
                let values =
                    of_job.map(|field| entry[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}")));
                assert_eq!(values, [task, job, "local", "1"], "{line}");
                seen.insert(job);
            }
        }
    }
    assert_eq!(seen.len(), jobs.len(), "each job has lines");
    hides(&log, &secrets);
    hides(&std::fs::read_to_string(plane.dir.path().join("plane.out")).unwrap(), &secrets);
}

#[test]
fn text_is_for_people_and_hides_secrets_too() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let mut agent = Agent::start(Setup::on(&plane, &instance).set("log_level", r#""trace""#));
    let (jobs, secrets) = story(&plane, &mut agent, &instance);
    let log = agent.log();
    assert!(!log.contains('\u{1b}'), "no colours in a file: {log}");
    for [job, task] in &jobs {
        let names =
            [format!("task=\"{task}\""), format!("job_id=\"{job}\""), "queue=\"local\"".into(), "attempt=\"1\"".into()];
        let parts: Vec<&str> = ["reported STOPPED"].into_iter().chain(names.iter().map(String::as_str)).collect();
        assert!(agent.line_now(&parts).is_some(), "{parts:?} in {log}");
    }
    hides(&log, &secrets);
}

#[test]
fn what_is_at_info_by_default_is_a_line_a_step() {
    let plane = Plane::without_nodes();
    let agent = Agent::on(&plane);
    let id = plane.shell("hello", "true");
    plane.job_in(&id, "SUCCEEDED");
    agent.line(&[&id, "reported STOPPED"]);
    for step in ["task accepted", "container runs", "container exited", "reported STOPPED"] {
        let log = agent.log();
        let count = log.lines().filter(|line| line.contains(step) && line.contains(&id)).count();
        assert_eq!(count, 1, "{step}: {log}");
    }
    let log = agent.log();
    assert!(log.lines().all(|line| !line.contains("DEBUG") && !line.contains("TRACE")), "{log}");
}
