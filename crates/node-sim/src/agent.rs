//! The agent's process around the core, as src/agent.rs has it: events gathered into turns, one commit for a turn, its commands
//! only after that. It may die at any boundary, and with it all that was not saved.

use std::collections::{BTreeMap, VecDeque};

use node_core::{
    ClusterRef, Command, CredentialsId, Event, InstanceId, Node, Order, RoleKind, Save, Saved, TaskArn, TaskRecord,
    Timestamp,
};

use crate::invariants::Rule;
use crate::jobs::SECRET;
use crate::leaving_rules::{self, Recorded};
use crate::queue::{Happening, Life};
use crate::story::Actor;
use crate::world::World;

/// The core's clock at the beginning of a run: room for a clock that is set back.
const EPOCH: u64 = 1_800_000_000_000;
/// Events taken in one turn (src/agent.rs).
const BUDGET: usize = 256;
/// A failed commit is tried again after this long (src/agent.rs).
const COMMIT_RETRY: u64 = 2_000;
/// Turns in which nothing happens, and which the core wants all the same.
const SPINS_MAX: u32 = 20;

#[derive(Default)]
pub(crate) struct Agent {
    pub(crate) life: Life,
    pub(crate) node: Option<Node>,
    inbox: VecDeque<Event>,
    next_turn: Option<u64>,
    committing: Option<Vec<Save>>,
    spins: u32,
    clock: u64,
    /// What the shell's store holds: whose task each id belongs to.
    pub(crate) credentials: BTreeMap<CredentialsId, (TaskArn, RoleKind)>,
    /// The container instance that the ECS client was told at its registration.
    pub(crate) instance: Option<String>,
    /// What was last saved of its leaving.
    pub(crate) recorded: Option<Recorded>,
    /// When the process began.
    pub(crate) born: u64,
    /// The core knows who the host is: before that it takes no step.
    pub(crate) identified: bool,
}

impl World {
    pub(crate) fn node_now(&self) -> Timestamp {
        Timestamp(EPOCH + self.agent.clock + self.now)
    }

    pub(crate) fn agent_starts(&mut self, life: Life) {
        if life != self.agent.life || self.agent.node.is_some() {
            return;
        }
        let steps = self.weather.clock_steps;
        let middle = 1_000_000_000;
        self.agent.clock = self.dice.between(middle - steps, middle + steps);
        let saved = self.disk.load();
        self.tell(Actor::Agent, || format!("starts, with {} task(s) on record", saved.tasks.len()));
        let seed = self.dice.number();
        self.agent.node = Some(Node::restore(self.weather.policy, saved, seed, self.node_now()));
        self.agent.born = self.now;
        let at = Timestamp(self.node_now().0 - (self.now - self.booted_at));
        let boot = Event::HostBooted { id: format!("boot-{}", self.ec2.boots), at };
        self.hand_over(life, boot);
        self.watch(life);
        self.examine_host();
        let who = Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") };
        let wait = if self.calm { 100 } else { self.dice.skewed(10, self.weather.identify) };
        self.at(wait, Happening::Deliver(life, who));
        let wait = self.latency();
        self.at(wait, Happening::Attach(life));
    }

    /// The process dies here and now; the supervisor starts another one later.
    pub(crate) fn agent_dies(&mut self, why: &str) {
        if self.agent.node.is_none() {
            return;
        }
        self.tell(Actor::Agent, || format!("dies: {why}"));
        if let Some(saves) = self.agent.committing.take()
            && self.dice.coin()
        {
            self.save(saves);
        }
        self.truth.doubt_warnings();
        // Whether an order of that turn was saved nobody knows.
        if self.operator.pending.take().is_some() {
            self.operator.held = None;
        }
        let recorded = self.agent.recorded.take();
        self.agent = Agent { life: self.agent.life + 1, clock: self.agent.clock, recorded, ..Agent::default() };
        self.docker.attached = None;
        self.docker.told_down = false;
        self.orphan_requests();
        self.orphan_calls();
        self.ecs.session = None;
        let pause = self.dice.skewed(100, 60_000);
        self.at(pause, Happening::AgentStarts(self.agent.life));
    }

    pub(crate) fn hand_over(&mut self, life: Life, event: Event) {
        if life != self.agent.life {
            return;
        }
        self.put_credentials_away(&event);
        self.agent.inbox.push_back(event);
        if self.agent.committing.is_none() {
            let soon = self.now + self.dice.below(3);
            self.plan_turn(soon);
        }
    }

