//! What must hold in every run (shared/architecture.md), and the truth that it is held against.

use std::collections::BTreeMap;
use std::fmt;

use node_core::{ContainerName, DockerName, RoleKind, Running, StateChange, TaskArn, TaskStatus, Timestamp};

use crate::jobs::{Act, Job};
use crate::world::World;

/// One of the rules, in the order of shared/architecture.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// 1: an accepted task ends in one reported STOPPED with the container's true exit code.
    Report,
    /// 2: states never go backwards, and nothing follows STOPPED but what was said already.
    Monotone,
    /// 3: the host is not terminated while accepted work is unstopped or unreported.
    Termination,
    /// 4: no container runs twice, or outlives its task by more than the clean-up time.
    Once,
    /// 5: a credential is nowhere but with its task.
    Secret,
    /// 6: the same seed gives the same run.
    Same,
    /// When faults stop, everything is reported and the host leaves in bounded time; status always says why it is alive.
    Liveness,
    /// A wish that rests on there being no work is taken back when work comes.
    Wish,
    /// What the world, an ailment or the operator imposes is not undone by work.
    Imposed,
    /// An operator's hold beats every wish.
    Hold,
    /// Warnings to those who asked for them, one for an interruption; SIGKILL only at the deadline.
    Warn,
    /// The life-cycle hook is kept waiting while jobs finish, and completed at the end.
    Hook,
    /// Protection from scale-in is on while there is work, and only then.
    Protect,
    /// A panic is a bug; so is a command that the simulation does not know.
    Panic,
}

#[derive(Debug, Clone)]
pub struct Violation {
    pub rule: Rule,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// What ECS has been told about a task.
#[derive(Debug, Default)]
pub(crate) struct Told {
    status: TaskStatus,
    containers: BTreeMap<ContainerName, (TaskStatus, Option<i64>)>,
}

/// What really became of a container.
#[derive(Debug)]
struct Run {
    act: Act,
    starts: u32,
    ended: Option<i64>,
    ended_at: Option<u64>,
    warnings: u32,
    /// A warning was sent to it, whether or not it ran to hear it.
    addressed: bool,
    /// Docker did not say in time whether it was made or started: nobody can know all.
    unsure: bool,
    vanished: bool,
}

/// What happened, whoever saw it.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) jobs: Vec<Job>,
    /// Every deadline that was ever made known, and whether what still runs then is killed.
    pub(crate) deadlines: Vec<(Timestamp, bool)>,
    /// The latest that the host's clock has shown.
    pub(crate) latest: Timestamp,
    /// The machine has been shut down, is being so, or its power was lost.
    pub(crate) shut_down: bool,
    runs: BTreeMap<DockerName, Run>,
}

