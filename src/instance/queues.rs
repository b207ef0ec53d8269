//! Work that waits in the queues of this host's compute environment, and would fit this host. Few calls, and never many jobs.

use std::collections::BTreeSet;

use aws_sdk_batch::Client;
use aws_sdk_batch::types::{JobDetail, JobStatus, JqState, ResourceRequirement, ResourceType};
use node_core::{ApiFailure, Waiting};

use crate::ecs::classify;

/// Queues looked at: those first in Batch's answer.
const QUEUES_MAX: usize = 20;
/// Pages of 100 queues of the account that are searched for those that feed this environment.
const QUEUE_PAGES: usize = 10;
/// Jobs looked at in each queue and state; DescribeJobs takes as many at once.
const JOBS_MAX: i32 = 100;

/// What this host offers in all, since it is empty when it asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Room {
    pub(crate) vcpus: f64,
    pub(crate) memory_mib: f64,
    pub(crate) gpus: f64,
}

/// Counts RUNNABLE and STARTING jobs that would fit. `environment`: the ARN of the compute environment.
pub(crate) async fn waiting(client: &Client, environment: &str, room: Room) -> Result<Waiting, ApiFailure> {
    let mut found = Waiting::default();
    for queue in queues(client, environment).await? {
        for status in [JobStatus::Runnable, JobStatus::Starting] {
            let jobs = jobs(client, &queue, status.clone()).await?;
            let fitting: Vec<_> = jobs.iter().filter(|job| fits(job, room)).collect();
            let count = u32::try_from(fitting.len()).unwrap_or(u32::MAX);
            match status {
                JobStatus::Runnable => found.runnable = found.runnable.saturating_add(count),
                _ => found.starting = found.starting.saturating_add(count),
            }
            let first = fitting.first().and_then(|job| job.job_id());
            found.example = found.example.or_else(|| first.map(str::to_owned));
        }
        // It stays already: the other queues change nothing.
        if found.runnable > 0 {
            break;
        }
    }
    Ok(found)
}

/// The ARN of the environment that is given by name or ARN, or that has this cluster.
pub(crate) async fn environment(
    client: &Client,
    name: Option<&str>,
    cluster: &str,
) -> Result<Option<String>, ApiFailure> {
    if let Some(arn) = name.filter(|name| name.starts_with("arn:")) {
        return Ok(Some(arn.to_owned()));
    }
    let call = client.describe_compute_environments().set_compute_environments(name.map(|name| vec![name.to_owned()]));
    let answer = call.send().await.map_err(|error| classify(&error))?;
    let is_ours = |arn: Option<&str>| name.is_some() || arn.is_some_and(|arn| same_cluster(arn, cluster));
    let mut all = answer.compute_environments().iter();
    let found = all.find(|environment| is_ours(environment.ecs_cluster_arn()));
    Ok(found.and_then(|environment| environment.compute_environment_arn()).map(str::to_owned))
}

fn same_cluster(arn: &str, cluster: &str) -> bool {
    arn == cluster || arn.rsplit('/').next() == Some(cluster)
}

async fn queues(client: &Client, environment: &str) -> Result<Vec<String>, ApiFailure> {
    let mut feeding = BTreeSet::new();
    let mut next = None;
    for _ in 0..QUEUE_PAGES {
        let call = client.describe_job_queues().max_results(100).set_next_token(next);
        let answer = call.send().await.map_err(|error| classify(&error))?;
        let open = answer.job_queues().iter().filter(|queue| queue.state() != Some(&JqState::Disabled));
        let ours = open.filter(|queue| {
            queue.compute_environment_order().iter().any(|entry| entry.compute_environment() == Some(environment))
        });
        feeding.extend(ours.filter_map(|queue| queue.job_queue_arn()).map(str::to_owned));
        next = answer.next_token().map(str::to_owned);
        if next.is_none() || feeding.len() >= QUEUES_MAX {
            break;
        }
    }
    Ok(feeding.into_iter().take(QUEUES_MAX).collect())
}

