//! The promise of durability: crash between any two steps, restart, and every task still ends in one STOPPED with its true exit
//! code, each container having run once.
//!
//! A small world plays disk, Docker and ECS. A crash at step k drops the node with everything it had not saved; what the world
//! has done by then stays done, its answers are lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use node_core::*;

const TASKS: usize = 3;

struct Container {
    task: TaskArn,
    running: Running,
    starts: u32,
    signals: u32,
    exit_code: i64,
    ends_at: Option<Timestamp>,
}

#[derive(Default)]
struct World {
    now: Timestamp,
    disk: Saved,
    docker: BTreeMap<DockerName, Container>,
    reports: Vec<StateChange>,
    acks: Vec<MessageId>,
    answers: VecDeque<Event>,
    terminated: bool,
    facts: Facts,
    /// Steps left before the next crash; `None` when no more crashes come.
    fuse: Option<u32>,
    steps: u32,
}

struct Crash;

fn exit_code_of(i: usize) -> i64 {
    [0, 3, 137][i % 3]
}

fn spec(i: usize) -> TaskSpec {
    TaskSpec {
        arn: TaskArn::new(format!("arn:aws:ecs:us-east-1:1:task/c/{i}")),
        family: "f".into(),
        version: "1".into(),
        containers: vec![ContainerSpec::new("default", "busybox")],
        roles: Roles::default(),
        memory: None,
    }
}

fn payload() -> Payload {
    Payload {
        message: MessageId::new("m-1"),
        cluster: ClusterRef::new("c"),
        container_instance: ContainerInstanceArn::new("ci"),
        seq_num: 1,
        tasks: (0..TASKS)
            .map(|i| PayloadTask { arn: spec(i).arn, work: Incoming::Run(spec(i)), credentials: Vec::new() })
            .collect(),
        unaddressed: false,
    }
}

