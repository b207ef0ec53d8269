//! The simulated world: one clock, one queue of what will happen, and whom it happens to.

use std::collections::BTreeMap;

use crate::agent::{Agent, Disk};
use crate::dice::Dice;
use crate::docker::Docker;
use crate::ec2::Ec2;
use crate::ecs::Ecs;
use crate::invariants::{Rule, Violation};
use crate::operator::Operator;
use crate::queue::{Gone, Happening, Life, Queue};
use crate::story::{Actor, Story};
use crate::truth::Truth;
use crate::weather::Weather;

use node_core::{Event, Running, Source};

/// Once faults have stopped, everything must be reported and the host gone within this: ECS's own hour for an instance that was
/// deregistered under its tasks, the longest job, the longest idle time, a clock set back, and room.
const END_WITHIN: u64 = 4 * 3_600_000;
const CHECK_EVERY: u64 = 60_000;

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) queue: Queue,
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    /// No more faults.
    pub(crate) calm: bool,
    pub(crate) story: Story,
    pub(crate) agent: Agent,
    pub(crate) disk: Disk,
    pub(crate) docker: Docker,
    pub(crate) ecs: Ecs,
    pub(crate) truth: Truth,
    pub(crate) violation: Option<Violation>,
    pub(crate) ec2: Ec2,
    pub(crate) operator: Operator,
    pub(crate) booted_at: u64,
    /// When the node was last seen with a reason on record that takes the host from under its jobs.
    pub(crate) lost_seen: Option<u64>,
    /// Since when the metadata service tells nothing of a kind.
    pub(crate) absent: BTreeMap<Source, u64>,
    /// Since when a node at work has had no session.
    pub(crate) apart_since: u64,
    over: bool,
}

