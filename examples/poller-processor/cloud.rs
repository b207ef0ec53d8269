//! AWS Batch and EC2 as the demo sees them, through the AWS SDK. Nothing here knows that the endpoint is not AWS.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_batch::types::{
    CeState, CeStatus, CeType, ComputeEnvironmentOrder, ContainerProperties, Host, JobDefinitionType, JobStatus,
    JqState, JqStatus, KeyValuePair, MountPoint, ResourceRequirement, ResourceType, Volume,
};
use tokio::time::{Instant, sleep};

use crate::args::Folders;

const ENVIRONMENT: &str = "poller-processor";
const QUEUE: &str = "poller-processor";
const POLLER: &str = "poller";
const PROCESSOR: &str = "processor";
const IMAGE: &str = "poller-processor:latest";
const JOB_MEMORY_MIB: &str = "64";
/// Jobs that one DescribeJobs call takes.
const DESCRIBE_AT_ONCE: usize = 100;
/// How long a compute environment or queue may take to become VALID.
const VALID_WITHIN: Duration = Duration::from_secs(30);
/// In the order of a job's life: one that moves on while we list is met again, never missed.
const STATUSES: [JobStatus; 7] = [
    JobStatus::Submitted,
    JobStatus::Pending,
    JobStatus::Runnable,
    JobStatus::Starting,
    JobStatus::Running,
    JobStatus::Succeeded,
    JobStatus::Failed,
];

pub(crate) struct Cloud {
    batch: aws_sdk_batch::Client,
    ec2: aws_sdk_ec2::Client,
    endpoint: String,
}

/// What the closing table tells of a job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) status: JobStatus,
    pub(crate) reason: String,
    /// Where its output is, in the log group of Batch.
    pub(crate) log_stream: String,
    /// The paths given to a processor job; none for the poller.
    pub(crate) files: Vec<String>,
}

/// An instance, as EC2 tells of it: `state` is pending, running, shutting-down or terminated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) state: String,
    /// Why it is terminated, in EC2's codes.
    pub(crate) why: String,
}

/// EC2's code for an instance that a TerminateInstances call ended, as the agent's own does.
const TERMINATED_BY_CALL: &str = "Client.UserInitiatedShutdown";

impl Node {
    /// The agent made the call, as it should; a node that died or was taken away has another code.
    pub(crate) fn left_by_itself(&self) -> bool {
        self.is_terminated() && self.why == TERMINATED_BY_CALL
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == "terminated"
    }
}

