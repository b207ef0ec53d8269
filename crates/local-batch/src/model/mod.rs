//! Everything the plane knows, and every change it makes: synchronous, with the time passed in.
//!
//! [`State`] has one owner, the [`crate::hub::Hub`], which settles it after each change and carries out the effects.

pub(crate) mod attempt;
pub(crate) mod batch;
pub(crate) mod cluster;
pub(crate) mod container;
pub(crate) mod delivery;
pub(crate) mod group;
pub(crate) mod instances;
pub(crate) mod job;
pub(crate) mod lifecycle;
pub(crate) mod node;
pub(crate) mod notice;
pub(crate) mod payload;
pub(crate) mod restore;
pub(crate) mod retry;
pub(crate) mod roles;
pub(crate) mod scale;
pub(crate) mod scaling;
pub(crate) mod schedule;
pub(crate) mod submit;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod vault;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use self::batch::{ComputeEnvironment, JobDefinition, JobQueue};
use self::cluster::{Cluster, ContainerInstance, Tasks};
use self::container::Shape;
use self::group::Group;
use self::job::Job;
use self::node::Node;
use self::table::Table;
use self::vault::Vault;
use crate::clock::Millis;
use crate::error::ApiError;
use crate::events::PlaneEvent;
use crate::ids::{Arns, Ec2Id, InstanceArn, JobId, TaskArn};
use crate::keys::KeyRing;

/// ECS's life of a task's credentials: 6 hours.
const CREDENTIALS_LIFETIME: Millis = 6 * 3600 * 1000;

/// What the state wants done in the world.
#[derive(Debug)]
pub(crate) enum Effect {
    Event(PlaneEvent),
    /// Give this new instance its metadata service and its process.
    Launch(Ec2Id),
    /// Copy this container's output into the log stream, from its first line.
    CollectLog {
        task: TaskArn,
        runtime_id: String,
        stream: String,
    },
}

/// The capacity side of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fleet {
    pub(crate) max_nodes: u32,
    /// What a fresh node is expected to offer: corrected by what the first one registers.
    pub(crate) offers: Shape,
    /// MinSize of the Auto Scaling groups; `None`: nodes are launched without one.
    pub(crate) group: Option<u32>,
}

/// Jobs that wait for room: by queue, then by what they need, then in the order of submission.
pub(crate) type Runnable = BTreeMap<String, BTreeMap<Shape, BTreeSet<(u64, JobId)>>>;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) arns: Arns,
    pub(crate) fleet: Fleet,
    pub(crate) environments: Table<String, ComputeEnvironment>,
    pub(crate) queues: Table<String, JobQueue>,
    /// Revisions from 1, in order.
    pub(crate) definitions: Table<String, Vec<JobDefinition>>,
    pub(crate) jobs: Table<JobId, Job>,
    /// Jobs in the order of submission.
    pub(crate) order: BTreeMap<u64, JobId>,
    /// Who waits for a job's success.
    pub(crate) dependents: HashMap<JobId, Vec<JobId>>,
    pub(crate) runnable: Runnable,
    /// When running attempts time out.
    pub(crate) deadlines: BTreeSet<(Millis, TaskArn)>,
    pub(crate) clusters: Table<String, Cluster>,
    pub(crate) instances: Table<InstanceArn, ContainerInstance>,
    pub(crate) tasks: Tasks,
    pub(crate) nodes: Table<Ec2Id, Node>,
    pub(crate) groups: Table<String, Group>,
    /// Actions that IAM denies to the plane's own keys, as `service:Action` in lower case, and since when.
    pub(crate) denied: Table<String, Millis>,
    /// When to look after an instance: a hook's time is over, Spot takes it, an event begins.
    pub(crate) alarms: BTreeSet<(Millis, Ec2Id)>,
    pub(crate) keys: KeyRing,
    pub(crate) vault: Vault,
    /// How long the credentials of a job's role live, in milliseconds.
    pub(crate) credentials_lifetime: Millis,
    /// When tasks get new ones.
    pub(crate) renewals: BTreeSet<(Millis, TaskArn)>,
    /// No more launches: the plane is going.
    pub(crate) closing: bool,
    /// Where agents find ACS and TCS; 0 before there is such a place.
    pub(crate) agents_port: u16,
    counter: u64,
    /// ACS sequence numbers; they begin at the time of the plane's start, so that they never run backwards for an agent.
    sequence: i64,
    effects: Vec<Effect>,
    /// As they were written last.
    saved: restore::Counters,
}

impl State {
    pub(crate) fn new(region: String, fleet: Fleet, now: Millis) -> Self {
        Self {
            arns: Arns { region },
            fleet,
            environments: Table::default(),
            queues: Table::default(),
            definitions: Table::default(),
            jobs: Table::default(),
            order: BTreeMap::new(),
            dependents: HashMap::new(),
            runnable: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            clusters: Table::default(),
            instances: Table::default(),
            tasks: Table::default(),
            nodes: Table::default(),
            groups: Table::default(),
            denied: Table::default(),
            alarms: BTreeSet::new(),
            keys: KeyRing::default(),
            vault: Vault::default(),
            credentials_lifetime: CREDENTIALS_LIFETIME,
            renewals: BTreeSet::new(),
            closing: false,
            agents_port: 0,
            counter: 0,
            sequence: now,
            effects: Vec::new(),
            saved: restore::Counters::default(),
        }
    }

    /// Brings the state to rest after a change: attempts out of time are stopped, credentials renewed, jobs placed, instances
    /// launched.
    pub(crate) fn settle(&mut self, now: Millis) {
        self.expire(now);
        self.renew_credentials(now);
        self.ring_alarms(now);
        self.place(now);
        self.keep_capacity(now);
        self.scale(now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let first = |of: &BTreeSet<(Millis, TaskArn)>| of.first().map(|(at, _)| *at);
        let alarm = self.alarms.first().map(|(at, _)| *at);
        first(&self.deadlines).into_iter().chain(first(&self.renewals)).chain(alarm).min()
    }

    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn emit(&mut self, event: PlaneEvent) {
        self.effects.push(Effect::Event(event));
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Counts things: jobs, sessions, instances.
    pub(crate) fn next_ordinal(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(crate) fn next_sequence(&mut self) -> i64 {
        self.sequence += 1;
        self.sequence
    }

    pub(crate) fn job(&self, id: &JobId) -> Result<&Job, ApiError> {
        self.jobs
            .get(id)
            .ok_or_else(|| ApiError::client(format!("Job {id} not found; list-jobs shows those there are")))
    }

    pub(crate) fn cluster(&self, name_or_arn: &str) -> Result<&Cluster, ApiError> {
        let name = if name_or_arn.is_empty() { "default" } else { crate::ids::name_of(name_or_arn) };
        self.clusters.get(name).ok_or_else(|| ApiError::new("ClusterNotFoundException", "Cluster not found."))
    }
}

#[cfg(test)]
#[path = "reasons_tests.rs"]
mod reasons_tests;
