//! The node: one owner of all state, with one way in and two ways out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Rng;
use crate::command::Command;
use crate::container::Stage;
use crate::event::Event;
use crate::home::HomeWatch;
use crate::ids::{ClusterRef, DockerName, InstanceId, TaskArn};
use crate::images::{Cleaning, ImagePolicy};
use crate::leaving::{InstanceState, Leaving, LeavingPolicy, LeavingRecord, Phase, Rung};
use crate::progress::Slots;
use crate::record::{NodeRecord, Save, Saved};
use crate::session::Session;
use crate::spec::JobLabel;
use crate::task::Task;
use crate::time::Timestamp;

/// Events may be missed (a full buffer in dockerd, a stream that broke unseen), so every container is looked at this often.
pub(crate) const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// When a node pulls an image (ECS_IMAGE_PULL_BEHAVIOR).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullBehavior {
    /// Pull; if that fails, use what the host holds.
    #[default]
    Default,
    /// Pull; if that fails, so does the task.
    Always,
    /// Pull unless this node has already pulled the image itself.
    Once,
    /// Pull only an image that the host does not hold.
    PreferCached,
}

/// What an operator has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub pull_behavior: PullBehavior,
    /// `None`: the node stays however long it is idle.
    pub idle_timeout: Option<Duration>,
    /// How long a stopped container stays for a look at it.
    pub cleanup_wait: Duration,
    /// Seconds between SIGTERM and SIGKILL where a container does not say.
    pub stop_timeout_secs: u64,
    /// Containers created or started at the same time.
    pub docker_concurrency: usize,
    pub leaving: LeavingPolicy,
}

pub struct Node {
    pub(crate) policy: Policy,
    pub(crate) rng: Rng,
    pub(crate) started_at: Timestamp,
    /// This process has been told who the host is. What was saved may be another machine's until then.
    pub(crate) identified: bool,
    /// `None` until the host knows who it is.
    pub(crate) record: Option<NodeRecord>,
    pub(crate) tasks: BTreeMap<TaskArn, Task>,
    /// Docker's name of a container -> its task and its place in it.
    pub(crate) names: BTreeMap<DockerName, (TaskArn, usize)>,
    pub(crate) next_order: u64,
    pub(crate) docker_up: bool,
    /// Whether it is known that Docker is up or down.
    pub(crate) docker_asked: bool,
    pub(crate) slots: Slots,
    pub(crate) reconcile_at: Option<Timestamp>,
    pub(crate) cleanup_jitter: Duration,
    /// Containers of ECS tasks that run on this host and are none of this node's.
    pub(crate) strangers: usize,
    pub(crate) session: Session,
    pub(crate) home: HomeWatch,
    pub(crate) leaving: Leaving,
    pub(crate) cleaning: Cleaning,
    pub(crate) commands: VecDeque<Command>,
    touched: BTreeSet<TaskArn>,
    unsaved_tasks: BTreeSet<TaskArn>,
    /// To be saved in the next turn: Docker would tell the same again after a crash, so this turn's commands need not wait.
    unsaved_soon: BTreeSet<TaskArn>,
    forgotten: Vec<TaskArn>,
    unsaved_node: bool,
    clear_first: bool,
}

impl Node {
    /// A node with what an earlier run saved (`Saved::default()` for none). It does nothing until it is [`Event::Identified`].
    #[must_use]
    pub fn restore(policy: Policy, saved: Saved, seed: u64, now: Timestamp) -> Self {
        let mut node = Self {
            slots: Slots::new(policy.docker_concurrency),
            policy,
            rng: Rng::new(seed),
            started_at: now,
            identified: false,
            record: saved.node,
            tasks: BTreeMap::new(),
            names: BTreeMap::new(),
            next_order: 0,
            docker_up: false,
            docker_asked: false,
            reconcile_at: None,
            cleanup_jitter: Duration::ZERO,
            strangers: 0,
            session: Session::default(),
            home: HomeWatch::default(),
            leaving: Leaving::default(),
            cleaning: Cleaning::default(),
            commands: VecDeque::new(),
            touched: BTreeSet::new(),
            unsaved_tasks: BTreeSet::new(),
            unsaved_soon: BTreeSet::new(),
            forgotten: Vec::new(),
            unsaved_node: false,
            clear_first: false,
        };
        for mut record in saved.tasks {
            record.containers.iter_mut().for_each(|c| c.unsure = c.stage != Stage::Stopped);
            node.next_order = node.next_order.max(record.order + 1);
            node.insert(Task::recalled(record));
        }
        node
    }

    /// Goes by what an operator has chosen anew, but for the number of containers made at once. What follows from it is done at
    /// the next [`Node::handle_timeout`]. `None`: images are left alone.
    pub fn reconfigure(&mut self, policy: Policy, images: Option<ImagePolicy>) {
        self.policy = policy;
        self.clean_by(images);
    }

