//! The simulated ECS and Batch: container instances, tasks and where each stands, and the calls of an agent.

use std::collections::{BTreeMap, VecDeque};

use node_core::{
    ApiFailure, Command, ContainerInstanceArn, InstanceState, MessageId, StateChange, TaskArn, TaskCounts, TaskStatus,
};

use crate::acs::{Message, Session};
use crate::invariants::Told;
use crate::queue::{Happening, Life};
use crate::story::Actor;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) active: bool,
    pub(crate) draining: bool,
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) job: usize,
    pub(crate) instance: String,
    pub(crate) stop_wanted: bool,
    /// The agent has acknowledged its payload: from here on it answers for it.
    pub(crate) accepted: bool,
    pub(crate) placed_at: u64,
    pub(crate) last: TaskStatus,
    pub(crate) stopped_at: Option<u64>,
    pub(crate) told: Told,
}

#[derive(Debug, Default)]
pub(crate) struct Ecs {
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) tasks: BTreeMap<TaskArn, Task>,
    /// Jobs that wait for a host.
    pub(crate) waiting: VecDeque<usize>,
    pub(crate) session: Option<Session>,
    pub(crate) sessions: u64,
    pub(crate) messages: BTreeMap<MessageId, Message>,
    pub(crate) seq: i64,
    pub(crate) outage: bool,
    /// No session can be had.
    pub(crate) acs_gone: bool,
    pub(crate) calls: BTreeMap<u64, (Life, Command)>,
    pub(crate) next_call: u64,
}

pub(crate) type Answer<T> = Result<T, ApiFailure>;

impl World {
    pub(crate) fn register(&mut self, previous: Option<ContainerInstanceArn>) -> Answer<ContainerInstanceArn> {
        if let Some(previous) = previous {
            let known = self.ecs.instances.get(previous.as_str()).is_some_and(|i| i.active);
            self.agent.instance = known.then(|| previous.as_str().to_owned());
            return match known {
                true => Ok(previous),
                false if self.dice.coin() => Err(ApiFailure::Gone("container instance not found".into())),
                false => Err(ApiFailure::Rejected("container instance is inactive".into())),
            };
        }
        let arn = format!("ci-{}", self.ecs.instances.len() + 1);
        self.tell(Actor::Ecs, || format!("registers {arn}"));
        self.ecs.instances.insert(arn.clone(), Instance { active: true, draining: false });
        self.agent.instance = Some(arn.clone());
        Ok(ContainerInstanceArn::new(arn))
    }

    /// The container instance that the agent's own client speaks for.
    fn mine(&mut self) -> Answer<&mut Instance> {
        let arn = self.agent.instance.clone().ok_or_else(|| ApiFailure::Unavailable("not registered yet".into()))?;
        let found = self.ecs.instances.get_mut(&arn).filter(|i| i.active);
        found.ok_or_else(|| ApiFailure::Gone("container instance not found".into()))
    }

    pub(crate) fn set_state(&mut self, state: InstanceState) -> Answer<()> {
        let drains = state == InstanceState::Draining;
        if drains && !self.calm && self.dice.permille(self.weather.late_work) {
            // Placed a moment before ECS hears of it.
            self.new_job();
        }
        self.mine()?.draining = drains;
        self.tell(Actor::Ecs, || format!("the host is {}", state.as_str()));
        self.place_waiting();
        Ok(())
    }

    pub(crate) fn count(&mut self) -> Answer<TaskCounts> {
        self.mine()?;
        let mine = |t: &&Task| Some(&t.instance) == self.agent.instance.as_ref();
        let of = |running: bool| {
            let alive = self.ecs.tasks.values().filter(mine).filter(|t| t.last != TaskStatus::Stopped);
            alive.filter(|t| (t.last == TaskStatus::Running) == running).count() as u32
        };
        Ok(TaskCounts { running: of(true), pending: of(false) })
    }

    pub(crate) fn deregister(&mut self) -> Answer<()> {
        let counts = self.count()?;
        if counts.running + counts.pending > 0 {
            return Err(ApiFailure::Rejected("found running or pending tasks on the instance".into()));
        }
        self.mine()?.active = false;
        self.tell(Actor::Ecs, || "the host is deregistered".to_owned());
        self.end_session();
        Ok(())
    }

    pub(crate) fn take_report(&mut self, change: StateChange) -> Answer<()> {
        if !self.calm && self.dice.permille(self.weather.refusals) {
            self.tell(Actor::Ecs, || format!("refuses {} {}", change.task.id(), change.status.as_str()));
            self.refused(&change);
            return Err(ApiFailure::Rejected("InvalidParameterException".into()));
        }
        self.tell(Actor::Ecs, || {
            let codes = change.containers.iter().map(|c| format!("{}={:?}", c.name, c.exit_code.map(|e| e.0)));
            let codes: Vec<_> = codes.collect();
            format!("hears {} {} {}", change.task.id(), change.status.as_str(), codes.join(" "))
        });
        self.check_report(&change);
        if let Some(task) = self.ecs.tasks.get_mut(&change.task) {
            task.last = task.last.max(change.status);
            if change.status == TaskStatus::Stopped {
                task.stopped_at.get_or_insert(self.now);
            }
        }
        Ok(())
    }

    /// It will not be sent again: by ECS's own word a task whose end was refused is over for everybody.
    fn refused(&mut self, change: &StateChange) {
        self.count_as_told(change);
        if let Some(task) = self.ecs.tasks.get_mut(&change.task).filter(|_| change.status == TaskStatus::Stopped) {
            task.last = TaskStatus::Stopped;
            task.stopped_at.get_or_insert(self.now);
        }
    }

    /// Someone removes the host from the cluster, whatever runs on it.
    pub(crate) fn deregistered_by_hand(&mut self) {
        let Some(arn) = self.agent.instance.clone() else { return };
        if self.calm {
            return;
        }
        if let Some(instance) = self.ecs.instances.get_mut(&arn).filter(|i| i.active) {
            instance.active = false;
            self.tell(Actor::Fate, || format!("{arn} is deregistered by hand"));
            self.end_session();
            // What was to stop there is no longer told so.
            let stopping: Vec<_> = self.ecs.tasks.values().filter(|t| t.stop_wanted).map(|t| t.job).collect();
            stopping.into_iter().for_each(|job| self.at(60_000, Happening::JobStopped(job)));
        }
    }
}
