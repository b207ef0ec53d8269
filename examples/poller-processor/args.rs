//! The command line, and the folders that it names.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Parser;

/// Runs the poller and processor scenario on this machine, with no AWS account.
#[derive(Debug, Parser)]
#[command(name = "poller-processor")]
pub(crate) struct Args {
    /// The folder to look through; by default this repository's source tree
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_MANIFEST_DIR"))]
    input: PathBuf,

    /// Where the results go; by default target/poller-processor/TIME
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// The most node agents that run at once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) nodes: u32,

    /// The vCPUs each node offers; a job takes one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) node_vcpus: u32,

    /// The most processor jobs; where there are more files, a job gets several
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max_jobs: u32,

    /// Keep the plane's folder with all logs (kept in any case when something fails)
    #[arg(long)]
    pub(crate) keep: bool,

    /// The agent's program; by default the one built beside this one
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
}

impl Args {
    /// The agent's program, checked to be there.
    pub(crate) fn agent(&self) -> anyhow::Result<PathBuf> {
        let path = match &self.agent {
            Some(path) => path.clone(),
            // target/debug/examples/poller-processor -> target/debug/batch-node-agent
            None => {
                let here = std::env::current_exe().context("asking for my own path")?;
                let profile = here.parent().and_then(Path::parent).context("my own path has no parent")?;
                profile.join("batch-node-agent")
            }
        };
        ensure!(path.is_file(), "no agent at {}: build it with cargo build, or name it with --agent", path.display());
        Ok(path)
    }
}

/// The folders that the containers see, absolute, and whom the results shall belong to.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    /// `UID:GID` for the containers: whoever owns the output folder.
    pub(crate) user: String,
}

impl Folders {
    pub(crate) fn prepare(args: &Args) -> anyhow::Result<Self> {
        let input = args.input.canonicalize().with_context(|| format!("the input folder {}", args.input.display()))?;
        ensure!(input.is_dir(), "{} is no folder", input.display());

        let output = args.output.clone().unwrap_or_else(default_output);
        fs::create_dir_all(&output).with_context(|| format!("making the output folder {}", output.display()))?;
        let output = output.canonicalize()?;
        let owner = output.metadata()?;
        Ok(Self { input, output, user: format!("{}:{}", owner.uid(), owner.gid()) })
    }
}

fn default_output() -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/poller-processor").join(now.as_secs().to_string())
}
