//! `node-sim [--seeds N] [--from S] [--jobs N] [--replay SEED]`: lives through many worlds, or through one, telling its story.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Failures told in full; the rest are counted.
const STORIES: usize = 3;
/// The last lines of a failing seed's story.
const LINES: usize = 60;

struct Options {
    seeds: u64,
    from: u64,
    jobs: u64,
    replay: Option<u64>,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(Options { replay: Some(seed), .. }) => replay(seed),
        Ok(options) => many(&options),
        Err(text) => {
            eprintln!("{text}\nusage: node-sim [--seeds N] [--from S] [--jobs N] [--replay SEED]");
            ExitCode::from(2)
        }
    }
}

/// Without `--from` the seeds are fresh ones, from the clock.
fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options = Options { seeds: 1_000, from: clock.as_millis() as u64 * 1_000, jobs: 2, replay: None };
    while let Some(name) = args.next() {
        let value = args.next().and_then(|text| text.parse().ok()).ok_or_else(|| format!("{name} needs a number"))?;
        match name.as_str() {
            "--seeds" => options.seeds = value,
            "--from" => options.from = value,
            "--jobs" => options.jobs = value,
            "--replay" => options.replay = Some(value),
            _ => return Err(format!("there is no option {name}")),
        }
    }
    Ok(options)
}

fn replay(seed: u64) -> ExitCode {
    let outcome = node_sim::run(seed, true);
    for line in outcome.story.lines() {
        println!("{line}");
    }
    match outcome.violation {
        Some(violation) => {
            println!("seed {seed}: {violation}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn many(options: &Options) -> ExitCode {
    let began = Instant::now();
    println!("{} seeds from {}", options.seeds, options.from);
    let next = AtomicU64::new(0);
    let search = || {
        let mut bad = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= options.seeds {
                return bad;
            }
            let seed = options.from.wrapping_add(n);
            bad.extend(node_sim::examine(seed).map(|violation| (seed, violation)));
        }
    };
    let mut bad = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(search)).collect();
        threads.into_iter().flat_map(joined).collect::<Vec<_>>()
    });
    bad.sort_by_key(|(seed, _)| *seed);
    for (seed, violation) in bad.iter().take(STORIES) {
        tell(*seed, violation);
    }
    for (seed, violation) in bad.iter().skip(STORIES) {
        println!("seed {seed}: {violation}");
    }
    let took = began.elapsed().as_secs_f64();
    println!("{} of {} failed; {took:.0} s, {:.0} a second", bad.len(), options.seeds, options.seeds as f64 / took);
    if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A panic outside a run is the simulation's own, and ends it.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn tell(seed: u64, violation: &node_sim::Violation) {
    let outcome = node_sim::run(seed, true);
    let lines = outcome.story.lines();
    println!("\nseed {seed}: {violation}");
    for line in lines.iter().skip(lines.len().saturating_sub(LINES)) {
        println!("  {line}");
    }
    println!("  the whole story: scripts/sim.sh --replay {seed}\n");
}
