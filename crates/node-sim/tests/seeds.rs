//! A few worlds in every test run; scripts/sim.sh lives through thousands.

use node_sim::{examine, run};

#[test]
fn all_rules_hold_in_a_few_worlds_and_in_all_that_ever_broke_one() {
    let known = include_str!("../seeds.txt").lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    for seed in known.chain(1..=100) {
        assert_eq!(examine(seed).map(|violation| violation.to_string()), None, "seed {seed}");
    }
}

#[test]
fn the_same_seed_tells_the_same_story_word_for_word() {
    for seed in 1..=20 {
        let (once, again) = (run(seed, true), run(seed, true));
        assert!(once.story.lines().len() > 10);
        assert_eq!(once.story.lines(), again.story.lines(), "seed {seed}");
    }
}
