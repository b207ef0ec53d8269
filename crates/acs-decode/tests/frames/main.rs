//! Any sequence of frames, valid, repeated, out of order or garbled, decoded and handed to a node while Docker and ECS answer as
//! they please and the process dies in between, leaves the node consistent. What that means stands in `world.rs`, invariant by
//! invariant, and is checked at every step.
//!
//! The seed is fixed, so a run repeats itself. `PROPTEST_RNG_SEED=<number>` takes another, `PROPTEST_CASES=<number>` more cases. What
//! fails is written to `regressions.txt`, to be committed, and is tried first from then on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod docker;
mod frames;
mod world;

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};

use self::frames::{Frame, Garbling};
use self::world::{Outcome, World};

const SEED: u64 = 7;

/// One thing that happens. Numbers choose among what there is, whatever that is by then.
#[derive(Debug, Clone)]
enum Move {
    Frame(Frame),
    /// A frame as it was sent before: duplicated, or late.
    Again(usize),
    Garbled(Frame, Garbling),
    /// The outside world answers one of the commands under way.
    Answer(usize, Outcome),
    /// A running container ends; Docker's event of it may be lost.
    Ends {
        which: usize,
        code: i64,
        told: bool,
    },
    Pass(u64),
    DockerDown,
    DockerUp,
    SessionLost {
        clean: bool,
    },
    /// The process dies, between two steps or within the next one.
    Crash(Death),
}

#[derive(Debug, Clone, Copy)]
enum Death {
    Now,
    BeforeTheNextCommit,
    AfterTheNextCommit,
}

fn moves() -> impl Strategy<Value = Move> {
    let which = || 0_usize..64;
    let outcome = || {
        prop_oneof![
            6 => Just(Outcome::Done),
            1 => Just(Outcome::Refused),
            1 => Just(Outcome::TimedOut { took_effect: true }),
            1 => Just(Outcome::TimedOut { took_effect: false }),
            1 => Just(Outcome::Unreachable { took_effect: true }),
            1 => Just(Outcome::Unreachable { took_effect: false }),
        ]
    };
    prop_oneof![
        8 => frames::any().prop_map(Move::Frame),
        3 => which().prop_map(Move::Again),
        2 => (frames::any(), frames::garbling()).prop_map(|(frame, how)| Move::Garbled(frame, how)),
        20 => (which(), outcome()).prop_map(|(which, outcome)| Move::Answer(which, outcome)),
        4 => (which(), prop_oneof![Just(0), Just(3), Just(137)], any::<bool>())
            .prop_map(|(which, code, told)| Move::Ends { which, code, told }),
        4 => (0_u64..5_000).prop_map(Move::Pass),
        1 => Just(Move::DockerDown),
        2 => Just(Move::DockerUp),
        1 => any::<bool>().prop_map(|clean| Move::SessionLost { clean }),
        1 => prop_oneof![Just(Death::Now), Just(Death::BeforeTheNextCommit), Just(Death::AfterTheNextCommit)]
            .prop_map(Move::Crash),
    ]
}

fn play(world: &mut World, next: Move) {
    match next {
        Move::Frame(frame) => {
            let text = frame.text(world);
            world.receive(text);
        }
        Move::Again(which) => world.receive_again(which),
        Move::Garbled(frame, how) => {
            let text = how.apply(&frame.text(world));
            world.receive(text);
        }
        Move::Answer(which, outcome) => world.answer(which, outcome),
        Move::Ends { which, code, told } => world.container_ends(which, code, told),
        Move::Pass(ms) => world.pass(Duration::from_millis(ms)),
        Move::DockerDown => world.docker_down(),
        Move::DockerUp => world.docker_up(),
        Move::SessionLost { clean } => world.lose_session(clean),
        Move::Crash(Death::Now) => world.crash(),
        Move::Crash(Death::BeforeTheNextCommit) => world.die_in_next_step(false),
        Move::Crash(Death::AfterTheNextCommit) => world.die_in_next_step(true),
    }
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/frames/regressions.txt"))),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_comes_the_node_stays_consistent(story in prop::collection::vec(moves(), 1..80)) {
        let mut world = World::new();
        for next in story {
            play(&mut world, next);
        }
        world.come_to_rest();
    }

    #[test]
    fn no_text_makes_decoding_panic(text in any::<String>(), frame in frames::any(), how in prop::collection::vec(frames::garbling(), 1..6)) {
        let _ = acs_decode::react(&text);
        let garbled = how.iter().fold(frame.text(&World::new()), |text, how| how.apply(&text));
        let _ = acs_decode::react(&garbled);
    }
}
