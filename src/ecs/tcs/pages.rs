//! From a batch of measurements to messages of a size that ECS takes.

use ecs_wire::tcs::{
    FromAgent, HealthMetadata, MetricsMetadata, PublishHealthRequest, PublishMetricsRequest, TaskHealth, TaskMetric,
    Time,
};
use serde::Serialize;

/// The model's limit on `taskMetrics`, and amazon-ecs-agent's on a health message's tasks.
const TASKS_MAX: usize = 10;
/// A frame's limit, in bytes (amazon-ecs-agent, `ecs-agent/tcs/client/client.go`).
const BYTES_MAX: usize = 1024 * 1024;
/// What the message has beside its tasks, generously.
const ENVELOPE: usize = 4 * 1024;

/// What is to be told of one time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) at: Time,
    /// Without tasks, the instance is idle; `None` where containers run and nothing is known of them yet.
    pub(super) metrics: Option<Vec<TaskMetric>>,
    /// The tasks with health checks.
    pub(super) health: Vec<TaskHealth>,
}

/// Whose messages they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) cluster: &'a str,
    pub(super) container_instance: &'a str,
}

/// The messages of a batch: metrics, all with the first id, then health, all with the second; the last of a kind says so.
pub(super) fn messages(batch: Batch, sender: Sender<'_>, ids: &[String; 2]) -> Vec<FromAgent> {
    let [metrics_id, health_id] = ids;
    let metrics = batch.metrics.into_iter().flat_map(|tasks| metrics(tasks, batch.at, sender, metrics_id));
    let health = health(batch.health, batch.at, sender, health_id);
    metrics.map(FromAgent::from).chain(health.into_iter().map(FromAgent::from)).collect()
}

/// At least one.
fn metrics(tasks: Vec<TaskMetric>, at: Time, sender: Sender<'_>, id: &str) -> Vec<PublishMetricsRequest> {
    let idle = tasks.is_empty();
    let pages = split(tasks, TASKS_MAX, BYTES_MAX - ENVELOPE);
    let last = pages.len() - 1;
    let message = |(number, task_metrics)| PublishMetricsRequest {
        metadata: MetricsMetadata {
            cluster: sender.cluster.to_owned(),
            container_instance: sender.container_instance.to_owned(),
            fin: number == last,
            idle,
            message_id: id.to_owned(),
        },
        task_metrics,
        timestamp: at,
    };
    pages.into_iter().enumerate().map(message).collect()
}

/// None without a task.
fn health(tasks: Vec<TaskHealth>, at: Time, sender: Sender<'_>, id: &str) -> Vec<PublishHealthRequest> {
    if tasks.is_empty() {
        return Vec::new();
    }
    let pages = split(tasks, TASKS_MAX, BYTES_MAX - ENVELOPE);
    let last = pages.len() - 1;
    let message = |(number, tasks)| PublishHealthRequest {
        metadata: HealthMetadata {
            cluster: sender.cluster.to_owned(),
            container_instance: sender.container_instance.to_owned(),
            fin: number == last,
            message_id: id.to_owned(),
        },
        tasks,
        timestamp: at,
    };
    pages.into_iter().enumerate().map(message).collect()
}

/// At least one page. A task that is too large by itself has a page by itself: ECS may refuse it, and nothing else with it.
fn split<T: Serialize>(tasks: Vec<T>, tasks_max: usize, bytes_max: usize) -> Vec<Vec<T>> {
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
    use ecs_wire::tcs::{ContainerHealth, ContainerMetric, DoubleStats};

    use super::*;

    const SENDER: Sender<'_> = Sender { cluster: "c1", container_instance: "ci" };

    fn task(arn: String) -> TaskMetric {
        let stats = DoubleStats { max: 1.0, min: 1.0, sample_count: 1, sum: 1.0 };
        let container = ContainerMetric {
            container_name: "c".into(),
            cpu_stats_set: stats,
            memory_stats_set: stats,
            network_stats_set: None,
            storage_stats_set: None,
            restart_stats_set: None,
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
        metrics(tasks, Time { epoch_ms: 7 }, SENDER, "m-1")
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

    #[test]
    fn health_follows_the_metrics_in_messages_of_its_own() {
        let at = Time { epoch_ms: 1_760_000_000_500 };
        let healthy = |n: usize| TaskHealth {
            containers: vec![ContainerHealth {
                container_name: "c".into(),
                health_status: "HEALTHY".into(),
                status_since: at,
            }],
            task_arn: n.to_string(),
            task_definition_family: "f".into(),
            task_definition_version: "1".into(),
        };
        let batch = |metrics, health: usize| Batch { at, metrics, health: (0..health).map(healthy).collect() };
        let ids = ["m-1", "h-1"].map(str::to_owned);
        let sent = messages(batch(Some(Vec::new()), 11), SENDER, &ids);
        let kinds: Vec<_> = sent.iter().map(FromAgent::kind).collect();
        assert_eq!(kinds, ["PublishMetricsRequest", "PublishHealthRequest", "PublishHealthRequest"]);
        assert_eq!(
            sent[2].encode(),
            r#"{"type":"PublishHealthRequest","message":{"metadata":{"cluster":"c1","containerInstance":"ci","fin":true,"messageId":"h-1"},"tasks":[{"containers":[{"containerName":"c","healthStatus":"HEALTHY","statusSince":1760000000.5}],"taskArn":"10","taskDefinitionFamily":"f","taskDefinitionVersion":"1"}],"timestamp":1760000000.5}}"#
        );
        assert!(sent[1].encode().contains(r#""fin":false"#));
        assert!(messages(batch(None, 0), SENDER, &ids).is_empty(), "nothing to say");
    }
}
