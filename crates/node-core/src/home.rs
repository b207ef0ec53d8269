//! Where this node belongs: the ECS cluster behind its compute environment, and what to do when that becomes another one.
//!
//! A compute environment that is deleted and created again has a new cluster, and the old one is gone with every
//! registration in it. The node asks now and then, and at once when ECS says something that fits. It follows when nothing
//! runs here any more: until then it takes no new work, and reports to the old cluster as far as that listens.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::command::{Command, Notice};
use crate::event::{ApiFailure, CloseCause, Event, Incoming, Payload, PayloadTask};
use crate::ids::{ClusterRef, TaskArn};
use crate::leaving::Phase;
use crate::node::Node;
use crate::time::Timestamp;

/// Between two looks without a cause: a fleet of a thousand hosts asks Batch twice a second.
const LOOK_LOW: Duration = Duration::from_secs(8 * 60);
const LOOK_HIGH: Duration = Duration::from_secs(12 * 60);
/// Between looks that have a cause.
const DOUBT: Backoff = Backoff::new(Duration::from_secs(4), Duration::from_secs(60));

/// What Batch says of the compute environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub cluster: ClusterRef,
    /// What an operator should know of it, such as that it is DISABLED.
    pub remark: Option<String>,
}

#[derive(Debug)]
pub(crate) struct HomeWatch {
    under_way: bool,
    due: Option<Timestamp>,
    /// ECS has said something that fits a cluster that is gone, and Batch has not been heard since.
    doubted: bool,
    /// No look before this, whatever the cause.
    earliest: Timestamp,
    backoff: Backoff,
    /// Why the compute environment cannot be followed, or what is odd about it.
    trouble: Option<String>,
    /// Tasks that came while the intake was closed, each told once.
    pub(crate) turned_away: BTreeSet<TaskArn>,
}

impl Default for HomeWatch {
    fn default() -> Self {
        Self {
            under_way: false,
            due: None,
            doubted: false,
            earliest: Timestamp(0),
            backoff: DOUBT,
            trouble: None,
            turned_away: BTreeSet::new(),
        }
    }
}

impl Node {
    /// The first look is due when the host knows who it is: soon if Batch could not be asked then.
    pub(crate) fn watch_home(&mut self, now: Timestamp) {
        if self.home.trouble.is_some() {
            self.home.doubted = true;
            self.home.due = Some(now.after(self.home.backoff.next(&mut self.rng)));
        } else {
            self.look_later(now);
        }
    }

    fn look_later(&mut self, now: Timestamp) {
        self.home.due = Some(now.after(self.rng.between(LOOK_LOW, LOOK_HIGH)));
    }

    /// What ECS says of a cluster that is gone, in whichever answer.
    pub(crate) fn doubt_home(&mut self, event: &Event, now: Timestamp) {
        let doubtful = match event {
            Event::SessionClosed(CloseCause::Inactive(_)) => true,
            Event::Registered(Err(failure))
            | Event::Submitted(_, Err(failure))
            | Event::InstanceStateSet(_, Err(failure))
            | Event::Counted(Err(failure))
            | Event::Deregistered(Err(failure)) => matches!(failure, ApiFailure::Gone(_)),
            _ => false,
        };
        if doubtful && !self.home.under_way {
            self.home.doubted = true;
            let soon = now.max(self.home.earliest);
            self.home.due = Some(self.home.due.map_or(soon, |due| due.min(soon)));
        }
    }

    pub(crate) fn home_wakes_at(&self) -> Option<Timestamp> {
        self.home.due.filter(|_| !self.home.under_way && self.phase() != Phase::Terminating)
    }

    /// Asks, if it is time.
    pub(crate) fn look_home(&mut self, now: Timestamp) {
        if self.home.under_way || self.phase() == Phase::Terminating || self.home.due.is_none_or(|at| at > now) {
            return;
        }
        self.home.due = None;
        self.home.under_way = true;
        if self.home.doubted {
            self.home.earliest = now.after(self.home.backoff.next(&mut self.rng));
        }
        self.commands.push_back(Command::FindHome);
    }

