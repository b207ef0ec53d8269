//! The simulated Docker: a daemon that may be down or hung, and containers whose processes live and die by themselves.

use std::collections::BTreeMap;

use node_core::{Command, DockerId, DockerName, Event, ExitCode, Observation, Running, TaskArn, Timestamp};

use crate::jobs::Act;
use crate::queue::{Ending, Happening, Life};
use crate::story::Actor;
use crate::truth::End;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: DockerId,
    pub(crate) task: TaskArn,
    pub(crate) state: Running,
    pub(crate) oom: bool,
    pub(crate) error: &'static str,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) act: Act,
    pub(crate) stopping: bool,
    /// The stop leaves it no time.
    pub(crate) at_once: bool,
}

/// Where a request to Docker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    OnWire,
    /// The daemon hangs, and it waits there.
    Held,
    /// It takes its time: a pull, a stop.
    Busy,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) life: Life,
    pub(crate) command: Command,
    pub(crate) stage: Stage,
    /// Who asked does not wait any more.
    pub(crate) abandoned: bool,
}

#[derive(Debug)]
pub(crate) struct Docker {
    pub(crate) up: bool,
    pub(crate) hung: bool,
    /// When it last was down or hung, how long it was down at the worst, and since when it is now.
    pub(crate) dead: bool,
    pub(crate) bad_until: u64,
    pub(crate) worst: u64,
    pub(crate) down_since: u64,
    pub(crate) containers: BTreeMap<DockerName, Container>,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) next: u64,
    /// The agent's process that reads the event stream.
    pub(crate) attached: Option<Life>,
    /// That process knows that the daemon is down.
    pub(crate) told_down: bool,
    /// When the last observation of a container reaches the agent: the next one comes after it.
    pub(crate) last_look: BTreeMap<DockerName, u64>,
    /// When the stream's last word on the daemon itself reaches the agent.
    pub(crate) last_word: u64,
    /// Images that the host holds, and how often each job's pull has failed.
    pub(crate) images: BTreeMap<String, ()>,
    pub(crate) pull_tries: BTreeMap<DockerName, u32>,
}

impl Docker {
    pub(crate) fn new() -> Self {
        Self {
            up: true,
            hung: false,
            dead: false,
            bad_until: 0,
            worst: 0,
            down_since: 0,
            containers: BTreeMap::new(),
            requests: BTreeMap::new(),
            next: 0,
            attached: None,
            told_down: false,
            last_look: BTreeMap::new(),
            last_word: 0,
            images: BTreeMap::new(),
            pull_tries: BTreeMap::new(),
        }
    }

    pub(crate) fn fails(&mut self, now: u64) {
        self.up = false;
        self.hung = false;
        self.down_since = now;
    }

    pub(crate) fn inspect(&self, name: &DockerName) -> Option<Observation> {
        self.containers.get(name).map(|c| Observation {
            id: c.id.clone(),
            running: c.state,
            oom_killed: c.oom,
            error: c.error.to_owned(),
            started_at: c.started_at,
            finished_at: c.finished_at,
            bindings: Vec::new(),
            health: None,
        })
    }

    pub(crate) fn list(&self) -> Vec<(DockerName, Observation)> {
        self.containers.keys().filter_map(|name| Some((name.clone(), self.inspect(name)?))).collect()
    }
}

impl World {
    /// The agent's reader of Docker's event stream tries to open it: then the whole list is told.
    pub(crate) fn attach(&mut self, life: Life) {
        if life != self.agent.life || self.docker.attached.is_some() {
            return;
        }
        if self.docker.up && !self.docker.hung {
            self.docker.attached = Some(life);
            self.docker.told_down = false;
            let list = self.docker.list();
            self.tell(Actor::Docker, || format!("lists {} container(s)", list.len()));
            self.word(life, Event::DockerUp(list));
            return;
        }
        if !self.docker.up && !self.docker.told_down {
            self.docker.told_down = true;
            self.word(life, Event::DockerDown("connection refused".into()));
        }
        let pause = self.dice.between(250, 5_000);
        self.at(pause, Happening::Attach(life));
    }

    /// One reader tells whether the daemon is there: in order.
    fn word(&mut self, life: Life, event: Event) {
        self.docker.last_word = (self.now + self.latency()).max(self.docker.last_word + 1);
        self.queue.push(self.docker.last_word, Happening::Deliver(life, event));
    }

    /// Docker's event stream says that something happened to a container; the agent's adapter will look at it.
    pub(crate) fn event(&mut self, name: &DockerName) {
        let Some(life) = self.docker.attached else { return };
        if !self.calm && self.dice.permille(self.weather.events_lost) {
            self.tell(Actor::Docker, || format!("the event about {name} is lost"));
            return;
        }
        let copies = if !self.calm && self.dice.permille(self.weather.events_doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let wait = self.latency();
            self.at(wait, Happening::Look(life, name.clone()));
        }
    }

