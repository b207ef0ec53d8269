//! A small world for the unit tests: environment `ce` on cluster `c`, queue `q`, definition `d` (1 vCPU, 100 MiB).

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::attempt::{ContainerChange, TaskChange};
use super::batch::{
    ComputeEnvironment, ComputeEnvironmentOrder, DefinitionStatus, JobDefinition, JobQueue, Switch, Tags,
};
use super::cluster::{Cluster, Resource, Session, TaskStatus};
use super::container::Shape;
use super::instances::Registration;
use super::{Fleet, State};
use crate::clock::Millis;
use crate::error::ApiError;
use crate::events::JobStatus;
use crate::ids::{Ec2Id, InstanceArn, JobId, TaskArn};

pub(crate) struct World {
    pub(crate) state: State,
}

pub(crate) fn status(state: &State, id: &JobId) -> JobStatus {
    state.job(id).unwrap().status
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_fleet(0, 0, 0)
    }

    /// The state of a plane that has just been made.
    pub(crate) fn blank() -> State {
        State::new("us-east-1".into(), Fleet { max_nodes: 0, offers: Shape::default(), group: Some(0) }, 0)
    }

    pub(crate) fn with_fleet(max_nodes: u32, cpu: u32, memory: u32) -> Self {
        let offers = Shape { cpu, memory, gpus: 0 };
        let mut state = State::new("us-east-1".into(), Fleet { max_nodes, offers, group: Some(0) }, 0);
        let arn = |kind| format!("arn:aws:batch:us-east-1:1:{kind}");
        state.clusters.insert("c".into(), Cluster { name: "c".into(), arn: "arn:c".into() });
        let environment = ComputeEnvironment {
            compute_environment_name: "ce".into(),
            compute_environment_arn: arn("compute-environment/ce"),
            ecs_cluster_arn: arn("cluster/c"),
            state: Switch::Enabled,
            unmanaged_vcpus: None,
            service_role: None,
            tags: Tags::new(),
            uuid: String::new(),
            cluster: "c".into(),
        };
        state.environments.insert("ce".into(), environment);
        let queue = JobQueue {
            job_queue_name: "q".into(),
            job_queue_arn: arn("job-queue/q"),
            state: Switch::Enabled,
            priority: 1,
            compute_environment_order: vec![ComputeEnvironmentOrder {
                order: 1,
                compute_environment: arn("compute-environment/ce"),
            }],
            tags: Tags::new(),
        };
        state.queues.insert("q".into(), queue);
        let mut world = Self { state };
        world.register("d", json!({"image": "busybox", "vcpus": 1, "memory": 100, "command": ["true"]}));
        world
    }

    pub(crate) fn register(&mut self, name: &str, container: Value) {
        let definition = JobDefinition {
            job_definition_name: name.into(),
            job_definition_arn: format!("arn:aws:batch:us-east-1:1:job-definition/{name}:1"),
            revision: 1,
            status: DefinitionStatus::Active,
            scheduling_priority: None,
            parameters: Tags::new(),
            retry_strategy: None,
            container_properties: serde_json::from_value(container).unwrap(),
            timeout: None,
            tags: Tags::new(),
            propagate_tags: None,
            platform_capabilities: Vec::new(),
        };
        self.state.definitions.insert(name.into(), vec![definition]);
    }

    pub(crate) fn try_submit(&mut self, with: Value) -> Result<JobId, ApiError> {
        let mut request = json!({"jobName": "j", "jobQueue": "q", "jobDefinition": "d"});
        if let (Value::Object(request), Value::Object(with)) = (&mut request, with) {
            request.extend(with);
        }
        let id = self.state.submit(serde_json::from_value(request).unwrap(), 1);
        self.state.settle(1);
        id
    }

    pub(crate) fn submit(&mut self, with: Value) -> JobId {
        self.try_submit(with).unwrap()
    }

    /// A connected container instance.
    pub(crate) fn instance(&mut self, cpu: i64, memory: i64) -> InstanceArn {
        self.instance_on(None, cpu, memory)
    }

    pub(crate) fn instance_on(&mut self, ec2_id: Option<Ec2Id>, cpu: i64, memory: i64) -> InstanceArn {
        let resource = |name: &str, integer_value| Resource { name: name.into(), integer_value, ..Resource::default() };
        let registration = Registration {
            cluster: "c".into(),
            ec2_id,
            resources: vec![resource("CPU", cpu), resource("MEMORY", memory)],
            ..Registration::default()
        };
        let arn = self.state.register_instance(registration, 1).unwrap();
        let orders = mpsc::channel(1).0;
        let session = Session { id: 1, wake: Arc::new(Notify::new()), close: CancellationToken::new(), orders };
        self.state.connect(&arn, session);
        self.state.settle(1);
        arn
    }

    pub(crate) fn task_of(&self, id: &JobId) -> TaskArn {
        TaskArn(self.state.job(id).unwrap().run.as_ref().unwrap().task_arn.clone())
    }

    /// Sends and acknowledges whatever is due.
    pub(crate) fn deliver(&mut self, instance: &InstanceArn) {
        while let Some(out) = self.state.take_payload(instance, 1) {
            self.state.acknowledge(instance, &out.payload.message_id);
        }
    }

    pub(crate) fn change(&mut self, task: &TaskArn, status: TaskStatus, exit_code: Option<i32>, now: Millis) {
        self.change_with(task, status, ContainerChange { exit_code, ..ContainerChange::default() }, now);
    }

    pub(crate) fn change_with(&mut self, task: &TaskArn, status: TaskStatus, container: ContainerChange, now: Millis) {
        let change = TaskChange {
            task: task.clone(),
            status,
            reason: None,
            container: Some(container),
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        };
        self.state.change_task(change, now).unwrap();
        self.state.settle(now);
    }
}
