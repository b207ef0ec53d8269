//! The node with the world around it, and what must hold whatever happens:
//!
//! 1. A payload is acknowledged at once, once for each time it came, in order, and only when every task in it is on disk; one with
//!    a nameless task never is. Credentials are acknowledged only in answer to the message that brought them.
//! 2. What was not asked to run, could not be read or could not be run never reaches Docker.
//! 3. No container is made or started twice, and none is removed while it runs (`docker.rs`).
//! 4. What ECS is told of a task never goes backwards; after STOPPED there is only the very same again, until ECS
//!    takes it, or if a crash swallowed that ECS took it. A container's STOPPED is told with the code it
//!    ended with, and never while it runs. A task has one report in flight, the node ten.
//! 5. What the disk holds restores to a node that holds the same.
//! 6. The clock alone never makes the shell spin.
//! 7. In the end every task that was acknowledged has been reported STOPPED, and
//!    nothing is left running or unremoved.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acs_decode::{Reaction, react};
use node_core::*;

use crate::docker::Docker;

/// How the outside world answers a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Refused,
    TimedOut { took_effect: bool },
    Unreachable { took_effect: bool },
}

pub(crate) struct World {
    node: Node,
    now: Timestamp,
    disk: Saved,
    docker: Docker,
    lives: u64,
    /// Commands that nobody has answered yet.
    under_way: Vec<Command>,
    session_open: bool,
    /// The next step ends the process: after its commit, or before.
    dies: Option<bool>,
    frames: Vec<String>,
    asked: Option<MessageId>,
    /// Tasks that were ever asked to run.
    wanted: BTreeSet<TaskArn>,
    acknowledged: BTreeSet<TaskArn>,
    told: BTreeMap<TaskArn, StateChange>,
    /// Whose STOPPED ECS has taken, and in which life of the process.
    taken: BTreeMap<TaskArn, u64>,
}

