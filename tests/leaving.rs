//! Leaving on the operator's word, for waiting work, and on what the metadata service announces.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::{binary, eventually};

/// Runs a command of the operator's against this agent, and gives what it prints.
fn order(agent: &Agent, args: &[&str]) -> String {
    let output = binary().args(args).arg("--socket").arg(agent.file("agent.sock")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out.into_owned()
}

fn phase<'a>(phase: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |status| status["state"]["phase"] == phase
}

/// A metadata service that says what the test puts into it, and otherwise what the plane's says.
struct Metadata {
    url: String,
    items: Arc<Mutex<Vec<(String, String)>>>,
}

impl Metadata {
    fn before(behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let items: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (served, behind) = (Arc::clone(&items), behind.trim_start_matches("http://").to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (served, behind) = (Arc::clone(&served), behind.clone());
                std::thread::spawn(move || answer(stream.unwrap(), &served, &behind));
            }
        });
        Self { url, items }
    }

    fn say(&self, path: &str, text: &str) {
        self.items.lock().unwrap().push((path.to_owned(), text.to_owned()));
    }

    fn forget(&self) {
        self.items.lock().unwrap().clear();
    }
}

/// One request on a connection; the rest of what the client wants comes on others.
fn answer(mut client: std::net::TcpStream, items: &Mutex<Vec<(String, String)>>, behind: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let said = items.lock().unwrap().iter().rev().find(|(at, _)| *at == path).map(|(_, text)| text.clone());
    if let Some(text) = said {
        let length = text.len();
        let _ = write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
        return;
    }
    let mut plane = std::net::TcpStream::connect(behind).unwrap();
    let closing: String = head.lines().filter(|line| !line.to_lowercase().starts_with("connection:")).fold(
        String::new(),
        |mut text, line| {
            if line.is_empty() {
                text.push_str("connection: close\r\n");
            }
            text.push_str(line);
            text.push_str("\r\n");
            text
        },
    );
    plane.write_all(closing.as_bytes()).unwrap();
    let mut answered = Vec::new();
    let _ = plane.read_to_end(&mut answered);
    let _ = client.write_all(&answered);
}

#[test]
fn a_drain_on_the_operators_word_and_back() {
    let plane = Plane::without_nodes();
    let agent = Agent::on(&plane);
    agent.joined();
    let plan = order(&agent, &["drain", "--terminate", "--dry-run"]);
    assert!(plan.contains("DRAINING") && plan.contains("terminate this host"), "{plan}");
    agent.status_with("a host that still works", phase("ACTIVE"));
    order(&agent, &["drain", "--wait"]);
    let status = agent.status_with("a drained host", phase("DRAINING"));
    assert!(status["state"]["why"].as_str().unwrap().contains("the operator said drain"), "{status}");
    order(&agent, &["drain", "--cancel"]);
    agent.status_with("a host at work again", phase("ACTIVE"));
    let shutdown = order(&agent, &["drain", "--host-shutdown"]);
    assert!(shutdown.contains("not going down"), "{shutdown}");
}

#[test]
fn a_held_host_stays_however_idle_until_it_is_released() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let agent = Agent::start(Setup::on(&plane, &instance).set("idle_timeout", r#""4s""#));
    agent.joined();
    order(&agent, &["hold", "a", "debugger"]);
    let status = agent.status_with("a hold", |s| s["leaving"]["hold"] == "a debugger");
    let since = status["agent"]["started_at_ms"].as_u64().unwrap();
    let long_idle = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    eventually("an idle time that is long over", || (long_idle() > since + 9_000).then_some(()));
    agent.status_with("a host that is held", phase("ACTIVE"));
    order(&agent, &["release"]);
    eventually("the instance's termination", || {
        plane.instances().iter().find(|i| i.id == instance.id && i.state == "terminated").cloned()
    });
}

#[test]
fn a_host_leaves_after_so_many_jobs_and_its_program_hears_of_it() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let dir = tempfile::tempdir().unwrap();
    let (hook, heard) = (dir.path().join("hook"), dir.path().join("heard"));
    std::fs::write(&hook, format!("#!/bin/sh\n(cat; echo) >> {}\n", heard.display())).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let setup = Setup::on(&plane, &instance).set("max_jobs", "1").set("event_command", &format!("{hook:?}"));
    let agent = Agent::start(setup);
    agent.joined();
    let job = plane.shell("hello", "true");
    plane.job_in(&job, "SUCCEEDED");
    eventually("the instance's termination", || {
        plane.instances().iter().find(|i| i.id == instance.id && i.state == "terminated").cloned()
    });
    let lines = std::fs::read_to_string(&heard).unwrap();
    let steps: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(steps.iter().any(|step| step["what"] == "drain" && step["cause"] == "jobs-done"), "{lines}");
}

#[test]
fn an_idle_host_does_not_wait_for_work_that_does_not_fit_it() {
    let plane = Plane::without_nodes();
    let large = json!({"vcpus": 2, "memory": 64, "command": ["true"]});
    let request =
        json!({"jobName": "large", "jobQueue": "local", "jobDefinition": "hello", "containerOverrides": large});
    let job = plane.submit(&request);
    plane.job_in(&job, "RUNNABLE");
    let instance = plane.run_instance();
    let agent = Agent::start(Setup::on(&plane, &instance).set("idle_timeout", r#""1s""#).set("cpu", "1"));
    agent.joined();
    eventually("the instance's termination", || {
        plane.instances().iter().find(|i| i.id == instance.id && i.state == "terminated").cloned()
    });
    assert_eq!(plane.job(&job)["status"], "RUNNABLE");
}

#[test]
fn a_spot_notice_drains_the_host_and_is_written_down_until_it_is_taken_back() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let metadata = Metadata::before(instance.imds.as_deref().unwrap());
    let mut setup = Setup::on(&plane, &instance).set("notice_interval", r#""100ms""#);
    setup.imds.clone_from(&metadata.url);
    let agent = Agent::start(setup);
    agent.joined();
    metadata.say("/latest/meta-data/spot/instance-action", r#"{"action":"terminate","time":"2099-01-01T00:00:00Z"}"#);
    agent.status_with("a host that waits to be taken", |s| {
        s["leaving"]["deadline"]["cause"] == "spot" && s["state"]["phase"] == "TERMINATING"
    });
    let file = agent.file("jobs/deadline.json");
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written["at_ms"], 4_070_908_800_000_u64);
    assert_eq!(written["kills"], false);
    metadata.forget();
    agent.status_with("a host at work again", phase("ACTIVE"));
    eventually("no deadline any more", || (!file.exists()).then_some(()));
}
