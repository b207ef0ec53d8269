//! The process of the embedded control plane: `batch-node-agent local`.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use signal_hook::consts::SIGTERM;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::args::Args;

/// How long the plane may take to print its endpoint.
const START: Duration = Duration::from_secs(30);
/// How long it may take to bring all nodes and containers down.
const STOP: Duration = Duration::from_secs(60);
/// How long a node has nothing to do before it leaves: short, as somebody watches.
const NODE_IDLE: &str = "3s";
const TAIL_LINES: usize = 20;

pub(crate) struct Plane {
    child: Child,
    log: PathBuf,
}

impl Plane {
    /// Starts the plane with a port of its choice, its output in `data_dir`/plane.log. It gets a process group of
    /// its own, so that a Ctrl-C in the terminal reaches us alone and the way down is ours to order.
    pub(crate) fn spawn(args: &Args, data_dir: &Path) -> anyhow::Result<Self> {
        let agent = args.agent()?;
        let log = data_dir.join("plane.log");
        let output = fs::File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let child = Command::new(&agent)
            .args(["local", "--empty", "--listen", "127.0.0.1:0", "--idle-timeout", NODE_IDLE])
            .args(["--max-nodes", &args.nodes.to_string(), "--node-vcpus", &args.node_vcpus.to_string()])
            .arg("--data-dir")
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", agent.display()))?;
        Ok(Self { child, log })
    }

    /// What the plane says.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Returns when the plane has ended, which it never should by itself: with what it said last.
    pub(crate) async fn death(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow!("the plane ended early ({status}); it said last:\n{}", tail(&self.log)),
            Err(error) => anyhow!(error).context("waiting for the plane"),
        }
    }

    /// Asks the plane to take everything down, and waits until it has. Well if it has ended before.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        terminate(pid).await?;
        match timeout(STOP, self.child.wait()).await {
            Ok(status) => {
                let status = status.context("waiting for the plane")?;
                // The signal may come before the plane listens for it: then it has started nothing yet.
                if !status.success() && status.signal() != Some(SIGTERM) {
                    bail!("the plane did not end well ({status}); it said last:\n{}", tail(&self.log));
                }
                Ok(())
            }
            Err(_) => {
                self.child.kill().await.context("killing the plane")?;
                bail!(
                    "the plane did not end within {} s and was killed; it said last:\n{}",
                    STOP.as_secs(),
                    tail(&self.log)
                )
            }
        }
    }
}

/// SIGTERM to another process: no safe call of the standard library does it, every shell does.
async fn terminate(pid: u32) -> anyhow::Result<()> {
    let status = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid.to_string()]).status().await;
    status.context("sending SIGTERM to the plane")?;
    Ok(())
}

/// Waits for the line in which the plane says where it listens.
pub(crate) async fn endpoint(log: &Path) -> anyhow::Result<String> {
    let deadline = Instant::now() + START;
    loop {
        let said = fs::read_to_string(log).unwrap_or_default();
        if let Some(url) = said.lines().find_map(endpoint_of_line) {
            return Ok(url);
        }
        if Instant::now() >= deadline {
            bail!("the plane named no endpoint within {} s; it said:\n{}", START.as_secs(), tail(log));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The plane greets with `export AWS_ENDPOINT_URL=http://127.0.0.1:PORT ..`, for people to copy.
fn endpoint_of_line(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("AWS_ENDPOINT_URL=")?;
    // Only a line that goes on is whole: the plane may be writing still.
    rest.split_once(' ').map(|(url, _)| url.to_owned())
}

fn tail(log: &Path) -> String {
    last_lines(log, TAIL_LINES).join("\n")
}

/// The last lines of a file; none if it cannot be read.
pub(crate) fn last_lines(file: &Path, count: usize) -> Vec<String> {
    let said = fs::read(file).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|&line| line.to_owned()).collect()
}
