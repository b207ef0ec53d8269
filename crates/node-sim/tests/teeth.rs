//! The simulation has teeth: each deliberate fault of the core is found within a thousand seeds, as the rule that it breaks.
#![cfg(feature = "faults")]

use node_core::fault::{self, Fault};
use node_sim::{Rule, examine};

const SEEDS: u64 = 1_000;

/// The first seed that finds `fault` out, and the rule it names.
fn found(fault: Fault, rule: Rule) {
    fault::choose(Some(fault));
    let first = (1..=SEEDS).find(|seed| examine(*seed).is_some_and(|violation| violation.rule == rule));
    fault::choose(None);
    let seed = first.unwrap_or_else(|| panic!("{fault:?} was not found in {SEEDS} seeds"));
    println!("{fault:?} is found by seed {seed} as {rule:?}");
}

#[test]
fn a_wrong_or_missing_report_is_found() {
    found(Fault::NoCode, Rule::Report);
    found(Fault::SavesNothing, Rule::Report);
}

#[test]
fn a_state_that_goes_backwards_is_found() {
    found(Fault::StepsBack, Rule::Monotone);
}

#[test]
fn a_host_terminated_under_its_work_is_found() {
    found(Fault::LeavesEarly, Rule::Termination);
}

#[test]
fn a_container_that_runs_twice_or_stays_is_found() {
    found(Fault::StartsTwice, Rule::Once);
    found(Fault::NeverCleansUp, Rule::Once);
}

#[test]
fn a_credential_that_outlives_its_task_or_is_saved_is_found() {
    found(Fault::KeepsCredentials, Rule::Secret);
    found(Fault::SavesSecret, Rule::Secret);
}

#[test]
fn chance_is_found() {
    found(Fault::Random, Rule::Same);
}

#[test]
fn a_host_that_stays_or_does_not_say_why_is_found() {
    found(Fault::AsksOnce, Rule::Liveness);
    found(Fault::Silent, Rule::Liveness);
}

#[test]
fn a_wish_that_work_does_not_end_is_found_and_so_is_a_reason_that_it_does() {
    found(Fault::KeepsWish, Rule::Wish);
    found(Fault::WorkUndoes, Rule::Imposed);
}

#[test]
fn a_hold_that_does_not_hold_is_found() {
    found(Fault::IgnoresHold, Rule::Hold);
}

#[test]
fn warnings_to_the_wrong_or_too_often_and_an_early_sigkill_are_found() {
    found(Fault::WarnsAll, Rule::Warn);
    found(Fault::WarnsOften, Rule::Warn);
    found(Fault::KillsEarly, Rule::Warn);
}

#[test]
fn a_hook_that_hears_no_heartbeat_is_found() {
    found(Fault::BeatsOnce, Rule::Hook);
}

#[test]
fn protection_of_an_idle_host_is_found() {
    found(Fault::StaysProtected, Rule::Protect);
}

#[test]
fn what_is_kept_back_wrongly_is_found_and_so_is_what_should_have_been() {
    found(Fault::WithholdsSuccess, Rule::Retries);
    found(Fault::WithholdsOwn, Rule::Retries);
    found(Fault::ReportsKilled, Rule::Retries);
}

#[test]
fn an_interruption_that_is_never_undone_is_found() {
    found(Fault::NeverUndoes, Rule::Undone);
}

#[test]
fn a_node_that_comes_back_without_a_session_is_found() {
    found(Fault::StaysAway, Rule::Joined);
}
