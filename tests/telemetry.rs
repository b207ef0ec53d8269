//! What the agent tells ECS of its containers, against what Docker tells of them; and each message against ECS's own model.
//! The plane runs in this process and has issued the agent's keys, so it takes no frame whose signature it cannot verify.

use std::collections::BTreeMap;
use std::time::Duration;

use local_batch::{NodeTemplate, Plane, PlaneConfig, PlaneEvent};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::common::frames::check_recorded;
use crate::common::model::Model;
use crate::common::{BINARY, docker, last, text};

/// Two intervals of 20 s and a slow machine's start.
const PATIENCE: Duration = Duration::from_secs(90);

/// Points of CPU use by which Docker's figure may lie outside of ours. Docker measures over a second of its own that overlaps two
/// of ours, so its figure is a mean of parts of both, and lies between the least and the most of the interval. But it divides by
/// the host's time as /proc/stat has it, in ticks of 10 ms on each CPU, and not by the clock; and where a second was shared
/// unevenly with other processes, its part may be outside of the whole by some points.
const CPU_SLACK: f64 = 8.0;
/// MiB by which the memory may differ: ECS wants usage less the whole page cache on cgroup v1, and rounded down; the Docker CLI
/// takes off only the inactive file pages. busybox maps a single file of about 1 MiB, which is the active rest.
const MEMORY_SLACK: f64 = 3.0;

fn config(dir: &std::path::Path) -> PlaneConfig {
    PlaneConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        region: "us-east-1".to_owned(),
        max_nodes: 1,
        node: NodeTemplate {
            program: BINARY.into(),
            idle_timeout: Some("1h".to_owned()),
            vcpus: Some(8.0),
            memory_mib: Some(4096),
            ..NodeTemplate::default()
        },
        data_dir: dir.to_owned(),
        docker_host: None,
        credentials_lifetime: None,
        frames: Some(dir.join("frames")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_agrees_with_docker_stats_and_with_the_model() {
    docker::need_busybox();
    let dir = tempfile::tempdir().unwrap();
    let plane = Plane::start(config(dir.path())).await.unwrap();
    let heard = Heard { events: plane.events(), model: Model::load("tcs-api-2.json") };
    let jobs = submitted(&plane);
    let task_of = |job: &str| {
        let job = plane.batch("describejobs", &json!({"jobs": [job]})).unwrap();
        job["jobs"][0]["container"]["taskArn"].as_str().map(str::to_owned)
    };
    // Apart, so that the plane is shut down, and with it every container, whatever fails.
    let story = tokio::spawn(story(heard));
    let ended = tokio::time::timeout(PATIENCE, story).await;
    let tasks = jobs.map(|job| task_of(&job));
    let log = std::fs::read_dir(dir.path().join("nodes")).ok().and_then(|mut nodes| nodes.next());
    let log = log.map(|node| crate::common::log(&node.unwrap().path())).unwrap_or_default();
    plane.shutdown().await;
    check_recorded(&dir.path().join("frames"));
    match ended {
        Ok(Ok(found)) => assert_eq!(tasks.map(Option::unwrap).map(|arn| found.contains(&arn)), [true, true]),
        Ok(Err(failed)) => {
            eprintln!("{log}");
            std::panic::resume_unwind(failed.into_panic());
        }
        Err(_) => panic!("the telemetry that was waited for did not come: {log}"),
    }
}

/// One job burns CPU, the other one holds 64 MiB.
fn submitted(plane: &Plane) -> [String; 2] {
    let call = |operation: &str, request: Value| plane.batch(operation, &request).unwrap();
    call("createcomputeenvironment", json!({"computeEnvironmentName": "local", "type": "UNMANAGED"}));
    let order = json!([{"order": 1, "computeEnvironment": "local"}]);
    call("createjobqueue", json!({"jobQueueName": "local", "priority": 1, "computeEnvironmentOrder": order}));
    [("burn", "while :; do :; done"), ("hold", "(head -c 67108864 /dev/zero; sleep 600) | tail")].map(
        |(name, script)| {
            let needs = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}]);
            let container = json!({"image": "busybox", "command": ["sh", "-c", script], "resourceRequirements": needs});
            let definition = json!({"jobDefinitionName": name, "type": "container", "containerProperties": container});
            call("registerjobdefinition", definition);
            let job = call("submitjob", json!({"jobName": name, "jobQueue": "local", "jobDefinition": name}));
            text(&job["jobId"]).to_owned()
        },
    )
}

/// What the plane is told, each message held against the model.
struct Heard {
    events: broadcast::Receiver<PlaneEvent>,
    model: Option<Model>,
}

impl Heard {
    async fn metrics(&mut self) -> Value {
        loop {
            let PlaneEvent::Telemetry { kind, message, .. } = self.events.recv().await.unwrap() else { continue };
            if let Some(model) = &self.model {
                assert_eq!(model.faults_of_frame(&message), Vec::<String>::new(), "{message}");
            }
            let message: Value = serde_json::from_str(&message).unwrap();
            assert_eq!(message["type"], kind);
            if kind == "PublishMetricsRequest" {
                return message["message"].clone();
            }
        }
    }

