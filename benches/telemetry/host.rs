//! A host with running containers: the agent's release binary, launched by an embedded plane in this process.

use crate::process;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use local_batch::{NodeTemplate, Plane, PlaneConfig, PlaneEvent};
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};

/// Nothing here takes longer, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Host {
    plane: Plane,
    data_dir: PathBuf,
    /// The agent's process.
    pub(crate) agent: u32,
}

impl Host {
    /// With so many containers that do nothing, all of them running and seen by telemetry.
    pub(crate) async fn start(containers: usize) -> Result<Self> {
        let data_dir = std::env::temp_dir().join(format!("bna-telemetry-{}", std::process::id()));
        let plane = Plane::start(PlaneConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            region: "us-east-1".to_owned(),
            max_nodes: 1,
            node: NodeTemplate {
                program: env!("CARGO_BIN_EXE_batch-node-agent").into(),
                idle_timeout: Some("1h".to_owned()),
                vcpus: Some(1024.0),
                memory_mib: Some(1 << 20),
                ..NodeTemplate::default()
            },
            data_dir: data_dir.clone(),
            docker_host: None,
            credentials_lifetime: None,
            frames: None,
        })
        .await?;
        let mut host = Self { plane, data_dir, agent: 0 };
        match host.fill(containers).await {
            Ok(agent) => {
                host.agent = agent;
                Ok(host)
            }
            Err(error) => {
                host.stop().await;
                Err(error)
            }
        }
    }

    fn call(&self, operation: &str, request: &Value) -> Result<Value> {
        self.plane.batch(operation, request).map_err(|error| anyhow::anyhow!("{operation}: {error:?}"))
    }

    async fn fill(&self, containers: usize) -> Result<u32> {
        let mut events = self.plane.events();
        self.call("createcomputeenvironment", &json!({"computeEnvironmentName": "bench", "type": "UNMANAGED"}))?;
        let order = json!([{"order": 1, "computeEnvironment": "bench"}]);
        let queue = json!({"jobQueueName": "bench", "priority": 1, "computeEnvironmentOrder": order});
        self.call("createjobqueue", &queue)?;
        let needs = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]);
        let container = json!({"image": "busybox", "command": ["sleep", "86400"], "resourceRequirements": needs});
        let definition = json!({"jobDefinitionName": "sleep", "type": "container", "containerProperties": container});
        self.call("registerjobdefinition", &definition)?;
        for n in 0..containers {
            let job = json!({"jobName": format!("sleep-{n}"), "jobQueue": "bench", "jobDefinition": "sleep"});
            self.call("submitjob", &job)?;
        }
        let seen = tokio::time::timeout(PATIENCE, all_measured(&mut events, containers));
        seen.await.with_context(|| format!("no telemetry of all containers within {PATIENCE:?}"))??;
        process::agent_pid(&self.data_dir)
    }

    /// Stops the agent's process where it stands, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.agent.to_string()]).status()?;
        ensure!(status.success(), "kill {signal}: {status}");
        Ok(())
    }

    pub(crate) async fn stop(self) {
        if self.agent != 0 {
            // A process that is frozen does not end.
            let _ = self.freeze(false);
        }
        self.plane.shutdown().await;
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

/// Waits until telemetry has spoken of so many tasks.
async fn all_measured(events: &mut broadcast::Receiver<PlaneEvent>, tasks: usize) -> Result<()> {
    let mut seen = BTreeSet::new();
    while seen.len() < tasks {
        let message = match events.recv().await {
            Ok(PlaneEvent::Telemetry { message, .. }) => serde_json::from_str::<Value>(&message)?,
            Ok(_) => continue,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => bail!("the plane is gone"),
        };
        let metrics = message["message"]["taskMetrics"].as_array().cloned().unwrap_or_default();
        seen.extend(metrics.iter().filter_map(|task| Some(task["taskArn"].as_str()?.to_owned())));
    }
    Ok(())
}
