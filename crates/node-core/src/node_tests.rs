use super::*;
use crate::*;

pub(crate) fn spec(id: &str) -> TaskSpec {
    TaskSpec {
        arn: TaskArn::new(format!("arn:aws:ecs:us-east-1:1:task/c/{id}")),
        family: "f".into(),
        version: "1".into(),
        containers: vec![ContainerSpec {
            name: ContainerName::new("default"),
            image: "busybox".into(),
            essential: true,
            command: Vec::new(),
            entry_point: None,
            environment: BTreeMap::new(),
            cpu_shares: 1024,
            memory: None,
            binds: Vec::new(),
            ports: Vec::new(),
            depends_on: Vec::new(),
            docker_config: None,
            docker_host_config: None,
            stop_timeout_secs: None,
            container_arn: None,
            registry_auth: None,
        }],
        roles: Roles::default(),
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

#[test]
fn a_payload_is_saved_before_it_is_acknowledged() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let work = Incoming::Run(spec.clone());
    hand.node.handle(
        Event::Payload(Payload {
            message: MessageId::new("m"),
            cluster: ClusterRef::new("c"),
            container_instance: ContainerInstanceArn::new("ci"),
            seq_num: 1,
            tasks: vec![PayloadTask { arn: spec.arn.clone(), work, credentials: Vec::new() }],
            unaddressed: false,
        }),
        hand.now,
    );
    let saves = hand.node.take_saves();
    assert!(saves.iter().any(|s| matches!(s, Save::Task(t) if *t.arn() == spec.arn)));
    assert!(has(&hand.commands(), |c| matches!(c, Command::Ack { .. })));
}

#[test]
fn a_job_runs_and_is_reported_step_by_step() {
    let mut hand = Hand::active(policy());
    let (spec, name) = hand.running("t1");
    let commands = hand.exits(&name, 7);
    let change = submitted(&commands).unwrap();
    assert_eq!((change.status, change.containers[0].exit_code), (TaskStatus::Stopped, Some(ExitCode(7))));
    assert_eq!(change.containers[0].runtime_id, Some(DockerId::new("d")));
    assert!(hand.on(Event::Submitted(spec.arn.clone(), Ok(()))).is_empty());
    let commands = hand.next_due();
    assert!(has(&commands, |c| matches!(c, Command::Remove { .. })), "{commands:?}");
    hand.on(Event::Removed(name, Ok(())));
    assert!(hand.node.status(hand.now).tasks.is_empty());
    assert!(!has(&hand.run(&spec), |c| matches!(c, Command::Pull { .. })), "a late repeat runs nothing");
}

#[test]
fn running_is_reported_without_waiting_for_the_disk_and_saved_right_after() {
    let mut hand = Hand::active(policy());
    let (_, name) = hand.created("t1");
    hand.node.take_saves();
    let commands = hand.on(Event::Started(name, Ok(seen(Running::Running))));
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Running);
    assert!(hand.node.take_saves().is_empty());
    assert!(hand.node.poll_timeout().unwrap() <= hand.now, "the next turn is due at once");
    let saves = hand.node.take_saves();
    assert!(matches!(saves.as_slice(), [Save::Task(t)] if t.containers[0].stage == Stage::Running));
}

#[test]
fn a_repeated_payload_changes_nothing_and_is_acknowledged() {
    let mut hand = Hand::active(policy());
    let (spec, _) = hand.running("t1");
    let commands = hand.run(&spec);
    assert!(matches!(commands.as_slice(), [Command::Ack { .. }]), "{commands:?}");
}

#[test]
fn an_unreadable_task_is_reported_as_stopped_beside_a_good_one() {
    let mut hand = Hand::active(policy());
    let good = spec("good");
    let bad = TaskArn::new("arn:aws:ecs:us-east-1:1:task/c/bad");
    let commands = hand.payload(vec![
        PayloadTask { arn: bad.clone(), work: Incoming::Invalid("no such volume".into()), credentials: Vec::new() },
        PayloadTask { arn: good.arn.clone(), work: Incoming::Run(good), credentials: Vec::new() },
    ]);
    let change = submitted(&commands).unwrap();
    assert_eq!((&change.task, change.status), (&bad, TaskStatus::Stopped));
    assert_eq!(change.reason, "UnrecogniedTaskError: Error loading task - no such volume");
    assert!(has(&commands, |c| matches!(c, Command::Pull { .. })));
    assert!(has(&commands, |c| matches!(c, Command::Ack { .. })));
}

