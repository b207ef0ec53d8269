//! The sampling loop: containers once a second, a batch every 20 s. A host without tasks is not woken between two batches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ecs_wire::tcs::{ContainerMetric, TaskMetric};
use node_core::{DockerId, RunningTask};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::{MissedTickBehavior, interval};

use super::pages::Batch;
use super::{Cadence, RunningTasks, now};
use crate::host::sampler::{Sampler, Sets};

/// How long a batch may wait for a place in the queue before it is dropped, as amazon-ecs-agent drops it.
const ROOM: Duration = Duration::from_secs(1);

/// Ends when nobody takes batches or knows of tasks any more.
pub(super) async fn run(cadence: Cadence, mut tasks: RunningTasks, disabled: bool, batches: Sender<Batch>) {
    let mut sampler = Sampler::new();
    let (mut sample, mut publish) = (interval(cadence.sample), interval(cadence.publish));
    sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
    publish.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wanted = Arc::new(wanted(&tasks.borrow_and_update(), disabled));
    loop {
        tokio::select! {
            biased;
            changed = tasks.changed() => match changed {
                Ok(()) => wanted = Arc::new(self::wanted(&tasks.borrow_and_update(), disabled)),
                Err(_) => return,
            },
            _ = sample.tick(), if !wanted.is_empty() => {
                let Some(back) = sampled(sampler, Arc::clone(&wanted)).await else { return };
                sampler = back;
            }
            _ = publish.tick() => {
                let running = Arc::clone(&tasks.borrow());
                let Some(batch) = batch(&running, disabled, |id| sampler.take(id)) else { continue };
                match batches.send_timeout(batch, ROOM).await {
                    Ok(()) => {}
                    Err(SendTimeoutError::Timeout(_)) => tracing::debug!("dropped telemetry: ECS takes none"),
                    Err(SendTimeoutError::Closed(_)) => return,
                }
            }
        }
    }
}

fn wanted(tasks: &[RunningTask], disabled: bool) -> BTreeSet<DockerId> {
    let tasks = tasks.iter().filter(|_| !disabled);
    tasks.flat_map(|task| &task.containers).map(|(_, id)| id.clone()).collect()
}

/// Off the worker threads: with hundreds of containers it takes tens of milliseconds. `None` when the agent goes down.
async fn sampled(mut sampler: Sampler, wanted: Arc<BTreeSet<DockerId>>) -> Option<Sampler> {
    let work = move || {
        sampler.sample(&wanted);
        sampler
    };
    tokio::task::spawn_blocking(work).await.ok()
}

/// `None` when there are containers, and nothing is known of any of them yet.
fn batch(tasks: &[RunningTask], disabled: bool, mut sets: impl FnMut(&DockerId) -> Option<Sets>) -> Option<Batch> {
    if tasks.is_empty() || disabled {
        return Some(Batch { at: now(), tasks: Vec::new() });
    }
    let metrics: Vec<TaskMetric> = tasks.iter().filter_map(|task| metric(task, &mut sets)).collect();
    (!metrics.is_empty()).then(|| Batch { at: now(), tasks: metrics })
}

fn metric(task: &RunningTask, sets: &mut impl FnMut(&DockerId) -> Option<Sets>) -> Option<TaskMetric> {
    let containers = task.containers.iter().filter_map(|(name, id)| {
        let sets = sets(id)?;
        Some(ContainerMetric {
            container_name: name.as_str().to_owned(),
            cpu_stats_set: sets.cpu,
            memory_stats_set: sets.memory,
            network_stats_set: sets.network,
            storage_stats_set: sets.storage,
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

#[cfg(test)]
mod tests {
    use ecs_wire::tcs::DoubleStats;
    use node_core::{ContainerName, TaskArn};

    use super::*;

    fn task(arn: &str, containers: &[&str]) -> RunningTask {
        let containers =
            containers.iter().map(|name| (ContainerName::new(*name), DockerId::new(format!("{arn}-{name}"))));
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

    #[test]
    fn nothing_runs_or_nothing_is_to_be_said_is_idle() {
        assert_eq!(batch(&[], false, some).unwrap().tasks, []);
        assert_eq!(batch(&[task("a", &["x"])], true, some).unwrap().tasks, []);
        assert!(wanted(&[task("a", &["x"])], true).is_empty());
    }

    #[test]
    fn containers_without_data_are_left_out_and_so_is_a_message_of_none() {
        let tasks = [task("a", &["x", "y"]), task("b", &["x"])];
        assert_eq!(batch(&tasks, false, |_| None), None);
        let found = batch(&tasks, false, |id| some(id).filter(|_| id.as_str() == "a-y")).unwrap();
        assert_eq!(found.tasks.len(), 1);
        assert_eq!((found.tasks[0].task_arn.as_str(), found.tasks[0].container_metrics.len()), ("a", 1));
        assert_eq!(found.tasks[0].container_metrics[0].container_name, "y");
        assert_eq!(wanted(&tasks, false).len(), 3);
    }
}