impl World {
    pub(crate) fn new(seed: u64, recorded: bool) -> Self {
        let mut dice = Dice::new(seed);
        let mut queue = Queue::default();
        let weather = Weather::new(&mut dice, &mut queue);
        let ec2 = weather.ec2.clone();
        let mut world = Self {
            now: 0,
            queue,
            dice,
            weather,
            calm: false,
            story: Story::new(recorded),
            agent: Agent::default(),
            disk: Disk::default(),
            docker: Docker::new(),
            ecs: Ecs::default(),
            truth: Truth::default(),
            violation: None,
            ec2,
            operator: Operator { held: Some(false), ..Operator::default() },
            booted_at: 0,
            lost_seen: None,
            absent: BTreeMap::new(),
            apart_since: 0,
            over: false,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let weather = format!("{:?}", self.weather);
        self.tell(Actor::Fate, || weather);
        self.at(0, Happening::AgentStarts(0));
        self.at(CHECK_EVERY, Happening::Check);
        for _ in 0..self.weather.jobs {
            let at = self.dice.skewed(0, self.weather.calm_at + self.weather.calm_at / 4);
            self.at(at, Happening::JobArrives);
        }
    }

    pub(crate) fn run(&mut self) {
        while !self.over && self.violation.is_none() {
            let Some((at, what)) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            if self.calm_for() > END_WITHIN {
                self.check_end(false);
                break;
            }
            self.happen(what);
        }
    }

    fn happen(&mut self, what: Happening) {
        use Happening as H;
        match what {
            H::AgentStarts(life) => self.agent_starts(life),
            H::AgentKilled => self.strike(|w| w.agent_dies("killed")),
            H::Deliver(life, event) => self.hand_over(life, event),
            H::Turn(life) => self.turn(life),
            H::Committed(life) => self.committed(life),
            H::Attach(life) => self.attach(life),
            H::Reach(id) => self.reach(id),
            H::Limit(id) => self.limit_passed(id),
            H::PullNews(id) => self.pull_news(id),
            H::PullDone(id) => self.pull_done(id),
            H::Ends { name, id, how } => self.ends(&name, &id, how),
            H::Look(life, name) => self.look(life, name),
            H::DockerStops => self.docker_stops(),
            H::DockerStarts => self.docker_starts(),
            H::DockerHangs => self.docker_hangs(),
            H::DockerWakes => self.docker_wakes(),
            H::ContainerVanishes => self.strike(Self::container_vanishes),
            H::Call(id) => self.call(id),
            H::Frame { life, session, event } => self.frame_arrives(life, session, event),
            H::AckArrives(message) => self.ack_arrives(&message),
            H::AskArrives { session, message, candidates } => self.ask_arrives(session, message, &candidates),
            H::SessionOpens { life, instance, send_credentials } => {
                self.session_opens(life, instance, send_credentials)
            }
            H::SessionDrops(id) => self.session_drops(id),
            H::ManifestDue(id) => self.manifest_due(id),
            H::RefreshDue(id) => self.refresh_due(id),
            H::Resend(message) => self.resend(&message),
            H::JobArrives => self.new_job(),
            H::JobStopped(job) => self.job_stopped(job),
            H::OutageBegins => self.strike(Self::outage),
            H::OutageEnds => self.ecs.outage = false,
            H::DeregisteredByHand => self.deregistered_by_hand(),
            H::HostReboots => self.strike(Self::reboot),
            H::HostGone(how) => self.host_gone(how),
            H::FoundUnhealthy => self.group_ends("unhealthy"),
            H::HookBeatMissed(n) => self.hook_beat_missed(n),
            H::HookTimeOver => self.hook_time_over(),
            H::ScaleIn => self.scale_in(),
            H::Poll(life) => self.poll(life),
            H::SpotNotice => self.spot_notice(),
            H::SpotTakes(edition) => self.spot_takes(edition),
            H::Rebalance => self.rebalance(),
            H::Maintenance => self.maintenance(),
            H::MaintenanceChanges(edition) => self.maintenance_changes(edition),
            H::MaintenanceComes(edition) => self.maintenance_comes(edition),
            H::ShutdownBegins => self.shutdown_begins(),
            H::ShutDown(edition) => self.shut_down(edition),
            H::Ordered => self.order(),
            H::FallsIll => self.falls_ill(),
            H::GetsWell => self.gets_well(),
            H::DockerDies => self.docker_dies(),
            H::AcsGone => self.strike(Self::acs_gone),
            H::Calm => self.calm_down(),
            H::Check => {
                self.check();
                self.at(CHECK_EVERY, Happening::Check);
            }
        }
    }

    /// Faults happen until it is calm.
    fn strike(&mut self, blow: impl FnOnce(&mut Self)) {
        if !self.calm {
            blow(self);
        }
    }

    fn calm_down(&mut self) {
        self.calm = true;
        self.tell(Actor::Fate, || "no more faults".to_owned());
        self.ecs.outage = false;
        self.ecs.acs_gone = false;
    }

    /// How long there have been no faults.
    pub(crate) fn calm_for(&self) -> u64 {
        if self.calm { self.now.saturating_sub(self.weather.calm_at) } else { 0 }
    }

    fn outage(&mut self) {
        let lasts = self.dice.skewed(1_000, 600_000);
        self.tell(Actor::Fate, || format!("AWS cannot be reached, for {lasts} ms"));
        self.ecs.outage = true;
        self.end_session();
        self.at(lasts, Happening::OutageEnds);
    }

    /// The machine restarts: every process ends, politely or not.
    pub(crate) fn reboot(&mut self) {
        let power_lost = self.dice.coin();
        self.tell(Actor::Fate, || "the host reboots".to_owned());
        self.agent_dies("reboot");
        self.ec2.boots += 1;
        self.booted_at = self.now;
        self.ec2.imds.booted();
        self.docker.hung = false;
        self.docker.requests.clear();
        self.end_all(power_lost);
        if self.docker.up {
            self.docker.fails(self.now);
            let back = self.dice.skewed(1_000, 60_000);
            self.at(back, Happening::DockerStarts);
        }
    }

    /// Someone removes a container behind everybody's back.
    fn container_vanishes(&mut self) {
        let at = self.dice.below(self.docker.containers.len() as u64) as usize;
        let Some(name) = self.docker.containers.keys().nth(at).cloned() else { return };
        self.tell(Actor::Fate, || format!("{name} is removed by hand"));
        self.truth.vanished(&name);
        if self.docker.containers.get(&name).is_some_and(|c| c.state == Running::Running) {
            self.end(&name, 137, false, None);
        }
        self.docker.containers.remove(&name);
    }

    /// Nobody can reach ECS's sessions for long, though its API answers.
    fn acs_gone(&mut self) {
        self.tell(Actor::Fate, || "no session with ECS can be had".to_owned());
        self.ecs.acs_gone = true;
        self.end_session();
    }

    pub(crate) fn host_gone(&mut self, how: Gone) {
        self.tell(Actor::Ec2, || format!("the host is gone: {how:?}"));
        self.over = true;
        match how {
            Gone::Asked => self.check_end(true),
            Gone::Taken => self.check_taken(),
            Gone::Lost => {}
        }
    }

    pub(crate) fn tell(&mut self, actor: Actor, words: impl FnOnce() -> String) {
        self.story.tell(self.now, actor, words);
    }

    /// The first broken rule ends the run.
    pub(crate) fn broken(&mut self, rule: Rule, words: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let text = words();
            self.tell(Actor::Check, || format!("BROKEN {rule:?}: {text}"));
            self.violation = Some(Violation { rule, text });
        }
    }

    pub(crate) fn at(&mut self, after: u64, what: Happening) {
        self.queue.push(self.now + after, what);
    }

    pub(crate) fn latency(&mut self) -> u64 {
        let most = if self.calm { self.weather.latency.min(200) } else { self.weather.latency };
        self.dice.skewed(1, most)
    }

    pub(crate) fn deliver(&mut self, life: Life, event: Event) {
        let wait = self.latency();
        self.at(wait, Happening::Deliver(life, event));
    }
}
