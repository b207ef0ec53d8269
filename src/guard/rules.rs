//! The rules, as text for `iptables-restore` and `ip6tables-restore`. Pure.
//!
//! They stand in chains of this agent's own, which one commit empties and fills, so that a look never leaves a gap. `raw` comes
//! before all that Docker accepts, and Docker leaves it alone.

/// The name of the chain in both tables.
pub(super) const CHAIN: &str = "BATCH-IMDS";

/// What differs between IPv4 and IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) program: &'static str,
    pub(super) restore: &'static str,
    /// Where EC2's instance metadata service is.
    pub(super) imds: &'static str,
}

pub(super) const V4: Family = Family { program: "iptables", restore: "iptables-restore", imds: "169.254.169.254/32" };
pub(super) const V6: Family = Family { program: "ip6tables", restore: "ip6tables-restore", imds: "fd00:ec2::254/128" };

/// How a chain of the kernel's leads to ours: its table, its name, and which packets.
pub(super) struct Jump {
    pub(super) table: &'static str,
    pub(super) chain: &'static str,
    pub(super) which: &'static [&'static str],
}

/// Whatever comes from a container's network; the host's own packets to itself come from `lo`.
pub(super) const BRIDGES: Jump = Jump { table: "raw", chain: "PREROUTING", which: &["!", "-i", "lo"] };
/// Whatever a process in the host's network sends.
pub(super) const HOST: Jump = Jump { table: "filter", chain: "OUTPUT", which: &[] };

/// For containers with a network of their own. A packet that only passes through cannot be refused this early, so it is dropped.
pub(super) fn bridges(family: Family) -> String {
    chain(BRIDGES.table, &format!("-A {CHAIN} -d {} -j DROP", family.imds))
}

/// For processes in the control group `path` and all below it: they are refused at once.
pub(super) fn host(family: Family, path: &str) -> String {
    chain(HOST.table, &format!("-A {CHAIN} -d {} -m cgroup --path {path} -j REJECT", family.imds))
}

fn chain(table: &str, rule: &str) -> String {
    format!("*{table}\n:{CHAIN} - [0:0]\n{rule}\nCOMMIT\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_one_commit_that_fills_the_agents_own_chain() {
        let text = bridges(V4);
        assert_eq!(text, "*raw\n:BATCH-IMDS - [0:0]\n-A BATCH-IMDS -d 169.254.169.254/32 -j DROP\nCOMMIT\n");
        let text = host(V6, "batchjobs.slice");
        assert!(text.starts_with("*filter\n:BATCH-IMDS - [0:0]\n") && text.ends_with("\nCOMMIT\n"), "{text}");
        assert!(text.contains("-d fd00:ec2::254/128 -m cgroup --path batchjobs.slice -j REJECT"), "{text}");
    }
}