    /// The shell keeps the secrets before the core hears of their ids.
    fn put_credentials_away(&mut self, event: &Event) {
        let mut keep = |task: &TaskArn, issued: &node_core::Issued| {
            self.agent.credentials.insert(issued.id.clone(), (task.clone(), issued.role));
        };
        match event {
            Event::Credentials { task, issued, .. } => keep(task, issued),
            Event::Payload(payload) => {
                payload.tasks.iter().for_each(|t| t.credentials.iter().for_each(|issued| keep(&t.arn, issued)));
            }
            _ => {}
        }
    }

    fn plan_turn(&mut self, at: u64) {
        if self.agent.next_turn.is_none_or(|next| at < next) {
            self.agent.next_turn = Some(at);
            self.queue.push(at, Happening::Turn(self.agent.life));
        }
    }

    pub(crate) fn turn(&mut self, life: Life) {
        if life != self.agent.life || self.agent.next_turn != Some(self.now) || self.agent.committing.is_some() {
            return;
        }
        self.agent.next_turn = None;
        let now = self.node_now();
        let taken = self.agent.inbox.len().min(BUDGET);
        let events: Vec<_> = self.agent.inbox.drain(..taken).collect();
        self.clock_seen();
        let taken_back = events.iter().any(leaving_rules::takes_back);
        for event in &events {
            match event {
                Event::Order(Order::Hold { .. }) => self.operator.pending = Some(true),
                Event::Order(Order::Release) => self.operator.pending = Some(false),
                _ => {}
            }
        }
        self.agent.identified |= events.iter().any(|e| matches!(e, Event::Identified { .. }));
        let Some(node) = &mut self.agent.node else { return };
        for event in events {
            node.handle(event, now);
        }
        node.handle_timeout(now);
        let saves = node.take_saves();
        self.agent.spins = if taken == 0 && saves.is_empty() { self.agent.spins + 1 } else { 0 };
        self.judge_turn(&saves, taken_back);
        if saves.is_empty() {
            return self.carry_out();
        }
        if self.crashes_here() {
            return self.agent_dies("before a commit");
        }
        self.agent.committing = Some(saves);
        let full = !self.calm && self.dice.permille(self.weather.disk_full);
        let takes = if full { COMMIT_RETRY * self.dice.between(1, 10) } else { self.dice.skewed(1, 30) };
        self.at(takes, Happening::Committed(life));
    }

    pub(crate) fn committed(&mut self, life: Life) {
        if life != self.agent.life {
            return;
        }
        let Some(saves) = self.agent.committing.take() else { return };
        self.save(saves);
        self.operator.held = self.operator.pending.take().or(self.operator.held);
        if self.crashes_here() {
            return self.agent_dies("after a commit");
        }
        self.carry_out();
    }

