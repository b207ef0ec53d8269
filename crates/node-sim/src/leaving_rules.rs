//! What must hold of leaving, as README.md states it.

use node_core::{AtMinSize, Cause, Ending, Event, NodeRecord, Order, Phase, Refused, Save, Source, Timestamp};
use node_core::{DockerName, DrainReason, Running, Standing, TaskStatus};

use crate::ecs::Task;
use crate::invariants::Rule;
use crate::world::World;

const MINUTE: u64 = 60_000;
/// Docker was not to be used this recently: what ran then may have been given up at its deadline.
const DOCKER_BAD: u64 = 10 * MINUTE;
/// What a SIGKILL has not ended after this long is given up (node-core/src/leaving/drain.rs).
const KILL_GRACE: u64 = MINUTE;
/// The longest that a request of the agent is under way.
const ON_THE_WAY: u64 = 5_000;

/// What the agent has on record of its leaving after a turn.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    phase: Phase,
    since: Timestamp,
    instance: Option<String>,
    reasons: Vec<Standing>,
}

/// The sources of interruptions that the watcher of the metadata service tells of.
const SOURCES: [(Source, Cause); 4] = [
    (Source::Spot, Cause::Spot),
    (Source::Rebalance, Cause::Rebalance),
    (Source::Maintenance, Cause::Maintenance),
    (Source::ScaleIn, Cause::ScaleIn),
];

impl Recorded {
    fn new(record: &NodeRecord) -> Self {
        let instance = record.container_instance.as_ref().map(|arn| arn.as_str().to_owned());
        Self { phase: record.phase, since: record.phase_since, instance, reasons: record.leaving.reasons.clone() }
    }

    pub(crate) fn standing(&self) -> impl Iterator<Item = &DrainReason> {
        self.reasons.iter().filter(|s| !s.over).map(|s| &s.reason)
    }

    /// What stood at that time, and still does.
    pub(crate) fn standing_since(&self, at: u64) -> impl Iterator<Item = &DrainReason> {
        self.reasons.iter().filter(move |s| !s.over && s.since.0 <= at).map(|s| &s.reason)
    }

    fn imposed(&self) -> bool {
        self.standing().any(|r| !r.cause().is_wish())
    }
}

/// It may take back a reason that the node did not choose.
pub(crate) fn takes_back(event: &Event) -> bool {
    matches!(
        event,
        Event::InterruptionCancelled(_)
            | Event::Interruption(_)
            | Event::Order(Order::Cancel | Order::Drain { .. })
            | Event::HostBooted { .. }
            | Event::Identified { .. }
            | Event::Health(..)
            | Event::DockerUp(_)
            | Event::SessionOpened
    )
}

impl World {
    /// After each turn: what the node has on record of its leaving now, and whether it may.
    pub(crate) fn judge_turn(&mut self, saves: &[Save], taken_back: bool) {
        let record = saves.iter().rev().find_map(|save| match save {
            Save::Node(record) => Some(Recorded::new(record)),
            _ => None,
        });
        if let Some(record) = record {
            let lost = |r: &DrainReason| !r.cause().is_wish() && r.ending() != Ending::Stay;
            if self.agent.recorded.as_ref().is_some_and(|recorded| recorded.standing().any(lost)) {
                self.lost_seen = Some(self.now);
            }
            let before = self.agent.recorded.replace(record);
            self.judge_undone(before, taken_back);
        }
        let Some(recorded) = &self.agent.recorded else { return };
        let wish = recorded.standing().find(|r| r.cause().is_wish()).map(ToString::to_string);
        let idle_only = recorded.standing().all(|r| r.cause() == Cause::Idle);
        let draining = matches!(recorded.phase, Phase::Draining | Phase::Idle | Phase::Deregistering);
        let live = self.agent.node.as_ref().map_or(0, node_core::Node::live_tasks);
        if draining && idle_only && live > 0 && self.agent.identified {
            let words = format!("{:?}", self.agent.recorded);
            self.broken(Rule::Wish, || format!("drains for being idle, with {live} live task(s): {words}"));
        }
        let ending = self.agent.recorded.as_ref().is_some_and(|r| r.phase == Phase::Terminating);
        let held = self.operator.pending.or(self.operator.held) == Some(true);
        if let Some(wish) = wish.filter(|_| held && !ending) {
            self.broken(Rule::Hold, || format!("held, and wishes to leave: {wish}"));
        }
    }

