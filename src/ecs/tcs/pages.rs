//! From a batch of measurements to messages of a size that ECS takes.

use ecs_wire::tcs::{MetricsMetadata, PublishMetricsRequest, TaskMetric, Time};

/// The model's limit on `taskMetrics`.
const TASKS_MAX: usize = 10;
/// A frame's limit, in bytes (amazon-ecs-agent, `ecs-agent/tcs/client/client.go`).
const BYTES_MAX: usize = 1024 * 1024;
/// What the message has beside its tasks, generously.
const ENVELOPE: usize = 4 * 1024;

/// What was measured at one time. Without tasks, the instance is idle.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) at: Time,
    pub(super) tasks: Vec<TaskMetric>,
}

/// Whose messages they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) cluster: &'a str,
    pub(super) container_instance: &'a str,
}

/// The messages of a batch, all with this id; the last one says that it is the last.
pub(super) fn pages(batch: Batch, sender: Sender<'_>, message_id: &str) -> Vec<PublishMetricsRequest> {
    let idle = batch.tasks.is_empty();
    let pages = split(batch.tasks, TASKS_MAX, BYTES_MAX - ENVELOPE);
    let last = pages.len() - 1;
    let numbered = pages.into_iter().enumerate();
    let message = |(number, task_metrics)| PublishMetricsRequest {
        metadata: MetricsMetadata {
            cluster: sender.cluster.to_owned(),
            container_instance: sender.container_instance.to_owned(),
            fin: number == last,
            idle,
            message_id: message_id.to_owned(),
        },
        task_metrics,
        timestamp: batch.at,
    };
    numbered.map(message).collect()
}

/// At least one page. A task that is too large by itself has a page by itself: ECS may refuse it, and nothing else with it.
fn split(tasks: Vec<TaskMetric>, tasks_max: usize, bytes_max: usize) -> Vec<Vec<TaskMetric>> {
    let mut pages = Vec::new();
    let (mut page, mut bytes) = (Vec::new(), 0);
    for task in tasks {
        // Plain structs cannot fail to serialize. The comma counts.
        let size = serde_json::to_string(&task).map_or(0, |json| json.len() + 1);
        if !page.is_empty() && (page.len() == tasks_max || bytes + size > bytes_max) {
            pages.push(std::mem::take(&mut page));
            bytes = 0;
        }
        page.push(task);
        bytes += size;
    }
    pages.push(page);
    pages
}

#[cfg(test)]
mod tests {
    use ecs_wire::tcs::{ContainerMetric, DoubleStats};

    use super::*;

    fn task(arn: String) -> TaskMetric {
        let stats = DoubleStats { max: 1.0, min: 1.0, sample_count: 1, sum: 1.0 };
        let container = ContainerMetric {
            container_name: "c".into(),
            cpu_stats_set: stats,
            memory_stats_set: stats,
            network_stats_set: None,
            storage_stats_set: None,
        };
        TaskMetric {
            container_metrics: vec![container],
            task_arn: arn,
            task_definition_family: "f".into(),
            task_definition_version: "1".into(),
        }
    }

    fn paged(tasks: usize) -> Vec<PublishMetricsRequest> {
        let tasks = (0..tasks).map(|n| task(n.to_string())).collect();
        let sender = Sender { cluster: "c1", container_instance: "ci" };
        pages(Batch { at: Time { epoch_ms: 7 }, tasks }, sender, "m-1")
    }

    #[test]
    fn an_idle_batch_is_one_message() {
        let idle = paged(0);
        assert_eq!(idle.len(), 1);
        assert!(idle[0].metadata.idle && idle[0].metadata.fin && idle[0].task_metrics.is_empty());
    }

    #[test]
    fn ten_tasks_to_a_page_and_the_last_one_says_so() {
        for (tasks, sizes) in [(1, vec![1]), (10, vec![10]), (11, vec![10, 1]), (25, vec![10, 10, 5])] {
            let pages = paged(tasks);
            assert_eq!(pages.iter().map(|p| p.task_metrics.len()).collect::<Vec<_>>(), sizes);
            let fins: Vec<_> = pages.iter().map(|p| p.metadata.fin).collect();
            assert_eq!(fins.iter().position(|fin| *fin), Some(pages.len() - 1));
            assert!(pages.iter().all(|p| !p.metadata.idle && p.metadata.message_id == "m-1"));
        }
    }

    #[test]
    fn a_page_is_split_where_it_would_be_too_large() {
        let size = serde_json::to_string(&task("0".into())).unwrap().len() + 1;
        let tasks = || (0..5).map(|n| task(n.to_string())).collect();
        let sizes = |bytes| split(tasks(), 10, bytes).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(5 * size), [5]);
        assert_eq!(sizes(3 * size), [3, 2]);
        assert_eq!(sizes(size - 1), [1, 1, 1, 1, 1], "each too large, and none lost");
    }
}
