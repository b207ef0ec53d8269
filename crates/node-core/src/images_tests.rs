use super::*;
use crate::event::{Event, ImagePulled};
use crate::node::Policy;
use crate::node::tests::{Hand, has, policy, spec};
use crate::record::Saved;
use crate::{ClusterRef, InstanceId};

const HOUR: Duration = Duration::from_secs(3600);
const ROUND: Duration = Duration::from_secs(1800);

fn images() -> ImagePolicy {
    ImagePolicy {
        interval: ROUND,
        min_age: HOUR,
        count: 2,
        min_free_percent: 10,
        untracked_min_age: None,
        keep: BTreeSet::new(),
    }
}

fn active(behavior: PullBehavior, images: ImagePolicy) -> Hand {
    let now = Timestamp(1_000_000_000_000);
    let policy = Policy { pull_behavior: behavior, idle_timeout: None, ..policy() };
    let mut hand = Hand { node: Node::restore(policy, Saved::default(), 1, now).cleaning_images(images), now };
    hand.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") });
    hand.on(Event::DockerUp(Vec::new()));
    hand
}

fn held(id: &str, names: &[&str]) -> HeldImage {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    HeldImage { id: id.to_owned(), names, bytes: 1, made_at: Timestamp(0), in_use: false }
}

/// A task of this image that ran long ago: pulled now, and gone from the node.
fn pulled(hand: &mut Hand, image: &str, digest: Option<&str>) {
    hand.node.note_image(image, digest, true, hand.now);
}

fn removals(commands: &[Command]) -> Vec<&str> {
    let of = |command| match command {
        &Command::Images(ImageCommand::Remove(ref image)) => Some(image.id.as_str()),
        _ => None,
    };
    commands.iter().filter_map(of).collect()
}

fn list(hand: &mut Hand, held: &[HeldImage]) -> Vec<Command> {
    hand.on(Event::Images(ImageEvent::Listed(Ok(held.to_vec()))))
}

/// Lets time pass to the next listing; the disk has room.
fn next_listing(hand: &mut Hand) {
    for _ in 0..100 {
        let commands = hand.next_due();
        if has(&commands, |c| *c == Command::Images(ImageCommand::List)) {
            return;
        }
        if has(&commands, |c| *c == Command::Images(ImageCommand::MeasureDisk)) {
            hand.on(Event::Images(ImageEvent::DiskMeasured(Some(50))));
        }
    }
    panic!("no listing");
}

fn measured(hand: &mut Hand, free: u8) -> Vec<Command> {
    let commands = hand.next_due();
    assert!(has(&commands, |c| *c == Command::Images(ImageCommand::MeasureDisk)), "{commands:?}");
    hand.on(Event::Images(ImageEvent::DiskMeasured(Some(free))))
}

fn removed(hand: &mut Hand, id: &str, result: Result<(), OpFailure>) -> Vec<Command> {
    hand.on(Event::Images(ImageEvent::Removed { id: id.to_owned(), result }))
}

#[test]
fn the_longest_unused_go_first_and_no_more_than_a_round_takes() {
    let mut hand = active(PullBehavior::Default, images());
    for image in ["b:1", "a:1", "c:1"] {
        pulled(&mut hand, image, None);
        hand.now = hand.now.after(Duration::from_secs(1));
    }
    let all = [held("A", &["a:1"]), held("B", &["b:1"]), held("C", &["c:1"]), held("X", &["other:1"])];
    next_listing(&mut hand);
    assert_eq!(removals(&list(&mut hand, &all)), Vec::<&str>::new(), "not an hour old");
    next_listing(&mut hand);
    hand.on(Event::Images(ImageEvent::Listed(Err(OpFailure::Missing))));
    next_listing(&mut hand);
    assert_eq!(removals(&list(&mut hand, &all)), ["B", "A"], "two a round, and X is not ours");
    removed(&mut hand, "B", Ok(()));
    removed(&mut hand, "A", Ok(()));
    next_listing(&mut hand);
    assert_eq!(removals(&list(&mut hand, &all[2..])), ["C"]);
}