#[test]
fn a_stop_for_a_task_never_seen_is_reported_as_stopped() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let commands =
        hand.payload(vec![PayloadTask { arn: spec.arn.clone(), work: Incoming::Stop(spec), credentials: Vec::new() }]);
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Stopped);
    assert!(!has(&commands, |c| matches!(c, Command::Pull { .. } | Command::Stop { .. })));
}

#[test]
fn a_stop_ends_a_running_container_and_tells_its_exit_code() {
    let mut hand = Hand::active(policy());
    let (spec, name) = hand.running("t1");
    let commands =
        hand.payload(vec![PayloadTask { arn: spec.arn.clone(), work: Incoming::Stop(spec), credentials: Vec::new() }]);
    assert!(has(&commands, |c| matches!(c, Command::Stop { grace_secs: 30, .. })));
    let stopped = seen(Running::Exited(Some(ExitCode(143))));
    let commands = hand.on(Event::Stopped(name, Ok(stopped)));
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(143)));
}

#[test]
fn a_stop_while_docker_creates_waits_for_the_answer_and_starts_nothing() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    let stop = vec![PayloadTask { arn: spec.arn.clone(), work: Incoming::Stop(spec), credentials: Vec::new() }];
    assert!(submitted(&hand.payload(stop)).is_none());
    let commands = hand.on(Event::Created(name, Ok(seen(Running::Created))));
    assert!(!has(&commands, |c| matches!(c, Command::Start { .. })));
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Stopped);
}

#[test]
fn creates_and_starts_share_a_bounded_number_of_places_and_starts_go_first() {
    let mut hand = Hand::active(policy());
    let specs: Vec<_> = (0..4).map(|i| spec(&i.to_string())).collect();
    let names: Vec<_> = specs.iter().map(|s| s.docker_name(&s.containers[0])).collect();
    let mut created = 0;
    for (spec, name) in specs.iter().zip(&names) {
        hand.run(spec);
        let commands = hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
        created += commands.iter().filter(|c| matches!(c, Command::Create { .. })).count();
    }
    assert_eq!(created, 2, "the limit of the policy");
    let commands = hand.on(Event::Created(names[0].clone(), Ok(seen(Running::Created))));
    assert!(matches!(commands.as_slice(), [Command::Start { .. }]), "{commands:?}");
    let commands = hand.on(Event::Started(names[0].clone(), Ok(seen(Running::Running))));
    assert!(has(&commands, |c| matches!(c, Command::Create { name, .. } if *name == names[2])));
}

#[test]
fn what_docker_refuses_becomes_the_reason() {
    let mut hand = Hand::active(policy());
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    let refused = OpFailure::Refused { name: "CannotCreateContainerError", text: "bad mount".into() };
    let commands = hand.on(Event::Created(name, Err(refused)));
    let change = submitted(&commands).unwrap();
    assert_eq!(change.containers[0].reason.as_deref(), Some("CannotCreateContainerError: bad mount"));
    assert_eq!(change.containers[0].exit_code, None);
}

#[test]
fn a_failed_pull_ends_the_task_only_where_the_behaviour_says_so() {
    for (behavior, goes_on) in [
        (PullBehavior::Default, true),
        (PullBehavior::PreferCached, true),
        (PullBehavior::Always, false),
        (PullBehavior::Once, false),
    ] {
        let mut hand = Hand::active(Policy { pull_behavior: behavior, ..policy() });
        let spec = spec("t1");
        let name = spec.docker_name(&spec.containers[0]);
        hand.run(&spec);
        let failure = OpFailure::Refused { name: "CannotPullContainerError", text: "not found".into() };
        let commands = hand.on(Event::Pulled(name.clone(), Err(failure)));
        assert_eq!(has(&commands, |c| matches!(c, Command::Create { .. })), goes_on, "{behavior:?}");
        let commands = if goes_on {
            let missing = OpFailure::Refused { name: "CannotCreateContainerError", text: "No such image".into() };
            hand.on(Event::Created(name, Err(missing)))
        } else {
            commands
        };
        let reason = submitted(&commands).unwrap().containers[0].reason.clone();
        assert_eq!(reason.as_deref(), Some("CannotPullContainerError: not found"), "the first error wins");
    }
}

