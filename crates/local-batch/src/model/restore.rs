//! The state as records: what a change touched, and the state again from all that were written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::{ComputeEnvironment, JobDefinition, JobQueue};
use super::cluster::{Cluster, ContainerInstance, Task, TaskStatus};
use super::container::Shape;
use super::group::Group;
use super::job::{Job, JobKind, JobSpec};
use super::node::{Node, NodeState};
use super::table::Table;
use super::{Effect, State};
use crate::clock::Millis;
use crate::events::JobStatus;
use crate::ids::{Ec2Id, InstanceArn, JobId, TaskArn, name_of};
use crate::keys::IssuedKey;

/// The output of a task that ended so shortly before the plane did may not have been copied to its end, in milliseconds.
const OUTPUT_DUE: Millis = 60_000;

/// What is not in a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    counter: u64,
    sequence: i64,
    offers: Shape,
    #[serde(default)]
    agents_port: u16,
}

/// One entry of a table as it is now; without a value it is gone.
#[derive(Serialize)]
enum Written<'a> {
    Counters(Counters),
    Environment(&'a str, Option<&'a ComputeEnvironment>),
    Queue(&'a str, Option<&'a JobQueue>),
    Definition(&'a str, Option<&'a Vec<JobDefinition>>),
    Job(&'a JobId, Option<(&'a Job, Option<&'a JobSpec>)>),
    Cluster(&'a str, Option<&'a Cluster>),
    Instance(&'a InstanceArn, Option<&'a ContainerInstance>),
    Task(&'a TaskArn, Option<&'a Task>),
    Node(&'a Ec2Id, Option<&'a Node>),
    Key(&'a str, Option<&'a IssuedKey>),
    Group(&'a str, Option<&'a Group>),
    Denied(&'a str, Option<&'a Millis>),
}

/// The same, read back.
#[derive(Debug, Deserialize)]
pub(crate) enum Record {
    Counters(Counters),
    Environment(String, Option<ComputeEnvironment>),
    Queue(String, Option<JobQueue>),
    Definition(String, Option<Vec<JobDefinition>>),
    Job(JobId, Option<(Job, Option<JobSpec>)>),
    Cluster(String, Option<Cluster>),
    Instance(InstanceArn, Option<ContainerInstance>),
    Task(TaskArn, Option<Task>),
    Node(Ec2Id, Option<Node>),
    Key(String, Option<IssuedKey>),
    Group(String, Option<Group>),
    Denied(String, Option<Millis>),
}

/// Gathers the records of one change.
struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, record: &Written<'_>) -> serde_json::Result<()> {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut self.0, record)
    }

    fn table<K: Ord + Clone, V>(
        &mut self,
        table: &mut Table<K, V>,
        record: impl for<'a> Fn(&'a K, Option<&'a V>) -> Written<'a>,
    ) -> serde_json::Result<()> {
        table.take_touched().iter().try_for_each(|key| self.put(&record(key, table.get(key))))
    }
}

/// An array's children share the specification of their parent, which carries it.
fn own_spec(job: &Job) -> Option<&JobSpec> {
    (!matches!(job.kind, JobKind::Child { .. })).then(|| job.spec.as_ref())
}

impl State {
    fn counters(&self) -> Counters {
        Counters {
            counter: self.counter,
            sequence: self.sequence,
            offers: self.fleet.offers,
            agents_port: self.agents_port,
        }
    }

    /// What has changed since the last call, as one JSON array of records; `None` when nothing has.
    pub(crate) fn take_changes(&mut self) -> serde_json::Result<Option<Vec<u8>>> {
        let mut writer = Writer(Vec::new());
        let counters = self.counters();
        if self.saved != counters {
            self.saved = counters;
            writer.put(&Written::Counters(counters))?;
        }
        writer.table(&mut self.environments, |k, v| Written::Environment(k, v))?;
        writer.table(&mut self.queues, |k, v| Written::Queue(k, v))?;
        writer.table(&mut self.definitions, |k, v| Written::Definition(k, v))?;
        writer.table(&mut self.jobs, |k, v| Written::Job(k, v.map(|job| (job, own_spec(job)))))?;
        writer.table(&mut self.clusters, |k, v| Written::Cluster(k, v))?;
        writer.table(&mut self.instances, |k, v| Written::Instance(k, v))?;
        writer.table(&mut self.tasks, |k, v| Written::Task(k, v))?;
        writer.table(&mut self.nodes, |k, v| Written::Node(k, v))?;
        writer.table(&mut self.keys.keys, |k, v| Written::Key(k, v))?;
        writer.table(&mut self.groups, |k, v| Written::Group(k, v))?;
        writer.table(&mut self.denied, |k, v| Written::Denied(k, v))?;
        if writer.0.is_empty() {
            return Ok(None);
        }
        writer.0.push(b']');
        Ok(Some(writer.0))
    }

    /// Nobody saves: what changed need not be remembered.
    pub(crate) fn forget_changes(&mut self) {
        self.environments.take_touched();
        self.queues.take_touched();
        self.definitions.take_touched();
        self.jobs.take_touched();
        self.clusters.take_touched();
        self.instances.take_touched();
        self.tasks.take_touched();
        self.nodes.take_touched();
        self.keys.keys.take_touched();
        self.groups.take_touched();
        self.denied.take_touched();
    }

