use super::*;
use crate::command::{PullMode, TaskStatus};
use crate::event::Event;
use crate::node::Policy;
use crate::node::tests::{Hand, has, policy, spec, submitted};

fn refused(name: &'static str, text: &str) -> Result<ImagePulled, OpFailure> {
    Err(OpFailure::Refused { name, text: text.into() })
}

/// The pull that `commands` ask for: whether by tag.
fn pull(commands: &[Command]) -> Option<bool> {
    commands.iter().find_map(|c| match c {
        Command::Pull { by_tag, .. } => Some(*by_tag),
        _ => None,
    })
}

#[test]
fn what_may_yet_work_is_tried_five_times_with_growing_delays() {
    let mut hand = Hand::active(Policy { pull_behavior: PullBehavior::Always, ..policy() });
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    assert_eq!(pull(&hand.run(&spec)), Some(false));
    let mut waited = Vec::new();
    for _ in 1..TRIES {
        let failed = refused("CannotPullImageManifestError", "connection refused");
        assert_eq!(pull(&hand.on(Event::Pulled(name.clone(), failed))), None, "not before its time");
        let before = hand.now;
        assert_eq!(pull(&hand.next_due()), Some(false));
        waited.push(hand.now.since(before).as_millis());
    }
    assert!((550..=1100).contains(&waited[0]), "{waited:?}");
    assert!(waited.iter().all(|ms| (550..=5000).contains(ms)) && waited.iter().max() > Some(&1100), "{waited:?}");
    let commands = hand.on(Event::Pulled(name, refused("CannotPullImageManifestError", "connection refused")));
    let change = submitted(&commands).unwrap();
    assert_eq!(change.status, TaskStatus::Stopped);
    let reason = change.containers[0].reason.as_deref();
    assert_eq!(reason, Some("CannotPullImageManifestError: connection refused"));
}

#[test]
fn a_plain_no_is_not_asked_for_again() {
    for failure in [
        refused("CannotPullECRContainerError", "engine ecr credentials: not there"),
        refused("CannotPullContainerAuthError", "x"),
        refused("CannotPullImageManifestError", "Error response from daemon: manifest unknown"),
    ] {
        let mut hand = Hand::active(Policy { pull_behavior: PullBehavior::Always, ..policy() });
        let spec = spec("t1");
        let name = spec.docker_name(&spec.containers[0]);
        hand.run(&spec);
        let commands = hand.on(Event::Pulled(name, failure));
        assert_eq!(submitted(&commands).unwrap().status, TaskStatus::Stopped);
    }
}

#[test]
fn without_a_digest_one_pull_by_tag_is_tried_where_a_cached_image_would_do() {
    let mut hand = Hand::active(Policy { pull_behavior: PullBehavior::PreferCached, ..policy() });
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    let first = refused("CannotPullImageManifestError", "manifest unknown");
    assert_eq!(pull(&hand.on(Event::Pulled(name.clone(), first))), Some(true));
    let second = refused("CannotPullContainerError", "connection refused");
    let commands = hand.on(Event::Pulled(name.clone(), second));
    assert!(has(&commands, |c| matches!(c, Command::Create { .. })), "what is cached is tried");
    let commands = hand.on(Event::Created(
        name,
        Err(OpFailure::Refused { name: "CannotCreateContainerError", text: "No such image".into() }),
    ));
    let reason = submitted(&commands).unwrap().containers[0].reason.clone();
    assert_eq!(reason.as_deref(), Some("CannotPullImageManifestError: manifest unknown"), "the first error wins");
}

#[test]
fn a_role_that_may_not_pull_is_not_tried_by_tag() {
    let mut hand = Hand::active(Policy { pull_behavior: PullBehavior::Default, ..policy() });
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    hand.run(&spec);
    let commands = hand.on(Event::Pulled(name, refused("CannotPullECRContainerError", "no")));
    assert_eq!(pull(&commands), None);
    assert!(has(&commands, |c| matches!(c, Command::Create { .. })));
}

#[test]
fn a_digest_is_reported_while_the_pull_goes_on_and_a_long_one_is_told() {
    let mut hand = Hand::active(Policy { pull_behavior: PullBehavior::Default, ..policy() });
    let spec = spec("t1");
    let name = spec.docker_name(&spec.containers[0]);
    assert!(has(&hand.run(&spec), |c| matches!(c, Command::Pull { mode: PullMode::Always, .. })));
    let progress = PullProgress { layers: 3, layers_done: 1, bytes: 10, bytes_done: 5 };
    let news = PullNews { digest: Some("sha256:ab".into()), progress: progress.clone() };
    let commands = hand.on(Event::Pulling(name.clone(), news.clone()));
    let change = submitted(&commands).unwrap();
    assert_eq!(change.status, TaskStatus::Pending);
    assert_eq!(change.containers[0].image_digest.as_deref(), Some("sha256:ab"));
    assert_eq!(hand.node.status(hand.now).tasks[0].containers[0].pull, Some(progress));
    let told = |hand: &mut Hand| {
        hand.node.handle(Event::Pulling(name.clone(), news.clone()), hand.now);
        let commands: Vec<_> = std::iter::from_fn(|| hand.node.next_command()).collect();
        has(&commands, |c| matches!(c, Command::Notice(Notice::Pulling(..))))
    };
    assert!(!told(&mut hand));
    hand.pass(TELL_EVERY);
    assert!(told(&mut hand));
    assert!(!told(&mut hand), "every ten seconds");
    hand.on(Event::Pulled(name, Ok(ImagePulled { digest: Some("sha256:ab".into()), from_registry: true })));
    assert_eq!(hand.node.status(hand.now).tasks[0].containers[0].pull, None);
}
