//! The simulated ACS: one session, its frames in order, and payloads sent again until they are acknowledged.

use node_core::{
    CloseCause, ClusterRef, ContainerInstanceArn, Event, Incoming, MessageId, Payload, PayloadTask, TaskArn, TaskStatus,
};

use crate::ecs::Task;
use crate::jobs::{self, Job};
use crate::queue::{Happening, Life};
use crate::story::Actor;
use crate::world::World;

/// An unacknowledged payload is sent again after this long.
const RESEND_MS: u64 = 60_000;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) life: Life,
    pub(crate) instance: String,
    /// When the last frame sent arrives: the next one comes no sooner.
    pub(crate) arrives: u64,
}

/// A payload on its way.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) instance: String,
    pub(crate) tasks: Vec<(usize, bool)>,
    pub(crate) acknowledged: bool,
}

impl World {
    pub(crate) fn session_opens(&mut self, life: Life, instance: String, send_credentials: bool) {
        if life != self.agent.life {
            return;
        }
        if self.ecs.outage || self.ecs.acs_gone || (!self.calm && self.dice.permille(self.weather.api_trouble)) {
            return self.deliver(life, Event::SessionClosed(CloseCause::Failed("cannot connect".into())));
        }
        if !self.ecs.instances.get(&instance).is_some_and(|i| i.active) {
            return self.deliver(life, Event::SessionClosed(CloseCause::Inactive("InactiveInstanceException".into())));
        }
        self.end_session();
        self.ecs.sessions += 1;
        let id = self.ecs.sessions;
        self.tell(Actor::Ecs, || format!("session {id} opens for {instance}"));
        self.ecs.session = Some(Session { id, life, instance: instance.clone(), arrives: self.now });
        self.frame(Event::SessionOpened);
        let unheard = self.ecs.messages.iter().filter(|(_, m)| !m.acknowledged && m.instance == instance);
        let unheard: Vec<_> = unheard.map(|(id, _)| id.clone()).collect();
        for message in unheard {
            self.send_payload(&message);
        }
        if send_credentials {
            self.refresh_credentials();
        }
        let lasts = if self.calm { 30 * 60_000 } else { self.dice.between(1, self.weather.session_life) };
        self.at(lasts, Happening::SessionDrops(id));
        let manifest = self.dice.skewed(100, 120_000);
        self.at(manifest, Happening::ManifestDue(id));
        self.at(manifest * 3, Happening::RefreshDue(id));
        self.place_waiting();
    }

    /// Sends a frame over the present session, if there is one.
    fn frame(&mut self, event: Event) {
        let wait = self.latency();
        let now = self.now;
        if let Some(session) = &mut self.ecs.session {
            session.arrives = session.arrives.max(now + wait);
            let frame = Happening::Frame { life: session.life, session: session.id, event };
            self.queue.push(session.arrives, frame);
        }
    }

    pub(crate) fn frame_arrives(&mut self, life: Life, session: u64, event: Event) {
        if self.ecs.session.as_ref().is_some_and(|s| s.id == session) {
            self.hand_over(life, event);
        }
    }

    pub(crate) fn session_drops(&mut self, id: u64) {
        if self.ecs.session.as_ref().is_some_and(|s| s.id == id) {
            self.end_session();
        }
    }

    /// The session ends, and the agent hears of it.
    pub(crate) fn end_session(&mut self) {
        let Some(session) = self.ecs.session.take() else { return };
        let cause = match self.dice.coin() {
            true => CloseCause::Clean,
            false => CloseCause::Failed("missed a heartbeat".into()),
        };
        self.tell(Actor::Ecs, || format!("session {} ends", session.id));
        self.deliver(session.life, Event::SessionClosed(cause));
    }

    /// New work for the host, or for the queue while it takes none.
    pub(crate) fn new_job(&mut self) {
        let n = self.truth.jobs.len();
        let job = Job::new(n, &mut self.dice, self.weather.policy.pull_behavior);
        self.truth.add(job);
        if self.dice.one_in(5) || self.truth.hangs(n) {
            let wait = self.dice.skewed(10, 900_000);
            self.at(wait, Happening::JobStopped(n));
        }
        self.ecs.waiting.push_back(n);
        self.place_waiting();
    }

    /// Places what waits, if the host takes work.
    pub(crate) fn place_waiting(&mut self) {
        let Some(session) = &self.ecs.session else { return };
        let instance = session.instance.clone();
        if !self.ecs.instances.get(&instance).is_some_and(|i| i.active && !i.draining) {
            return;
        }
        while !self.ecs.waiting.is_empty() {
            let many = self.dice.between(1, 3) as usize;
            let jobs: Vec<_> = (0..many).map_while(|_| self.ecs.waiting.pop_front()).collect();
            for &job in &jobs {
                let arn = self.truth.arn(job);
                self.tell(Actor::Ecs, || format!("places {} on {instance}", arn.id()));
                let task = Task {
                    job,
                    instance: instance.clone(),
                    stop_wanted: false,
                    accepted: false,
                    placed_at: self.now,
                    last: TaskStatus::None,
                    stopped_at: None,
                    told: Default::default(),
                };
                self.ecs.tasks.insert(arn, task);
            }
            self.new_payload(instance.clone(), jobs.into_iter().map(|job| (job, false)).collect());
        }
    }

    fn new_payload(&mut self, instance: String, tasks: Vec<(usize, bool)>) {
        let id = MessageId::new(format!("m-{:03}", self.ecs.messages.len()));
        self.ecs.messages.insert(id.clone(), Message { instance, tasks, acknowledged: false });
        self.send_payload(&id);
    }

