//! What a node does with each event, driven by hand; a file per capability.

mod docker;
mod intake;
mod leaving;
mod progress;
mod reports;
mod session;
mod stops;

use super::*;
use crate::*;

pub(crate) fn spec(id: &str) -> TaskSpec {
    TaskSpec {
        arn: TaskArn::new(format!("arn:aws:ecs:us-east-1:1:task/c/{id}")),
        family: "f".into(),
        version: "1".into(),
        containers: vec![ContainerSpec { cpu_shares: 1024, ..ContainerSpec::new("default", "busybox") }],
        roles: Roles::default(),
        memory: None,
    }
}

/// A node with its clock, driven by hand.
pub(crate) struct Hand {
    pub(crate) node: Node,
    pub(crate) now: Timestamp,
}

pub(crate) fn policy() -> Policy {
    Policy {
        pull_behavior: PullBehavior::PreferCached,
        idle_timeout: Some(Duration::from_secs(60)),
        cleanup_wait: Duration::from_secs(10),
        stop_timeout_secs: 30,
        docker_concurrency: 2,
        leaving: LeavingPolicy::alone(),
    }
}

impl Hand {
    pub(crate) fn restored(policy: Policy, saved: Saved) -> Self {
        let now = Timestamp(1_000_000);
        Self { node: Node::restore(policy, saved, 1, now), now }
    }

    /// A registered node with Docker up and a session open.
    pub(crate) fn active(policy: Policy) -> Self {
        let mut hand = Self::restored(policy, Saved::default());
        hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
        hand.on(Event::DockerUp(Vec::new()));
        hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
        hand.on(Event::SessionOpened);
        hand.node.take_saves();
        hand
    }

    /// Handles an event and returns what follows, notices left out.
    pub(crate) fn on(&mut self, event: Event) -> Vec<Command> {
        self.node.handle(event, self.now);
        self.commands()
    }

    pub(crate) fn commands(&mut self) -> Vec<Command> {
        let next = std::iter::from_fn(|| self.node.next_command());
        next.filter(|c| !matches!(c, Command::Notice(_))).collect()
    }

    pub(crate) fn pass(&mut self, by: Duration) -> Vec<Command> {
        self.now = self.now.after(by);
        self.node.handle_timeout(self.now);
        while !self.node.take_saves().is_empty() {}
        let due = self.node.poll_timeout();
        assert!(due.is_none_or(|at| at > self.now), "the shell would spin");
        self.commands()
    }

    /// Passes time until the node next has something to do by the clock.
    pub(crate) fn next_due(&mut self) -> Vec<Command> {
        while !self.node.take_saves().is_empty() {}
        let at = self.node.poll_timeout().expect("something is due");
        self.pass(at.since(self.now))
    }

    fn payload(&mut self, tasks: Vec<PayloadTask>) -> Vec<Command> {
        self.on(Event::Payload(Payload {
            message: MessageId::new("m"),
            cluster: ClusterRef::new("c"),
            container_instance: ContainerInstanceArn::new("ci"),
            seq_num: 1,
            tasks,
            unaddressed: false,
        }))
    }

    pub(crate) fn run(&mut self, spec: &TaskSpec) -> Vec<Command> {
        self.payload(vec![PayloadTask {
            arn: spec.arn.clone(),
            work: Incoming::Run(spec.clone()),
            credentials: Vec::new(),
        }])
    }

    /// Takes a one-container task to the start of its container.
    pub(crate) fn created(&mut self, id: &str) -> (TaskSpec, DockerName) {
        let spec = spec(id);
        let name = spec.docker_name(&spec.containers[0]);
        self.run(&spec);
        self.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
        self.on(Event::Created(name.clone(), Ok(seen(Running::Created))));
        (spec, name)
    }

    /// Takes a one-container task to RUNNING, reports included.
    pub(crate) fn running(&mut self, id: &str) -> (TaskSpec, DockerName) {
        let (spec, name) = self.created(id);
        self.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
        self.on(Event::Submitted(spec.arn.clone(), Ok(())));
        (spec, name)
    }

    fn stop(&mut self, spec: &TaskSpec) -> Vec<Command> {
        let work = Incoming::Stop(spec.clone());
        self.payload(vec![PayloadTask { arn: spec.arn.clone(), work, credentials: Vec::new() }])
    }

    pub(crate) fn exits(&mut self, name: &DockerName, code: i64) -> Vec<Command> {
        self.on(Event::Observed(name.clone(), seen(Running::Exited(Some(ExitCode(code))))))
    }

    pub(crate) fn phase(&self) -> Phase {
        self.node.phase()
    }
}

pub(crate) fn seen(running: Running) -> Observation {
    Observation {
        id: DockerId::new("d"),
        running,
        oom_killed: false,
        error: String::new(),
        started_at: None,
        finished_at: None,
        bindings: Vec::new(),
        health: None,
    }
}

pub(crate) fn submitted(commands: &[Command]) -> Option<&StateChange> {
    commands.iter().find_map(|c| match c {
        Command::Submit(change) => Some(change),
        _ => None,
    })
}

pub(crate) fn has(commands: &[Command], wanted: impl Fn(&Command) -> bool) -> bool {
    commands.iter().any(wanted)
}
