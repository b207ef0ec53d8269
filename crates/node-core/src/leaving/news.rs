//! What the node tells of its leaving: one announcement for each transition, with all that a webhook's body needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::Rung;
use super::phase::Phase;
use super::reason::{Cause, DrainReason};
use crate::command::{Command, Notice, TaskStatus};
use crate::ids::TaskArn;
use crate::node::Node;
use crate::spec::JobLabel;
use crate::time::Timestamp;

/// One step of leaving, as it stands right after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    pub what: Happening,
    /// One line for people.
    pub text: String,
    pub phase: Phase,
    /// The reason that rules, if the node leaves.
    pub cause: Option<Cause>,
    pub reason: Option<DrainReason>,
    pub deadline: Option<Timestamp>,
    /// The task that this is about, where it is about one.
    pub task: Option<TaskArn>,
    /// Every job that is not over and reported.
    pub jobs: Vec<JobNow>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobNow {
    pub task: TaskArn,
    /// `None`: no Batch job.
    pub job: Option<JobLabel>,
    pub status: TaskStatus,
    pub withheld: bool,
}

/// What happened; also the name of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// The node's phase has changed.
    Phase,
    /// A reason to drain has come.
    Drain,
    /// A reason to drain is gone.
    Undone,
    /// An interruption was seen that the policy ignores.
    Ignored,
    /// The host should have been taken and was not.
    Survived,
    Held,
    Released,
    /// It would leave, but work waits in the queues.
    WorkWaits,
    /// It would leave, but cannot or must not.
    Stays,
    /// A job was sent its warning.
    Warned,
    /// The deadline has passed: what still ran was killed.
    CutOff,
    /// The failure of a job that the host's end has killed was kept back.
    Withheld,
    /// What was kept back is reported after all.
    Unwithheld,
    /// One way of ending the host is tried.
    Rung,
    /// One way of ending the host has failed for good.
    RungFailed,
    /// Its end was refused: it works again.
    Rejoined,
    /// The life-cycle hook no longer waits: Auto Scaling ends the host now.
    HookLost,
    HookCompleted,
    Protected,
    Unprotected,
}

impl Happening {
    pub const ALL: [Self; 20] = [
        Self::Phase,
        Self::Drain,
        Self::Undone,
        Self::Ignored,
        Self::Survived,
        Self::Held,
        Self::Released,
        Self::WorkWaits,
        Self::Stays,
        Self::Warned,
        Self::CutOff,
        Self::Withheld,
        Self::Unwithheld,
        Self::Rung,
        Self::RungFailed,
        Self::Rejoined,
        Self::HookLost,
        Self::HookCompleted,
        Self::Protected,
        Self::Unprotected,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phase => "phase",
            Self::Drain => "drain",
            Self::Undone => "undone",
            Self::Ignored => "ignored",
            Self::Survived => "survived",
            Self::Held => "held",
            Self::Released => "released",
            Self::WorkWaits => "work-waits",
            Self::Stays => "stays",
            Self::Warned => "warned",
            Self::CutOff => "cut-off",
            Self::Withheld => "withheld",
            Self::Unwithheld => "unwithheld",
            Self::Rung => "rung",
            Self::RungFailed => "rung-failed",
            Self::Rejoined => "rejoined",
            Self::HookLost => "hook-lost",
            Self::HookCompleted => "hook-completed",
            Self::Protected => "protected",
            Self::Unprotected => "unprotected",
        }
    }
}

/// What an operator may ask about leaving at any time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LeavingStatus {
    /// Every reason that stands, the one that rules first.
    pub reasons: Vec<DrainReason>,
    pub deadline: Option<Deadline>,
    pub hold: Option<String>,
    pub rung: Option<Rung>,
    /// Why the last wish to leave came to nothing.
    pub stays: Option<String>,
    pub jobs_taken: u32,
    /// Tasks whose failure is kept back.
    pub withheld: usize,
    /// How often each thing has happened since this process began.
    pub counters: BTreeMap<String, u64>,
}

/// When this host will be gone: for the task metadata endpoint and for the file that jobs may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    pub at: Timestamp,
    pub cause: Cause,
    pub text: String,
    /// What still runs then is killed.
    pub kills: bool,
}

impl Node {
    pub(crate) fn announce(&mut self, what: Happening, text: String) {
        self.announce_of(what, text, None);
    }

    pub(crate) fn announce_of(&mut self, what: Happening, text: String, task: Option<TaskArn>) {
        *self.leaving.counters.entry(what).or_default() += 1;
        let reason = self.ruling().cloned();
        let announcement = Announcement {
            what,
            text,
            phase: self.phase(),
            cause: reason.as_ref().map(DrainReason::cause),
            reason,
            deadline: self.deadline().map(|d| d.at),
            task,
            jobs: self.jobs_now(),
        };
        self.commands.push_back(Command::Notice(Notice::Leaving(Box::new(announcement))));
    }

    pub(crate) fn jobs_now(&self) -> Vec<JobNow> {
        let live = self.tasks.values().map(|t| &t.record).filter(|r| r.live());
        live.map(|record| JobNow {
            task: record.arn().clone(),
            job: record.spec.job(),
            status: record.known(),
            withheld: record.withheld(),
        })
        .collect()
    }
}