    /// Takes in one event. What follows from it is in [`Node::take_saves`] and [`Node::next_command`].
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        self.doubt_home(&event, now);
        match event {
            Event::Identified { instance, cluster } => self.on_identified(instance, cluster, now),
            Event::Home(found) => self.on_home(found, now),
            Event::Registered(result) => self.on_registered(result, now),
            Event::SessionOpened => self.on_session_opened(now),
            Event::SessionClosed(cause) => self.on_session_closed(cause, now),
            Event::Payload(payload) => self.on_payload(payload, now),
            Event::Credentials { message, task, issued } => self.on_credentials(message, &task, issued),
            Event::Manifest { message, cluster, container_instance, timeline, running } => {
                self.on_manifest(message, cluster, container_instance, timeline, &running)
            }
            Event::StopsVerified { message, tasks } => self.on_stops_verified(&message, &tasks),
            Event::DockerUp(list) => self.on_docker_up(list, now),
            Event::DockerDown(why) => self.on_docker_down(why, now),
            Event::Observed(name, seen) => self.on_observed(&name, &seen, now),
            Event::Missing(name) => self.on_missing(&name, now),
            Event::Pulling(name, news) => self.on_pull_news(&name, news, now),
            Event::Pulled(name, result) => self.on_pulled(&name, result, now),
            Event::Created(name, result) => self.on_created(&name, result, now),
            Event::Started(name, result) => self.on_started(&name, result, now),
            Event::Stopped(name, result) => self.on_stopped(&name, result, now),
            Event::Removed(name, result) => self.on_removed(&name, result, now),
            Event::Images(event) => self.on_images(event, now),
            Event::Submitted(task, result) => self.on_submitted(&task, result, now),
            Event::InstanceStateSet(state, result) => {
                self.on_instance_state_set(state, result, now);
            }
            Event::Counted(result) => self.on_counted(result, now),
            Event::Deregistered(result) => self.on_deregistered(result, now),
            Event::Terminated(result) => self.on_end_tried(Rung::Instance, result, now),
            Event::EndTried(rung, result) => self.on_end_tried(rung, result, now),
            Event::WorkFound(result) => self.on_work_found(result, now),
            Event::Preflight(result) => self.on_preflight(result, now),
            Event::HeartbeatRecorded(result) => self.on_heartbeat(result, now),
            Event::Protected(on, result) => self.on_protected(on, result, now),
            Event::Signalled(name, result) => self.on_signalled(&name, result, now),
            Event::Interruption(interruption) => self.on_interruption(interruption, now),
            Event::InterruptionCancelled(source) => self.on_interruption_cancelled(source, now),
            Event::HostBooted { id, at } => self.on_host_booted(id, at, now),
            Event::Health(kind, health) => self.on_health(kind, health, now),
            Event::Order(order) => self.on_order(order, now),
        }
        self.settle(now);
    }

    /// Does what has become due. To be called when [`Node::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let due: Vec<_> = self
            .tasks
            .values()
            .filter(|t| self.task_wakes_at(t).is_some_and(|at| at <= now))
            .map(|t| t.record.arn().clone())
            .collect();
        self.touched.extend(due);
        if self.identified && self.docker_up && self.reconcile_at.is_some_and(|at| at <= now) {
            self.reconcile_at = Some(now.after(RECONCILE_EVERY));
            self.commands.push_back(Command::Reconcile);
        }
        if self.identified {
            self.clean_images(now);
        }
        self.session_timeout(now);
        self.settle(now);
    }

    /// When [`Node::handle_timeout`] next has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if !self.identified {
            return None;
        }
        if !self.unsaved_tasks.is_empty() {
            return Some(self.started_at);
        }
        let tasks = self.tasks.values().filter_map(|t| self.task_wakes_at(t));
        let reconcile = self.reconcile_at.filter(|_| self.docker_up);
        tasks
            .chain(reconcile)
            .chain(self.images_wake_at())
            .chain(self.session.wakes_at())
            .chain(self.leaving_wakes_at())
            .chain(self.home_wakes_at())
            .min()
    }

    /// What must be durable before the next command is carried out.
    pub fn take_saves(&mut self) -> Vec<Save> {
        let mut saves = Vec::new();
        if std::mem::take(&mut self.clear_first) {
            saves.push(Save::Clear);
        }
        for arn in std::mem::take(&mut self.unsaved_tasks) {
            if let Some(task) = self.tasks.get(&arn) {
                saves.push(Save::Task(Box::new(task.record.clone())));
            }
        }
        saves.extend(self.forgotten.drain(..).map(Save::Forget));
        if std::mem::take(&mut self.unsaved_node)
            && let Some(record) = &self.record
        {
            saves.push(Save::Node(Box::new(record.clone())));
        }
        // Their turn is the next one, which poll_timeout makes due at once.
        self.unsaved_tasks = std::mem::take(&mut self.unsaved_soon);
        saves
    }

    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Whose job a task is.
    #[must_use]
    pub fn job_of(&self, task: &TaskArn) -> Option<JobLabel> {
        self.tasks.get(task).and_then(|t| t.record.spec.job())
    }

    /// How many tasks are not over, or over and not yet reported.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.tasks.values().filter(|t| t.record.live()).count()
    }

    /// When a task has something to do by the clock alone. What only an event can bring (Docker coming back, a request in
    /// flight ending) is left out, or the shell would spin.
    fn task_wakes_at(&self, task: &Task) -> Option<Timestamp> {
        let containers = &task.record.containers;
        let retry = containers.iter().filter(|_| self.docker_up).filter_map(|c| c.retry_at).min();
        let submit =
            (task.in_flight.is_none() && self.can_submit()).then(|| task.report().map(|_| task.submit_after)).flatten();
        let cleanup = task.cleanup_due(self.cleanup_wait(task)).filter(|_| self.docker_up);
        retry.into_iter().chain(submit).chain(cleanup).min()
    }

    /// Moves everything that an event touched as far as it will go. Nothing goes anywhere before [`Event::Identified`]: the
    /// shell has no cloud to carry a command to, and one that it cannot carry out would never be answered.
    fn settle(&mut self, now: Timestamp) {
        if !self.identified {
            return;
        }
        self.advance_touched(now);
        self.follow(now);
        self.leave(now);
        self.look_home(now);
        self.advance_touched(now);
        self.pump_outbox(now);
    }

    fn advance_touched(&mut self, now: Timestamp) {
        while let Some(arn) = self.touched.pop_first() {
            self.advance(&arn, now);
        }
        self.fill_slots(now);
    }

    /// Who we are. What was saved on another machine (an AMI baked from a running node) is dropped.
    fn on_identified(&mut self, instance: InstanceId, cluster: ClusterRef, now: Timestamp) {
        let ours = self.record.as_ref().is_some_and(|r| r.instance == instance);
        if !ours {
            self.clear_first = self.record.is_some() || !self.tasks.is_empty();
            self.tasks.clear();
            self.names.clear();
            self.unsaved_tasks.clear();
            self.record = None;
        }
        let moved = self.record.as_ref().is_some_and(|r| r.cluster != cluster);
        let live = self.live_tasks();
        match &mut self.record {
            Some(_) if !moved => {}
            // Tasks of the cluster before end there first.
            Some(record) if live > 0 => {
                let old = record.cluster.clone();
                self.choose(cluster);
                self.commands.push_back(Command::Join { cluster: old, leave: None });
            }
            _ => {
                self.record = Some(NodeRecord {
                    instance,
                    cluster,
                    moving_to: None,
                    container_instance: None,
                    phase: Phase::Registering,
                    phase_since: now,
                    confirmed_state: InstanceState::Active,
                    idle_since: now,
                    manifest_seq: 0,
                    pulled_images: BTreeSet::new(),
                    leaving: LeavingRecord::default(),
                    images: BTreeMap::new(),
                });
            }
        }
        self.identified = true;
        self.save_node();
        self.note_boot(now);
        self.touch_all();
        self.watch_home(now);
        self.start_registering();
    }

    pub(crate) fn insert(&mut self, task: Task) {
        let arn = task.record.arn().clone();
        for (i, container) in task.record.containers.iter().enumerate() {
            self.names.insert(container.docker_name.clone(), (arn.clone(), i));
        }
        self.tasks.insert(arn, task);
    }

    /// Drops all memory of a task.
    pub(crate) fn forget(&mut self, arn: &TaskArn) {
        if let Some(task) = self.tasks.remove(arn) {
            for container in &task.record.containers {
                self.names.remove(&container.docker_name);
            }
            self.unsaved_tasks.remove(arn);
            self.forgotten.push(arn.clone());
        }
    }

    pub(crate) fn touch(&mut self, arn: &TaskArn) {
        self.touched.insert(arn.clone());
    }

    pub(crate) fn touch_all(&mut self) {
        self.touched.extend(self.tasks.keys().cloned());
    }

    pub(crate) fn save_task(&mut self, arn: &TaskArn) {
        self.unsaved_tasks.insert(arn.clone());
    }

    /// Saves without making this turn's commands wait for it.
    pub(crate) fn save_task_soon(&mut self, arn: &TaskArn) {
        self.unsaved_soon.insert(arn.clone());
    }

    pub(crate) fn save_node(&mut self) {
        self.unsaved_node = true;
    }
}

#[cfg(test)]
#[path = "node_tests/mod.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "doubt_tests.rs"]
mod doubt_tests;