#[test]
fn once_asks_the_registry_a_single_time() {
    let mut hand = Hand::active(Policy { pull_behavior: PullBehavior::Once, ..policy() });
    let mode = |commands: &[Command]| {
        commands.iter().find_map(|c| match c {
            Command::Pull { mode, .. } => Some(*mode),
            _ => None,
        })
    };
    let first = spec("t1");
    assert_eq!(mode(&hand.run(&first)), Some(PullMode::Always));
    let name = first.docker_name(&first.containers[0]);
    let pulled = ImagePulled { digest: Some("sha256:ab".into()), from_registry: true };
    hand.on(Event::Pulled(name, Ok(pulled)));
    assert_eq!(mode(&hand.run(&spec("t2"))), Some(PullMode::IfMissing));
}

#[test]
fn while_docker_is_away_tasks_wait_and_go_on_when_it_is_back() {
    let mut hand = Hand::active(policy());
    let (running, running_name) = hand.running("t1");
    hand.on(Event::DockerDown("gone".into()));
    let waiting = spec("t2");
    assert!(!has(&hand.run(&waiting), |c| matches!(c, Command::Pull { .. })));
    let died = (running_name, seen(Running::Exited(Some(ExitCode(137)))));
    let commands = hand.on(Event::DockerUp(vec![died]));
    assert_eq!(submitted(&commands).unwrap().task, running.arn);
    assert!(has(&commands, |c| matches!(c, Command::Pull { .. })));
}

#[test]
fn a_container_missing_from_a_listing_is_looked_at_before_it_is_given_up() {
    let mut hand = Hand::active(policy());
    let (_, name) = hand.running("t1");
    let commands = hand.on(Event::DockerUp(Vec::new()));
    assert!(submitted(&commands).is_none());
    assert!(has(&commands, |c| matches!(c, Command::Inspect { .. })));
    let commands = hand.on(Event::Missing(name));
    let reason = submitted(&commands).unwrap().containers[0].reason.clone().unwrap();
    assert!(reason.starts_with("ContainerVanishedError"), "{reason}");
}

#[test]
fn a_start_without_an_answer_is_not_repeated_blindly() {
    let mut hand = Hand::active(policy());
    let (_, name) = hand.created("t1");
    let commands = hand.on(Event::Started(name.clone(), Err(OpFailure::Unreachable("reset".into()))));
    assert!(matches!(commands.as_slice(), [Command::Reconcile]), "{commands:?}");
    let ran = (name, seen(Running::Exited(Some(ExitCode(0)))));
    let commands = hand.on(Event::DockerUp(vec![ran]));
    assert!(!has(&commands, |c| matches!(c, Command::Start { .. })), "it had run: {commands:?}");
    assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Stopped);
}

#[test]
fn reports_are_tried_until_ecs_takes_them_and_never_more_than_ten_at_once() {
    let mut hand = Hand::active(policy());
    for i in 0..12 {
        let spec = spec(&format!("{i:02}"));
        hand.payload(vec![PayloadTask { arn: spec.arn.clone(), work: Incoming::Stop(spec), credentials: Vec::new() }]);
    }
    let in_flight = hand.node.tasks.values().filter(|t| t.in_flight.is_some()).count();
    assert_eq!(in_flight, 10);
    let first = spec("00").arn;
    for i in 1..12 {
        hand.on(Event::Submitted(spec(&format!("{i:02}")).arn, Ok(())));
    }
    for _ in 0..50 {
        hand.on(Event::Submitted(first.clone(), Err(ApiFailure::Unavailable("500".into()))));
        let mut waited = Duration::ZERO;
        while hand.node.tasks[&first].in_flight.is_none() {
            let before = hand.now;
            hand.next_due();
            waited += hand.now.since(before);
        }
        assert!(waited <= Duration::from_secs(5), "delivered within 5 s of a recovery, waited {waited:?}");
    }
    let dropped = ApiFailure::Rejected("InvalidParameterException".into());
    hand.on(Event::Submitted(first.clone(), Err(dropped)));
    assert!(!hand.node.tasks[&first].record.live());
}