    /// Everything counts as changed.
    pub(crate) fn touch_all(&mut self) {
        self.saved = Counters::default();
        self.environments.touch_all();
        self.queues.touch_all();
        self.definitions.touch_all();
        self.jobs.touch_all();
        self.clusters.touch_all();
        self.instances.touch_all();
        self.tasks.touch_all();
        self.nodes.touch_all();
        self.keys.keys.touch_all();
        self.groups.touch_all();
        self.denied.touch_all();
    }

    /// Puts a record in, in the order in which they were written.
    pub(crate) fn replay(&mut self, record: Record) {
        match record {
            Record::Counters(saved) => {
                self.counter = saved.counter;
                // It never runs backwards, whatever the clock has done.
                self.sequence = self.sequence.max(saved.sequence);
                self.fleet.offers = saved.offers;
                self.agents_port = saved.agents_port;
            }
            Record::Environment(key, value) => {
                let value = value.map(|environment| ComputeEnvironment {
                    cluster: name_of(&environment.ecs_cluster_arn).to_owned(),
                    ..environment
                });
                self.environments.restore(key, value);
            }
            Record::Queue(key, value) => self.queues.restore(key, value),
            Record::Definition(key, value) => self.definitions.restore(key, value),
            Record::Job(key, value) => {
                let value = value.map(|(job, spec)| Job { spec: Arc::new(spec.unwrap_or_default()), ..job });
                self.jobs.restore(key, value);
            }
            Record::Cluster(key, value) => self.clusters.restore(key, value),
            Record::Instance(key, value) => self.instances.restore(key, value),
            Record::Task(key, value) => self.tasks.restore(key, value),
            Record::Node(key, value) => self.nodes.restore(key, value),
            Record::Key(key, value) => self.keys.keys.restore(key, value),
            Record::Group(key, value) => self.groups.restore(key, value),
            Record::Denied(key, value) => self.denied.restore(key, value),
        }
    }

    /// Derives what was not written, after the last record. Agents connect anew.
    pub(crate) fn resume(&mut self, now: Millis) {
        self.share_specs();
        self.queue_up();
        self.watch_tasks();
        self.resume_output(now);
        for node in self.nodes.values().filter(|n| [NodeState::ShuttingDown, NodeState::Stopping].contains(&n.state)) {
            // Its end was under way.
            node.stop.cancel();
        }
        self.set_alarms();
        self.fit_groups();
        self.saved = self.counters();
    }

    /// The command line's word on how many nodes there may be is newer.
    fn fit_groups(&mut self) {
        let most = self.fleet.max_nodes;
        let ours: Vec<String> =
            self.groups.values().filter(|g| g.environment.is_some()).map(|g| g.name.clone()).collect();
        for name in ours {
            if let Some(group) = self.groups.get_mut(&name) {
                group.max_size = most.max(group.min_size);
            }
        }
    }

    fn share_specs(&mut self) {
        let specs: BTreeMap<JobId, Arc<JobSpec>> =
            self.jobs.values().filter(|job| job.is_parent()).map(|job| (job.id.clone(), job.spec.clone())).collect();
        for job in self.jobs.values_mut() {
            if let JobKind::Child { parent, .. } = &job.kind
                && let Some(spec) = specs.get(parent)
            {
                job.spec = spec.clone();
            }
        }
        self.jobs.take_touched();
    }

    fn queue_up(&mut self) {
        for job in self.jobs.values() {
            self.order.insert(job.seq, job.id.clone());
            for on in &job.waiting_on {
                self.dependents.entry(on.clone()).or_default().push(job.id.clone());
            }
            if job.status == JobStatus::Runnable {
                let shapes = self.runnable.entry(job.spec.queue.clone()).or_default();
                shapes.entry(job.spec.shape).or_default().insert((job.seq, job.id.clone()));
            }
        }
        for waiting in self.dependents.values_mut() {
            waiting.sort_by_key(|id| self.jobs.get(id).map(|job| job.seq));
        }
    }

    fn watch_tasks(&mut self) {
        for task in self.tasks.values().filter(|task| task.status != TaskStatus::Stopped) {
            if let Some(at) = task.grants.iter().filter_map(|g| g.renewal(self.credentials_lifetime)).min() {
                self.renewals.insert((at, task.arn.clone()));
            }
            let timeout = self.jobs.get(&task.job).and_then(|job| job.spec.timeout);
            if let (Some(started), Some(timeout)) = (task.started_at, timeout) {
                let at = started.saturating_add(timeout.attempt_duration_seconds.saturating_mul(1000));
                self.deadlines.insert((at, task.arn.clone()));
            }
        }
    }

    fn resume_output(&mut self, now: Millis) {
        let is_due = |task: &&Task| task.stopped_at.is_none_or(|at| now - at < OUTPUT_DUE);
        let collected = self.tasks.values().filter(is_due).filter_map(|task| {
            let (runtime_id, stream) = (task.runtime_id.clone()?, task.log_stream.clone()?);
            Some(Effect::CollectLog { task: task.arn.clone(), runtime_id, stream })
        });
        let collected: Vec<Effect> = collected.collect();
        self.effects.extend(collected);
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
