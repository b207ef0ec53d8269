//! Placement: which waiting job goes onto which container instance.

use super::batch::Switch;
use super::cluster::{ContainerInstance, Delivery, InstanceStatus, Task, TaskStatus};
use super::container::Shape;
use super::job::ContainerRun;
use super::roles::Grant;
use super::{State, payload};
use crate::clock::Millis;
use crate::events::JobStatus;
use crate::ids::{InstanceArn, JobId, TaskArn, hex32, name_of};

impl State {
    /// Queues in the order in which they are served.
    pub(crate) fn queues_by_priority(&self) -> Vec<String> {
        let mut queues: Vec<_> = self
            .queues
            .values()
            .filter(|q| self.runnable.get(&q.job_queue_name).is_some_and(|shapes| !shapes.is_empty()))
            .map(|q| (std::cmp::Reverse(q.priority), q.job_queue_name.clone()))
            .collect();
        queues.sort();
        queues.into_iter().map(|(_, name)| name).collect()
    }

    /// The names of a queue's enabled compute environments, in its order.
    pub(crate) fn environments_of(&self, queue: &str) -> Vec<String> {
        let Some(queue) = self.queues.get(queue) else { return Vec::new() };
        let names = queue.compute_environment_order.iter().map(|o| name_of(&o.compute_environment));
        let enabled = |name: &&str| self.environments.get(*name).is_some_and(|ce| ce.state == Switch::Enabled);
        names.filter(enabled).map(ToOwned::to_owned).collect()
    }

    /// Places what has room: queues by priority, jobs in the order of submission. One that needs more than there is lets
    /// smaller ones pass.
    pub(crate) fn place(&mut self, now: Millis) {
        for queue in self.queues_by_priority() {
            let hosts = self.hosts_of(&queue);
            if hosts.is_empty() {
                continue;
            }
            let mut blocked = Vec::new();
            while let Some((shape, job)) = self.next_in_line(&queue, &blocked) {
                match self.host_with_room(&hosts, shape) {
                    Some((environment, instance)) => self.start(&job, &environment, &instance, now),
                    None => blocked.push(shape),
                }
            }
        }
    }

    fn next_in_line(&self, queue: &str, blocked: &[Shape]) -> Option<(Shape, JobId)> {
        let shapes = self.runnable.get(queue)?.iter().filter(|(shape, _)| !blocked.contains(shape));
        let heads = shapes.filter_map(|(shape, line)| line.first().map(|(seq, id)| (seq, shape, id)));
        heads.min_by_key(|(seq, ..)| **seq).map(|(_, shape, id)| (*shape, id.clone()))
    }

    /// Instances that take tasks of a queue, with their compute environment, in the order of preference.
    fn hosts_of(&self, queue: &str) -> Vec<(String, InstanceArn)> {
        let mut hosts = Vec::new();
        for environment in self.environments_of(queue) {
            let Some(cluster) = self.environments.get(&environment).map(|ce| &ce.cluster) else { continue };
            let mut found: Vec<_> =
                self.instances.values().filter(|i| i.cluster == *cluster && self.takes_tasks(i)).collect();
            found.sort_by_key(|i| i.seq);
            hosts.extend(found.into_iter().map(|i| (environment.clone(), i.arn.clone())));
        }
        hosts
    }

    /// Whether ECS would place a task here: active, its agent connected, its host not going.
    pub(crate) fn takes_tasks(&self, instance: &ContainerInstance) -> bool {
        let host_is_going =
            instance.ec2_id.as_ref().and_then(|id| self.nodes.get(id)).is_some_and(|node| !node.state.is_live());
        instance.status == InstanceStatus::Active && instance.session.is_some() && !host_is_going
    }

    fn host_with_room(&self, hosts: &[(String, InstanceArn)], shape: Shape) -> Option<(String, InstanceArn)> {
        let has_room = |arn: &InstanceArn| self.instances.get(arn).is_some_and(|i| shape.fits(i.free()));
        hosts.iter().find(|(_, arn)| has_room(arn)).cloned()
    }