#[test]
fn an_idle_node_drains_asks_twice_deregisters_and_terminates() {
    let mut hand = Hand::active(policy());
    let commands = hand.next_due();
    assert!(has(&commands, |c| matches!(c, Command::Reconcile)), "a minute is also time to look at Docker");
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Draining)));
    let commands = hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    assert_eq!(commands, [Command::Count]);
    let zero = || Event::Counted(Ok(TaskCounts { running: 0, pending: 0 }));
    assert!(hand.on(zero()).is_empty(), "once is not enough");
    assert_eq!(hand.next_due(), [Command::Count]);
    assert_eq!(hand.on(zero()), [Command::Deregister]);
    assert_eq!(hand.on(Event::Deregistered(Ok(()))), [Command::Terminate]);
    hand.on(Event::Terminated(Err(ApiFailure::Denied("not allowed".into()))));
    assert_eq!(hand.next_due(), [Command::Terminate], "it is asked for until the host is gone");
    assert!(hand.node.status(hand.now).why.contains("terminating"));
}

#[test]
fn work_that_slips_in_takes_an_idle_drain_back() {
    let mut hand = Hand::active(policy());
    hand.next_due();
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    assert_eq!(hand.phase(), Phase::Idle);
    let commands = hand.run(&spec("t1"));
    assert_eq!(hand.phase(), Phase::Active);
    assert!(has(&commands, |c| matches!(c, Command::Pull { .. })));
    let commands = hand.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 0 })));
    assert!(has(&commands, |c| *c == Command::SetInstanceState(InstanceState::Active)), "{commands:?}");
}

#[test]
fn ecs_counting_a_task_here_keeps_the_node_from_leaving() {
    let mut hand = Hand::active(policy());
    hand.next_due();
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    for _ in 0..5 {
        hand.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 0 })));
        hand.next_due();
        hand.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 1 })));
        assert_eq!(hand.phase(), Phase::Idle);
        hand.next_due();
    }
    assert!(hand.node.status(hand.now).why.contains("1 pending"));
}

#[test]
fn a_refused_deregistration_goes_back_to_draining() {
    let mut hand = Hand::active(policy());
    hand.next_due();
    hand.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
    let zero = || Event::Counted(Ok(TaskCounts { running: 0, pending: 0 }));
    hand.on(zero());
    hand.next_due();
    hand.on(zero());
    assert_eq!(hand.phase(), Phase::Deregistering);
    hand.on(Event::Deregistered(Err(ApiFailure::Rejected("Found running tasks on the instance.".into()))));
    assert_eq!(hand.phase(), Phase::Draining);
    assert_eq!(hand.next_due(), [Command::Count]);
}

#[test]
fn an_unreported_stop_keeps_the_node_alive() {
    let mut hand = Hand::active(policy());
    let (spec, name) = hand.running("t1");
    hand.exits(&name, 0);
    hand.on(Event::Submitted(spec.arn.clone(), Err(ApiFailure::Unavailable("down".into()))));
    for _ in 0..100 {
        hand.next_due();
        hand.on(Event::Submitted(spec.arn.clone(), Err(ApiFailure::Unavailable("down".into()))));
    }
    assert_eq!(hand.phase(), Phase::Active);
    assert!(hand.now.since(Timestamp(1_000_000)) > Duration::from_secs(120));
}

#[test]
fn a_baked_image_of_another_host_starts_clean() {
    let mut first = Hand::active(policy());
    let (_, _) = first.running("t1");
    let record = first.node.record.clone();
    let tasks = first.node.tasks.values().map(|t| t.record.clone()).collect();
    let mut hand = Hand::restored(policy(), Saved { node: record, tasks });
    let commands = hand.on(Event::Identified { instance: InstanceId::new("i-2"), cluster: ClusterRef::new("c") });
    assert_eq!(commands, [Command::Register { previous: None }]);
    assert!(matches!(hand.node.take_saves().first(), Some(Save::Clear)));
    assert!(hand.node.status(hand.now).tasks.is_empty());
}

#[test]
fn a_restart_registers_with_the_arn_it_had() {
    let first = Hand::active(policy());
    let saved = Saved { node: first.node.record, tasks: Vec::new() };
    let mut hand = Hand::restored(policy(), saved);
    let commands = hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    assert_eq!(commands, [Command::Register { previous: Some(ContainerInstanceArn::new("ci")) }]);
    hand.on(Event::Registered(Err(ApiFailure::Gone("INACTIVE".into()))));
    assert_eq!(hand.next_due(), [Command::Register { previous: None }]);
}

