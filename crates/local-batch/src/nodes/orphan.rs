//! An agent whose plane was killed: it is ended, and another one goes on with its jobs.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tracing::{info, warn};

/// How long an agent has to end by itself.
const TERM_WITHIN: Duration = Duration::from_secs(3);
/// And the system to end it.
const KILL_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Ends the agent that runs with this configuration, if there is one. Its containers run on: the next agent finds them.
pub(super) async fn end(config: &Path) {
    let Some(pid) = find(config).await else { return };
    info!(pid = pid.as_raw_nonzero(), "ending the agent of a plane that was killed; another one takes its jobs over");
    for (signal, within) in [(Signal::TERM, TERM_WITHIN), (Signal::KILL, KILL_WITHIN)] {
        if kill_process(pid, signal).is_err() {
            // It is over already.
            return;
        }
        if tokio::time::timeout(within, gone(pid)).await.is_ok() {
            return;
        }
    }
    warn!(pid = pid.as_raw_nonzero(), "an agent of an earlier plane does not end");
}

async fn gone(pid: Pid) {
    while test_kill_process(pid).is_ok() && !is_zombie(pid).await {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whoever inherited it may not have taken notice of its end.
async fn is_zombie(pid: Pid) -> bool {
    let stat = tokio::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).await.unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// The process whose command line is `<program> run --config <this>`.
async fn find(config: &Path) -> Option<Pid> {
    let mut entries = tokio::fs::read_dir("/proc").await.ok()?;
    while let Ok(Some(entry)) = entries.next_entry().await {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let line = tokio::fs::read(entry.path().join("cmdline")).await.unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0).skip(1);
        let wanted = [b"run".as_slice(), b"--config", config.as_os_str().as_encoded_bytes()];
        if wanted.iter().all(|wanted| arguments.next() == Some(wanted)) {
            return Some(pid);
        }
    }
    None
}