    /// Makes the job's task and hands it to the instance's agent.
    fn start(&mut self, id: &JobId, environment: &str, instance: &InstanceArn, now: Millis) {
        self.leave_line(id);
        let (Some(job), Some(host)) = (self.jobs.get_mut(id), self.instances.get_mut(instance)) else { return };
        let arn = TaskArn(self.arns.ecs("task", &format!("{}/{}", host.cluster, hex32())));
        let shape = job.spec.shape;
        let free_gpus = host.gpus.iter().filter(|gpu| !host.gpus_used.contains(*gpu)).cloned();
        let gpus: Vec<String> = free_gpus.take(usize::try_from(shape.gpus).unwrap_or_default()).collect();
        host.used = host.used.plus(shape);
        host.gpus_used.extend(gpus.iter().cloned());
        host.tasks.insert(arn.clone());
        let cluster = host.cluster.clone();
        host.wake();
        let log_stream = payload::collects_log(&job.spec).then(|| payload::log_stream(&job.spec, arn.id()));
        job.run = Some(ContainerRun {
            container_instance_arn: instance.to_string(),
            task_arn: arn.to_string(),
            log_stream_name: log_stream.clone(),
            ..ContainerRun::default()
        });
        job.status_reason = None;
        let container = &job.spec.container;
        let grants = Grant::of(container.job_role_arn.as_ref(), container.execution_role_arn.as_ref());
        let place = payload::Place { arns: &self.arns, cluster: &cluster, environment, gpus: &gpus };
        let task = Task {
            wire: payload::task(job, &arn, &place),
            instance: instance.clone(),
            cluster,
            job: id.clone(),
            shape,
            gpus,
            stop_wanted: false,
            grants,
            delivery: Delivery::Due,
            was_sent: false,
            status: TaskStatus::Pending,
            created_at: now,
            started_at: None,
            stopped_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            stop_code: None,
            stopped_reason: None,
            runtime_id: None,
            exit_code: None,
            container_reason: None,
            image_digest: None,
            log_stream,
            arn: arn.clone(),
        };
        self.tasks.insert(arn.clone(), task);
        self.issue_first(&arn, now);
        self.set_status(id, JobStatus::Starting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{World, status};

    #[test]
    fn jobs_fill_an_instance_and_the_rest_wait() {
        let mut w = World::new();
        let instance = w.instance(2048, 300);
        let jobs: Vec<_> = (0..3).map(|_| w.submit(serde_json::json!({}))).collect();
        let states: Vec<_> = jobs.iter().map(|id| status(&w.state, id)).collect();
        assert_eq!(states, [JobStatus::Starting, JobStatus::Starting, JobStatus::Runnable]);
        assert_eq!(w.state.instances[&instance].free().cpu, 0);
        let first = w.task_of(&jobs[0]);
        w.change(&first, TaskStatus::Stopped, Some(0), 9);
        assert_eq!(status(&w.state, &jobs[2]), JobStatus::Starting);
    }

    #[test]
    fn a_big_job_lets_small_ones_pass() {
        let mut w = World::new();
        w.instance(1024, 1024);
        let big = w.submit(serde_json::json!({"containerOverrides": {"vcpus": 4}}));
        let small = w.submit(serde_json::json!({}));
        assert_eq!(status(&w.state, &big), JobStatus::Runnable);
        assert_eq!(status(&w.state, &small), JobStatus::Starting);
    }

    #[test]
    fn nothing_goes_onto_draining_or_disconnected_instances() {
        let mut w = World::new();
        let instance = w.instance(4096, 4096);
        w.state.instances.get_mut(&instance).unwrap().status = InstanceStatus::Draining;
        let job = w.submit(serde_json::json!({}));
        assert_eq!(status(&w.state, &job), JobStatus::Runnable);
        let host = w.state.instances.get_mut(&instance).unwrap();
        host.status = InstanceStatus::Active;
        let session = host.session.take();
        w.state.settle(2);
        assert_eq!(status(&w.state, &job), JobStatus::Runnable);
        w.state.instances.get_mut(&instance).unwrap().session = session;
        w.state.settle(3);
        assert_eq!(status(&w.state, &job), JobStatus::Starting);
    }

    #[test]
    fn gpus_are_pinned() {
        let mut w = World::new();
        let instance = w.instance(4096, 4096);
        w.state.instances.get_mut(&instance).unwrap().gpus = vec!["GPU-a".into(), "GPU-b".into()];
        let need = serde_json::json!({"containerOverrides": {"resourceRequirements": [{"type": "GPU", "value": "1"}]}});
        let (a, b, c) = (w.submit(need.clone()), w.submit(need.clone()), w.submit(need));
        let gpu = |w: &World, id| w.state.tasks[&w.task_of(id)].gpus.clone();
        assert_eq!((gpu(&w, &a), gpu(&w, &b)), (vec!["GPU-a".to_owned()], vec!["GPU-b".to_owned()]));
        assert_eq!(status(&w.state, &c), JobStatus::Runnable);
    }
}
