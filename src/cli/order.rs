//! `batch-node-agent hold`, `release` and `drain`: the operator's word to the agent of this host.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Args;
use node_core::{DrainReason, LeavingStatus, Order, Plan, Timestamp};

use super::status;
use crate::config;
use crate::serve::order::{Asked, Outcome};

/// `--wait` looks this often.
const LOOK: Duration = Duration::from_millis(500);
/// From the SIGKILL of what is left at a shutdown's deadline to the report of it.
const LAST_REPORTS: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Socket {
    /// The agent's admin socket [default: as the configuration says]
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// The configuration file that names the socket [default: /etc/batch-node-agent/config.toml, if it exists]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// Why, for whoever asks for the status
    why: Vec<String>,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Terminate the host once its jobs have ended; else it stays, drained
    #[arg(long)]
    terminate: bool,
    /// SIGKILL what still runs after this time, such as 90s, 10m or 3h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    deadline: Option<Duration>,
    /// Take the drain back
    #[arg(long, conflicts_with_all = ["terminate", "deadline", "host_shutdown"])]
    cancel: bool,
    /// The host is going down: hold that up while jobs end. Does nothing unless systemd is stopping the system
    #[arg(long, conflicts_with_all = ["terminate", "deadline", "dry_run"])]
    host_shutdown: bool,
    /// Wait until every job has ended and is reported
    #[arg(long, conflicts_with_all = ["cancel", "dry_run"])]
    wait: bool,
    /// Say what would be done and why, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    socket: Socket,
}

pub(crate) async fn hold(args: HoldArgs) -> anyhow::Result<()> {
    send(&args.socket.path()?, &Asked::Order(Order::Hold { why: args.why.join(" ") })).await.map(show)
}

pub(crate) async fn release(args: ReleaseArgs) -> anyhow::Result<()> {
    send(&args.socket.path()?, &Asked::Order(Order::Release)).await.map(show)
}

pub(crate) async fn drain(args: DrainArgs) -> anyhow::Result<()> {
    if args.host_shutdown && !system_is_stopping() {
        println!("The system is not going down: nothing is done.");
        return Ok(());
    }
    let path = args.socket.path()?;
    let deadline = args.deadline.map(|after| now().after(after));
    let order = if args.cancel { Order::Cancel } else { Order::Drain { terminate: args.terminate, deadline } };
    let asked = match (args.host_shutdown, args.dry_run) {
        (true, _) => Asked::Shutdown,
        (false, true) => Asked::Plan(order),
        (false, false) => Asked::Order(order),
    };
    show(send(&path, &asked).await?);
    if args.wait { drained(&path, args.host_shutdown).await } else { Ok(()) }
}

impl Socket {
    fn path(&self) -> anyhow::Result<PathBuf> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => Ok(config::admin_socket(self.config.as_deref(), config::environment())?),
        }
    }
}

async fn send(path: &Path, asked: &Asked) -> anyhow::Result<Outcome> {
    let body = status::post(path, "/order", serde_json::to_vec(asked)?).await?;
    serde_json::from_slice(&body).context("the agent's answer cannot be read; is it of another version?")
}

/// Waits until nothing runs and nothing is left to report, or the agent is gone, which it is once the host is empty. A shutdown
/// waits no longer than its deadline: systemd would then kill the agent before what jobs still say is reported.
async fn drained(path: &Path, shutdown: bool) -> anyhow::Result<()> {
    loop {
        let report = match status::fetch(path).await {
            Ok(report) => report,
            Err(status::StatusError::NotRunning { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if report.state.phase == "ACTIVE" {
            bail!("the host no longer drains: {}", report.state.why.unwrap_or_default());
        }
        let live = report.tasks.iter().filter(|task| task.known != "STOPPED").count();
        if shutdown && live > 0 && shutdown_ends(&report.leaving).is_some_and(|end| now() >= end) {
            println!("{live} job(s) still run; the shutdown waits no longer (`shutdown_wait`).");
            return Ok(());
        }
        if live == 0 && report.unreported.is_empty() && report.state.phase != "REGISTERING" {
            println!("{}", all_over(report.leaving.withheld));
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn shutdown_ends(leaving: &LeavingStatus) -> Option<Timestamp> {
    let deadline = leaving.reasons.iter().find_map(|reason| match reason {
        DrainReason::Shutdown { deadline } => *deadline,
        _ => None,
    })?;
    let kills = leaving.deadline.as_ref().is_some_and(|deadline| deadline.kills);
    Some(if kills { deadline.after(LAST_REPORTS) } else { deadline })
}

fn all_over(withheld: usize) -> String {
    match withheld {
        0 => "Every job has ended and is reported.".to_owned(),
        n => {
            format!("Every job has ended. ECS is not told of {n} failure(s): it will name the end of the host instead.")
        }
    }
}

fn show(outcome: Outcome) {
    print!("{}", render(&outcome));
}

fn render(outcome: &Outcome) -> String {
    let Some(plan) = &outcome.plan else {
        return format!("{}\nNow {}: {}\n", outcome.done, outcome.phase, outcome.why);
    };
    let Plan { steps, doubts, jobs, .. } = plan;
    let mut text = format!("Now {}: {}\nThis would be done:\n", outcome.phase, outcome.why);
    // Writing to a String does not fail.
    for (i, step) in steps.iter().enumerate() {
        let _ = writeln!(text, "{:>3}. {step}", i + 1);
    }
    if !doubts.is_empty() {
        text.push_str("Mind:\n");
        for doubt in doubts {
            let _ = writeln!(text, "   - {doubt}");
        }
    }
    if !jobs.is_empty() {
        text.push_str("Jobs here:\n");
        for job in jobs {
            let name = job.job.as_ref().map_or("no Batch job", |job| job.job_id.as_str());
            let _ = writeln!(text, "   - {} ({name}), {}", job.task.id(), job.status.as_str());
        }
    }
    text
}

fn system_is_stopping() -> bool {
    let asked = std::process::Command::new("systemctl").arg("is-system-running").output();
    asked.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).trim() == "stopping")
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "a duration is a whole number and a unit: ms, s, m, h or d".to_owned())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_as_a_list() {
        let plan = Plan {
            steps: vec!["set it DRAINING".into(), "stay".into()],
            doubts: vec!["it may not".into()],
            jobs: Vec::new(),
            deadline: None,
        };
        let outcome = Outcome { done: String::new(), phase: "ACTIVE".into(), why: "waiting".into(), plan: Some(plan) };
        let expected =
            "Now ACTIVE: waiting\nThis would be done:\n  1. set it DRAINING\n  2. stay\nMind:\n   - it may not\n";
        assert_eq!(render(&outcome), expected);
    }

    #[test]
    fn a_deadline_needs_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("90").is_err());
    }
}
