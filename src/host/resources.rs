//! What the host offers to ECS: CPU shares, memory, and the ports that are already taken.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// SSH, the Docker daemon's TCP ports and the agent's own: amazon-ecs-agent's default `ECS_RESERVED_PORTS`.
pub(crate) const RESERVED_TCP_PORTS: &[u16] = &[22, 2375, 2376, 51678, 51679];

/// CPU shares per logical CPU.
const SHARES_PER_CPU: i32 = 1024;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HostResources {
    /// 1024 a logical CPU.
    pub(crate) cpu_shares: i32,
    pub(crate) memory_mib: i32,
    /// Taken on this host, so no task may ask for them.
    pub(crate) tcp_ports: Vec<u16>,
    pub(crate) udp_ports: Vec<u16>,
}

/// What the operator says instead of what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Overrides {
    /// 1024 a vCPU.
    pub(crate) cpu_shares: Option<i32>,
    pub(crate) memory_mib: Option<i32>,
    /// MiB kept back for the system and the agent. Not taken off `memory_mib`.
    pub(crate) reserved_memory_mib: u32,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ResourcesError {
    #[error("the reserved memory ({reserved} MiB) leaves nothing of the host's {total} MiB: lower the reserve")]
    NothingLeft { total: i64, reserved: u32 },
    #[error("the host's memory cannot be read from /proc/meminfo; set the memory in the configuration")]
    UnknownMemory,
}

/// Reads the host and lays the operator's numbers over it.
pub(crate) fn detect(overrides: Overrides) -> Result<HostResources, ResourcesError> {
    let cpus = std::thread::available_parallelism().map_or(1, |n| i32::try_from(n.get()).unwrap_or(i32::MAX));
    combine(overrides, cpus, total_memory_mib())
}

/// MemTotal in MiB, rounded down; `None` when it cannot be read.
fn total_memory_mib() -> Option<i64> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let bytes = System::new_with_specifics(memory).ok()?.total_memory();
    i64::try_from(bytes / (1024 * 1024)).ok().filter(|mib| *mib > 0)
}

fn combine(overrides: Overrides, cpus: i32, total: Option<i64>) -> Result<HostResources, ResourcesError> {
    let memory_mib = match overrides.memory_mib {
        Some(memory) => memory,
        None => {
            let total = total.ok_or(ResourcesError::UnknownMemory)?;
            let reserved = overrides.reserved_memory_mib;
            match total - i64::from(reserved) {
                left if left > 0 => i32::try_from(left).unwrap_or(i32::MAX),
                _ => return Err(ResourcesError::NothingLeft { total, reserved }),
            }
        }
    };
    Ok(HostResources {
        cpu_shares: overrides.cpu_shares.unwrap_or_else(|| cpus.saturating_mul(SHARES_PER_CPU)),
        memory_mib,
        tcp_ports: RESERVED_TCP_PORTS.to_vec(),
        udp_ports: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_counted_and_the_reserve_kept_back() {
        let overrides = Overrides { reserved_memory_mib: 256, ..Overrides::default() };
        let found = combine(overrides, 4, Some(16_000)).unwrap();
        assert_eq!((found.cpu_shares, found.memory_mib), (4096, 15_744));
        assert_eq!(found.tcp_ports, RESERVED_TCP_PORTS);
    }

    #[test]
    fn the_operators_numbers_win() {
        let overrides = Overrides { cpu_shares: Some(512), memory_mib: Some(300), reserved_memory_mib: 9999 };
        let found = combine(overrides, 4, None).unwrap();
        assert_eq!((found.cpu_shares, found.memory_mib), (512, 300));
    }

    #[test]
    fn a_host_without_memory_to_give_is_an_error() {
        let overrides = Overrides { reserved_memory_mib: 512, ..Overrides::default() };
        assert_eq!(combine(overrides, 1, Some(512)), Err(ResourcesError::NothingLeft { total: 512, reserved: 512 }));
        assert_eq!(combine(overrides, 1, None), Err(ResourcesError::UnknownMemory));
    }

    #[test]
    fn this_host_can_be_read() {
        let found = detect(Overrides::default()).unwrap();
        assert!(found.cpu_shares >= 1024 && found.memory_mib > 0);
    }
}
