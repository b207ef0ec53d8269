//! The command line: a file per command.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod generate;
#[cfg(feature = "local")]
pub(crate) mod local;
pub(crate) mod order;
pub(crate) mod run;
pub(crate) mod status;

use std::future::Future;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use comfy_table::{Table, presets};

use crate::config::Config;
use crate::exit::ExitStatus;
use crate::logging::{LogFilter, LogFormat};

/// Container agent for the hosts of AWS Batch UNMANAGED compute environments: it runs jobs, reports them, and when the work
/// is done drains and terminates its instance.
#[derive(Debug, Parser)]
#[command(name = "batch-node-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    overrides: Overrides,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent of this host, until its work is done or the process is stopped
    Run(RunArgs),
    /// Run AWS Batch on this machine: an embedded control plane, and the agents that it launches
    #[cfg(feature = "local")]
    Local(Box<local::LocalArgs>),
    /// Show what the agent of this host is doing
    Status(status::StatusArgs),
    /// Keep this host, however idle or old it is, until `release`
    Hold(order::HoldArgs),
    /// Let this host leave again
    Release(order::ReleaseArgs),
    /// Take no new work here and let what runs end; then stay, or terminate
    Drain(order::DrainArgs),
    /// Check whether this host is fit to run jobs, or an image fit to become one, and say what to mend
    Check(check::CheckArgs),
    /// Check the configuration, and show what is in force and where it was set
    Config(config::ConfigArgs),
    /// Write man pages or shell completions, as the packages have them
    Generate(generate::GenerateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration file [default: /etc/batch-node-agent/config.toml, if it exists]
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
}

/// What the command line says over the file and the environment.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Overrides {
    /// The form of log lines
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// What to log: a level, or a list such as info,node_core=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<LogFilter>,
}

impl Overrides {
    pub(crate) fn apply(self, config: &mut Config) {
        config.log_format = self.log_format.unwrap_or(config.log_format);
        if let Some(level) = self.log_level {
            config.log_level = level;
        }
    }
}

/// Carries out the command line of this process.
pub(crate) fn main() -> ExitStatus {
    let Cli { command, overrides } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // The reader may be gone; there is nobody else to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Clean };
        }
    };
    match command {
        Command::Run(args) => run::run(args, overrides),
        #[cfg(feature = "local")]
        Command::Local(args) => {
            crate::logging::init(
                overrides.log_format.unwrap_or(LogFormat::Text),
                &overrides.log_level.unwrap_or_default(),
            );
            finish(block_on(local::run(*args, crate::host::signals::wait())))
        }
        Command::Status(args) => finish(block_on(status::run(args))),
        Command::Hold(args) => finish(block_on(order::hold(args))),
        Command::Release(args) => finish(block_on(order::release(args))),
        Command::Drain(args) => finish(block_on(order::drain(args))),
        Command::Check(args) => reported(block_on(check::run(args))),
        Command::Config(args) => config::run(args),
        Command::Generate(args) => finish(generate::run(args, Cli::command())),
    }
}

/// Runs a command on a runtime of its own.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot be started")?;
    let result = runtime.block_on(command);
    // What is left has no say in the result.
    runtime.shutdown_background();
    result
}

fn finish(result: anyhow::Result<()>) -> ExitStatus {
    reported(result.map(|()| ExitStatus::Clean))
}

/// Tells a failure, causes and all, in one line.
fn reported(result: anyhow::Result<ExitStatus>) -> ExitStatus {
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("batch-node-agent: {error:#}");
            ExitStatus::Failed
        }
    }
}

/// A table without lines, whose columns are two spaces apart.
fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_log_flags_go_before_or_after_the_command() {
        for line in ["b --log-format json --log-level debug run", "b run --log-level debug --log-format json"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.overrides.log_format, Some(LogFormat::Json), "{line}");
            assert_eq!(cli.overrides.log_level, "debug".parse().ok(), "{line}");
        }
        assert!(Cli::try_parse_from(["b", "run", "--log-level", "inof"]).is_err());
    }
}