impl Cloud {
    pub(crate) fn connect(endpoint: &str) -> Self {
        let credentials = Credentials::new("local", "local", None, None, "poller-processor");
        let http = aws_smithy_http_client::Builder::new().build_http();
        let batch = aws_sdk_batch::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials.clone())
            .http_client(http.clone())
            .endpoint_url(endpoint)
            .build();
        let ec2 = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials)
            .http_client(http)
            .endpoint_url(endpoint)
            .build();
        Self {
            batch: aws_sdk_batch::Client::from_conf(batch),
            ec2: aws_sdk_ec2::Client::from_conf(ec2),
            endpoint: endpoint.to_owned(),
        }
    }

    /// Makes the UNMANAGED compute environment, the queue and the two job definitions.
    pub(crate) async fn set_up(&self, folders: &Folders, max_jobs: u32) -> anyhow::Result<()> {
        self.create_environment().await.context("creating the compute environment")?;
        self.create_queue().await.context("creating the job queue")?;

        let poller = container(folders, &["/poller.sh"])
            .volumes(volume("input", folders.input.display()))
            .mount_points(mount("input", "/input", true))
            .environment(variable("BATCH_ENDPOINT", &self.endpoint))
            .environment(variable("JOB_QUEUE", QUEUE))
            .environment(variable("PROCESSOR", PROCESSOR))
            .environment(variable("MAX_JOBS", &max_jobs.to_string()));
        self.register(POLLER, poller.build()).await?;

        let processor = container(folders, &["/processor.sh", "Ref::files"])
            .volumes(volume("input", folders.input.display()))
            .mount_points(mount("input", "/input", true))
            .volumes(volume("output", folders.output.display()))
            .mount_points(mount("output", "/output", false));
        self.register(PROCESSOR, processor.build()).await
    }

    async fn create_environment(&self) -> anyhow::Result<()> {
        let create = self.batch.create_compute_environment().compute_environment_name(ENVIRONMENT);
        create.r#type(CeType::Unmanaged).state(CeState::Enabled).send().await?;
        let deadline = Instant::now() + VALID_WITHIN;
        loop {
            let found = self.batch.describe_compute_environments().compute_environments(ENVIRONMENT).send().await?;
            match found.compute_environments().first().and_then(|found| found.status()) {
                Some(CeStatus::Valid) => return Ok(()),
                _ if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
                status => bail!("{ENVIRONMENT} is {status:?}, not VALID, after {} s", VALID_WITHIN.as_secs()),
            }
        }
    }

    async fn create_queue(&self) -> anyhow::Result<()> {
        let order = ComputeEnvironmentOrder::builder().order(1).compute_environment(ENVIRONMENT).build();
        let create = self.batch.create_job_queue().job_queue_name(QUEUE).priority(1);
        create.state(JqState::Enabled).compute_environment_order(order).send().await?;
        let deadline = Instant::now() + VALID_WITHIN;
        loop {
            let found = self.batch.describe_job_queues().job_queues(QUEUE).send().await?;
            match found.job_queues().first().and_then(|found| found.status()) {
                Some(JqStatus::Valid) => return Ok(()),
                _ if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
                status => bail!("{QUEUE} is {status:?}, not VALID, after {} s", VALID_WITHIN.as_secs()),
            }
        }
    }

    async fn register(&self, name: &str, container: ContainerProperties) -> anyhow::Result<()> {
        let register =
            self.batch.register_job_definition().job_definition_name(name).r#type(JobDefinitionType::Container);
        register.container_properties(container).send().await.with_context(|| format!("registering {name}"))?;
        Ok(())
    }

    /// Submits the one job that makes all others; returns its id.
    pub(crate) async fn submit_poller(&self) -> anyhow::Result<String> {
        let submit = self.batch.submit_job().job_name(POLLER).job_queue(QUEUE).job_definition(POLLER);
        let job = submit.send().await.context("submitting the poller")?;
        Ok(job.job_id().unwrap_or_default().to_owned())
    }

    /// The status of every job of the queue, by job id.
    pub(crate) async fn jobs(&self) -> anyhow::Result<BTreeMap<String, JobStatus>> {
        let mut jobs = BTreeMap::new();
        for status in STATUSES {
            let list = self.batch.list_jobs().job_queue(QUEUE).job_status(status.clone());
            let mut found = list.into_paginator().items().send();
            while let Some(job) = found.next().await {
                let job = job.context("listing jobs")?;
                jobs.insert(job.job_id().unwrap_or_default().to_owned(), status.clone());
            }
        }
        Ok(jobs)
    }

    pub(crate) async fn describe_jobs(&self, ids: impl Iterator<Item = &String>) -> anyhow::Result<Vec<Job>> {
        let ids: Vec<String> = ids.cloned().collect();
        let mut jobs = Vec::with_capacity(ids.len());
        for some in ids.chunks(DESCRIBE_AT_ONCE) {
            let found =
                self.batch.describe_jobs().set_jobs(Some(some.to_vec())).send().await.context("describing jobs")?;
            jobs.extend(found.jobs().iter().map(job));
        }
        Ok(jobs)
    }

    pub(crate) async fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        let found = self.ec2.describe_instances().send().await.context("describing instances")?;
        let instances = found.reservations().iter().flat_map(|reservation| reservation.instances());
        let mut nodes: Vec<Node> = instances.map(node).collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(nodes)
    }
}

fn job(found: &aws_sdk_batch::types::JobDetail) -> Job {
    let container = found.container();
    let said = [found.status_reason(), container.and_then(|container| container.reason())];
    let mut reason = said.into_iter().flatten().collect::<Vec<_>>().join("; ");
    if let Some(code) = container.and_then(|container| container.exit_code()) {
        reason = format!("exit code {code}; {reason}");
    }
    let files = found.parameters().and_then(|parameters| parameters.get("files"));
    Job {
        name: found.job_name().unwrap_or_default().to_owned(),
        status: found.status().cloned().unwrap_or_else(|| JobStatus::from("UNKNOWN")),
        reason,
        log_stream: container.and_then(|container| container.log_stream_name()).unwrap_or_default().to_owned(),
        files: files.map(|files| files.lines().map(str::to_owned).collect()).unwrap_or_default(),
    }
}

fn node(instance: &aws_sdk_ec2::types::Instance) -> Node {
    let state = instance.state().and_then(|state| state.name()).map_or("pending", |name| name.as_str());
    let why = instance.state_reason().and_then(|reason| reason.code()).unwrap_or_default();
    Node { id: instance.instance_id().unwrap_or_default().to_owned(), state: state.to_owned(), why: why.to_owned() }
}

fn container(folders: &Folders, command: &[&str]) -> aws_sdk_batch::types::builders::ContainerPropertiesBuilder {
    let need = |kind, value: &str| ResourceRequirement::builder().r#type(kind).value(value).build();
    ContainerProperties::builder()
        .image(IMAGE)
        .set_command(Some(command.iter().map(|&word| word.to_owned()).collect()))
        .user(&folders.user)
        .resource_requirements(need(ResourceType::Vcpu, "1"))
        .resource_requirements(need(ResourceType::Memory, JOB_MEMORY_MIB))
}

fn volume(name: &str, path: impl ToString) -> Volume {
    Volume::builder().name(name).host(Host::builder().source_path(path.to_string()).build()).build()
}

fn mount(volume: &str, path: &str, read_only: bool) -> MountPoint {
    MountPoint::builder().source_volume(volume).container_path(path).read_only(read_only).build()
}

fn variable(name: &str, value: &str) -> KeyValuePair {
    KeyValuePair::builder().name(name).value(value).build()
}