    fn send_payload(&mut self, id: &MessageId) {
        let Some(message) = self.ecs.messages.get(id).filter(|m| !m.acknowledged).cloned() else { return };
        self.at(RESEND_MS, Happening::Resend(id.clone()));
        if self.ecs.session.as_ref().is_none_or(|s| s.instance != message.instance) {
            return;
        }
        self.ecs.seq += 1;
        let tasks = message.tasks.iter().map(|(job, stop)| self.payload_task(*job, *stop)).collect();
        let payload = Payload {
            message: id.clone(),
            cluster: ClusterRef::new("c"),
            container_instance: ContainerInstanceArn::new(message.instance),
            seq_num: self.ecs.seq,
            tasks,
            unaddressed: false,
        };
        self.frame(Event::Payload(payload));
    }

    fn payload_task(&self, job: usize, stop: bool) -> PayloadTask {
        let job = &self.truth.jobs[job];
        let spec = job.spec.clone();
        let work = match (stop, job.unreadable) {
            (true, _) => Incoming::Stop(spec),
            (_, true) => Incoming::Invalid("json: cannot unmarshal".into()),
            _ => Incoming::Run(spec),
        };
        let credentials = if stop { Vec::new() } else { job.credentials.clone() };
        PayloadTask { arn: job.spec.arn.clone(), work, credentials }
    }

    pub(crate) fn resend(&mut self, id: &MessageId) {
        self.send_payload(id);
    }

    pub(crate) fn ack_arrives(&mut self, id: &MessageId) {
        let Some(message) = self.ecs.messages.get_mut(id) else { return };
        message.acknowledged = true;
        let tasks = message.tasks.clone();
        self.tell(Actor::Ecs, || format!("hears that {id} is acknowledged"));
        for (job, _) in tasks {
            let arn = self.truth.arn(job);
            if let Some(task) = self.ecs.tasks.get_mut(&arn) {
                task.accepted = true;
            }
        }
    }

    /// Batch ends a job: its user said so, or its time is up.
    pub(crate) fn job_stopped(&mut self, job: usize) {
        let arn = self.truth.arn(job);
        self.ecs.waiting.retain(|waiting| *waiting != job);
        let Some(task) = self.ecs.tasks.get_mut(&arn).filter(|t| t.last != TaskStatus::Stopped) else { return };
        task.stop_wanted = true;
        let instance = task.instance.clone();
        self.tell(Actor::Ecs, || format!("stops {}", arn.id()));
        if self.ecs.instances.get(&instance).is_some_and(|i| i.active) {
            self.new_payload(instance, vec![(job, true)]);
        } else {
            self.end_by_hand(job);
        }
    }

    /// ECS cannot stop the tasks of an instance that is deregistered: someone ends their processes.
    fn end_by_hand(&mut self, job: usize) {
        let arn = self.truth.arn(job);
        let of_it = self.docker.containers.iter().filter(|(_, c)| c.task == arn);
        let of_it: Vec<_> = of_it.map(|(name, _)| name.clone()).collect();
        for name in of_it {
            self.end(&name, 137, false, None);
        }
        self.at(600_000, Happening::JobStopped(job));
    }

    pub(crate) fn manifest_due(&mut self, id: u64) {
        let Some(session) = self.ecs.session.as_ref().filter(|s| s.id == id) else { return };
        let instance = session.instance.clone();
        let alive = self.ecs.tasks.iter().filter(|(_, t)| t.instance == instance);
        let running =
            alive.filter(|(_, t)| !t.stop_wanted && t.last != TaskStatus::Stopped).map(|(arn, _)| arn.clone());
        let running: Vec<_> = running.collect();
        self.ecs.seq += 1;
        self.frame(Event::Manifest {
            message: MessageId::new(format!("manifest-{}", self.ecs.seq)),
            cluster: ClusterRef::new("c"),
            container_instance: ContainerInstanceArn::new(instance),
            timeline: self.ecs.seq,
            running,
        });
        let next = self.dice.between(30_000, 600_000);
        self.at(next, Happening::ManifestDue(id));
    }

    /// The agent asks which of its tasks are really to stop.
    pub(crate) fn ask_arrives(&mut self, session: u64, message: MessageId, candidates: &[TaskArn]) {
        if self.ecs.session.as_ref().is_none_or(|s| s.id != session) {
            return;
        }
        let wanted = |arn: &&TaskArn| self.ecs.tasks.get(*arn).is_none_or(|t| t.stop_wanted);
        let tasks: Vec<_> = candidates.iter().filter(wanted).cloned().collect();
        self.frame(Event::StopsVerified { message, tasks });
    }

    pub(crate) fn refresh_due(&mut self, id: u64) {
        if self.ecs.session.as_ref().is_some_and(|s| s.id == id) {
            self.refresh_credentials();
        }
    }

    /// Every task that is not over gets its credentials anew.
    fn refresh_credentials(&mut self) {
        let alive = self.ecs.tasks.iter().filter(|(_, t)| t.last != TaskStatus::Stopped);
        let alive: Vec<_> = alive.map(|(arn, t)| (arn.clone(), t.job)).collect();
        for (task, job) in alive {
            let roles: Vec<_> = self.truth.jobs[job].credentials.iter().map(|c| c.role).collect();
            for role in roles {
                self.ecs.seq += 1;
                let issued = jobs::issued(job, role, self.ecs.seq.unsigned_abs());
                let message = MessageId::new(format!("credentials-{}", self.ecs.seq));
                self.frame(Event::Credentials { message, task: task.clone(), issued });
            }
        }
    }
}