    /// What the node did not choose goes only with what took it back.
    fn judge_undone(&mut self, before: Option<Recorded>, taken_back: bool) {
        let (Some(before), Some(present)) = (before, &self.agent.recorded) else { return };
        let kept = |cause: Cause| present.reasons.iter().any(|s| s.reason.cause() == cause);
        // A host that lives on long after its deadline has survived it.
        let (now, after) = (self.node_now(), self.weather.policy.leaving.survived_after);
        let survived = |r: &DrainReason| r.deadline().is_some_and(|at| at.after(after) <= now);
        let gone = before.standing().find(|r| !r.cause().is_wish() && !kept(r.cause()) && !survived(r));
        if let Some(text) = gone.filter(|_| !taken_back).map(ToString::to_string) {
            self.broken(Rule::Imposed, || format!("taken back by nothing: {text}"));
        }
    }

    /// A way of ending the host was asked for by the agent.
    pub(crate) fn check_termination(&mut self, what: &str) {
        let given_up = self.given_up();
        if let Some(job) = self.open_task().filter(|_| !given_up) {
            let id = self.truth.arn(job);
            self.broken(Rule::Termination, || format!("{what} while {} was not reported", id.id()));
        }
        let running = self.docker.containers.iter().filter(|(_, c)| c.state == Running::Running).map(|(name, _)| name);
        let known = |name: &&DockerName| self.truth.run(name).is_some_and(|run| !run.obscure());
        if let Some(name) = running.filter(known).find(|_| !given_up).cloned() {
            self.broken(Rule::Termination, || format!("{what} while {name} ran"));
        }
    }

    /// An accepted task that is not reported, and may not be kept back either.
    pub(crate) fn open_task(&self) -> Option<usize> {
        let lost = self.lost();
        let open = self.ecs.tasks.values().filter(|t| t.accepted && t.last != TaskStatus::Stopped);
        open.filter(|t| !(lost && self.may_be_withheld(t))).map(|t| t.job).next()
    }

    /// The agent has a reason on record that may take the host from under its jobs.
    fn lost(&self) -> bool {
        let lost = |r: &DrainReason| !r.cause().is_wish() && r.ending() != Ending::Stay;
        // What was asked for a moment ago is on its way.
        let lately = self.lost_seen.is_some_and(|at| self.now - at <= ON_THE_WAY);
        lately || self.agent.recorded.as_ref().is_some_and(|recorded| recorded.standing().any(lost))
    }

    /// Something of the task runs.
    pub(crate) fn runs_now(&self, task: &Task) -> bool {
        let spec = &self.truth.jobs[task.job].spec;
        let mut names = spec.containers.iter().map(|c| spec.docker_name(c));
        names.any(|name| self.docker.containers.get(&name).is_some_and(|c| c.state == Running::Running))
    }

    /// Long after a deadline, under a Docker that did not do as it was told: what it held was given up.
    pub(crate) fn given_up(&self) -> bool {
        let bad = !self.docker.up || self.docker.hung || self.now < self.docker.bad_until + DOCKER_BAD;
        self.lost() && bad && (self.truth.kill_passed(KILL_GRACE) || self.docker_was_dead())
    }

    /// The agent knows of a shutdown.
    pub(crate) fn shutdown_known(&self) -> bool {
        let recorded = self.agent.recorded.as_ref();
        recorded.is_some_and(|recorded| recorded.standing().any(|r| r.cause() == Cause::Shutdown))
    }

    /// Docker was away for as long as makes its jobs lost.
    pub(crate) fn docker_was_dead(&self) -> bool {
        let worst = self.docker.worst.max(if self.docker.up { 0 } else { self.now - self.docker.down_since });
        let dead = self.weather.policy.leaving.docker_dead_after.map(|d| d.as_millis() as u64);
        dead.is_some_and(|dead| worst + 2 * self.weather.clock_steps + 2 * MINUTE >= dead)
    }