/// The shell cannot carry out a command before it knows who it is, and one that is not answered would wait for ever.
#[test]
fn a_restarted_node_asks_for_nothing_until_it_is_identified() {
    let mut first = Hand::active(policy());
    let (spec, name) = first.running("t1");
    let tasks = vec![first.node.tasks[&spec.arn].record.clone()];
    let node = first.node.record.clone();
    let mut hand = Hand::restored(policy(), Saved { node, tasks });
    let ended = (name, seen(Running::Exited(Some(ExitCode(3)))));
    assert_eq!(hand.on(Event::DockerUp(vec![ended])), []);
    assert_eq!(hand.pass(Duration::from_secs(3600)), []);
    assert_eq!(hand.node.poll_timeout(), None);
    let commands = hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    assert!(has(&commands, |c| matches!(c, Command::Register { .. })), "{commands:?}");
    let change = submitted(&commands).unwrap();
    assert_eq!((change.status, change.containers[0].exit_code), (TaskStatus::Stopped, Some(ExitCode(3))));
}

#[test]
fn a_restarted_node_goes_on_leaving_once_it_is_identified() {
    let mut record = Hand::active(policy()).node.record;
    record.as_mut().unwrap().phase = Phase::Terminating;
    let mut hand = Hand::restored(policy(), Saved { node: record, tasks: Vec::new() });
    assert_eq!(hand.on(Event::DockerUp(Vec::new())), []);
    let commands = hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    assert_eq!(commands, [Command::Terminate]);
}

#[test]
fn a_host_that_was_slow_to_register_has_not_been_idle() {
    let mut hand = Hand::restored(policy(), Saved::default());
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    hand.pass(Duration::from_secs(3600));
    hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
    hand.pass(Duration::from_secs(59));
    assert_eq!(hand.phase(), Phase::Active);
    // Nor has one whose agent did not run.
    let saved = Saved { node: hand.node.record.clone(), tasks: Vec::new() };
    let mut hand = Hand::restored(policy(), saved);
    hand.now = hand.now.after(Duration::from_secs(7200));
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    hand.on(Event::Registered(Ok(ContainerInstanceArn::new("ci"))));
    hand.pass(Duration::from_secs(59));
    assert_eq!(hand.phase(), Phase::Active);
    hand.pass(Duration::from_secs(1));
    assert_eq!(hand.phase(), Phase::Draining);
}

#[test]
fn docker_down_at_start_is_told_once_and_its_return_is_not_waited_out() {
    let mut hand = Hand::restored(policy(), Saved::default());
    let told = |node: &mut Node| {
        std::iter::from_fn(|| node.next_command())
            .filter(|c| matches!(c, Command::Notice(Notice::DockerDown(_))))
            .count()
    };
    for expected in [1, 0] {
        hand.node.handle(Event::DockerDown("no socket".into()), hand.now);
        assert_eq!(told(&mut hand.node), expected);
    }
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    hand.on(Event::Registered(Err(ApiFailure::Unavailable("Docker must answer first".into()))));
    hand.on(Event::DockerUp(Vec::new()));
    assert_eq!(hand.pass(Duration::ZERO), [Command::Register { previous: None }]);
}

#[test]
fn a_refused_registration_ends_the_process_for_good() {
    let mut hand = Hand::restored(policy(), Saved::default());
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    let commands = hand.on(Event::Registered(Err(ApiFailure::Rejected("bad".into()))));
    assert!(matches!(commands.as_slice(), [Command::Exit { code: 5, .. }]));
}

#[test]
fn ecs_unreachable_at_start_is_tried_until_it_answers() {
    let mut hand = Hand::restored(policy(), Saved::default());
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    for _ in 0..20 {
        hand.on(Event::Registered(Err(ApiFailure::Unavailable("refused".into()))));
        assert_eq!(hand.next_due(), [Command::Register { previous: None }]);
    }
}

#[test]
fn a_lost_session_is_opened_again_with_growing_patience() {
    let mut hand = Hand::active(policy());
    hand.pass(Duration::from_secs(2));
    hand.on(Event::SessionClosed(CloseCause::Clean));
    assert!(has(&hand.next_due(), |c| matches!(c, Command::Connect { send_credentials: false, .. })));
    let mut longest = Duration::ZERO;
    for _ in 0..12 {
        let before = hand.now;
        hand.on(Event::SessionClosed(CloseCause::Failed("refused".into())));
        while !has(&hand.next_due(), |c| matches!(c, Command::Connect { .. })) {}
        longest = longest.max(hand.now.since(before));
    }
    assert!(longest >= Duration::from_secs(30) && longest <= Duration::from_secs(120), "{longest:?}");
}

