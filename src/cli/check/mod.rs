//! `batch-node-agent check`: is this host, or this image, fit to run Batch's jobs?

mod render;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::check::{self, Context, Report, Settings, Status, job};
use crate::exit::ExitStatus;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration file [default: /etc/batch-node-agent/config.toml, if it exists]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Print the report as JSON; docs/check.md names its fields
    #[arg(long, global = true)]
    json: bool,
    /// Check an image that is being built: no role, no instance metadata and no compute environment are needed
    #[arg(long)]
    bake: bool,
    /// With --bake: a container image that must be in Docker already; may be repeated
    #[arg(long = "image", value_name = "NAME", requires = "bake")]
    images: Vec<String>,
    /// Print docs/check.md, given here, with its tables of checks as they are now, instead
    #[arg(long, hide = true, value_name = "PATH")]
    docs: Option<PathBuf>,
    #[command(subcommand)]
    about: Option<About>,
}

#[derive(Debug, Subcommand)]
enum About {
    /// Check whether a job would be placed on this host, and if not, why
    Job {
        /// A job definition's name, name:revision or ARN, or a job's id or ARN
        job: String,
    },
}

/// Exits with 1 if anything fails; a warning does not.
pub(crate) async fn run(args: CheckArgs) -> anyhow::Result<ExitStatus> {
    if let Some(page) = &args.docs {
        print(&check::page(&std::fs::read_to_string(page)?))?;
        return Ok(ExitStatus::Clean);
    }
    if args.bake && args.about.is_some() {
        eprintln!("error: '--bake' cannot be used with 'job': a job is placed on a host");
        return Ok(ExitStatus::Usage);
    }
    let settings = Settings::read(args.config.as_deref());
    let context = Context::new(settings, args.bake, args.images);
    let report = match &args.about {
        Some(About::Job { job: name }) => job::run(context, name).await,
        None => check::run(context).await,
    };
    show(&report, args.json)
}

fn show(report: &Report, json: bool) -> anyhow::Result<ExitStatus> {
    let text = match json {
        true => format!("{}\n", serde_json::to_string_pretty(report)?),
        false => {
            let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            render::render(report, colours)
        }
    };
    print(&text)?;
    Ok(if report.status == Status::Failure { ExitStatus::Failed } else { ExitStatus::Clean })
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("the report cannot be printed")
}