    /// A container gets a warning.
    pub(crate) fn check_warning(&mut self, name: &DockerName) {
        let (warnings, interruptions) = (self.truth.warned(name), self.truth.deadlines.len() as u32);
        if !self.truth.act(name).is_some_and(|act| act.opted) {
            self.broken(Rule::Warn, || format!("{name} did not ask for a warning"));
        } else if warnings > interruptions {
            self.broken(Rule::Warn, || format!("{name} gets warning {warnings} of {interruptions} interruption(s)"));
        }
    }

    /// A container is to be killed at once.
    pub(crate) fn check_kill(&mut self, name: &DockerName) {
        if !self.truth.kill_passed(0) && !self.docker_was_dead() {
            self.broken(Rule::Warn, || format!("{name} gets SIGKILL before any deadline"));
        }
    }

    /// The world has taken the host. What was over for long was reported, but for what is kept back.
    pub(crate) fn check_taken(&mut self) {
        if self.well_for() < 5 * MINUTE {
            return;
        }
        let late = |t: &&Task| t.accepted && t.last != TaskStatus::Stopped && !self.may_be_withheld(t);
        let over = |t: &&Task| {
            let spec = &self.truth.jobs[t.job].spec;
            let ended = spec.containers.iter().map(|c| self.truth.run(&spec.docker_name(c))?.end());
            ended.map(|end| end.map_or(0, |end| self.now - end.at)).min().unwrap_or(0) > 2 * MINUTE
        };
        if let Some(job) = self.ecs.tasks.values().filter(late).find(over).map(|t| t.job) {
            let id = self.truth.arn(job);
            self.broken(Rule::Report, || {
                format!("{} was over for long and not reported when the host was taken", id.id())
            });
        }
    }

    /// How long no task has been live; 0 while one is.
    pub(crate) fn idle_for(&self) -> u64 {
        let mine = self.ecs.tasks.values().filter(|t| t.accepted);
        let ends: Option<Vec<_>> = mine.map(|t| t.stopped_at).collect();
        ends.map_or(0, |ends| self.now - ends.into_iter().max().unwrap_or(0))
    }

    /// How long everything has been in order: no faults, Docker up, one process of the agent.
    pub(crate) fn well_for(&self) -> u64 {
        if !self.docker.up || self.docker.hung || self.agent.node.is_none() {
            return 0;
        }
        self.calm_for().min(self.now - self.docker.bad_until).min(self.now - self.agent.born)
    }

    /// Protection from scale-in is on while there is work, and only then.
    pub(crate) fn check_protection(&mut self) {
        let Some(group) = self.ec2.group.as_ref().filter(|g| g.ends.is_none()) else { return };
        if !self.weather.policy.leaving.protect_while_busy || self.well_for() < 20 * MINUTE {
            return;
        }
        let (on, idle) = (group.protected, self.idle_for());
        let busy_for = self.ecs.tasks.values().filter(|t| t.accepted && t.stopped_at.is_none());
        let busy_for = busy_for.map(|t| self.now - t.placed_at).max().unwrap_or(0);
        let phase = self.agent.node.as_ref().map(node_core::Node::phase);
        if on && idle > 15 * MINUTE && self.operator.held == Some(false) && phase != Some(Phase::Registering) {
            self.broken(Rule::Protect, || format!("protected from scale-in, and idle for {idle} ms"));
        } else if !on && busy_for > 15 * MINUTE && matches!(phase, Some(Phase::Active | Phase::Draining)) {
            self.broken(Rule::Protect, || format!("busy for {busy_for} ms and not protected from scale-in"));
        }
    }

