//! What `batch-node-agent status` is told: the body of `GET /status` on the admin socket. Times are milliseconds since the
//! Unix epoch (`*_at_ms`, `since_ms`) or lengths (`age_ms`). Nothing in it is secret.

use std::collections::BTreeMap;

use node_core::{LeavingStatus, PullProgress};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatusReport {
    pub(crate) agent: Agent,
    pub(crate) instance: Instance,
    pub(crate) state: State,
    pub(crate) tasks: Vec<Task>,
    /// State changes that ECS has not confirmed yet, in the order in which they will be sent.
    pub(crate) unreported: Vec<Unreported>,
    pub(crate) host: Host,
    /// Why and how the host leaves, if it does.
    #[serde(default)]
    pub(crate) leaving: LeavingStatus,
    /// What became of the steps that were to be told, by the key that says to whom.
    #[serde(default)]
    pub(crate) deliveries: BTreeMap<String, Deliveries>,
}

/// Since this process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deliveries {
    pub(crate) delivered: u64,
    /// Given up after some tries.
    pub(crate) failed: u64,
    /// Too many waited.
    pub(crate) dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agent {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) started_at_ms: u64,
}

/// Who this host is; what is not known yet is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// The EC2 instance's id.
    pub(crate) id: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) compute_environment: Option<String>,
    /// The container instance's ARN.
    pub(crate) container_instance: Option<String>,
    /// What is offered to jobs.
    #[serde(default)]
    pub(crate) gpus: Vec<Gpu>,
    /// The version of the GPUs' driver.
    #[serde(default)]
    pub(crate) gpu_driver: Option<String>,
    /// Why GPUs of this host are not offered, if some are not.
    #[serde(default)]
    pub(crate) gpu_trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gpu {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) memory_mib: Option<u64>,
}

/// Where the node is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// `Active`, `Draining`, ...
    pub(crate) phase: String,
    pub(crate) since_ms: u64,
    /// Why it is in this phase, for people.
    pub(crate) why: Option<String>,
    pub(crate) acs_connected: bool,
    /// `up`, `down` or more, for people.
    pub(crate) docker: String,
    /// Running containers of another ECS agent: what they use is offered to jobs as well.
    #[serde(default)]
    pub(crate) other_agents_containers: usize,
    /// Whether jobs are kept from the instance metadata service, for people; `None` where that is not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) imds_for_jobs: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The task's ARN.
    pub(crate) task: String,
    /// `None` for these three: the task is no Batch job.
    pub(crate) job_id: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) attempt: Option<String>,
    /// The task definition's family.
    pub(crate) family: String,
    /// What ECS wants, what is so, and what ECS was last told.
    pub(crate) desired: String,
    pub(crate) known: String,
    pub(crate) sent: Option<String>,
    /// Since the task was accepted.
    pub(crate) age_ms: u64,
    pub(crate) containers: Vec<Container>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) docker_id: Option<String>,
    pub(crate) stage: String,
    pub(crate) exit_code: Option<i64>,
    pub(crate) reason: Option<String>,
    /// 100 is one whole CPU.
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) memory_mib: Option<f64>,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`, where it has a health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<String>,
    /// How often it was restarted, where it has a restart policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restarts: Option<u32>,
    /// While its image is being pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pull: Option<PullProgress>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unreported {
    /// The task's ARN.
    pub(crate) task: String,
    /// The state that ECS is to be told.
    pub(crate) status: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Host {
    /// 100 is all CPUs.
    pub(crate) cpu_percent: f64,
    pub(crate) memory_used_mib: u64,
    pub(crate) memory_total_mib: u64,
    /// The load average of the last minute.
    pub(crate) load_1m: f64,
    /// Of the file system that holds Docker's data.
    pub(crate) disk_used_percent: f64,
}

impl Task {
    /// The last segment of the ARN.
    pub(crate) fn id(&self) -> &str {
        id(&self.task)
    }
}

impl Unreported {
    pub(crate) fn id(&self) -> &str {
        id(&self.task)
    }
}

fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// A node with a running job, one being stopped, and one end that ECS does not know of.
    pub(crate) fn report() -> StatusReport {
        let arn = |id: &str| format!("arn:aws:ecs:us-east-1:123456789012:task/ce_Batch/{id}");
        let running = Task {
            task: arn("0f1e2d3c4b5a69788796a5b4c3d2e1f0"),
            job_id: Some("7c9e6679-7425-40de-944b-e07fc1f90ae7".into()),
            queue: Some("main".into()),
            attempt: Some("1".into()),
            family: "processor".into(),
            desired: "RUNNING".into(),
            known: "RUNNING".into(),
            sent: Some("RUNNING".into()),
            age_ms: 192_400,
            containers: vec![Container {
                name: "default".into(),
                docker_id: Some("d".repeat(64)),
                stage: "Running".into(),
                exit_code: None,
                reason: None,
                cpu_percent: Some(99.44),
                memory_mib: Some(12.34),
                health: None,
                restarts: None,
                pull: None,
            }],
        };
        let mut stopping = running.clone();
        stopping.task = arn("a0b1c2d3e4f5a0b1c2d3e4f5a0b1c2d3");
        stopping.desired = "STOPPED".into();
        stopping.attempt = Some("2".into());
        stopping.age_ms = 900;
        let mut side = stopping.containers[0].clone();
        side.name = "sidecar".into();
        side.stage = "Stopped".into();
        side.exit_code = Some(137);
        side.reason = Some("OutOfMemoryError: killed".into());
        side.cpu_percent = None;
        side.memory_mib = None;
        stopping.containers[0].health = Some("UNHEALTHY".into());
        stopping.containers[0].restarts = Some(2);
        stopping.containers.push(side);
        StatusReport {
            agent: Agent { version: "0.1.0".into(), pid: 4242, started_at_ms: 1_000_000 },
            instance: Instance {
                id: Some("i-0abc".into()),
                region: Some("us-east-1".into()),
                cluster: Some("ce_Batch".into()),
                compute_environment: Some("ce".into()),
                container_instance: None,
                gpus: Vec::new(),
                gpu_driver: None,
                gpu_trouble: None,
            },
            state: State {
                phase: "Draining".into(),
                since_ms: 4_000_000,
                why: Some("idle for 10m".into()),
                acs_connected: true,
                other_agents_containers: 0,
                imds_for_jobs: None,
                docker: "up".into(),
            },
            tasks: vec![running, stopping],
            unreported: vec![Unreported { task: arn("ffff0000ffff"), status: "STOPPED".into() }],
            host: Host {
                cpu_percent: 51.26,
                memory_used_mib: 1_536,
                memory_total_mib: 7_680,
                load_1m: 0.4249,
                disk_used_percent: 40.0,
            },
            leaving: LeavingStatus::default(),
            deliveries: BTreeMap::new(),
        }
    }
}
