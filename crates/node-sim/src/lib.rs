//! A deterministic world around `node-core`: a seed chooses everything that happens, and after it the promises of the agent are
//! checked (README.md beside this crate says what is modelled, and what is not).
//!
//! ```text
//! seed ──> weather (which faults, how often) ──> World ──> Violation?
//!                                                  │
//!          queue: one clock ──> happen() ──> agent (turns, saves, crashes) ──> node_core::Node
//!                                       ├──> docker, docker_ops
//!                                       ├──> ecs, acs, calls
//!                                       ├──> ec2, imds, operator
//!                                       └──> invariants, leaving_rules
//! ```
#![forbid(unsafe_code)]

mod acs;
mod agent;
mod calls;
mod dice;
mod docker;
mod docker_ops;
mod ec2;
mod ecs;
mod imds;
mod invariants;
mod jobs;
mod leaving_rules;
mod operator;
mod queue;
mod retries_rules;
mod story;
mod truth;
mod weather;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use invariants::{Rule, Violation};
pub use story::Story;

/// Every so many seeds one is lived through twice, to see whether it is the same run.
const TWICE_EVERY: u64 = 16;

/// What became of one run.
#[derive(Debug)]
pub struct Outcome {
    pub violation: Option<Violation>,
    pub story: Story,
}

/// Lives through the world of one seed. `recorded` keeps the story's words.
#[must_use]
pub fn run(seed: u64, recorded: bool) -> Outcome {
    let mut world = world::World::new(seed, recorded);
    if catch_unwind(AssertUnwindSafe(|| world.run())).is_err() {
        world.broken(Rule::Panic, || "the core panicked".to_owned());
    }
    Outcome { violation: world.violation, story: world.story }
}

/// What is wrong with one seed, if anything is.
#[must_use]
pub fn examine(seed: u64) -> Option<Violation> {
    let first = run(seed, false);
    if first.violation.is_some() || !seed.is_multiple_of(TWICE_EVERY) {
        return first.violation;
    }
    let second = run(seed, false);
    let same = (first.story.sum(), first.story.told()) == (second.story.sum(), second.story.told());
    (!same).then(|| Violation { rule: Rule::Same, text: "two runs of this seed differ".to_owned() })
}
