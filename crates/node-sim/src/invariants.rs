//! What must hold in every run (shared/architecture.md).

use std::collections::BTreeMap;
use std::fmt;

use node_core::{ContainerName, DockerName, RoleKind, Running, StateChange, TaskArn, TaskStatus};

use crate::truth::Run;
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
    /// What the end of the host did to a job is kept back.
    Retries,
    /// A cancelled interruption is undone: nothing of it stands, and ECS gives the host work again.
    Undone,
    /// A node that works has a session with ECS.
    Joined,
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

impl Told {
    pub(crate) fn is_over(&self) -> bool {
        self.status == TaskStatus::Stopped
    }
}

impl World {
    pub(crate) fn started(&mut self, name: &DockerName) {
        let starts = self.truth.run_mut(name).map_or(0, Run::note_start);
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
        let spec = &self.truth.jobs[task.job].spec;
        let unknown = |name: &DockerName| self.truth.run(name).is_some_and(Run::unknown);
        let anew = spec.containers.iter().any(|c| unknown(&spec.docker_name(c)));
        let told = &mut task.told;
        let mut wrong = None;
        if change.status < told.status && !(anew && told.status == TaskStatus::Running) {
            wrong = Some((Rule::Monotone, format!("{id} went from {:?} to {:?}", told.status, change.status)));
        }
        let over = told.status == TaskStatus::Stopped;
        for container in &change.containers {
            let (name, code) = (&container.name, container.exit_code.map(|code| code.0));
            let (status, known) = told.containers.get(name).copied().unwrap_or_default();
            let news = container.status != status || code != known;
            if container.status < status && !(anew && status == TaskStatus::Running) {
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
            let Some(run) = self.truth.run(&name).filter(|run| !run.obscure()) else { continue };
            let ended = run.end().map(|end| end.code);
            let told = task.told.containers.get(&container.name).and_then(|(_, code)| *code);
            let runs = self.docker.containers.get(&name).is_some_and(|c| c.state == Running::Running);
            // 143 is what ECS is told of a container whose dependency failed.
            let fits = match ended {
                Some(code) => told == Some(code),
                None => told.is_none() || told == Some(143),
            };
            if runs {
                wrong = Some(format!("{name} runs, and {} was reported STOPPED", arn.id()));
            } else if !fits {
                wrong = Some(format!("{name} ended with {:?}, and {told:?} was reported", ended));
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
        self.check_undone();
        self.check_joined();
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
            if over && (*role == RoleKind::Task || self.well_for() > slack + 600_000) {
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
        // A dead Docker tells no end.
        let excused = if in_time { self.given_up() } else { !self.docker.up };
        if let Some(job) = self.open_task().filter(|_| !excused) {
            let id = self.truth.arn(job);
            let why = self.agent.node.as_ref().map_or_else(String::new, |node| node.status(self.node_now()).why);
            self.broken(Rule::Report, || format!("{} was accepted and never reported STOPPED ({why})", id.id()));
        } else if !in_time {
            self.check_stay();
        }
    }
}
