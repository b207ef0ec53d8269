//! The way of ecs-init: port 80 of 169.254.170.2 is translated to the agent's own (ecs-init/exec/iptables/iptables.go).
//!
//! Unlike ecs-init's, a rule that is there already is not added again, and `route_localnet` is put back as it was.

use std::io;
use std::path::Path;
use std::process::Output;

use crate::host::iptables::{self, LOCK_SECONDS, complaint};

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
        if !act(rule, "-C").await?.status.success() {
            let output = act(rule, rule.1).await?;
            if !output.status.success() {
                return Err(io::Error::other(format!("iptables: {}", complaint(&output))));
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
            match act(rule, "-D").await {
                Ok(output) if output.status.success() => {}
                Ok(output) => tracing::warn!("iptables -D: {}", complaint(&output)),
                Err(error) => tracing::warn!(%error, "iptables -D"),
            }
        }
    }
}

async fn act(rule: &Rule, action: &str) -> io::Result<Output> {
    let (table, _, words) = rule;
    iptables::run("iptables", &[&["-w", LOCK_SECONDS, "-t", table, action], *words].concat()).await
}