#[test]
fn a_deregistered_host_without_tasks_registers_anew_at_once() {
    let mut hand = Hand::active(policy());
    let commands = hand.on(Event::SessionClosed(CloseCause::Inactive("InactiveInstanceException".into())));
    assert_eq!(commands, [Command::Register { previous: None }]);
}

#[test]
fn a_manifest_that_misses_a_task_is_asked_about_before_anything_is_stopped() {
    let mut hand = Hand::active(policy());
    let (kept, _) = hand.running("kept");
    let (lost, _) = hand.running("lost");
    let manifest = |timeline| Event::Manifest {
        message: MessageId::new("m9"),
        cluster: ClusterRef::new("c"),
        container_instance: ContainerInstanceArn::new("ci"),
        timeline,
        running: vec![kept.arn.clone()],
    };
    assert!(hand.on(manifest(1)).is_empty(), "not newer than the payload");
    let commands = hand.on(manifest(2));
    assert!(has(&commands, |c| matches!(c, Command::VerifyStops { candidates, .. } if candidates.len() == 1)));
    assert!(!has(&commands, |c| matches!(c, Command::Stop { .. })));
    let stale = Event::StopsVerified { message: MessageId::new("m8"), tasks: vec![lost.arn.clone()] };
    assert!(hand.on(stale).is_empty());
    let commands = hand.on(Event::StopsVerified { message: MessageId::new("m9"), tasks: vec![lost.arn.clone()] });
    assert!(has(&commands, |c| matches!(c, Command::Stop { task, .. } if *task == lost.arn)));
}

#[test]
fn containers_wait_for_each_other_and_end_with_the_essential_one() {
    let mut hand = Hand::active(policy());
    let mut spec = spec("t1");
    let mut main = spec.containers[0].clone();
    main.depends_on = vec![Dependency { container: ContainerName::new("init"), condition: Condition::Success }];
    let init = ContainerSpec { name: ContainerName::new("init"), essential: false, ..spec.containers[0].clone() };
    spec.containers = vec![main, init];
    let names: Vec<_> = spec.containers.iter().map(|c| spec.docker_name(c)).collect();
    hand.run(&spec);
    hand.on(Event::Pulled(names[0].clone(), Ok(ImagePulled::default())));
    let commands = hand.on(Event::Pulled(names[1].clone(), Ok(ImagePulled::default())));
    assert!(has(&commands, |c| matches!(c, Command::Create { name, .. } if *name == names[1])));
    assert!(!has(&commands, |c| matches!(c, Command::Create { name, .. } if *name == names[0])));
    hand.on(Event::Created(names[1].clone(), Ok(seen(Running::Created))));
    hand.on(Event::Started(names[1].clone(), Ok(seen(Running::Running))));
    let ok = hand.exits(&names[1], 0);
    assert!(has(&ok, |c| matches!(c, Command::Create { name, .. } if *name == names[0])), "{ok:?}");
}

#[test]
fn a_dependency_that_failed_fails_the_one_that_waits() {
    let mut hand = Hand::active(policy());
    let mut spec = spec("t1");
    let mut main = spec.containers[0].clone();
    main.depends_on = vec![Dependency { container: ContainerName::new("init"), condition: Condition::Success }];
    let init = ContainerSpec { name: ContainerName::new("init"), essential: false, ..spec.containers[0].clone() };
    spec.containers = vec![main, init];
    let names: Vec<_> = spec.containers.iter().map(|c| spec.docker_name(c)).collect();
    hand.run(&spec);
    for name in &names {
        hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    }
    hand.on(Event::Created(names[1].clone(), Ok(seen(Running::Created))));
    hand.on(Event::Started(names[1].clone(), Ok(seen(Running::Running))));
    hand.on(Event::Submitted(spec.arn.clone(), Ok(())));
    let commands = hand.exits(&names[1], 1);
    let change = submitted(&commands).unwrap();
    assert_eq!(change.status, TaskStatus::Stopped);
    let main = change.containers.iter().find(|c| c.name.as_str() == "default").unwrap();
    assert_eq!(main.exit_code, Some(ExitCode(143)));
    assert!(main.reason.as_deref().unwrap().contains("init"), "{main:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut hand = Hand::active(policy());
        hand.on(Event::SessionClosed(CloseCause::Failed("x".into())));
        hand.node.poll_timeout()
    };
    assert_eq!(run(), run());
}
