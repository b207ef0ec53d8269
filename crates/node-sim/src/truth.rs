//! What really happened, whoever saw it: the truth that the rules are held against.

use std::collections::BTreeMap;

use node_core::{DockerName, Stage, TaskArn, TaskRecord, Timestamp};

use crate::jobs::{Act, Job};
use crate::queue::Ending;

/// What had been done to a container when it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) code: i64,
    pub(crate) at: u64,
    pub(crate) oom: bool,
    /// `None`: with its daemon or its machine, or by someone's hand.
    pub(crate) how: Option<Ending>,
    /// By a stop that left it no time.
    pub(crate) at_once: bool,
    /// A deadline at which what runs is killed had passed, or Docker was dead.
    pub(crate) after_deadline: bool,
    /// The host was being shut down.
    pub(crate) in_shutdown: bool,
}

/// What really became of a container.
#[derive(Debug)]
pub(crate) struct Run {
    act: Act,
    pub(crate) starts: u32,
    end: Option<End>,
    /// Warnings heard.
    warnings: u32,
    /// A warning was sent, and the agent has not saved that it was.
    asked: bool,
    /// Warnings of which the agent could not learn whether they were heard.
    doubts: u32,
    /// Docker did not say in time whether it was made or started: nobody can know all.
    unsure: bool,
    vanished: bool,
    /// The agent has saved that it was made.
    on_record: bool,
    /// Removed by hand before that: the agent's next process makes it as if for the first time.
    unknown: bool,
}

impl Run {
    fn new(act: Act) -> Self {
        Self {
            act,
            starts: 0,
            end: None,
            warnings: 0,
            asked: false,
            doubts: 0,
            unsure: false,
            vanished: false,
            on_record: false,
            unknown: false,
        }
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    pub(crate) fn started(&self) -> bool {
        self.starts > 0
    }

    /// Nobody can know how it ended.
    pub(crate) fn obscure(&self) -> bool {
        self.unsure || self.vanished
    }

    /// It was removed by hand before the agent had it on record: nothing on the host shows that it ever was.
    pub(crate) fn unknown(&self) -> bool {
        self.unknown
    }

    /// Its name is the lock: whoever removes the container takes the lock away.
    pub(crate) fn note_start(&mut self) -> u32 {
        self.starts += 1;
        if self.vanished { 0 } else { self.starts }
    }

    /// With a code that a shutdown leaves.
    pub(crate) fn ended_as_killed(&self) -> bool {
        self.end.is_some_and(|end| matches!(end.code, 137 | 143) && !end.oom)
    }

    /// A failure of it may be laid at the host's door: it was or may have been warned, was or would have been killed at a deadline, or
    /// ended as a shutdown ends containers.
    pub(crate) fn touched(&self) -> bool {
        let by_end = self.end.is_some_and(|end| {
            let as_shutdown = end.in_shutdown && matches!(end.code, 137 | 143);
            (end.after_deadline || as_shutdown) && !end.oom
        });
        let warned = self.warnings + self.doubts > 0 && self.end.is_none_or(|end| !end.oom);
        warned || by_end || self.obscure()
    }

    /// The end of the host alone has made it fail.
    pub(crate) fn killed_by_host(&self) -> bool {
        let Some(end) = self.end.filter(|end| end.code != 0 && !end.oom && !self.obscure()) else { return false };
        match end.how {
            Some(Ending::Warned) => true,
            Some(Ending::Term | Ending::Kill) => end.at_once,
            Some(Ending::Itself) | None => false,
        }
    }
}

/// What happened, whoever saw it.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) jobs: Vec<Job>,
    /// Every deadline that was ever made known, and whether what still runs then is killed.
    pub(crate) deadlines: Vec<(Timestamp, bool)>,
    /// The latest that the host's clock has shown.
    pub(crate) latest: Timestamp,
    runs: BTreeMap<DockerName, Run>,
}

impl Truth {
    pub(crate) fn add(&mut self, job: Job) {
        for (container, act) in job.spec.containers.iter().zip(&job.acts) {
            self.runs.insert(job.spec.docker_name(container), Run::new(*act));
        }
        self.jobs.push(job);
    }

    pub(crate) fn arn(&self, job: usize) -> TaskArn {
        self.jobs[job].spec.arn.clone()
    }

    pub(crate) fn hangs(&self, job: usize) -> bool {
        self.jobs[job].acts.iter().any(|act| act.runs_ms.is_none())
    }

    pub(crate) fn act(&self, name: &DockerName) -> Option<Act> {
        self.runs.get(name).map(|run| run.act)
    }

    pub(crate) fn run(&self, name: &DockerName) -> Option<&Run> {
        self.runs.get(name)
    }

    pub(crate) fn run_mut(&mut self, name: &DockerName) -> Option<&mut Run> {
        self.runs.get_mut(name)
    }

    pub(crate) fn ended(&mut self, name: &DockerName, end: End) {
        if let Some(run) = self.runs.get_mut(name) {
            run.end.get_or_insert(end);
        }
    }

    pub(crate) fn deadline(&mut self, at: Timestamp, kills: bool) {
        self.deadlines.push((at, kills));
    }

    /// Some deadline at which what runs is killed has been over for this long.
    pub(crate) fn kill_passed(&self, ago: u64) -> bool {
        self.deadlines.iter().any(|(at, kills)| *kills && at.0 + ago <= self.latest.0)
    }

    /// The agent sends a warning.
    pub(crate) fn ask_warning(&mut self, name: &DockerName) {
        if let Some(run) = self.runs.get_mut(name) {
            run.asked = true;
        }
    }

    /// The container hears one. How many it is now, but for those that were sent again for want of an answer.
    pub(crate) fn warned(&mut self, name: &DockerName) -> u32 {
        self.runs.get_mut(name).map_or(0, |run| {
            run.warnings += 1;
            run.warnings.saturating_sub(run.doubts)
        })
    }

    /// The agent cannot learn what became of a warning: it is sent again, and that is no second one.
    pub(crate) fn doubt_warning(&mut self, name: &DockerName) {
        if let Some(run) = self.runs.get_mut(name) {
            run.doubts += 1;
            run.asked = false;
        }
    }

    /// What the agent has saved of a task: what was made, which warnings were heard, and which it is about to send.
    pub(crate) fn saved(&mut self, record: &TaskRecord) {
        for state in &record.containers {
            if let Some(run) = self.runs.get_mut(&state.docker_name) {
                run.on_record |= state.stage > Stage::Pulled;
            }
        }
        for state in record.containers.iter().filter(|c| c.signalled) {
            if let Some(run) = self.runs.get_mut(&state.docker_name) {
                run.asked = !state.warned;
            }
        }
    }

    /// The agent's process has died over the warnings that it had under way.
    pub(crate) fn doubt_warnings(&mut self) {
        let asked = self.runs.iter().filter(|(_, run)| run.asked).map(|(name, _)| name.clone());
        for name in asked.collect::<Vec<_>>() {
            self.doubt_warning(&name);
        }
    }

    pub(crate) fn unsure(&mut self, name: &DockerName) {
        if let Some(run) = self.runs.get_mut(name) {
            run.unsure = true;
        }
    }

    pub(crate) fn vanished(&mut self, name: &DockerName) {
        if let Some(run) = self.runs.get_mut(name) {
            run.vanished = true;
            run.unknown |= !run.on_record;
        }
    }
}
