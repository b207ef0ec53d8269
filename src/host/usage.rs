//! What the host as a whole uses, for `status`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sysinfo::{CpuRefreshKind, DiskRefreshKind, Disks, MemoryRefreshKind, System};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct HostUsage {
    /// Of all cores together, 0 to 100, since the sample before; 0 in the first.
    pub(crate) cpu_percent: f32,
    pub(crate) cpus: usize,
    pub(crate) memory_total_bytes: u64,
    /// What is not available to a new process.
    pub(crate) memory_used_bytes: u64,
    /// Load averages over 1, 5 and 15 minutes.
    pub(crate) load: Option<[f64; 3]>,
    pub(crate) disk: Option<DiskUsage>,
}

/// The file system that holds a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DiskUsage {
    pub(crate) mount_point: PathBuf,
    pub(crate) total_bytes: u64,
    /// To an unprivileged process.
    pub(crate) available_bytes: u64,
}

/// Keeps the last CPU counters: usage is a difference.
pub(crate) struct HostMonitor {
    system: System,
}

impl HostMonitor {
    pub(crate) fn new() -> Result<Self, sysinfo::Error> {
        let mut system = System::new()?;
        system.refresh_cpu_list(CpuRefreshKind::nothing().with_usage());
        Ok(Self { system })
    }

    /// Reads a few files of `/proc` and asks each local file system for its size. CPU usage is right if the last sample is at
    /// least 200 ms old (`sysinfo::MINIMUM_CPU_UPDATE_INTERVAL`).
    pub(crate) fn sample(&mut self, path: &Path) -> HostUsage {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        HostUsage {
            cpu_percent: self.system.global_cpu_usage(),
            cpus: self.system.cpus().len(),
            memory_total_bytes: self.system.total_memory(),
            memory_used_bytes: self.system.total_memory().saturating_sub(self.system.available_memory()),
            load: System::load_average().ok().map(|load| [load.one, load.five, load.fifteen]),
            disk: disk(path),
        }
    }
}

/// How much of the file system that holds a path is free to an unprivileged process; `None` as in [`disk`].
pub(crate) fn free_percent(path: &Path) -> Option<u8> {
    let disk = disk(path)?;
    let percent = disk.available_bytes.saturating_mul(100).checked_div(disk.total_bytes)?;
    u8::try_from(percent).ok()
}

/// How full the file system that holds a path is, in percent: its space, and its inodes where it has a table of them.
pub(crate) fn used_percent(path: &Path) -> Option<(u8, Option<u8>)> {
    let found = rustix::fs::statvfs(path).ok()?;
    // As `df` has it: of what an unprivileged process may use.
    let percent = |used: u64, free: u64| u8::try_from((used * 100).checked_div(used + free)?).ok();
    let space = percent(found.f_blocks.saturating_sub(found.f_bfree), found.f_bavail)?;
    let inodes = percent(found.f_files.saturating_sub(found.f_ffree), found.f_favail);
    Some((space, inodes))
}

/// `None` where sysinfo does not look: tmpfs and network file systems.
fn disk(path: &Path) -> Option<DiskUsage> {
    let path = path.canonicalize().ok()?;
    let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage()).ok()?;
    let holding = disks.iter().filter(|disk| path.starts_with(disk.mount_point()));
    let nearest = holding.max_by_key(|disk| disk.mount_point().components().count())?;
    Some(DiskUsage {
        mount_point: nearest.mount_point().to_owned(),
        total_bytes: nearest.total_space(),
        available_bytes: nearest.available_space(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_cores_memory_and_a_disk() {
        let usage = HostMonitor::new().unwrap().sample(Path::new("/"));
        assert!(usage.cpus > 0 && (0.0..=100.0).contains(&usage.cpu_percent));
        assert!(usage.memory_used_bytes > 0 && usage.memory_used_bytes < usage.memory_total_bytes);
        assert!(usage.disk.is_some_and(|disk| disk.available_bytes <= disk.total_bytes));
    }

    #[test]
    fn the_figures_are_those_of_the_kernel_and_of_df() {
        let usage = HostMonitor::new().unwrap().sample(Path::new("/usr/bin"));
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        let kib = |key: &str| -> u64 {
            let line = meminfo.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        assert_eq!(usage.memory_total_bytes, kib("MemTotal:") * 1024);
        let used = (kib("MemTotal:") - kib("MemAvailable:")) * 1024;
        // Others allocate and free between the two looks.
        assert!(usage.memory_used_bytes.abs_diff(used) < usage.memory_total_bytes / 4, "{usage:?} {used}");
        assert!(usage.load.is_some_and(|load| load.iter().all(|average| *average >= 0.0)));
        let df = std::process::Command::new("df").args(["-B1", "--output=size,target", "/usr/bin"]).output().unwrap();
        let df = String::from_utf8(df.stdout).unwrap();
        let mut words = df.lines().nth(1).unwrap().split_whitespace();
        let disk = usage.disk.unwrap();
        assert_eq!(disk.total_bytes.to_string(), words.next().unwrap());
        assert_eq!(disk.mount_point, Path::new(words.next().unwrap()));
    }

    #[test]
    fn how_full_a_disk_is_agrees_with_df() {
        let (space, inodes) = used_percent(Path::new("/usr/bin")).unwrap();
        let df = std::process::Command::new("df").args(["--output=pcent", "/usr/bin"]).output().unwrap();
        let df = String::from_utf8(df.stdout).unwrap();
        let shown: u8 = df.lines().nth(1).unwrap().trim().trim_end_matches('%').parse().unwrap();
        // `df` rounds up, and others write meanwhile.
        assert!(shown.abs_diff(space) <= 2, "{shown} {space}");
        assert!(inodes.is_none_or(|percent| percent <= 100));
    }

    #[test]
    fn a_busy_core_shows_in_the_second_sample() {
        let mut monitor = HostMonitor::new().unwrap();
        let since = std::time::Instant::now();
        // The very interval that the figure needs.
        while since.elapsed() < sysinfo::MINIMUM_CPU_UPDATE_INTERVAL * 2 {
            std::hint::spin_loop();
        }
        let usage = monitor.sample(Path::new("/"));
        assert!(usage.cpu_percent > 0.0 && usage.cpu_percent <= 100.0, "{usage:?}");
    }
}
