//! What telemetry costs: CPU time of the agent, dockerd, containerd and the shims with running containers, against the very same
//! containers while the agent is frozen (SIGSTOP), in turns. It measures and prints, and asserts nothing.
//!
//! ```text
//! cargo bench --bench telemetry                                       50 containers, three turns of a minute each way
//! cargo bench --bench telemetry -- --containers 10 --seconds 20 --turns 1
//! ```
#![forbid(unsafe_code)]

#[path = "../shared/process.rs"]
mod process;

mod cpu;
mod host;

use std::time::Duration;

use anyhow::{Context, Result, bail};

use cpu::{Group, Usage};
use host::Host;

/// After a change, before the measurement: threads that were busy with it come to rest.
const SETTLE: Duration = Duration::from_secs(3);

struct Plan {
    containers: usize,
    interval: Duration,
    turns: u32,
}

impl Plan {
    fn from_arguments() -> Result<Self> {
        let mut plan = Self { containers: 50, interval: Duration::from_secs(60), turns: 3 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut number =
                || arguments.next().and_then(|n| n.parse::<u32>().ok()).with_context(|| format!("{name} N"));
            match name.as_str() {
                "--containers" => plan.containers = number()? as usize,
                "--seconds" => plan.interval = Duration::from_secs(number()?.into()),
                "--turns" => plan.turns = number()?,
                // Cargo says so itself.
                "--bench" => {}
                other => bail!("{other} is none of --containers N, --seconds N, --turns N"),
            }
        }
        Ok(plan)
    }
}

fn main() -> Result<()> {
    let plan = Plan::from_arguments()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&plan))
}

async fn run(plan: &Plan) -> Result<()> {
    let host = Host::start(plan.containers).await.context("the containers did not come up")?;
    let measured = measure(plan, &host).await;
    host.stop().await;
    measured
}

async fn measure(plan: &Plan, host: &Host) -> Result<()> {
    let (mut with, mut without) = (Usage::default(), Usage::default());
    for _ in 0..plan.turns {
        with += interval(plan, host).await?;
        host.freeze(true)?;
        without += interval(plan, host).await?;
        host.freeze(false)?;
    }
    let minutes = plan.interval.as_secs_f64() * f64::from(plan.turns) / 60.0;
    println!("{} containers, CPU seconds a minute over {minutes:.1} minutes each way:", plan.containers);
    let mut sum = 0.0;
    for group in Group::ALL {
        let (with, without) = (with.seconds(group) / minutes, without.seconds(group) / minutes);
        sum += with - without;
        println!("  {:<10}  with {with:.3}  without {without:.3}  difference {:.3}", group.name(), with - without);
    }
    println!("  in all, what the agent costs: {sum:.3}");
    Ok(())
}

async fn interval(plan: &Plan, host: &Host) -> Result<Usage> {
    tokio::time::sleep(SETTLE).await;
    let before = cpu::read(host.agent)?;
    tokio::time::sleep(plan.interval).await;
    Ok(cpu::read(host.agent)? - before)
}