#[test]
fn what_anybody_needs_or_is_to_be_kept_stays() {
    let keep = BTreeSet::from(["docker.io/library/kept".to_owned()]);
    let mut hand = active(PullBehavior::Default, ImagePolicy { keep, count: 9, ..images() });
    let task = spec("t1");
    hand.run(&task);
    let name = task.docker_name(&task.containers[0]);
    let news = crate::PullNews { digest: Some("sha256:01".into()), ..crate::PullNews::default() };
    hand.on(Event::Pulling(name, news));
    for image in ["busybox", "kept", "used:1", "free:1", "same@sha256:01"] {
        pulled(&mut hand, image, None);
    }
    let used = HeldImage { in_use: true, ..held("U", &["used:1"]) };
    let all = [
        held("P", &["busybox:latest"]),
        held("K", &["kept:latest"]),
        used,
        held("F", &["free:1"]),
        held("S", &["same@sha256:01"]),
    ];
    for _ in 0..3 {
        next_listing(&mut hand);
        let commands = list(&mut hand, &all);
        for id in removals(&commands) {
            assert_eq!(id, "F", "P is being pulled, K is excluded, U has a container, S has the digest being pulled");
            removed(&mut hand, "F", Err(OpFailure::Missing));
        }
    }
}

#[test]
fn a_short_disk_is_cleaned_at_once_until_there_is_room() {
    let mut hand = active(PullBehavior::Always, images());
    for image in ["a:1", "b:1", "c:1"] {
        pulled(&mut hand, image, None);
    }
    let all = [held("A", &["a:1"]), held("B", &["b:1"]), held("C", &["c:1"])];
    let commands = measured(&mut hand, 9);
    assert!(has(&commands, |c| *c == Command::Images(ImageCommand::List)));
    assert_eq!(removals(&list(&mut hand, &all)), ["A", "B"], "however young");
    removed(&mut hand, "A", Ok(()));
    removed(&mut hand, "B", Err(OpFailure::Missing));
    let before = hand.now;
    measured(&mut hand, 9);
    assert_eq!(hand.now, before, "measured again at once");
    assert_eq!(removals(&list(&mut hand, &all[1..])), ["B", "C"]);
    removed(&mut hand, "B", Ok(()));
    removed(&mut hand, "C", Ok(()));
    measured(&mut hand, 9);
    assert_eq!(removals(&list(&mut hand, &[])), Vec::<&str>::new());
    let before = hand.now;
    assert!(!has(&measured(&mut hand, 30), |c| matches!(c, Command::Images(_))), "there is room again");
    assert_eq!(hand.now.since(before), MEASURE_EVERY, "nothing to remove: no hurry");
}

#[test]
fn a_pull_waits_for_a_removal() {
    let mut hand = active(PullBehavior::Once, images());
    pulled(&mut hand, "busybox", None);
    measured(&mut hand, 1);
    assert_eq!(removals(&list(&mut hand, &[held("A", &["busybox:latest"])])), ["A"]);
    let pull = |c: &Command| matches!(c, Command::Pull { mode: crate::PullMode::Always, .. });
    assert!(!has(&hand.run(&spec("t1")), pull));
    assert!(has(&removed(&mut hand, "A", Ok(())), pull), "and it is pulled anew");
}

#[test]
fn a_moved_tags_old_image_is_known_by_its_digest() {
    let mut hand = active(PullBehavior::Default, images());
    for digest in ["sha256:01", "sha256:02"] {
        let task = spec(digest);
        let name = task.docker_name(&task.containers[0]);
        hand.run(&task);
        let image = ImagePulled { digest: Some(digest.into()), from_registry: true };
        hand.on(Event::Pulled(name, Ok(image)));
        hand.node.forget(&task.arn);
    }
    hand.now = hand.now.after(HOUR);
    next_listing(&mut hand);
    let old = held("O", &["busybox@sha256:01"]);
    assert_eq!(removals(&list(&mut hand, &[old])), ["O"]);
}

#[test]
fn others_images_go_only_on_request_and_prefer_cached_keeps_all() {
    let untracked = ImagePolicy { untracked_min_age: Some(HOUR), ..images() };
    let mut hand = active(PullBehavior::Default, untracked.clone());
    next_listing(&mut hand);
    let young = HeldImage { made_at: hand.now, ..held("Y", &["y:1"]) };
    assert_eq!(removals(&list(&mut hand, &[young, held("X", &[])])), ["X"]);
    let hand = active(PullBehavior::PreferCached, untracked);
    assert_eq!(hand.node.images_wake_at(), None);
}