    fn save(&mut self, saves: Vec<Save>) {
        self.tell(Actor::Disk, || saves.iter().map(saved_words).collect::<Vec<_>>().join(", "));
        for save in saves {
            if let Save::Task(record) = &save {
                self.truth.saved(record);
                self.check_kept_back(record);
            }
            let secret = self.disk.save(save).filter(|text| text.contains(SECRET)).map(str::to_owned);
            if let Some(text) = secret {
                self.broken(Rule::Secret, || format!("a credential was saved: {text}"));
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.agent.node.as_mut().and_then(Node::next_command) {
            if let Command::Notice(notice) = command {
                let words = format!("{notice:?}");
                if words.contains(SECRET) {
                    self.broken(Rule::Secret, || format!("a credential was told: {words}"));
                }
                self.tell(Actor::Agent, || words);
                continue;
            }
            self.agent.spins = 0;
            if self.crashes_here() {
                return self.agent_dies(&format!("before {}", name_of(&command)));
            }
            self.tell(Actor::Agent, || describe(&command));
            self.carry(command);
        }
        self.rest();
    }

    fn carry(&mut self, command: Command) {
        match command {
            Command::Stop { ref name, grace_secs: 0, .. } => {
                let name = name.clone();
                self.check_kill(&name);
                self.ask_docker(command);
            }
            Command::Submit(ref change) => {
                self.check_retries(change);
                self.ask_aws(command);
            }
            Command::Signal { ref name, .. } => {
                self.truth.ask_warning(name);
                self.ask_docker(command);
            }
            Command::Pull { .. }
            | Command::Create { .. }
            | Command::Start { .. }
            | Command::Stop { .. }
            | Command::Remove { .. }
            | Command::Inspect { .. }
            | Command::Reconcile => self.ask_docker(command),
            Command::Connect { container_instance, send_credentials } => {
                let (life, instance) = (self.agent.life, container_instance.as_str().to_owned());
                let wait = self.latency();
                self.at(wait, Happening::SessionOpens { life, instance, send_credentials });
            }
            Command::Ack { message, .. } => {
                if self.ecs.session.is_some() {
                    let wait = self.latency();
                    self.at(wait, Happening::AckArrives(message));
                }
            }
            Command::VerifyStops { message, candidates } => {
                if let Some(session) = self.ecs.session.as_ref().map(|s| s.id) {
                    let wait = self.latency();
                    let candidates = candidates.into_iter().map(|c| c.task).collect();
                    self.at(wait, Happening::AskArrives { session, message, candidates });
                }
            }
            Command::DropCredentials(id) => drop(self.agent.credentials.remove(&id)),
            Command::LetGo => self.let_go(),
            Command::PublishDeadline(_) | Command::AckCredentials { .. } | Command::Notice(_) | Command::Images(_) => {}
            Command::Exit { code, reason } => {
                self.broken(Rule::Liveness, || format!("the agent gives up with {code}: {reason}"));
            }
            _ => self.ask_aws(command),
        }
    }

    /// The turn is over: when is the next one?
    fn rest(&mut self) {
        if self.agent.spins > SPINS_MAX {
            let due = self.agent.node.as_ref().and_then(Node::poll_timeout);
            let now = self.node_now();
            self.broken(Rule::Liveness, || format!("the agent's loop spins: due {due:?} at {now:?}"));
        }
        if !self.agent.inbox.is_empty() {
            return self.plan_turn(self.now);
        }
        if let Some(due) = self.agent.node.as_ref().and_then(Node::poll_timeout) {
            let wait = due.0.saturating_sub(self.node_now().0);
            self.plan_turn(self.now + wait);
        }
    }

    fn crashes_here(&mut self) -> bool {
        !self.calm && self.weather.crash > 0 && self.dice.below(10_000) < self.weather.crash
    }
}

/// The agent's store: what it holds went through JSON, as on a real disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    node: Option<String>,
    tasks: BTreeMap<TaskArn, String>,
}

impl Disk {
    fn save(&mut self, save: Save) -> Option<&str> {
        match save {
            Save::Node(record) => Some(self.node.insert(serde_json::to_string(&record).unwrap_or_default())),
            Save::Task(record) => {
                let text = serde_json::to_string(&record).unwrap_or_default();
                self.tasks.insert(record.arn().clone(), text);
                self.tasks.get(record.arn()).map(String::as_str)
            }
            Save::Forget(arn) => {
                self.tasks.remove(&arn);
                None
            }
            Save::Clear => {
                *self = Self::default();
                None
            }
        }
    }

    fn load(&self) -> Saved {
        let task = |text: &String| serde_json::from_str::<TaskRecord>(text).ok();
        Saved {
            node: self.node.as_ref().and_then(|text| serde_json::from_str(text).ok()),
            tasks: self.tasks.values().filter_map(task).collect(),
        }
    }
}

fn saved_words(save: &Save) -> String {
    match save {
        Save::Node(node) => format!("node {}", node.phase),
        Save::Task(task) => {
            let stages: Vec<_> = task.containers.iter().map(|c| c.stage.as_str()).collect();
            format!("task {} {} ({} sent)", task.arn().id(), stages.join("/"), task.sent.as_str())
        }
        Save::Forget(arn) => format!("forget {}", arn.id()),
        Save::Clear => "clear".to_owned(),
    }
}

fn describe(command: &Command) -> String {
    match command {
        Command::Pull { name, .. }
        | Command::Create { name, .. }
        | Command::Start { name, .. }
        | Command::Stop { name, .. }
        | Command::Remove { name, .. }
        | Command::Inspect { name } => format!("{} {name}", name_of(command)),
        Command::Submit(change) => format!("submits {} {}", change.task.id(), change.status.as_str()),
        other => format!("{other:?}"),
    }
}

fn name_of(command: &Command) -> String {
    let words = format!("{command:?}");
    words.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}
