use super::*;
use crate::node::tests::{Hand, has, policy, seen, spec, submitted};
use crate::*;

const MINUTE: Duration = Duration::from_secs(60);

fn restarting(id: &str) -> TaskSpec {
    let mut spec = spec(id);
    spec.containers[0].restart_policy =
        Some(RestartPolicy { ignored_exit_codes: vec![ExitCode(0)], attempt_period_secs: 60 });
    spec
}

/// What an inspect shows of the run that began then.
fn run(began: u64, running: Running) -> Observation {
    Observation { started_at: Some(Timestamp(began)), ..seen(running) }
}

fn exited(began: u64, code: i64) -> Observation {
    run(began, Running::Exited(Some(ExitCode(code))))
}

/// A node on which the container of such a task has run for so long.
fn running_for(time: Duration) -> (Hand, TaskSpec, DockerName) {
    let mut hand = Hand::active(policy());
    let spec = restarting("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    hand.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
    hand.on(Event::Created(name.clone(), Ok(seen(Running::Created))));
    let commands = hand.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
    assert!(has(&commands, |c| matches!(c, Command::Inspect { .. })), "it may be over already");
    hand.on(Event::Submitted(spec.arn.clone(), Ok(())));
    hand.now = hand.now.after(time);
    (hand, spec, name)
}

fn starts(commands: &[Command]) -> bool {
    has(commands, |c| matches!(c, Command::Start { .. }))
}

fn restarts(hand: &Hand) -> Option<u32> {
    hand.node.status(hand.now).tasks[0].containers[0].restarts
}

#[test]
fn a_container_that_ran_long_enough_is_started_again_and_ecs_hears_nothing_of_it() {
    let (mut hand, _, name) = running_for(MINUTE);
    hand.node.handle(Event::Observed(name.clone(), exited(5, 1)), hand.now);
    let saves = hand.node.take_saves();
    let saved = saves.iter().any(|s| matches!(s, Save::Task(t) if t.containers[0].restarts.count == 1));
    assert!(saved, "before Docker hears of it");
    let commands: Vec<_> = std::iter::from_fn(|| hand.node.next_command()).collect();
    assert!(starts(&commands) && submitted(&commands).is_none(), "{commands:?}");
    // The same end, told again while the start is under way and after it.
    assert!(!starts(&hand.on(Event::Observed(name.clone(), exited(5, 1)))));
    let commands = hand.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
    assert!(submitted(&commands).is_none());
    assert!(hand.on(Event::Observed(name, exited(5, 1))).is_empty(), "a late look at the run before");
    assert_eq!(restarts(&hand), Some(1));
    assert_eq!(hand.node.running_tasks()[0].containers[0].restarts, Some(1));
}

#[test]
fn an_end_too_soon_or_with_an_ignored_code_or_without_one_is_the_end() {
    let codes = [(Duration::from_secs(59), Some(1)), (MINUTE, Some(0)), (MINUTE, None)];
    for (time, code) in codes {
        let (mut hand, _, name) = running_for(time);
        let commands = hand.on(Event::Observed(name, run(5, Running::Exited(code.map(ExitCode)))));
        let change = submitted(&commands).unwrap();
        assert_eq!((change.status, change.containers[0].exit_code), (TaskStatus::Stopped, code.map(ExitCode)));
    }
}

#[test]
fn the_period_counts_from_the_last_restart() {
    let (mut hand, _, name) = running_for(MINUTE);
    assert!(starts(&hand.on(Event::Observed(name.clone(), exited(5, 1)))));
    hand.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
    hand.now = hand.now.after(MINUTE);
    assert!(starts(&hand.on(Event::Observed(name.clone(), exited(6, 1)))));
    hand.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
    assert_eq!(restarts(&hand), Some(2));
    let commands = hand.on(Event::Observed(name, exited(7, 3)));
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(3)), "a crash loop ends");
}

#[test]
fn an_event_that_does_not_say_of_which_run_is_looked_into() {
    let (mut hand, _, name) = running_for(MINUTE);
    let told = seen(Running::Exited(Some(ExitCode(0))));
    let commands = hand.on(Event::Observed(name.clone(), told));
    assert!(matches!(commands.as_slice(), [Command::Inspect { .. }]), "{commands:?}");
    // Docker has forgotten the container meanwhile: what the event said is all there is.
    let commands = hand.on(Event::Missing(name));
    let change = submitted(&commands).unwrap();
    assert_eq!((change.status, change.containers[0].exit_code), (TaskStatus::Stopped, Some(ExitCode(0))));
}