    /// The time is over and the host is still here: the reason must be one that is meant to last, and `why` must name it.
    pub(crate) fn check_stay(&mut self) {
        let Some(node) = &self.agent.node else {
            return self.broken(Rule::Liveness, || "the host is here and its agent is not".to_owned());
        };
        let (why, phase) = (node.status(self.node_now()).why, node.phase());
        // It has just set out once more.
        let since = self.agent.recorded.as_ref().map_or(0, |r| r.since.0);
        if phase != Phase::Active && self.node_now().0 < since + 2 * MINUTE {
            return;
        }
        let words = self.may_stay();
        if words.is_empty() {
            return self.broken(Rule::Liveness, || format!("{phase}, and never left: {why}"));
        }
        if !words.iter().any(|word| why.contains(word)) {
            self.broken(Rule::Liveness, || format!("stays, and says none of {words:?}: {why}"));
        }
    }

    /// Why the host may be here for ever, in the words that `why` has for it.
    fn may_stay(&self) -> Vec<&'static str> {
        let Some(recorded) = &self.agent.recorded else { return Vec::new() };
        let (leaving, group) = (&self.weather.policy.leaving, self.ec2.group.as_ref());
        let ruling = recorded.standing().max_by_key(|r| r.cause());
        if let Some(DrainReason::Operator { terminate: false, .. }) = ruling {
            return vec!["the operator said drain"];
        }
        let no_group = group.is_none_or(|g| g.suspended) || !leaving.check_first;
        let rejoins = leaving.refused == Refused::Rejoin && !recorded.imposed();
        let refused = self.ec2.denied && no_group && (leaving.refused == Refused::KeepAsking || rejoins);
        let at_min = group.is_some_and(|g| g.desired <= g.min) && leaving.at_min_size == AtMinSize::Stay;
        let suspended = group.is_some_and(|g| g.suspended);
        let wishes = !recorded.imposed();
        let all = [
            (refused, "not authorized"),
            (wishes && self.operator.held != Some(false), "held"),
            (wishes && leaving.check_first && suspended, "suspended"),
            (wishes && leaving.check_first && at_min, "MinSize"),
            (wishes && self.weather.policy.idle_timeout.is_none(), "told to stay"),
        ];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect()
    }

    /// What the world took back is undone: nothing of it stands, and ECS gives the host work again.
    pub(crate) fn check_undone(&mut self) {
        let standing = self.ec2.imds.sources();
        let absent: Vec<_> = SOURCES.into_iter().filter(|(source, _)| !standing.contains(source)).collect();
        self.absent.retain(|source, _| !standing.contains(source));
        for (source, _) in &absent {
            self.absent.entry(*source).or_insert(self.now);
        }
        if self.well_for() < 5 * MINUTE {
            return;
        }
        let Some(recorded) = &self.agent.recorded else { return };
        let stands = |cause: Cause| recorded.standing().any(|r| r.cause() == cause);
        let long = |source: &Source| self.absent.get(source).is_some_and(|since| self.now - since > 3 * MINUTE);
        let left = absent.into_iter().find(|(source, cause)| long(source) && stands(*cause));
        let drained = self.ecs.instances.get(self.agent.instance.as_deref().unwrap_or_default());
        let drained = drained.is_some_and(|i| i.active && i.draining);
        let active = recorded.phase == Phase::Active && recorded.since.0 + 5 * MINUTE < self.node_now().0;
        if let Some((source, _)) = left {
            self.broken(Rule::Undone, || format!("{source:?} stands no longer, and is not undone"));
        } else if drained && active && self.agent.instance == recorded.instance {
            self.broken(Rule::Undone, || "at work, and ECS places nothing here".to_owned());
        }
    }

    /// A node at work, or about to be, has a session with ECS. One that was deregistered under its tasks first lets them end.
    pub(crate) fn check_joined(&mut self) {
        let node = self.agent.node.as_ref();
        let works =
            node.is_some_and(|n| matches!(n.phase(), Phase::Registering | Phase::Active) && n.live_tasks() == 0);
        if !works || self.ecs.session.is_some() {
            self.apart_since = self.now;
        }
        let apart = self.now - self.apart_since;
        if apart > 4 * MINUTE && self.well_for() > 4 * MINUTE {
            self.broken(Rule::Joined, || format!("at work, and without a session for {apart} ms"));
        }
    }

    pub(crate) fn clock_seen(&mut self) {
        let now: Timestamp = self.node_now();
        self.truth.latest = self.truth.latest.max(now);
    }
}