async fn jobs(client: &Client, queue: &str, status: JobStatus) -> Result<Vec<JobDetail>, ApiFailure> {
    let call = client.list_jobs().job_queue(queue).job_status(status).max_results(JOBS_MAX);
    let listed = call.send().await.map_err(|error| classify(&error))?;
    let ids: Vec<String> = listed.job_summary_list().iter().filter_map(|job| job.job_id()).map(str::to_owned).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let answer = client.describe_jobs().set_jobs(Some(ids)).send().await.map_err(|error| classify(&error))?;
    Ok(answer.jobs.unwrap_or_default())
}

/// Multi-node and EKS jobs never come to such a host.
fn fits(job: &JobDetail, room: Room) -> bool {
    if job.node_properties().is_some() || job.eks_properties().is_some() {
        return false;
    }
    let containers = job.ecs_properties().and_then(|ecs| ecs.task_properties().first()).map(|task| task.containers());
    let need = match (job.container(), containers) {
        (_, Some(containers)) => containers.iter().map(|c| need(c.resource_requirements(), 0.0, 0.0)).fold(
            Room { vcpus: 0.0, memory_mib: 0.0, gpus: 0.0 },
            |sum, one| Room {
                vcpus: sum.vcpus + one.vcpus,
                memory_mib: sum.memory_mib + one.memory_mib,
                gpus: sum.gpus + one.gpus,
            },
        ),
        (Some(container), None) => {
            let of = |n: Option<i32>| f64::from(n.unwrap_or_default());
            need(container.resource_requirements(), of(container.vcpus()), of(container.memory()))
        }
        (None, None) => return true,
    };
    need.vcpus <= room.vcpus && need.memory_mib <= room.memory_mib && need.gpus <= room.gpus
}

fn need(requirements: &[ResourceRequirement], vcpus: f64, memory_mib: f64) -> Room {
    let asked = |kind: &ResourceType| {
        let of_kind = requirements.iter().find(|r| r.r#type() == Some(kind));
        of_kind.and_then(|r| r.value()).and_then(|value| value.parse::<f64>().ok())
    };
    Room {
        vcpus: asked(&ResourceType::Vcpu).unwrap_or(vcpus),
        memory_mib: asked(&ResourceType::Memory).unwrap_or(memory_mib),
        gpus: asked(&ResourceType::Gpu).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{ContainerDetail, NodeProperties};

    use super::*;

    const ROOM: Room = Room { vcpus: 2.0, memory_mib: 1024.0, gpus: 0.0 };

    fn job(wants: &[(ResourceType, &str)]) -> JobDetail {
        let requirement = |(kind, value): &(ResourceType, &str)| {
            ResourceRequirement::builder().r#type(kind.clone()).value(*value).build()
        };
        let container =
            ContainerDetail::builder().set_resource_requirements(Some(wants.iter().map(requirement).collect()));
        JobDetail::builder().container(container.build()).build()
    }

    #[test]
    fn only_jobs_that_would_fit_the_host_count() {
        let vcpus = |n: &'static str| (ResourceType::Vcpu, n);
        let memory = |n: &'static str| (ResourceType::Memory, n);
        assert!(fits(&job(&[vcpus("2"), memory("1024")]), ROOM));
        assert!(!fits(&job(&[vcpus("2.25"), memory("1")]), ROOM));
        assert!(!fits(&job(&[vcpus("1"), memory("1025")]), ROOM));
        assert!(!fits(&job(&[(ResourceType::Gpu, "1")]), ROOM));
        let old = ContainerDetail::builder().vcpus(3).memory(1).build();
        assert!(!fits(&JobDetail::builder().container(old).build(), ROOM));
        let many = JobDetail::builder().node_properties(NodeProperties::builder().build()).build();
        assert!(!fits(&many, ROOM));
    }

    #[test]
    fn a_cluster_is_known_by_its_name_or_its_arn() {
        let arn = "arn:aws:ecs:us-east-1:1:cluster/c";
        assert!(same_cluster(arn, arn) && same_cluster(arn, "c") && !same_cluster(arn, "d"));
    }
}