#[test]
fn a_stop_ends_it_at_any_moment_with_the_code_of_the_last_run() {
    let stop = |hand: &mut Hand, spec: &TaskSpec| {
        hand.on(Event::Payload(Payload {
            message: MessageId::new("m2"),
            cluster: ClusterRef::new("c"),
            container_instance: ContainerInstanceArn::new("ci"),
            seq_num: 2,
            tasks: vec![PayloadTask {
                arn: spec.arn.clone(),
                work: Incoming::Stop(spec.clone()),
                credentials: Vec::new(),
            }],
            unaddressed: false,
        }))
    };
    // While it runs.
    let (mut hand, spec, name) = running_for(MINUTE);
    assert!(has(&stop(&mut hand, &spec), |c| matches!(c, Command::Stop { .. })));
    let commands = hand.on(Event::Stopped(name, Ok(exited(5, 143))));
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(143)));
    // While a restart could not be tried yet.
    let (mut hand, spec, name) = running_for(MINUTE);
    hand.on(Event::Observed(name.clone(), exited(5, 9)));
    hand.on(Event::Started(name.clone(), Err(OpFailure::Unreachable("gone".into()))));
    hand.pass(Duration::from_secs(0));
    stop(&mut hand, &spec);
    let due = hand.pass(Duration::from_secs(5));
    assert!(!starts(&due) && has(&due, |c| matches!(c, Command::Inspect { .. })), "{due:?}");
    let commands = hand.on(Event::Observed(name, exited(5, 9)));
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(9)));
}

#[test]
fn a_restart_that_docker_refuses_is_the_end_with_its_reason() {
    let (mut hand, _, name) = running_for(MINUTE);
    hand.on(Event::Observed(name.clone(), exited(5, 1)));
    let refused = OpFailure::Refused { name: "CannotStartContainerError", text: "no".into() };
    let commands = hand.on(Event::Started(name, Err(refused)));
    let container = &submitted(&commands).unwrap().containers[0];
    assert_eq!(container.exit_code, Some(ExitCode(1)), "of the run that was");
    assert_eq!(container.reason.as_deref(), Some("CannotStartContainerError: no"));
}

/// The node as a crash leaves it, right after it decided to restart, and what Docker then shows.
fn after_a_crash(shown: Observation) -> (Hand, Vec<Command>, DockerName) {
    let (mut hand, _, name) = running_for(MINUTE);
    hand.node.handle(Event::Observed(name.clone(), exited(5, 1)), hand.now);
    let mut saved = Saved::default();
    for save in hand.node.take_saves() {
        if let Save::Task(record) = save {
            let text = serde_json::to_string(&record).unwrap();
            saved.tasks = vec![serde_json::from_str(&text).unwrap()];
        }
    }
    saved.node = hand.node.record().cloned();
    let mut after = Hand::restored(policy(), saved);
    after.now = hand.now;
    after.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    let mut commands = after.on(Event::DockerUp(vec![(name.clone(), shown)]));
    commands.extend(after.on(Event::Registered(Ok(ContainerInstanceArn::new("ci")))));
    commands.extend(after.on(Event::SessionOpened));
    (after, commands, name)
}

#[test]
fn after_a_crash_a_restart_is_carried_out_once() {
    let (hand, commands, _) = after_a_crash(exited(5, 1));
    assert!(starts(&commands), "Docker had not been told: {commands:?}");
    assert_eq!(restarts(&hand), Some(1), "it is the same one");
    let (mut hand, commands, name) = after_a_crash(run(6, Running::Running));
    assert!(!starts(&commands), "Docker had been told: {commands:?}");
    assert!(hand.on(Event::Observed(name.clone(), exited(5, 1))).is_empty(), "a late look at the run before");
    hand.now = hand.now.after(MINUTE);
    assert!(starts(&hand.on(Event::Observed(name, exited(6, 1)))));
    assert_eq!(restarts(&hand), Some(2));
    let (_, commands, _) = after_a_crash(exited(6, 4));
    assert!(!starts(&commands), "it was restarted, and ended too soon: {commands:?}");
    assert_eq!(submitted(&commands).unwrap().containers[0].exit_code, Some(ExitCode(4)));
}