fn policy() -> Policy {
    Policy {
        pull_behavior: PullBehavior::Default,
        idle_timeout: None,
        cleanup_wait: Duration::from_secs(10),
        stop_timeout_secs: 30,
        docker_concurrency: 2,
        leaving: LeavingPolicy::alone(),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Timestamp(1_000_000);
        let mut world = Self {
            node: Node::restore(policy(), Saved::default(), 1, now),
            now,
            disk: Saved::default(),
            docker: Docker::default(),
            lives: 1,
            under_way: Vec::new(),
            session_open: false,
            dies: None,
            frames: Vec::new(),
            asked: None,
            wanted: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            told: BTreeMap::new(),
            taken: BTreeMap::new(),
        };
        world.identify();
        world.docker_up();
        while !world.session_open {
            world.answer(0, Outcome::Done);
        }
        world
    }

    pub(crate) fn frames_sent(&self) -> usize {
        self.frames.len()
    }

    /// The manifest whose answer is awaited.
    pub(crate) fn asked(&self) -> Option<&str> {
        self.asked.as_ref().map(MessageId::as_str)
    }

    fn identify(&mut self) {
        self.step(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    }

    pub(crate) fn receive_again(&mut self, which: usize) {
        if let Some(text) = self.frames.get(which % self.frames.len().max(1)) {
            self.receive(text.clone());
        }
    }

    /// A frame arrives, if there is a session for it to arrive on.
    pub(crate) fn receive(&mut self, text: String) {
        if !self.session_open {
            return;
        }
        let reaction = react(&text);
        self.frames.push(text);
        match reaction {
            Some(Reaction::Event(event, delivered)) => {
                for delivered in delivered {
                    assert!(!format!("{delivered:?}").contains("s3cret"), "a secret shows");
                }
                self.step(*event);
            }
            Some(Reaction::Inactive(text)) => self.close(CloseCause::Inactive(text)),
            Some(Reaction::Reply(_) | Reaction::Nothing) | None => {}
        }
    }

    /// One turn of the shell: the event, the commit, the commands.
    fn step(&mut self, event: Event) {
        if let Event::Payload(payload) = &event {
            let run = payload.tasks.iter().filter(|t| matches!(t.work, Incoming::Run(_))).map(|t| t.arn.clone());
            self.wanted.extend(run);
        }
        self.node.handle(event.clone(), self.now);
        let Some(commands) = self.turn() else { return };
        self.check_acknowledgements(&event, &commands);
    }

    /// `None` when the process died in it.
    fn turn(&mut self) -> Option<Vec<Command>> {
        let saves = self.node.take_saves();
        if let Some(after_commit) = self.dies.take() {
            if after_commit {
                self.commit(saves);
            }
            self.crash();
            return None;
        }
        self.commit(saves);
        let commands: Vec<_> = std::iter::from_fn(|| self.node.next_command()).collect();
        for command in &commands {
            self.issue(command);
        }
        Some(commands)
    }

    fn commit(&mut self, saves: Vec<Save>) {
        for save in saves {
            match save {
                Save::Node(record) => self.disk.node = Some(*record),
                Save::Task(record) => {
                    self.disk.tasks.retain(|t| t.arn() != record.arn());
                    let text = serde_json::to_string(&record).unwrap();
                    self.disk.tasks.push(serde_json::from_str(&text).unwrap());
                }
                Save::Forget(arn) => self.disk.tasks.retain(|t| *t.arn() != arn),
                Save::Clear => self.disk = Saved::default(),
            }
        }
    }

    /// Invariant 1.
    fn check_acknowledgements(&mut self, event: &Event, commands: &[Command]) {
        let acks = commands.iter().filter_map(|c| match c {
            Command::Ack { message, .. } => Some(message),
            _ => None,
        });
        let acks: Vec<_> = acks.collect();
        let credentials = commands.iter().filter_map(|c| match c {
            Command::AckCredentials { message, .. } => Some(message),
            _ => None,
        });
        let credentials: Vec<_> = credentials.collect();
        match event {
            Event::Payload(payload) => {
                let expected: Vec<_> = if payload.unaddressed { vec![] } else { vec![&payload.message] };
                assert_eq!(acks, expected, "each payload is acknowledged once, or never");
                for task in &payload.tasks {
                    assert!(self.disk.tasks.iter().any(|t| *t.arn() == task.arn), "{} is not on disk", task.arn);
                    if !payload.unaddressed {
                        self.acknowledged.insert(task.arn.clone());
                    }
                }
                assert!(credentials.iter().all(|m| **m == payload.message));
            }
            Event::Manifest { message, .. } => assert!(acks.iter().all(|m| *m == message) && acks.len() <= 1),
            Event::Credentials { message, task, .. } => {
                assert!(acks.is_empty() && credentials.iter().all(|m| *m == message));
                assert!(credentials.is_empty() || self.disk.tasks.iter().any(|t| t.arn() == task));
            }
            _ => assert!(acks.is_empty() && credentials.is_empty(), "an acknowledgement of nothing: {acks:?}"),
        }
    }

    fn issue(&mut self, command: &Command) {
        match command {
            Command::Submit(change) => self.check_report(change),
            // Invariant 2.
            Command::Pull { task, .. } | Command::Start { task, .. } | Command::Stop { task, .. } => {
                assert!(self.wanted.contains(task), "{task} was never asked to run: {command:?}");
            }
            Command::Create { task, .. } => assert!(self.wanted.contains(&task.arn), "{command:?}"),
            Command::VerifyStops { message, .. } => self.asked = Some(message.clone()),
            Command::SetInstanceState(_)
            | Command::Count
            | Command::Deregister
            | Command::Terminate
            | Command::Exit { .. } => panic!("nobody asked the node to leave: {command:?}"),
            _ => {}
        }
        let unanswered = matches!(
            command,
            Command::Notice(_)
                | Command::Ack { .. }
                | Command::AckCredentials { .. }
                | Command::DropCredentials(_)
                | Command::VerifyStops { .. }
        );
        if !unanswered {
            self.under_way.push(command.clone());
        }
    }

    /// Invariant 4.
    fn check_report(&mut self, change: &StateChange) {
        let task = &change.task;
        if let Some(before) = self.told.get(task) {
            if let Some(life) = self.taken.get(task) {
                assert!(*life < self.lives, "{task}: a report after ECS took STOPPED");
                assert_eq!(change, before, "a crash that swallowed ECS's answer repeats the very same report");
            }
            assert!(before.status <= change.status, "{task}: {:?} after {:?}", change.status, before.status);
        }
        for container in change.containers.iter().filter(|c| c.status == TaskStatus::Stopped) {
            let name = DockerName::derive("f", "1", &container.name, task);
            if let Some(truth) = self.docker.exit_code(&name) {
                assert_eq!(container.exit_code, Some(truth), "{name}: not the code that it ended with");
            }
            assert!(!self.docker.runs(&name), "{name} still runs");
        }
        self.told.insert(task.clone(), change.clone());
        let in_flight = self.under_way.iter().filter_map(|c| match c {
            Command::Submit(other) => Some(&other.task),
            _ => None,
        });
        let in_flight: Vec<_> = in_flight.collect();
        assert!(in_flight.len() < 10 && !in_flight.contains(&task), "{task}: too many reports at once");
    }

    /// Answers one of the commands under way.
    pub(crate) fn answer(&mut self, which: usize, outcome: Outcome) {
        if self.under_way.is_empty() {
            return;
        }
        let command = self.under_way.remove(which % self.under_way.len());
        let effect = match outcome {
            Outcome::Done => true,
            Outcome::Refused => false,
            Outcome::TimedOut { took_effect } | Outcome::Unreachable { took_effect } => took_effect,
        };
        if effect {
            self.docker.take_effect(&command);
        }
        let event = self.docker.told(&command, outcome).or_else(|| self.cloud(&command, outcome));
        if let Some(event) = event {
            self.step(event);
        }
    }

    fn cloud(&mut self, command: &Command, outcome: Outcome) -> Option<Event> {
        let done = outcome == Outcome::Done;
        Some(match command {
            Command::Register { .. } if done => Event::Registered(Ok(ContainerInstanceArn::new("ci"))),
            Command::Register { .. } => Event::Registered(Err(ApiFailure::Unavailable("503".into()))),
            Command::Connect { .. } if done => {
                self.session_open = true;
                Event::SessionOpened
            }
            Command::Connect { .. } => Event::SessionClosed(CloseCause::Failed("refused".into())),
            Command::Submit(change) => {
                let result = match outcome {
                    Outcome::Done => Ok(()),
                    Outcome::Refused => Err(ApiFailure::Throttled("slowly".into())),
                    Outcome::TimedOut { .. } => Err(ApiFailure::Denied("no".into())),
                    Outcome::Unreachable { .. } => Err(ApiFailure::Unavailable("503".into())),
                };
                if done && change.status == TaskStatus::Stopped {
                    self.taken.entry(change.task.clone()).or_insert(self.lives);
                }
                Event::Submitted(change.task.clone(), result)
            }
            _ => return None,
        })
    }

    pub(crate) fn container_ends(&mut self, which: usize, code: i64, told: bool) {
        let Some(name) = self.docker.end(which, code) else { return };
        if told && let Some(seen) = self.docker.seen(&name) {
            self.step(Event::Observed(name, seen));
        }
    }

    /// Invariant 6.
    pub(crate) fn pass(&mut self, by: Duration) {
        self.now = self.now.after(by);
        self.node.handle_timeout(self.now);
        if self.turn().is_none() {
            return;
        }
        // A turn may leave saves for the next, which is then due at once; no more than that.
        if self.node.poll_timeout().is_some_and(|at| at <= self.now) {
            self.node.handle_timeout(self.now);
            self.turn();
        }
        assert!(self.node.poll_timeout().is_none_or(|at| at > self.now), "the shell would spin");
    }

    pub(crate) fn docker_down(&mut self) {
        self.step(Event::DockerDown("gone".into()));
    }

    pub(crate) fn docker_up(&mut self) {
        self.step(Event::DockerUp(self.docker.list()));
    }

    pub(crate) fn lose_session(&mut self, clean: bool) {
        self.close(if clean { CloseCause::Clean } else { CloseCause::Failed("reset".into()) });
    }

    fn close(&mut self, cause: CloseCause) {
        if std::mem::take(&mut self.session_open) {
            self.step(Event::SessionClosed(cause));
        }
    }

    pub(crate) fn die_in_next_step(&mut self, after_commit: bool) {
        self.dies = Some(after_commit);
    }

    /// The process is gone, and starts again. Every second thing that was under way has happened, or does
    /// before anybody looks.
    pub(crate) fn crash(&mut self) {
        for (i, command) in std::mem::take(&mut self.under_way).iter().enumerate() {
            if i % 2 == 0 {
                self.docker.take_effect(command);
            }
        }
        self.session_open = false;
        self.asked = None;
        self.lives += 1;
        self.check_restore();
        self.node = Node::restore(policy(), self.disk.clone(), self.lives, self.now);
        self.identify();
    }

    /// Invariant 5: a node made from the disk says of each task what the disk says, and making it twice makes it the same.
    fn check_restore(&self) {
        let made = || Node::restore(policy(), self.disk.clone(), 1, self.now);
        let (mut one, mut two) = (made(), made());
        assert_eq!(one.live_tasks(), self.disk.tasks.iter().filter(|t| t.live()).count());
        for node in [&mut one, &mut two] {
            node.handle(
                Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") },
                self.now,
            );
        }
        let commands = |node: &mut Node| std::iter::from_fn(|| node.next_command()).collect::<Vec<_>>();
        assert_eq!(commands(&mut one), commands(&mut two));
        assert_eq!(one.take_saves(), two.take_saves());
    }

    /// Nothing is refused or lost any more: everything comes to its end. Invariant 7.
    pub(crate) fn come_to_rest(&mut self) {
        self.dies = None;
        self.docker_up();
        for _ in 0..2_000 {
            if let Some(name) = self.docker.end(0, 0) {
                let seen = self.docker.seen(&name).unwrap();
                self.step(Event::Observed(name, seen));
            } else if !self.under_way.is_empty() {
                self.answer(0, Outcome::Done);
            } else if self.node.live_tasks() > 0 || !self.docker.containers.is_empty() {
                self.pass(Duration::from_secs(1));
            } else {
                break;
            }
        }
        assert_eq!(self.node.live_tasks(), 0, "tasks that never end: {:#?}", self.node.status(self.now).tasks);
        assert!(self.docker.containers.is_empty(), "left behind: {:?}", self.docker.containers);
        for arn in &self.acknowledged {
            assert!(self.taken.contains_key(arn), "{arn} was acknowledged and never reported as STOPPED");
        }
    }
}