impl Truth {
    pub(crate) fn add(&mut self, job: Job) {
        for (container, act) in job.spec.containers.iter().zip(&job.acts) {
            let run = Run {
                act: *act,
                starts: 0,
                ended: None,
                ended_at: None,
                warnings: 0,
                addressed: false,
                unsure: false,
                vanished: false,
            };
            self.runs.insert(job.spec.docker_name(container), run);
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

    pub(crate) fn ended(&mut self, name: &DockerName, code: i64, now: u64) {
        if let Some(run) = self.runs.get_mut(name) {
            run.ended.get_or_insert(code);
            run.ended_at.get_or_insert(now);
        }
    }

    pub(crate) fn ended_at(&self, name: &DockerName) -> Option<u64> {
        self.runs.get(name).and_then(|run| run.ended_at)
    }

    /// It did not end well, or nobody knows how.
    pub(crate) fn failed(&self, name: &DockerName) -> bool {
        self.runs.get(name).is_some_and(|run| run.ended != Some(0) || run.unsure || run.vanished)
    }

    pub(crate) fn deadline(&mut self, at: Timestamp, kills: bool) {
        self.deadlines.push((at, kills));
    }

    /// Some deadline has passed at which what runs is killed.
    pub(crate) fn kill_passed(&self) -> bool {
        self.deadlines.iter().any(|(at, kills)| *kills && *at <= self.latest)
    }

    pub(crate) fn warned(&mut self, name: &DockerName) -> u32 {
        self.runs.get_mut(name).map_or(0, |run| {
            run.warnings += 1;
            run.warnings
        })
    }

    pub(crate) fn unwarned(&mut self, name: &DockerName) {
        if let Some(run) = self.runs.get_mut(name) {
            run.warnings = run.warnings.saturating_sub(1);
        }
    }

    pub(crate) fn address(&mut self, name: &DockerName) {
        if let Some(run) = self.runs.get_mut(name) {
            run.addressed = true;
        }
    }

    pub(crate) fn addressed(&self, name: &DockerName) -> bool {
        self.runs.get(name).is_some_and(|run| run.addressed)
    }

    pub(crate) fn unsure_of(&self, name: &DockerName) -> bool {
        self.runs.get(name).is_some_and(|run| run.unsure)
    }

    pub(crate) fn unsure(&mut self, name: &DockerName) {
        if let Some(run) = self.runs.get_mut(name) {
            run.unsure = true;
        }
    }

    pub(crate) fn vanished(&mut self, name: &DockerName) {
        if let Some(run) = self.runs.get_mut(name) {
            run.vanished = true;
        }
    }
}

impl World {
    pub(crate) fn started(&mut self, name: &DockerName) {
        let starts = self.truth.runs.get_mut(name).map_or(0, |run| {
            run.starts += 1;
            // Its name is the lock: whoever removes the container takes the lock away.
            if run.vanished { 0 } else { run.starts }
        });
        if starts > 1 {
            self.broken(Rule::Once, || format!("{name} runs a second time"));
        }
    }

    /// A report has reached ECS.
    pub(crate) fn check_report(&mut self, change: &StateChange) {
        let id = change.task.id().to_owned();
        let Some(task) = self.ecs.tasks.get_mut(&change.task) else {
            return self.broken(Rule::Report, || format!("a report about {id}, which ECS does not know"));
        };
        let told = &mut task.told;
        let mut wrong = None;
        if change.status < told.status {
            wrong = Some((Rule::Monotone, format!("{id} went from {:?} to {:?}", told.status, change.status)));
        }
        let over = told.status == TaskStatus::Stopped;
        for container in &change.containers {
            let (name, code) = (&container.name, container.exit_code.map(|code| code.0));
            let (status, known) = told.containers.get(name).copied().unwrap_or_default();
            let news = container.status != status || code != known;
            if container.status < status {
                let text = format!("{name} of {id} went from {status:?} to {:?}", container.status);
                wrong = Some((Rule::Monotone, text));
            } else if news && (over || status == TaskStatus::Stopped) {
                wrong =
                    Some((Rule::Monotone, format!("{name} of {id} was over with {known:?}, and then with {code:?}")));
            }
            told.containers.insert(name.clone(), (container.status, code));
        }
        told.status = told.status.max(change.status);
        if let Some((rule, text)) = wrong {
            self.broken(rule, || text);
        }
        if change.status == TaskStatus::Stopped && !over {
            self.check_truth(&change.task);
        }
    }

    /// What a refused report would have told counts as told: it is not sent again.
    pub(crate) fn count_as_told(&mut self, change: &StateChange) {
        let Some(task) = self.ecs.tasks.get_mut(&change.task) else { return };
        for container in &change.containers {
            let told = (container.status, container.exit_code.map(|code| code.0));
            task.told.containers.insert(container.name.clone(), told);
        }
        task.told.status = task.told.status.max(change.status);
    }

    /// A task was reported to be over: it must be, and with these codes.
    fn check_truth(&mut self, arn: &TaskArn) {
        let Some(task) = self.ecs.tasks.get(arn) else { return };
        let spec = &self.truth.jobs[task.job].spec;
        let mut wrong = None;
        for container in &spec.containers {
            let name = spec.docker_name(container);
            let Some(run) = self.truth.runs.get(&name).filter(|run| !run.unsure && !run.vanished) else { continue };
            let told = task.told.containers.get(&container.name).and_then(|(_, code)| *code);
            let runs = self.docker.containers.get(&name).is_some_and(|c| c.state == Running::Running);
            // 143 is what ECS is told of a container whose dependency failed.
            let fits = match run.ended {
                Some(code) => told == Some(code),
                None => told.is_none() || told == Some(143),
            };
            if runs {
                wrong = Some(format!("{name} runs, and {} was reported STOPPED", arn.id()));
            } else if !fits {
                wrong = Some(format!("{name} ended with {:?}, and {told:?} was reported", run.ended));
            }
        }
        if let Some(text) = wrong {
            self.broken(Rule::Report, || text);
        }
    }

    /// What can be checked at any time.
    pub(crate) fn check(&mut self) {
        self.check_credentials();
        self.check_containers();
        self.check_protection();
        let now = self.node_now();
        if self.agent.node.as_ref().is_some_and(|node| node.status(now).why.trim().is_empty()) {
            self.broken(Rule::Liveness, || "status does not say why the host is alive".to_owned());
        }
    }

    fn check_credentials(&mut self) {
        let slack = 120_000 + 2 * self.weather.clock_steps + self.weather.policy.cleanup_wait.as_millis() as u64;
        let mut wrong = None;
        for (id, (arn, role)) in &self.agent.credentials {
            let Some(task) = self.ecs.tasks.get(arn) else { continue };
            let over = task.stopped_at.is_some_and(|at| self.now > at + slack);
            if over && (*role == RoleKind::Task || self.calm_for() > slack + 600_000) {
                wrong = Some(format!("{id} outlives {}", arn.id()));
            }
        }
        for (arn, _, id) in self.agent.node.iter().flat_map(|node| node.credentials()) {
            if !id.as_str().contains(&format!("-{}-", arn.id())) {
                wrong = Some(format!("{} holds {id}", arn.id()));
            }
        }
        if let Some(text) = wrong {
            self.broken(Rule::Secret, || text);
        }
    }

    /// In calm weather no container is left long after its task.
    fn check_containers(&mut self) {
        let slack = 900_000 + 2 * self.weather.clock_steps + self.weather.policy.cleanup_wait.as_millis() as u64;
        if self.calm_for() < slack || self.well_for() < slack.min(900_000) {
            return;
        }
        let late = |c: &crate::docker::Container| {
            self.ecs.tasks.get(&c.task).and_then(|t| t.stopped_at).is_some_and(|at| self.now > at + slack)
        };
        if let Some(name) = self.docker.containers.iter().find(|(_, c)| late(c)).map(|(name, _)| name.clone()) {
            self.broken(Rule::Once, || format!("{name} is still here long after its task"));
        }
    }

    /// The run is over, or its time is.
    pub(crate) fn check_end(&mut self, in_time: bool) {
        let open = self.ecs.tasks.values().find(|t| t.accepted && t.last != TaskStatus::Stopped).map(|t| t.job);
        // What an imposed end may leave open was looked at when it was asked for; a dead Docker tells no end.
        let excused = if in_time { self.imposed } else { !self.docker.up };
        if let Some(job) = open.filter(|_| !excused) {
            let id = self.truth.arn(job);
            let why = self.agent.node.as_ref().map_or_else(String::new, |node| node.status(self.node_now()).why);
            self.broken(Rule::Report, || format!("{} was accepted and never reported STOPPED ({why})", id.id()));
        } else if !in_time {
            self.check_stay();
        }
    }
}
