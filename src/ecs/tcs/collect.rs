//! The sampling loop: containers once a second, a batch every 20 s. A host without tasks is not woken between two batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ecs_wire::tcs::{ContainerHealth, ContainerMetric, RestartStats, TaskHealth, TaskMetric, Time};
use node_core::{DockerId, RunningContainer, RunningTask};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::{MissedTickBehavior, interval};

use super::pages::Batch;
use super::{Cadence, RunningTasks, Said, now};
use crate::host::sampler::{Sampler, Sets};

/// How long a batch may wait for a place in the queue before it is dropped, as amazon-ecs-agent drops it.
const ROOM: Duration = Duration::from_secs(1);

/// Ends when nobody takes batches or knows of tasks any more.
pub(super) async fn run(cadence: Cadence, mut tasks: RunningTasks, said: Said, batches: Sender<Batch>) {
    let mut sampler = Sampler::new();
    let mut restarts = RestartsTold::default();
    let (mut sample, mut publish) = (interval(cadence.sample), interval(cadence.publish));
    sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
    publish.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wanted = Arc::new(wanted(&tasks.borrow_and_update(), said));
    restarts.follow(&tasks.borrow());
    loop {
        tokio::select! {
            biased;
            changed = tasks.changed() => match changed {
                Ok(()) => {
                    wanted = Arc::new(self::wanted(&tasks.borrow_and_update(), said));
                    restarts.follow(&tasks.borrow());
                }
                Err(_) => return,
            },
            _ = sample.tick(), if !wanted.is_empty() => {
                let Some(back) = sampled(sampler, Arc::clone(&wanted)).await else { return };
                sampler = back;
            }
            _ = publish.tick() => {
                let running = Arc::clone(&tasks.borrow());
                let Some(batch) = batch(&running, said, &mut restarts, |id| sampler.take(id)) else { continue };
                match batches.send_timeout(batch, ROOM).await {
                    Ok(()) => {}
                    Err(SendTimeoutError::Timeout(_)) => tracing::debug!("dropped telemetry: ECS takes none"),
                    Err(SendTimeoutError::Closed(_)) => return,
                }
            }
        }
    }
}

fn wanted(tasks: &[RunningTask], said: Said) -> BTreeSet<DockerId> {
    let tasks = tasks.iter().filter(|_| said.metrics);
    tasks.flat_map(|task| &task.containers).map(|container| container.id.clone()).collect()
}

/// Off the worker threads: with hundreds of containers it takes tens of milliseconds. `None` when the agent goes down.
async fn sampled(mut sampler: Sampler, wanted: Arc<BTreeSet<DockerId>>) -> Option<Sampler> {
    let work = move || {
        sampler.sample(&wanted);
        sampler
    };
    tokio::task::spawn_blocking(work).await.ok()
}

/// How many restarts of each container ECS knows of. What an earlier process of this agent saw counts as told.
#[derive(Debug, Default)]
struct RestartsTold(BTreeMap<DockerId, u32>);

impl RestartsTold {
    /// Takes up the containers that are new, and forgets those that are gone.
    fn follow(&mut self, tasks: &[RunningTask]) {
        let running = tasks.iter().flat_map(|task| &task.containers);
        let counted = running.filter_map(|container| Some((container.id.clone(), container.restarts?)));
        let before = std::mem::take(&mut self.0);
        self.0 = counted.map(|(id, count)| (id.clone(), before.get(&id).copied().unwrap_or(count))).collect();
    }

    /// Those since the last call.
    fn news(&mut self, container: &RunningContainer) -> Option<RestartStats> {
        let count = container.restarts?;
        let told = self.0.insert(container.id.clone(), count).unwrap_or(count);
        Some(RestartStats { restart_count: count.saturating_sub(told) })
    }
}

/// `None` when there is nothing to say: containers run, nothing is known of any of them yet, and none has a health check.
fn batch(
    tasks: &[RunningTask],
    said: Said,
    restarts: &mut RestartsTold,
    mut sets: impl FnMut(&DockerId) -> Option<Sets>,
) -> Option<Batch> {
    let at = now();
    let idle = tasks.is_empty() || !said.metrics;
    let measured: Vec<TaskMetric> = match idle {
        true => Vec::new(),
        false => tasks.iter().filter_map(|task| metric(task, restarts, &mut sets)).collect(),
    };
    let metrics = (idle || !measured.is_empty()).then_some(measured);
    let health: Vec<_> = tasks.iter().filter(|_| said.health).filter_map(|task| health(task, at)).collect();
    (metrics.is_some() || !health.is_empty()).then_some(Batch { at, metrics, health })
}

fn metric(
    task: &RunningTask,
    restarts: &mut RestartsTold,
    sets: &mut impl FnMut(&DockerId) -> Option<Sets>,
) -> Option<TaskMetric> {
    let containers = task.containers.iter().filter_map(|container| {
        let sets = sets(&container.id)?;
        Some(ContainerMetric {
            container_name: container.name.as_str().to_owned(),
            cpu_stats_set: sets.cpu,
            memory_stats_set: sets.memory,
            network_stats_set: sets.network,
            storage_stats_set: sets.storage,
            restart_stats_set: restarts.news(container),
        })
    });
    let container_metrics: Vec<_> = containers.collect();
    (!container_metrics.is_empty()).then(|| TaskMetric {
        container_metrics,
        task_arn: task.arn.as_str().to_owned(),
        task_definition_family: task.family.clone(),
        task_definition_version: task.version.clone(),
    })
}