    /// The adapter inspects a container that has changed, and tells what it sees; about one container, in order.
    pub(crate) fn look(&mut self, life: Life, name: DockerName) {
        if self.docker.attached != Some(life) || !self.docker.up {
            return;
        }
        if self.docker.hung {
            self.at(1_000, Happening::Look(life, name));
            return;
        }
        let event = match self.docker.inspect(&name) {
            Some(seen) => Event::Observed(name.clone(), seen),
            None => Event::Missing(name.clone()),
        };
        let before = self.docker.last_look.get(&name).copied().unwrap_or_default();
        let arrives = (self.now + self.latency()).max(before + 1);
        self.docker.last_look.insert(name, arrives);
        self.queue.push(arrives, Happening::Deliver(life, event));
    }

    pub(crate) fn ends(&mut self, name: &DockerName, id: &DockerId, how: Ending) {
        // SIGKILL comes from the daemon, which may be gone.
        if how == Ending::Kill && !self.docker.up {
            if let Some(container) = self.docker.containers.get_mut(name) {
                container.stopping = false;
            }
            return;
        }
        let Some(container) = self.docker.containers.get(name).filter(|c| c.id == *id) else { return };
        let act = container.act;
        let (code, oom) = match how {
            Ending::Itself => (act.code, act.oom),
            Ending::Term => (act.on_term.map_or(143, |(_, code)| code), false),
            Ending::Warned => (act.on_warn.map_or(143, |(_, code)| code), false),
            Ending::Kill => (137, false),
        };
        self.end(name, code, oom, Some(how));
    }

    /// A container's process is over.
    pub(crate) fn end(&mut self, name: &DockerName, code: i64, oom: bool, how: Option<Ending>) {
        let now = self.node_now();
        let after_deadline = self.truth.kill_passed(0) || self.docker_was_dead();
        let in_shutdown = self.ec2.imds.shutdown.is_some() || self.shutdown_known();
        let Some(container) = self.docker.containers.get_mut(name) else { return };
        if container.state != Running::Running {
            return;
        }
        container.state = Running::Exited(Some(ExitCode(code)));
        container.oom = oom;
        container.finished_at = Some(now);
        let at_once = container.at_once;
        let end = End { code, at: self.now, oom, how, at_once, after_deadline, in_shutdown };
        self.truth.ended(name, end);
        let oom = if oom { ", out of memory" } else { "" };
        self.tell(Actor::Docker, || format!("{name} ends with {code}{oom}"));
        self.event(name);
        self.answer_stops(name);
    }

    pub(crate) fn docker_stops(&mut self) {
        if !self.docker.up || self.calm {
            return;
        }
        let most = if self.dice.one_in(4) { 5_400_000 } else { 180_000 };
        let back = self.dice.skewed(500, most);
        self.tell(Actor::Docker, || format!("the daemon stops, for {back} ms"));
        self.at(back, Happening::DockerStarts);
        self.docker_fails();
    }

    /// The daemon stops, and nobody starts it again.
    pub(crate) fn docker_dies(&mut self) {
        self.tell(Actor::Docker, || "the daemon is dead for good".to_owned());
        self.docker.dead = true;
        if self.docker.up {
            self.docker_fails();
        }
    }

    fn docker_fails(&mut self) {
        self.docker.fails(self.now);
        if !self.weather.live_restore {
            self.end_all(false);
        }
        self.lose_requests();
        if let Some(life) = self.docker.attached.take() {
            self.docker.told_down = true;
            self.word(life, Event::DockerDown("the event stream ended".into()));
            let pause = self.dice.between(250, 5_000);
            self.at(pause, Happening::Attach(life));
        }
    }

    pub(crate) fn docker_starts(&mut self) {
        if self.docker.up || self.docker.dead {
            return;
        }
        self.docker.up = true;
        self.docker.bad_until = self.now;
        self.docker.worst = self.docker.worst.max(self.now - self.docker.down_since);
        self.tell(Actor::Docker, || "the daemon answers".to_owned());
        // A stop that the restart interrupted is not taken up again.
        for container in self.docker.containers.values_mut() {
            container.stopping = false;
        }
    }

    pub(crate) fn docker_hangs(&mut self) {
        if !self.docker.up || self.docker.hung || self.calm {
            return;
        }
        let back = self.dice.skewed(1_000, 600_000);
        self.tell(Actor::Docker, || format!("the daemon hangs, for {back} ms"));
        self.docker.hung = true;
        self.at(back, Happening::DockerWakes);
    }

    /// Every container's process ends, as when the daemon stops or the machine restarts.
    pub(crate) fn end_all(&mut self, power_lost: bool) {
        let running = self.docker.containers.iter().filter(|(_, c)| c.state == Running::Running);
        let running: Vec<_> = running.map(|(name, c)| (name.clone(), c.act.on_term)).collect();
        for (name, on_term) in running {
            let polite = on_term.filter(|(after, _)| *after < 10_000).map_or(137, |(_, code)| code);
            self.end(&name, if power_lost { 255 } else { polite }, false, None);
        }
    }
}
