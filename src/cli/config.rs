//! `batch-node-agent config`: checks the configuration and shows what is in force, and where each value was set.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::table;
use crate::config::{self, Effective};
use crate::exit::ExitStatus;

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file [default: /etc/batch-node-agent/config.toml, if it exists]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Print the reference of all keys, docs/configuration.md, instead
    #[arg(long)]
    docs: bool,
    /// Print a commented configuration file to begin with instead
    #[arg(long, conflicts_with = "docs")]
    example: bool,
    /// Exit with 1 where nobody has said whom this host works for. The systemd unit asks, and then starts nothing
    #[arg(long, hide = true)]
    is_set: bool,
    /// Only check: say nothing unless something is wrong
    #[arg(long, conflicts_with = "docs")]
    quiet: bool,
}

pub(crate) fn run(args: ConfigArgs) -> ExitStatus {
    if args.docs {
        return print(&config::markdown());
    }
    if args.example {
        return print(&config::example());
    }
    match config::explain(args.config.as_deref(), config::environment()) {
        // Any other mistake is told by the start, which fails on it.
        Err(error) if args.is_set && error.is_unset() => {
            eprintln!(
                "batch-node-agent: neither `compute_environment` nor `cluster` is set: there is nothing to do yet"
            );
            ExitStatus::Failed
        }
        _ if args.is_set => ExitStatus::Clean,
        Ok((config, settings)) => {
            config.remarks.iter().for_each(|remark| eprintln!("batch-node-agent: warning: {remark}"));
            if args.quiet { ExitStatus::Clean } else { print(&render(&settings)) }
        }
        Err(error) => {
            eprintln!("batch-node-agent: {error}");
            ExitStatus::Terminal
        }
    }
}

fn print(text: &str) -> ExitStatus {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitStatus::Clean,
        Err(_) => ExitStatus::Failed,
    }
}

fn render(settings: &[Effective]) -> String {
    let mut table = table(["KEY", "VALUE", "SET BY"]);
    for Effective { key, value, origin } in settings {
        table.add_row([key, value.as_deref().unwrap_or("-"), origin]);
    }
    format!("{}\n", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_shown_with_its_origin() {
        let setting = |value: Option<&str>, origin: &str| Effective {
            key: "region",
            value: value.map(str::to_owned),
            origin: origin.to_owned(),
        };
        let text = render(&[setting(Some("us-east-1"), "AWS_REGION"), setting(None, "not set")]);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["KEY", "VALUE", "SET", "BY"]);
        assert_eq!(rows[1], ["region", "us-east-1", "AWS_REGION"]);
        assert_eq!(rows[2], ["region", "-", "not", "set"]);
    }
}