    /// The metrics of the next message about two tasks, by task.
    async fn of_both(&mut self) -> BTreeMap<String, Value> {
        loop {
            let mut message = self.metrics().await;
            assert_eq!(message["metadata"]["fin"], true);
            let Value::Array(tasks) = message["taskMetrics"].take() else { continue };
            let by_task = |task: Value| (text(&task["taskArn"]).to_owned(), task["containerMetrics"][0].clone());
            let tasks: BTreeMap<_, _> = tasks.into_iter().map(by_task).collect();
            if tasks.len() == 2 {
                return tasks;
            }
        }
    }
}

async fn story(mut heard: Heard) -> Vec<String> {
    let first = heard.metrics().await;
    assert_eq!((&first["metadata"]["idle"], &first["metadata"]["fin"]), (&json!(true), &json!(true)));
    assert!(first.get("taskMetrics").is_none(), "nothing runs yet: {first}");
    // The interval after this message is the one to compare.
    let tasks: Vec<String> = heard.of_both().await.into_keys().collect();
    let seen: Vec<Vec<Stats>> = tasks.iter().map(|task| (0..2).map(|_| Stats::of(task)).collect()).collect();
    let ours = heard.of_both().await;
    assert_eq!(ours.keys().collect::<Vec<_>>(), tasks.iter().collect::<Vec<_>>());
    let mut memory = Vec::new();
    let mut cpu = Vec::new();
    for (metric, seen) in ours.values().zip(&seen) {
        agrees(metric, seen);
        memory.push(mean(&metric["memoryStatsSet"]));
        cpu.push(mean(&metric["cpuStatsSet"]));
    }
    let order = |values: &[f64]| values[0] < values[1];
    assert_ne!(order(&memory), order(&cpu), "who burns holds little, and who holds burns little: {cpu:?} {memory:?}");
    assert!(memory.iter().any(|mib| (64.0..70.0).contains(mib)), "{memory:?}");
    assert!(cpu.iter().any(|percent| *percent > 2.0) && cpu.iter().all(|percent| *percent <= 100.0), "{cpu:?}");
    tasks
}

/// Docker's figures from within an interval against ours of it.
fn agrees(metric: &Value, seen: &[Stats]) {
    let number = |set: &str, field: &str| metric[set][field].as_f64().unwrap();
    for set in ["cpuStatsSet", "memoryStatsSet"] {
        let samples = number(set, "sampleCount");
        assert!((10.0..=22.0).contains(&samples), "one a second for 20 s, or fewer on a busy machine: {samples}");
    }
    for stats in seen {
        let (low, high) = (number("cpuStatsSet", "min") - CPU_SLACK, number("cpuStatsSet", "max") + CPU_SLACK);
        assert!((low..=high).contains(&stats.cpu_percent), "{stats:?}: {metric:#}");
        let (low, high) = (number("memoryStatsSet", "min"), number("memoryStatsSet", "max"));
        let memory = (low - MEMORY_SLACK)..=(high + MEMORY_SLACK);
        assert!(memory.contains(&stats.memory_mib), "{stats:?}: {metric:#}");
    }
    assert_eq!(
        metric.get("networkStatsSet"),
        None,
        "Batch gives its jobs the host's network, whose counters are not theirs"
    );
    assert!(metric["storageStatsSet"]["readSizeBytes"]["sum"].is_i64());
}

fn mean(set: &Value) -> f64 {
    set["sum"].as_f64().unwrap() / set["sampleCount"].as_f64().unwrap()
}

/// One line of `docker stats --no-stream`.
#[derive(Debug)]
struct Stats {
    /// Of the whole instance; Docker says of one CPU.
    cpu_percent: f64,
    memory_mib: f64,
}

impl Stats {
    fn of(task: &str) -> Self {
        let container = docker::containers(last(task)).pop().unwrap();
        let cpus: f64 = docker::docker(&["info", "--format", "{{.NCPU}}"]).parse().unwrap();
        let format = "{{.CPUPerc}} / {{.MemUsage}}";
        let line = docker::docker(&["stats", "--no-stream", "--format", format, &container]);
        let parts: Vec<&str> = line.split(" / ").collect();
        let percent: f64 = parts[0].trim_end_matches('%').parse().unwrap();
        Self { cpu_percent: percent / cpus, memory_mib: mebibytes(parts[1]) }
    }
}

/// `64.85MiB`, or another unit.
fn mebibytes(shown: &str) -> f64 {
    let (number, unit) = shown.split_at(shown.find(|c: char| c.is_alphabetic()).unwrap());
    let units = [("B", 1.0 / 1_048_576.0), ("KiB", 1.0 / 1024.0), ("MiB", 1.0), ("GiB", 1024.0)];
    let (_, scale) = units.into_iter().find(|(name, _)| *name == unit).unwrap_or_else(|| panic!("{shown}"));
    number.parse::<f64>().unwrap() * scale
}
