//! What the agent asks of Docker, from the wire to the answer.

use node_core::{
    Command, DockerId, DockerName, Event, ImagePulled, OpFailure, PullMode, PullNews, PullProgress, Running,
};

use crate::docker::{Container, Request, Stage};
use crate::jobs::Image;
use crate::queue::{Ending, Happening};
use crate::story::Actor;
use crate::world::World;

/// The agent's own limits (src/docker/), in milliseconds.
fn limit(command: &Command) -> u64 {
    1_000
        * match command {
            Command::Create { .. } => 240,
            Command::Start { .. } => 180,
            Command::Stop { grace_secs, .. } => grace_secs + 120,
            Command::Inspect { .. } | Command::Signal { .. } => 30,
            Command::Reconcile => 600,
            _ => 300,
        }
}

fn answer(command: &Command, failure: OpFailure) -> Option<Event> {
    Some(match command {
        Command::Pull { name, .. } => Event::Pulled(name.clone(), Err(failure)),
        Command::Create { name, .. } => Event::Created(name.clone(), Err(failure)),
        Command::Start { name, .. } => Event::Started(name.clone(), Err(failure)),
        Command::Stop { name, .. } => Event::Stopped(name.clone(), Err(failure)),
        Command::Remove { name, .. } => Event::Removed(name.clone(), Err(failure)),
        Command::Signal { name, .. } => Event::Signalled(name.clone(), Err(failure)),
        // Asked again by itself.
        _ => return None,
    })
}

fn unreachable() -> OpFailure {
    OpFailure::Unreachable("cannot reach Docker".into())
}

fn refused(name: &'static str, text: &str) -> OpFailure {
    OpFailure::Refused { name, text: text.into() }
}

impl World {
    pub(crate) fn ask_docker(&mut self, command: Command) {
        self.docker.next += 1;
        let id = self.docker.next;
        let life = self.agent.life;
        self.docker.requests.insert(id, Request { life, command, stage: Stage::OnWire, abandoned: false });
        let wait = self.latency();
        self.at(wait, Happening::Reach(id));
    }

    pub(crate) fn reach(&mut self, id: u64) {
        let (up, hung) = (self.docker.up, self.docker.hung);
        let Some(request) = self.docker.requests.get_mut(&id).filter(|r| r.stage == Stage::OnWire) else { return };
        if !up {
            let event = answer(&request.command, unreachable());
            self.reply(id, event);
        } else if hung {
            request.stage = Stage::Held;
            let wait = limit(&request.command);
            self.at(wait, Happening::Limit(id));
        } else {
            self.execute(id);
        }
    }

    /// The agent has waited long enough. What it asked for may still be done.
    pub(crate) fn limit_passed(&mut self, id: u64) {
        let Some(request) = self.docker.requests.get_mut(&id) else { return };
        if request.stage != Stage::Held || request.abandoned {
            return;
        }
        request.abandoned = true;
        let (life, event) = (request.life, answer(&request.command, refused("DockerTimeoutError", "timed out")));
        match &request.command {
            Command::Start { name, .. } | Command::Create { name, .. } => self.truth.unsure(name),
            Command::Signal { name, .. } => self.truth.doubt_warning(name),
            _ => {}
        }
        if let Some(event) = event {
            self.deliver(life, event);
        }
    }

    pub(crate) fn docker_wakes(&mut self) {
        if !self.docker.hung {
            return;
        }
        self.docker.hung = false;
        self.docker.bad_until = self.now;
        self.tell(Actor::Docker, || "the daemon goes on".to_owned());
        let held = self.docker.requests.iter().filter(|(_, r)| r.stage == Stage::Held);
        let held: Vec<_> = held.map(|(id, r)| (*id, r.abandoned)).collect();
        for (id, abandoned) in held {
            if abandoned && self.dice.coin() {
                self.docker.requests.remove(&id);
            } else {
                self.execute(id);
            }
        }
    }

    /// The daemon stops: what it was doing comes to nothing.
    pub(crate) fn lose_requests(&mut self) {
        let there = self.docker.requests.iter().filter(|(_, r)| r.stage != Stage::OnWire);
        let there: Vec<_> = there.map(|(id, r)| (*id, answer(&r.command, unreachable()))).collect();
        for (id, event) in there {
            self.reply(id, event);
        }
    }

    /// The agent's process died: what was on the wire arrives now or never, and nobody waits for any answer.
    pub(crate) fn orphan_requests(&mut self) {
        let all: Vec<_> = self.docker.requests.iter().map(|(id, r)| (*id, r.stage)).collect();
        for (id, stage) in all {
            let lost = (stage == Stage::OnWire && self.dice.coin()) || self.is_pull(id);
            if lost {
                self.docker.requests.remove(&id);
                continue;
            }
            if stage == Stage::OnWire {
                self.reach(id);
            }
            if let Some(request) = self.docker.requests.get_mut(&id) {
                request.abandoned = true;
            }
        }
    }

