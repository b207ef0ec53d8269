//! The poller and processor: a whole batch, end to end, on one machine.
//!
//! Starts `batch-node-agent local`, sets up Batch through the AWS SDK as one would in AWS, and submits one *poller* job.
//! The poller runs in a container, looks through the input folder and submits *processor* jobs, which measure each file.
//! The plane launches node agents for them; when the work is done, each drains, deregisters and terminates itself.
//!
//! `make demo` runs it. Exit codes: 0 all jobs succeeded and every node went, 1 something failed, 130 interrupted.

mod args;
mod cloud;
mod plane;
mod report;
mod results;
mod signals;
mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use clap::Parser;
use tokio::time::timeout;

use crate::args::{Args, Folders};
use crate::cloud::Cloud;
use crate::plane::Plane;
use crate::report::Report;

/// How long a plane that has just failed us may take to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

enum Outcome {
    Finished(Report),
    Interrupted,
}

impl Outcome {
    /// Nothing happened that somebody would want to look into.
    fn is_in_order(&self) -> bool {
        match self {
            Self::Finished(report) => report.is_success(),
            Self::Interrupted => true,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match demo(&Args::parse()).await {
        Ok(Outcome::Finished(report)) => {
            println!("{report}");
            ExitCode::from(u8::from(!report.is_success()))
        }
        Ok(Outcome::Interrupted) => {
            eprintln!("interrupted: the plane has taken its nodes and their containers down");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("poller-processor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenario beside the plane's process, and takes the plane down whatever came of it.
async fn demo(args: &Args) -> anyhow::Result<Outcome> {
    let stop = signals::stop_token()?;
    let folders = Folders::prepare(args)?;
    let data_dir = tempfile::Builder::new().prefix("poller-processor-").tempdir();
    let data_dir = data_dir.context("making a folder for the plane")?;
    let mut plane = Plane::spawn(args, data_dir.path())?;

    let log = plane.log().to_owned();
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(Outcome::Interrupted),
        death = plane.death() => Err(death),
        report = scenario(args, &folders, &log) => report.map(Outcome::Finished),
    };
    let outcome = match outcome {
        // A call that fails because the plane is gone: its end is the reason to tell.
        Err(error) => Err(timeout(LAST_WORDS, plane.death()).await.unwrap_or(error)),
        outcome => outcome,
    };
    let stopped = plane.stop().await;

    let in_order = stopped.is_ok() && outcome.as_ref().is_ok_and(Outcome::is_in_order);
    if args.keep || !in_order {
        eprintln!("the plane's files and logs are kept: {}", data_dir.keep().display());
    }
    let outcome = outcome?;
    stopped?;
    Ok(outcome)
}

async fn scenario(args: &Args, folders: &Folders, log: &Path) -> anyhow::Result<Report> {
    let (clock, started) = (Instant::now(), SystemTime::now());
    let endpoint = plane::endpoint(log).await?;
    eprintln!("plane {endpoint}, reading {}, writing {}", folders.input.display(), folders.output.display());

    let cloud = Cloud::connect(&endpoint);
    cloud.set_up(folders, args.max_jobs).await?;
    let poller = cloud.submit_poller().await?;
    let last = watch::until_done(&cloud, &poller).await?;

    let jobs = cloud.describe_jobs(last.jobs.keys()).await?;
    let files: Vec<String> = jobs.iter().flat_map(|job| job.files.iter().cloned()).collect();
    let results = results::read(&folders.output, &files)?;
    let mistakes = results::verify(&folders.input, &results, started).await?;
    Ok(Report {
        jobs,
        nodes: last.nodes,
        files: files.len(),
        results,
        mistakes,
        output: folders.output.clone(),
        logs: log.with_file_name("logs"),
        wall: clock.elapsed(),
    })
}