/// A status that has not changed yet is as old as the message, as amazon-ecs-agent has it.
fn health(task: &RunningTask, now: Time) -> Option<TaskHealth> {
    let containers = task.containers.iter().filter_map(|container| {
        let (status, since) = container.health?;
        Some(ContainerHealth {
            container_name: container.name.as_str().to_owned(),
            health_status: status.as_str().to_owned(),
            status_since: since.map_or(now, |since| Time { epoch_ms: since.0 }),
        })
    });
    let containers: Vec<_> = containers.collect();
    (!containers.is_empty()).then(|| TaskHealth {
        containers,
        task_arn: task.arn.as_str().to_owned(),
        task_definition_family: task.family.clone(),
        task_definition_version: task.version.clone(),
    })
}

#[cfg(test)]
mod tests {
    use ecs_wire::tcs::DoubleStats;
    use node_core::{ContainerName, HealthStatus, TaskArn, Timestamp};

    use super::*;

    const ALL: Said = Said { metrics: true, health: true };

    fn task(arn: &str, containers: &[&str]) -> RunningTask {
        let containers = containers.iter().map(|name| RunningContainer {
            name: ContainerName::new(*name),
            id: DockerId::new(format!("{arn}-{name}")),
            health: None,
            restarts: None,
        });
        RunningTask {
            arn: TaskArn::new(arn),
            family: "f".into(),
            version: "3".into(),
            containers: containers.collect(),
        }
    }

    fn some(_: &DockerId) -> Option<Sets> {
        let stats = DoubleStats { max: 1.0, min: 1.0, sample_count: 1, sum: 1.0 };
        Some(Sets { cpu: stats, memory: stats, network: None, storage: None })
    }

    fn made(tasks: &[RunningTask], said: Said, sets: impl FnMut(&DockerId) -> Option<Sets>) -> Option<Batch> {
        batch(tasks, said, &mut RestartsTold::default(), sets)
    }

    #[test]
    fn nothing_runs_or_nothing_is_to_be_said_is_idle() {
        let off = Said { metrics: false, health: true };
        assert_eq!(made(&[], ALL, some).unwrap().metrics, Some(Vec::new()));
        assert_eq!(made(&[task("a", &["x"])], off, some).unwrap().metrics, Some(Vec::new()));
        assert!(wanted(&[task("a", &["x"])], off).is_empty());
    }

    #[test]
    fn containers_without_data_are_left_out_and_so_is_a_message_of_none() {
        let tasks = [task("a", &["x", "y"]), task("b", &["x"])];
        assert_eq!(made(&tasks, ALL, |_| None), None);
        let found = made(&tasks, ALL, |id| some(id).filter(|_| id.as_str() == "a-y")).unwrap().metrics.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].task_arn.as_str(), found[0].container_metrics.len()), ("a", 1));
        assert_eq!(found[0].container_metrics[0].container_name, "y");
        assert_eq!(wanted(&tasks, ALL).len(), 3);
    }

    #[test]
    fn health_is_told_of_the_containers_that_are_checked_with_or_without_metrics() {
        let mut tasks = [task("a", &["x", "y"]), task("b", &["x"])];
        tasks[0].containers[1].health = Some((HealthStatus::Unhealthy, Some(Timestamp(1_500))));
        let found = made(&tasks, ALL, |_| None).unwrap();
        assert_eq!((found.metrics, found.health.len()), (None, 1));
        let told = &found.health[0].containers;
        assert_eq!(
            (told.len(), told[0].container_name.as_str(), told[0].health_status.as_str()),
            (1, "y", "UNHEALTHY")
        );
        assert_eq!(told[0].status_since, Time { epoch_ms: 1_500 });
        tasks[0].containers[1].health = Some((HealthStatus::Unknown, None));
        let unknown = made(&tasks, Said { metrics: false, health: true }, some).unwrap();
        assert_eq!(unknown.health[0].containers[0].status_since, unknown.at, "it has not changed yet");
        assert_eq!(made(&tasks, Said { metrics: true, health: false }, some).unwrap().health, []);
    }

    #[test]
    fn a_restart_is_told_once_and_waits_for_the_next_metrics() {
        let mut tasks = [task("a", &["x"])];
        let mut told = RestartsTold::default();
        let mut count = |restarts: u32, sets: fn(&DockerId) -> Option<Sets>| {
            tasks[0].containers[0].restarts = Some(restarts);
            told.follow(&tasks);
            let batch = batch(&tasks, ALL, &mut told, sets)?;
            batch.metrics?[0].container_metrics[0].restart_stats_set.map(|stats| stats.restart_count)
        };
        assert_eq!(count(4, some), Some(0), "an earlier process told of them");
        assert_eq!(count(5, |_| None), None);
        assert_eq!(count(6, some), Some(2));
        assert_eq!(count(6, some), Some(0));
        let plain = [task("b", &["x"])];
        told.follow(&plain);
        assert!(told.0.is_empty(), "the one that is gone is forgotten");
        let found = made(&plain, ALL, some).unwrap().metrics.unwrap();
        assert_eq!(found[0].container_metrics[0].restart_stats_set, None, "it has no restart policy");
    }
}