    fn is_pull(&self, id: u64) -> bool {
        self.docker.requests.get(&id).is_some_and(|r| matches!(r.command, Command::Pull { .. }))
    }

    fn reply(&mut self, id: u64, event: Option<Event>) {
        let Some(request) = self.docker.requests.remove(&id) else { return };
        let lost = !self.calm && self.dice.permille(self.weather.docker_trouble);
        if let Command::Signal { name, .. } = &request.command
            && lost
        {
            self.truth.doubt_warning(name);
        }
        let event = if lost { answer(&request.command, unreachable()) } else { event };
        if let Some(event) = event.filter(|_| !request.abandoned) {
            self.deliver(request.life, event);
        }
    }

    fn execute(&mut self, id: u64) {
        let Some(command) = self.docker.requests.get(&id).map(|r| r.command.clone()) else { return };
        let event = match command {
            Command::Pull { name, image, mode, by_tag, .. } => return self.pull(id, &name, &image, mode, by_tag),
            Command::Stop { name, grace_secs, .. } => return self.stop(id, &name, grace_secs),
            Command::Create { name, task, container } => {
                let result = self.create(&name, &task, &container);
                Some(Event::Created(name, result))
            }
            Command::Start { name, id, .. } => {
                let result = self.start(&name, &id);
                Some(Event::Started(name, result))
            }
            Command::Remove { name, .. } => {
                let result = self.remove(&name);
                Some(Event::Removed(name, result))
            }
            Command::Signal { name, id, .. } => {
                let result = self.signal(&name, &id);
                Some(Event::Signalled(name, result))
            }
            Command::Inspect { name } => Some(match self.docker.inspect(&name) {
                Some(seen) => Event::Observed(name, seen),
                None => Event::Missing(name),
            }),
            Command::Reconcile => Some(Event::DockerUp(self.docker.list())),
            _ => None,
        };
        self.reply(id, event);
    }

    fn create(
        &mut self,
        name: &DockerName,
        task: &node_core::TaskSpec,
        container: &node_core::ContainerSpec,
    ) -> Result<node_core::Observation, OpFailure> {
        if let Some(seen) = self.docker.inspect(name) {
            return Ok(seen);
        }
        let Some(act) = self.truth.act(name) else { return Err(refused("CannotCreateContainerError", "no such job")) };
        if act.create_fails {
            return Err(refused("CannotCreateContainerError", "invalid mount config"));
        }
        if !act.cached && !self.docker.images.contains_key(&container.image) {
            return Err(refused("CannotCreateContainerError", "No such image"));
        }
        self.docker.next += 1;
        let id = DockerId::new(format!("{:08x}", self.docker.next));
        self.tell(Actor::Docker, || format!("{name} is made"));
        let made = Container {
            id,
            task: task.arn.clone(),
            state: Running::Created,
            oom: false,
            error: "",
            started_at: None,
            finished_at: None,
            act,
            stopping: false,
            at_once: false,
        };
        self.docker.containers.insert(name.clone(), made);
        self.docker.inspect(name).ok_or(OpFailure::Missing)
    }

    fn start(&mut self, name: &DockerName, id: &DockerId) -> Result<node_core::Observation, OpFailure> {
        let now = self.node_now();
        let Some(container) = self.docker.containers.get_mut(name).filter(|c| c.id == *id) else {
            return Err(OpFailure::Missing);
        };
        if container.act.start_fails {
            (container.state, container.error) = (Running::Exited(None), "exec: not found");
            return Err(refused("CannotStartContainerError", "exec: not found"));
        }
        if container.state != Running::Running {
            container.state = Running::Running;
            container.started_at = Some(now);
            let runs = container.act.runs_ms;
            self.tell(Actor::Docker, || format!("{name} starts"));
            self.started(name);
            if let Some(runs) = runs {
                self.at(runs, Happening::Ends { name: name.clone(), id: id.clone(), how: Ending::Itself });
            }
            if self.dice.coin() {
                self.event(name);
            }
        }
        self.docker.inspect(name).ok_or(OpFailure::Missing)
    }

    fn signal(&mut self, name: &DockerName, id: &DockerId) -> Result<(), OpFailure> {
        let Some(container) = self.docker.containers.get(name).filter(|c| c.id == *id) else {
            return Err(OpFailure::Missing);
        };
        if container.state != Running::Running {
            return Err(refused("DockerSignalError", "container is not running"));
        }
        let on_warn = container.act.on_warn;
        self.tell(Actor::Docker, || format!("{name} is warned"));
        self.check_warning(name);
        if let Some((after, _)) = on_warn {
            self.at(after, Happening::Ends { name: name.clone(), id: id.clone(), how: Ending::Warned });
        }
        Ok(())
    }

