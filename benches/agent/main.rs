//! What the agent adds to Docker: latency of single jobs and of a burst, and the memory it holds; each beside its floor, measured
//! in the same run. It measures and prints, and asserts nothing.
//!
//! ```text
//! cargo bench --bench agent                 everything, about four minutes
//! cargo bench --bench agent -- --quick      fewer samples
//! cargo bench --bench agent -- --concurrency 8 --bursts-only
//! ```
//!
//! The floor is the same container made, started and awaited straight through the Docker API, by the same client library. Single
//! jobs and floor samples take turns, so that a machine that drifts does so for both.
#![forbid(unsafe_code)]

#[path = "../shared/process.rs"]
mod process;

mod floor;
mod plane;
mod stats;

use std::time::Duration;

use anyhow::{Context, Result};

use floor::Floor;
use plane::Bench;
use stats::{percentile, ratio};

/// Concurrencies that a burst's floor is tried at; the best one counts.
const FLOOR_CONCURRENCY: [usize; 4] = [4, 8, 16, 32];
/// How long an idle agent is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(30);

struct Plan {
    singles: usize,
    burst: usize,
    bursts: usize,
    idle: Duration,
    concurrency: Option<String>,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let mut plan = match has("--quick") {
        true => Plan { singles: 8, burst: 20, bursts: 1, idle: Duration::from_secs(3), concurrency: None },
        false => Plan { singles: 40, burst: 100, bursts: 3, idle: IDLE, concurrency: None },
    };
    if has("--bursts-only") {
        (plan.singles, plan.idle) = (0, Duration::ZERO);
    }
    plan.concurrency = args.iter().position(|arg| arg == "--concurrency").and_then(|at| args.get(at + 1).cloned());
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&plan))
}

async fn run(plan: &Plan) -> Result<()> {
    let bench = Bench::start(plan.concurrency.clone()).await.context("the plane and its agent did not start")?;
    let result = measure(plan, &bench).await;
    bench.stop().await;
    result
}

async fn measure(plan: &Plan, bench: &Bench) -> Result<()> {
    let floor = Floor::connect()?;
    bench.job().await?;
    tokio::time::sleep(plan.idle).await;
    println!("resident memory, idle for {} s: {}", plan.idle.as_secs(), bench.memory()?);
    if plan.singles > 0 {
        singles(plan, bench, &floor).await?;
        println!("resident memory after {} jobs: {}", plan.singles + 1, bench.memory()?);
    }
    bursts(plan, bench, &floor).await?;
    println!("resident memory after the bursts: {}", bench.memory()?);
    Ok(())
}

async fn singles(plan: &Plan, bench: &Bench, floor: &Floor) -> Result<()> {
    let (mut running, mut stopped) = (Vec::new(), Vec::new());
    let (mut floor_started, mut floor_exited) = (Vec::new(), Vec::new());
    for _ in 0..plan.singles {
        let bare = floor.one().await?;
        floor_started.push(bare.started);
        floor_exited.push(bare.exited);
        let job = bench.job().await?;
        running.extend(job.running);
        stopped.push(job.stopped);
    }
    println!("single jobs, {} of each in turn, seconds (p50 / p90):", plan.singles);
    for (name, ours, bare) in [
        ("payload -> RUNNING submitted, floor create -> started", &mut running, &mut floor_started),
        ("payload -> STOPPED submitted, floor create -> exited", &mut stopped, &mut floor_exited),
    ] {
        println!(
            "  {name}: {:.3} / {:.3}, floor {:.3} / {:.3}, ratio of p50 {:.3}",
            percentile(ours, 50),
            percentile(ours, 90),
            percentile(bare, 50),
            percentile(bare, 90),
            ratio(percentile(ours, 50), percentile(bare, 50)),
        );
    }
    Ok(())
}

async fn bursts(plan: &Plan, bench: &Bench, floor: &Floor) -> Result<()> {
    let mut best = (f64::INFINITY, 0);
    let mut ours = f64::INFINITY;
    for round in 1..=plan.bursts {
        for concurrency in FLOOR_CONCURRENCY {
            let took = floor.many(plan.burst, concurrency).await?;
            println!("burst {round}, floor at concurrency {concurrency}: {took:.2} s");
            if took < best.0 {
                best = (took, concurrency);
            }
        }
        let took = bench.burst(plan.burst).await?;
        println!("burst {round}, agent: {took:.2} s");
        ours = ours.min(took);
    }
    println!(
        "{} jobs at once, first payload -> last STOPPED, best of {}: {ours:.2} s, best floor {:.2} s (concurrency {}), ratio {:.3}",
        plan.burst,
        plan.bursts,
        best.0,
        best.1,
        ratio(ours, best.0),
    );
    Ok(())
}
