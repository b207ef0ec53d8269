//! The way of ecs-init: port 80 of 169.254.170.2 is translated to the agent's own (ecs-init/exec/iptables/iptables.go).
//!
//! Unlike ecs-init's, a rule that is there already is not added again, and `route_localnet` is put back as it was.

use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// iptables waits for its lock for as long (`-w`), and gets a little more to do its work.
const LOCK_SECONDS: &str = "5";
const LIMIT: Duration = Duration::from_secs(10);
const ROUTE_LOCALNET: &str = "/proc/sys/net/ipv4/conf/all/route_localnet";

/// A rule: its table, how it is put into its chain, and the chain with what it says.
type Rule = (&'static str, &'static str, &'static [&'static str]);

/// PREROUTING serves containers on a bridge; OUTPUT serves those on the host's network, and dockerd's log drivers. The filter
/// rule shuts out what `route_localnet` would let in: packets of others to 127.0.0.0/8.
const RULES: &[Rule] = &[
    (
        "filter",
        "-I",
        &[
            "INPUT",
            "--dst",
            "127.0.0.0/8",
            "!",
            "--src",
            "127.0.0.0/8",
            "-m",
            "conntrack",
            "!",
            "--ctstate",
            "RELATED,ESTABLISHED,DNAT",
            "-j",
            "DROP",
        ],
    ),
    (
        "nat",
        "-A",
        &[
            "PREROUTING",
            "-p",
            "tcp",
            "-d",
            "169.254.170.2",
            "--dport",
            "80",
            "-j",
            "DNAT",
            "--to-destination",
            "127.0.0.1:51679",
        ],
    ),
    (
        "nat",
        "-A",
        &["OUTPUT", "-p", "tcp", "-d", "169.254.170.2", "--dport", "80", "-j", "REDIRECT", "--to-ports", "51679"],
    ),
];

/// What has been changed, to be put back.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    localnet: bool,
    rules: Vec<Rule>,
}

/// Adds what is missing. What was done before a failure is put back.
pub(super) async fn set_up() -> io::Result<Changed> {
    let mut changed = Changed::default();
    match add(&mut changed).await {
        Ok(()) => Ok(changed),
        Err(error) => {
            changed.undo().await;
            Err(error)
        }
    }
}

async fn add(changed: &mut Changed) -> io::Result<()> {
    // The guard first: packets from outside must never find the way open.
    for rule in RULES {
        if !iptables(rule, "-C").await?.status.success() {
            let output = iptables(rule, rule.1).await?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(io::Error::other(format!("iptables: {said}")));
            }
        }
        // Also when an earlier agent left it: nobody else would remove it.
        changed.rules.push(*rule);
    }
    let path = Path::new(ROUTE_LOCALNET);
    if std::fs::read_to_string(path)?.trim() != "1" {
        std::fs::write(path, "1")?;
        changed.localnet = true;
    }
    Ok(())
}

impl Changed {
    /// Puts everything back, as far as it goes.
    pub(super) async fn undo(self) {
        if self.localnet
            && let Err(error) = std::fs::write(ROUTE_LOCALNET, "0")
        {
            tracing::warn!(%error, "route_localnet could not be put back");
        }
        for rule in self.rules.iter().rev() {
            match iptables(rule, "-D").await {
                Ok(output) if output.status.success() => {}
                Ok(output) => tracing::warn!("iptables -D: {}", String::from_utf8_lossy(&output.stderr).trim()),
                Err(error) => tracing::warn!(%error, "iptables -D"),
            }
        }
    }
}

async fn iptables(rule: &Rule, action: &str) -> io::Result<Output> {
    let (table, _, words) = rule;
    let mut command = Command::new("iptables");
    command.args(["-w", LOCK_SECONDS, "-t", table, action]).args(*words);
    command.stdin(Stdio::null()).kill_on_drop(true);
    timeout(LIMIT, command.output()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
