//! Putting the rules in and taking them out. Doing either twice is as good as once.

use std::io::{self, ErrorKind};

use super::rules::{self, BRIDGES, CHAIN, Family, HOST, Jump, V4, V6};
use crate::host::iptables::{LOCK_SECONDS, complaint, feed, run};

/// The kernel lists its IPv6 addresses here, where it has IPv6 at all.
const IPV6: &str = "/proc/net/if_inet6";

/// Keeps containers with a network of their own away.
pub(super) async fn close_bridges() -> Result<(), String> {
    for family in families() {
        set(family, &BRIDGES, &rules::bridges(family)).await?;
    }
    Ok(())
}

/// Keeps processes in the control group `path` away.
pub(super) async fn close_host(path: &str) -> Result<(), String> {
    for family in families() {
        set(family, &HOST, &rules::host(family, path)).await?;
    }
    Ok(())
}

/// Takes out whatever there is.
pub(super) async fn open() -> Result<(), String> {
    for family in families() {
        for jump in [&BRIDGES, &HOST] {
            remove(family, jump).await?;
        }
    }
    Ok(())
}

fn families() -> Vec<Family> {
    let six = std::fs::read_to_string(IPV6).is_ok_and(|addresses| !addresses.is_empty());
    if six { vec![V4, V6] } else { vec![V4] }
}

/// The chain first: a jump to it never leads nowhere.
async fn set(family: Family, jump: &Jump, text: &str) -> Result<(), String> {
    let restored = feed(family.restore, &["-w", LOCK_SECONDS, "--noflush"], text).await;
    let output = restored.map_err(|error| missing(family.restore, &error))?;
    if !output.status.success() {
        return Err(refused(family.restore, &complaint(&output)));
    }
    if act(family, jump, "-C").await?.is_err() {
        act(family, jump, "-I").await?.map_err(|said| refused(family.program, &said))?;
    }
    Ok(())
}

async fn remove(family: Family, jump: &Jump) -> Result<(), String> {
    // To list takes the rights that to delete takes, and without them all looks as if nothing were there.
    let listed = run(family.program, &["-w", LOCK_SECONDS, "-t", jump.table, "-S", jump.chain]).await;
    let listed = listed.map_err(|error| missing(family.program, &error))?;
    if !listed.status.success() {
        return Err(refused(family.program, &complaint(&listed)));
    }
    // More than one, where somebody put back what was saved.
    while act(family, jump, "-C").await?.is_ok() {
        act(family, jump, "-D").await?.map_err(|said| refused(family.program, &said))?;
    }
    for action in ["-F", "-X"] {
        // A chain that is not there is as good as removed.
        let args = ["-w", LOCK_SECONDS, "-t", jump.table, action, CHAIN];
        run(family.program, &args).await.map_err(|error| missing(family.program, &error))?;
    }
    Ok(())
}

/// Checks, inserts or deletes the jump. The inner error is what iptables said.
async fn act(family: Family, jump: &Jump, action: &str) -> Result<Result<(), String>, String> {
    let head = ["-w", LOCK_SECONDS, "-t", jump.table, action, jump.chain];
    let args = [&head, jump.which, &["-j", CHAIN]].concat();
    let output = run(family.program, &args).await.map_err(|error| missing(family.program, &error))?;
    Ok(if output.status.success() { Ok(()) } else { Err(complaint(&output)) })
}

fn missing(program: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("there is no {program}: install the package iptables"),
        _ => format!("{program}: {error}"),
    }
}

fn refused(program: &str, said: &str) -> String {
    let said = said.lines().next().unwrap_or("it failed without a word");
    let lower = said.to_lowercase();
    let rights = lower.contains("permission denied") || lower.contains("you must be root");
    let advice = if rights { " (it needs CAP_NET_ADMIN, and iptables-legacy needs root)" } else { "" };
    format!("{program}: {said}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_helps() {
        let text = missing("iptables", &io::Error::from(ErrorKind::NotFound));
        assert_eq!(text, "there is no iptables: install the package iptables");
        let text = refused(
            "iptables",
            "iptables v1.8.9 (legacy): can't initialize: Permission denied (you must be root)\nmore",
        );
        assert!(text.ends_with("(it needs CAP_NET_ADMIN, and iptables-legacy needs root)"), "{text}");
        assert!(!refused("iptables", "Bad rule").contains("CAP_NET_ADMIN"));
    }
}
