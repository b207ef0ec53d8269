//! The agent under measurement: its release binary, launched by an embedded plane in this process, which stamps what it sends and gets.

use crate::process;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use local_batch::{NodeTemplate, Plane, PlaneConfig, PlaneEvent};
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};

/// Nothing measured here takes longer, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Bench {
    plane: Plane,
    data_dir: PathBuf,
    /// Kept open from the start, so that no event is missed.
    events: tokio::sync::Mutex<broadcast::Receiver<PlaneEvent>>,
    submitted: Mutex<u64>,
}

/// Seconds since the payload was sent.
pub(crate) struct Sample {
    /// `None` when the job was over before its RUNNING could be sent.
    pub(crate) running: Option<f64>,
    pub(crate) stopped: f64,
}

impl Bench {
    /// With `concurrency` the agent creates and starts so many containers at once, else as many as it does by itself.
    pub(crate) async fn start(concurrency: Option<String>) -> Result<Self> {
        let data_dir = std::env::temp_dir().join(format!("bna-bench-{}", std::process::id()));
        let plane = Plane::start(PlaneConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            region: "us-east-1".to_owned(),
            max_nodes: 1,
            node: NodeTemplate {
                program: env!("CARGO_BIN_EXE_batch-node-agent").into(),
                idle_timeout: Some("1h".to_owned()),
                vcpus: Some(256.0),
                memory_mib: Some(1 << 20),
                env: concurrency.map(|n| ("BATCH_NODE_AGENT_DOCKER_CONCURRENCY".to_owned(), n)).into_iter().collect(),
                ..NodeTemplate::default()
            },
            data_dir: data_dir.clone(),
            docker_host: None,
            credentials_lifetime: None,
            frames: None,
        })
        .await?;
        let events = tokio::sync::Mutex::new(plane.events());
        let bench = Self { plane, data_dir, events, submitted: Mutex::new(0) };
        bench.define()?;
        Ok(bench)
    }

    fn call(&self, operation: &str, request: &Value) -> Result<Value> {
        self.plane.batch(operation, request).map_err(|error| anyhow::anyhow!("{operation}: {error:?}"))
    }

    fn define(&self) -> Result<()> {
        self.call("createcomputeenvironment", &json!({"computeEnvironmentName": "bench", "type": "UNMANAGED"}))?;
        self.call(
            "createjobqueue",
            &json!({"jobQueueName": "bench", "priority": 1,
                "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "bench"}]}),
        )?;
        self.call(
            "registerjobdefinition",
            &json!({"jobDefinitionName": "true", "type": "container",
                "containerProperties": {"image": "busybox", "command": ["true"],
                    // Named, so that the plane does not collect the output through Docker, which would be measured too.
                    "logConfiguration": {"logDriver": "json-file"},
                    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]}}),
        )?;
        Ok(())
    }

    fn submit(&self) -> Result<()> {
        let n = {
            let mut submitted = self.submitted.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
            *submitted += 1;
            *submitted
        };
        let job = json!({"jobName": format!("bench-{n}"), "jobQueue": "bench", "jobDefinition": "true"});
        self.call("submitjob", &job).map(|_| ())
    }

    /// One job, alone on the host.
    pub(crate) async fn job(&self) -> Result<Sample> {
        self.submit()?;
        let times = self.follow(1).await?;
        let times = times.values().next().context("no task")?;
        Ok(Sample { running: times.since_payload(times.running).ok(), stopped: times.since_payload(times.stopped)? })
    }

    /// Seconds from the first payload to the last STOPPED of `count` jobs.
    pub(crate) async fn burst(&self, count: usize) -> Result<f64> {
        for _ in 0..count {
            self.submit()?;
        }
        let times = self.follow(count).await?;
        let first = times.values().filter_map(|t| t.payload).min().context("no payload")?;
        let last = times.values().filter_map(|t| t.stopped).max().context("no STOPPED")?;
        Ok(last.duration_since(first).as_secs_f64())
    }

    /// Collects the times of the next `count` tasks until all have stopped.
    async fn follow(&self, count: usize) -> Result<BTreeMap<String, Times>> {
        let mut events = self.events.lock().await;
        let mut tasks: BTreeMap<String, Times> = BTreeMap::new();
        while tasks.values().filter(|t| t.stopped.is_some()).count() < count {
            let event = match tokio::time::timeout(PATIENCE, events.recv()).await {
                Ok(Ok(event)) => event,
                Ok(Err(RecvError::Lagged(missed))) => bail!("{missed} events were missed"),
                Ok(Err(RecvError::Closed)) => bail!("the plane is gone"),
                Err(_) => bail!("nothing happened for {PATIENCE:?}; see {}", self.data_dir.display()),
            };
            match event {
                PlaneEvent::PayloadSent { task_arn, at } => {
                    tasks.entry(task_arn).or_default().payload.get_or_insert(at);
                }
                PlaneEvent::TaskState { task_arn, status, at } => {
                    let times = tasks.entry(task_arn).or_default();
                    match status.as_str() {
                        "RUNNING" => times.running = Some(at),
                        "STOPPED" => times.stopped = Some(at),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        Ok(tasks)
    }

    /// The agent's resident memory, in the kernel's words.
    pub(crate) fn memory(&self) -> Result<String> {
        let pid = process::agent_pid(&self.data_dir)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Option<f64> {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        let mib = |name: &str| field(name).map_or(f64::NAN, |kib| kib / 1024.0);
        Ok(format!("{:.1} MiB ({:.1} anonymous)", mib("VmRSS:"), mib("RssAnon:")))
    }

    pub(crate) async fn stop(self) {
        self.plane.shutdown().await;
        // The data of a run that failed is worth a look.
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

#[derive(Default)]
struct Times {
    payload: Option<Instant>,
    running: Option<Instant>,
    stopped: Option<Instant>,
}

impl Times {
    fn since_payload(&self, at: Option<Instant>) -> Result<f64> {
        let (from, to) = (self.payload.context("no payload was seen")?, at.context("a state was not reported")?);
        Ok(to.duration_since(from).as_secs_f64())
    }
}
