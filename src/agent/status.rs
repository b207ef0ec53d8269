//! The operator's question answered: what the core knows, with what the kernel says of the host and the containers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use node_core::{ContainerView, DockerId, NodeStatus, TaskStatus, TaskView};

use super::Agent;
use crate::config::Home;
use crate::host::cgroup::{Cgroups, ContainerUsage};
use crate::host::gpu::Gpu;
use crate::host::usage::{DiskUsage, HostMonitor, HostUsage};
use crate::serve::admin::AdminRequest;
use crate::serve::report;

/// CPU use is a difference: this far apart are the two looks (sysinfo wants 200 ms at the least).
const LOOKS_APART: Duration = Duration::from_millis(250);

impl Agent {
    /// Answers beside the loop: the question takes a quarter of a second.
    pub(super) fn answer(&mut self, question: AdminRequest) {
        let reply = match question {
            AdminRequest::Status(reply) => reply,
            AdminRequest::Order(asked, reply) => return self.order(asked, reply),
            AdminRequest::Tasks(subject, reply) => {
                // Whoever asked may have gone away.
                let _ = reply.send(self.tasks_for(&subject));
                return;
            }
        };
        let now = self.clock.now();
        let node = self.node.status(now);
        let report = report::StatusReport {
            agent: report::Agent {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started_at_ms: self.clock.wall.0,
            },
            instance: self.instance(&node),
            state: report::State {
                phase: node.phase.to_string(),
                since_ms: node.since.0,
                why: Some(node.why.clone()),
                acs_connected: node.session_open,
                other_agents_containers: node.strangers,
                imds_for_jobs: self.guard.shown(),
                docker: if node.docker_up { "up" } else { "down" }.to_owned(),
            },
            tasks: node.tasks.iter().map(|t| task(t, now.since(t.accepted_at))).collect(),
            unreported: unreported(&node),
            host: report::Host::default(),
            leaving: node.leaving,
            deliveries: self.listeners.deliveries(),
        };
        let data_dir = self.config.data_dir.clone();
        self.work.spawn(async move {
            // Whoever asked may have gone away.
            let _ = reply.send(measured(report, &data_dir).await);
        });
    }

    fn instance(&self, node: &NodeStatus) -> report::Instance {
        let gpus = self.gpus.known().unwrap_or_default();
        report::Instance {
            id: node.instance.as_ref().map(ToString::to_string),
            region: self.cloud.as_ref().map(|c| c.clients.region.to_string()),
            cluster: node.cluster.as_ref().map(ToString::to_string),
            compute_environment: match &self.config.home {
                Home::ComputeEnvironment(name) => Some(name.clone()),
                Home::Cluster(_) => None,
            },
            container_instance: node.container_instance.as_ref().map(ToString::to_string),
            gpus: gpus.devices.into_iter().map(gpu).collect(),
            gpu_driver: gpus.driver,
            gpu_trouble: gpus.trouble,
        }
    }
}

fn gpu(gpu: Gpu) -> report::Gpu {
    report::Gpu { uuid: gpu.uuid, name: gpu.name, memory_mib: gpu.memory_mib }
}

/// What of the node ECS has yet to hear.
fn unreported(node: &NodeStatus) -> Vec<report::Unreported> {
    let waiting = node.tasks.iter().filter(|t| t.unreported);
    waiting.map(|t| report::Unreported { task: t.task.to_string(), status: t.known.as_str().to_owned() }).collect()
}

fn task(task: &TaskView, age: Duration) -> report::Task {
    let job = task.job.as_ref();
    // Nobody wants a task that is over to run.
    let to_stop = task.stop_wanted || task.known == TaskStatus::Stopped;
    report::Task {
        task: task.task.to_string(),
        job_id: job.map(|j| j.job_id.clone()),
        queue: job.map(|j| j.queue.clone()),
        attempt: job.map(|j| j.attempt.clone()),
        family: task.family.clone(),
        desired: if to_stop { TaskStatus::Stopped } else { TaskStatus::Running }.as_str().to_owned(),
        known: task.known.as_str().to_owned(),
        sent: Some(task.sent.as_str().to_owned()),
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        containers: task.containers.iter().map(container).collect(),
    }
}

fn container(container: &ContainerView) -> report::Container {
    report::Container {
        name: container.name.to_string(),
        docker_id: container.docker_id.as_ref().map(ToString::to_string),
        stage: container.stage.as_str().to_owned(),
        exit_code: container.exit_code.map(|c| c.0),
        reason: container.reason.clone(),
        cpu_percent: None,
        memory_mib: None,
        health: container.health.map(|health| health.as_str().to_owned()),
        restarts: container.restarts,
        pull: container.pull.clone(),
    }
}

/// Looks at the containers and the host twice, and writes what they used into the report.
async fn measured(mut report: report::StatusReport, data_dir: &Path) -> report::StatusReport {
    let cgroups = Cgroups::new();
    let mut monitor = HostMonitor::new().ok();
    let before = look(&cgroups, &report);
    let start = Instant::now();
    tokio::time::sleep(LOOKS_APART).await;
    let after = look(&cgroups, &report);
    let nanos = start.elapsed().as_nanos() as f64;
    if let Some(usage) = monitor.as_mut().map(|m| m.sample(data_dir)) {
        report.host = host(&usage);
    }
    for container in report.tasks.iter_mut().flat_map(|t| &mut t.containers) {
        let Some(id) = container.docker_id.as_deref() else { continue };
        let Some(now) = after.get(id) else { continue };
        container.memory_mib = Some(now.memory_mib());
        container.cpu_percent =
            before.get(id).map(|then| now.cpu_nanos.saturating_sub(then.cpu_nanos) as f64 / nanos * 100.0);
    }
    report
}

/// What each running container has used so far; one that does not run has no control group.
fn look(cgroups: &Cgroups, report: &report::StatusReport) -> BTreeMap<String, ContainerUsage> {
    let ids = report.tasks.iter().flat_map(|t| &t.containers).filter_map(|c| c.docker_id.clone());
    ids.filter_map(|id| cgroups.usage(&DockerId::new(id.clone())).ok().map(|usage| (id, usage))).collect()
}

fn host(usage: &HostUsage) -> report::Host {
    const MIB: u64 = 1024 * 1024;
    let used_percent = |disk: &DiskUsage| {
        let used = disk.total_bytes.saturating_sub(disk.available_bytes);
        used as f64 / disk.total_bytes.max(1) as f64 * 100.0
    };
    report::Host {
        cpu_percent: f64::from(usage.cpu_percent),
        memory_used_mib: usage.memory_used_bytes / MIB,
        memory_total_mib: usage.memory_total_bytes / MIB,
        load_1m: usage.load.map_or(0.0, |load| load[0]),
        disk_used_percent: usage.disk.as_ref().map_or(0.0, used_percent),
    }
}
