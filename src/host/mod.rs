//! The machine: who it is, what it has to offer, what it is busy with, and the signals it sends.

pub(crate) mod cgroup;
pub(crate) mod gpu;
pub(crate) mod imds;
pub(crate) mod iptables;
pub(crate) mod linklocal;
pub(crate) mod notices;
pub(crate) mod os;
pub(crate) mod resources;
pub(crate) mod sampler;
pub(crate) mod signals;
pub(crate) mod usage;

/// Which boot of this machine it is, and when it was.
pub(crate) fn boot() -> Option<(String, node_core::Timestamp)> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let at = sysinfo::System::boot_time().ok()?;
    Some((id.trim().to_owned(), node_core::Timestamp(at.saturating_mul(1000))))
}