    fn remove(&mut self, name: &DockerName) -> Result<(), OpFailure> {
        match self.docker.containers.get(name).map(|c| c.state) {
            Some(Running::Running) => Err(refused("CannotRemoveContainerError", "cannot remove a running container")),
            Some(_) => {
                self.docker.containers.remove(name);
                self.tell(Actor::Docker, || format!("{name} is removed"));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// SIGTERM, then SIGKILL after the grace period; the answer comes when the container has ended.
    fn stop(&mut self, id: u64, name: &DockerName, grace_secs: u64) {
        let Some(container) = self.docker.containers.get_mut(name) else {
            return self.reply(id, Some(Event::Stopped(name.clone(), Err(OpFailure::Missing))));
        };
        if container.state != Running::Running {
            return self.answer_stop(id, name);
        }
        let first = !std::mem::replace(&mut container.stopping, true);
        container.at_once |= first && grace_secs == 0;
        let (docker_id, on_term) = (container.id.clone(), container.act.on_term);
        if let Some(request) = self.docker.requests.get_mut(&id) {
            request.stage = Stage::Busy;
        }
        if first {
            self.tell(Actor::Docker, || format!("{name} gets SIGTERM, {grace_secs} s before SIGKILL"));
            let grace = grace_secs * 1_000;
            let (after, how) = match on_term {
                Some((after, _)) if after < grace => (after, Ending::Term),
                _ => (grace, Ending::Kill),
            };
            self.at(after, Happening::Ends { name: name.clone(), id: docker_id, how });
        }
    }

    fn answer_stop(&mut self, id: u64, name: &DockerName) {
        let seen = self.docker.inspect(name).ok_or(OpFailure::Missing);
        self.reply(id, Some(Event::Stopped(name.clone(), seen)));
    }

    pub(crate) fn answer_stops(&mut self, name: &DockerName) {
        let of_it =
            |r: &Request| r.stage == Stage::Busy && matches!(&r.command, Command::Stop { name: n, .. } if n == name);
        let waiting: Vec<_> = self.docker.requests.iter().filter(|(_, r)| of_it(r)).map(|(id, _)| *id).collect();
        for id in waiting {
            self.answer_stop(id, name);
        }
    }

    fn pull(&mut self, id: u64, name: &DockerName, image: &str, mode: PullMode, by_tag: bool) {
        let Some(act) = self.truth.act(name) else { return };
        let here = act.cached || self.docker.images.contains_key(image);
        if mode == PullMode::IfMissing && here {
            return self.reply(id, Some(Event::Pulled(name.clone(), Ok(ImagePulled::default()))));
        }
        if let Some(request) = self.docker.requests.get_mut(&id) {
            request.stage = Stage::Busy;
        }
        if act.image != Image::NoDigest && !by_tag {
            self.at(act.pull_ms / 2, Happening::PullNews(id));
        }
        self.at(act.pull_ms, Happening::PullDone(id));
    }

    /// The registry has told the digest while the pull goes on.
    pub(crate) fn pull_news(&mut self, id: u64) {
        let Some(request) = self.docker.requests.get(&id).filter(|r| !r.abandoned) else { return };
        let Command::Pull { name, image, .. } = &request.command else { return };
        let news = PullNews { digest: Some(format!("sha256:{image}")), progress: PullProgress::default() };
        let (life, event) = (request.life, Event::Pulling(name.clone(), news));
        if self.truth.act(name).is_some_and(|act| act.image == Image::Fine) {
            self.deliver(life, event);
        }
    }

    pub(crate) fn pull_done(&mut self, id: u64) {
        if self.docker.hung {
            return self.at(1_000, Happening::PullDone(id));
        }
        let Some(Command::Pull { name, image, by_tag, .. }) = self.docker.requests.get(&id).map(|r| r.command.clone())
        else {
            return;
        };
        let Some(act) = self.truth.act(&name) else { return };
        let tries = self.docker.pull_tries.entry(name.clone()).or_default();
        *tries += 1;
        let fine = ImagePulled { digest: (!by_tag).then(|| format!("sha256:{image}")), from_registry: true };
        let result = match act.image {
            Image::Fine => Ok(fine),
            Image::Flaky(n) if *tries > n => Ok(fine),
            Image::Flaky(_) => Err(refused("CannotPullContainerError", "i/o timeout")),
            Image::Unknown => Err(refused("CannotPullContainerError", "manifest unknown")),
            Image::NoDigest if by_tag => Ok(fine),
            Image::NoDigest => Err(refused("CannotPullImageManifestError", "no digest")),
        };
        let words = result.as_ref().map_or_else(|e| format!("{e:?}"), |_| "ok".to_owned());
        self.tell(Actor::Docker, || format!("{image} pulled for {name}: {words}"));
        if result.is_ok() {
            self.docker.images.insert(image, ());
        }
        self.reply(id, Some(Event::Pulled(name, result)));
    }
}