impl World {
    /// One boundary: before a commit, after it, before a command, after it.
    fn step(&mut self) -> Result<(), Crash> {
        self.steps += 1;
        match &mut self.fuse {
            Some(0) => {
                self.fuse = None;
                Err(Crash)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn observation(&self, name: &DockerName) -> Option<Observation> {
        self.docker.get(name).map(|c| Observation {
            id: DockerId::new(format!("id-{name}")),
            running: c.running,
            oom_killed: false,
            error: String::new(),
            started_at: None,
            finished_at: None,
            bindings: Vec::new(),
            health: None,
        })
    }

    fn list(&self) -> Vec<(DockerName, Observation)> {
        self.docker.keys().filter_map(|name| Some((name.clone(), self.observation(name)?))).collect()
    }

    fn commit(&mut self, saves: Vec<Save>) {
        for save in saves {
            match save {
                Save::Node(record) => self.disk.node = Some(*record),
                Save::Task(record) => {
                    self.disk.tasks.retain(|t| t.arn() != record.arn());
                    // Through JSON, as the store does: what is not written down does not survive.
                    let text = serde_json::to_string(&record).unwrap();
                    self.disk.tasks.push(serde_json::from_str(&text).unwrap());
                }
                Save::Forget(arn) => self.disk.tasks.retain(|t| *t.arn() != arn),
                Save::Clear => self.disk = Saved::default(),
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        let answer = match command {
            Command::FindHome => Event::Home(Ok(Home { cluster: ClusterRef::new("c"), remark: None })),
            Command::Register { .. } => Event::Registered(Ok(ContainerInstanceArn::new("ci"))),
            Command::Connect { .. } => {
                // ECS delivers what was not acknowledged.
                if self.acks.is_empty() {
                    self.answers.push_back(Event::SessionOpened);
                    Event::Payload(payload())
                } else {
                    Event::SessionOpened
                }
            }
            Command::Ack { message, .. } => {
                self.acks.push(message);
                return;
            }
            Command::Pull { name, .. } => Event::Pulled(name, Ok(ImagePulled::default())),
            Command::Create { name, task, .. } => {
                let i: usize = task.arn.id().parse().unwrap();
                self.docker.entry(name.clone()).or_insert(Container {
                    task: task.arn.clone(),
                    running: Running::Created,
                    starts: 0,
                    signals: 0,
                    exit_code: exit_code_of(i),
                    ends_at: None,
                });
                let seen = self.observation(&name).unwrap();
                Event::Created(name, Ok(seen))
            }
            Command::Start { name, .. } => {
                let container = self.docker.get_mut(&name).unwrap();
                if container.running != Running::Running {
                    container.starts += 1;
                    container.running = Running::Running;
                    container.ends_at = Some(self.now.after(Duration::from_millis(300)));
                }
                let seen = self.observation(&name).unwrap();
                Event::Started(name, Ok(seen))
            }
            Command::Remove { name, .. } => {
                let gone = self.docker.get_mut(&name).unwrap();
                assert!(matches!(gone.running, Running::Exited(_)), "removed while it ran");
                Event::Removed(name, Ok(()))
            }
            Command::Reconcile => Event::DockerUp(self.list()),
            Command::Inspect { name } => match self.observation(&name) {
                Some(seen) => Event::Observed(name, seen),
                None => Event::Missing(name),
            },
            Command::Submit(change) => {
                let task = change.task.clone();
                self.reports.push(change);
                Event::Submitted(task, Ok(()))
            }
            Command::SetInstanceState(state) => Event::InstanceStateSet(state, Ok(())),
            Command::Count => Event::Counted(Ok(TaskCounts { running: 0, pending: 0 })),
            Command::Deregister => Event::Deregistered(Ok(())),
            Command::Terminate => {
                self.terminated = true;
                Event::Terminated(Ok(()))
            }
            Command::LookForWork => Event::WorkFound(Ok(Waiting::default())),
            Command::Preflight => Event::Preflight(Ok(self.facts.clone())),
            Command::TerminateInGroup { .. } => {
                self.terminated = true;
                Event::EndTried(Rung::Group, Ok(()))
            }
            Command::Heartbeat(_) => Event::HeartbeatRecorded(Ok(())),
            Command::CompleteHook(_) => {
                self.terminated = true;
                Event::EndTried(Rung::Hook, Ok(()))
            }
            Command::Protect(on) => Event::Protected(on, Ok(())),
            Command::Signal { name, .. } => {
                self.docker.get_mut(&name).unwrap().signals += 1;
                Event::Signalled(name, Ok(()))
            }
            Command::Notice(_)
            | Command::Images(_)
            | Command::AckCredentials { .. }
            | Command::DropCredentials(_)
            | Command::PublishDeadline(_) => return,
            Command::Join { .. }
            | Command::Stop { .. }
            | Command::VerifyStops { .. }
            | Command::MarkUnhealthy
            | Command::PowerOff
            | Command::LetGo
            | Command::Exit { .. } => {
                panic!("not in this story: {command:?}")
            }
        };
        self.answers.push_back(answer);
    }

    /// Ends the containers whose time has come; a live node sees each die.
    fn pass(&mut self, by: Duration) {
        self.now = self.now.after(by);
        let mut died = Vec::new();
        for (name, container) in &mut self.docker {
            if container.running == Running::Running && container.ends_at.is_some_and(|at| at <= self.now) {
                container.running = Running::Exited(Some(ExitCode(container.exit_code)));
                died.push(name.clone());
            }
        }
        for name in died {
            let seen = self.observation(&name).unwrap();
            self.answers.push_back(Event::Observed(name, seen));
        }
    }
}

fn boot(world: &mut World) -> Node {
    let policy = Policy {
        pull_behavior: PullBehavior::PreferCached,
        idle_timeout: Some(Duration::from_secs(5)),
        cleanup_wait: Duration::from_secs(1),
        stop_timeout_secs: 30,
        docker_concurrency: 2,
        leaving: LeavingPolicy::alone(),
    };
    world.answers.clear();
    world.answers.push_back(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    world.answers.push_back(Event::DockerUp(world.list()));
    Node::restore(policy, world.disk.clone(), 42, world.now)
}

/// One life of the agent: until the instance is terminated, or it crashes.
fn live(world: &mut World, node: &mut Node) -> Result<(), Crash> {
    for _ in 0..10_000 {
        match world.answers.pop_front() {
            Some(event) => node.handle(event, world.now),
            None => {
                world.pass(Duration::from_millis(100));
                node.handle_timeout(world.now);
                assert!(node.poll_timeout().is_none_or(|at| at > world.now), "the shell would spin");
            }
        }
        let saves = node.take_saves();
        if !saves.is_empty() {
            world.step()?;
            world.commit(saves);
            world.step()?;
        }
        while let Some(command) = node.next_command() {
            if matches!(command, Command::Notice(_)) {
                continue;
            }
            world.step()?;
            world.carry_out(command);
            world.step()?;
        }
        if world.terminated {
            return Ok(());
        }
    }
    panic!("the node never left: {}", node.status(world.now).why);
}

/// Runs the story with a crash at `fuse` steps (none: undisturbed), and says how many steps it took.
fn story(fuse: Option<u32>) -> u32 {
    let mut world = World { fuse, now: Timestamp(1_000), ..World::default() };
    for life in 0..3 {
        assert!(life < 2, "one crash, two lives");
        let mut node = boot(&mut world);
        if live(&mut world, &mut node).is_ok() {
            break;
        }
        // Some containers end while nobody watches.
        world.pass(Duration::from_millis(350));
    }
    check(&world, fuse);
    world.steps
}

fn check(world: &World, fuse: Option<u32>) {
    assert!(world.terminated && !world.acks.is_empty(), "crash at {fuse:?}");
    assert_eq!(world.docker.len(), TASKS, "crash at {fuse:?}");
    for container in world.docker.values() {
        assert_eq!(container.starts, 1, "crash at {fuse:?}: {} ran more than once", container.task);
        let told: Vec<_> = world.reports.iter().filter(|r| r.task == container.task).collect();
        assert!(told.windows(2).all(|w| w[0].status <= w[1].status), "crash at {fuse:?}: a report went backwards");
        let stopped: Vec<_> = told.iter().filter(|r| r.status == TaskStatus::Stopped).collect();
        // An answer that a crash swallowed is asked for again; ECS then hears the very same thing twice.
        let allowed = if fuse.is_some() { 2 } else { 1 };
        assert!((1..=allowed).contains(&stopped.len()), "crash at {fuse:?}: {}", stopped.len());
        for report in stopped {
            let code = report.containers.first().and_then(|c| c.exit_code);
            assert_eq!(code, Some(ExitCode(container.exit_code)), "crash at {fuse:?}");
        }
    }
}

#[test]
fn undisturbed_every_task_is_reported_once_and_the_node_leaves() {
    assert!(story(None) > 50, "the story has many boundaries");
}

#[test]
fn a_crash_at_any_boundary_loses_nothing_and_repeats_nothing() {
    let steps = story(None);
    for fuse in 0..steps {
        story(Some(fuse));
    }
}