    pub(crate) fn on_home(&mut self, found: Result<Home, String>, now: Timestamp) {
        self.home.under_way = false;
        match found {
            Ok(Home { cluster, remark }) => {
                self.tell_trouble(remark);
                self.home.doubted = false;
                self.look_later(now);
                self.choose(cluster);
            }
            Err(trouble) => {
                self.tell_trouble(Some(trouble));
                match self.home.doubted {
                    true => self.home.due = Some(now.after(self.home.backoff.next(&mut self.rng))),
                    false => self.look_later(now),
                }
            }
        }
    }

    fn tell_trouble(&mut self, trouble: Option<String>) {
        if self.home.trouble != trouble
            && let Some(text) = &trouble
        {
            self.commands.push_back(Command::Notice(Notice::HomeTrouble(text.clone())));
        }
        self.home.trouble = trouble;
    }

    /// Whether the cluster that was found is the one to move to.
    pub(crate) fn choose(&mut self, found: ClusterRef) {
        let leaving = matches!(self.phase(), Phase::Deregistering | Phase::Terminating);
        let live = self.live_tasks();
        let Some(record) = &mut self.record else { return };
        let wanted = (record.cluster != found && !leaving).then_some(found);
        if record.moving_to == wanted {
            return;
        }
        record.moving_to.clone_from(&wanted);
        let from = record.cluster.clone();
        if let Some(to) = wanted {
            self.commands.push_back(Command::Notice(Notice::HomeMoved { from, to, live }));
        }
        self.home.turned_away.clear();
        self.save_node();
        if !self.is_moving() {
            // It stays after all; a registration that was given up meanwhile is wanted again.
            self.resume_registering();
        }
    }

    pub(crate) fn is_moving(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.moving_to.is_some())
    }

    /// Goes to the new cluster, once nothing of the old one is left here.
    pub(crate) fn follow(&mut self, now: Timestamp) {
        if !self.is_moving() || self.live_tasks() > 0 || self.session.is_registering() {
            return;
        }
        if matches!(self.phase(), Phase::Deregistering | Phase::Terminating) {
            return;
        }
        let Some(record) = &mut self.record else { return };
        let Some(cluster) = record.moving_to.take() else { return };
        record.cluster = cluster.clone();
        record.manifest_seq = 0;
        let leave = record.container_instance.take();
        self.home.turned_away.clear();
        self.home.backoff.reset();
        self.save_node();
        if self.phase() == Phase::Active {
            self.enter(Phase::Registering, "the compute environment has a new cluster, and nothing runs here", now);
        }
        self.commands.push_back(Command::Join { cluster, leave });
        self.begin_anew();
    }

    /// Work of a cluster that this node is about to leave, or that comes when the host is being ended, is not taken, and so not
    /// acknowledged: ECS still has it, and Batch runs it elsewhere. `true`: it was turned away.
    pub(crate) fn turns_away(&mut self, payload: &Payload) -> bool {
        let new = payload.tasks.iter().filter(|task| self.turns_task_away(task));
        let new: Vec<TaskArn> = new.map(|task| task.arn.clone()).collect();
        for task in &new {
            if self.home.turned_away.insert(task.clone()) {
                self.commands.push_back(Command::Notice(Notice::TurnedAway(task.clone())));
            }
        }
        !new.is_empty()
    }

    /// A stop alone brings no work; but at the host's end nobody may be left to report it.
    pub(crate) fn turns_task_away(&self, task: &PayloadTask) -> bool {
        let leaves = self.is_moving() || self.session.is_ending();
        let work = !matches!(task.work, Incoming::Stop(_));
        !self.tasks.contains_key(&task.arn) && (self.phase() == Phase::Terminating || leaves && work)
    }

    /// What an operator should know of it, to follow why the node is in its phase.
    pub(crate) fn home_remark(&self) -> String {
        let moving = self.record.as_ref().and_then(|record| record.moving_to.as_ref());
        let moving = moving.map_or_else(String::new, |to| {
            format!("; the compute environment has a new cluster, {to}: this host follows when {} task(s) are over and reported, and takes no new ones", self.live_tasks())
        });
        let trouble = self.home.trouble.as_ref().map_or_else(String::new, |text| format!("; {text}"));
        moving + &trouble
    }
}

#[cfg(test)]
#[path = "home_tests.rs"]
mod tests;
