//! CPU time of processes, by what they are.

use std::fs;
use std::ops::{AddAssign, Sub};

use anyhow::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Agent,
    Dockerd,
    Containerd,
    Shims,
}

impl Group {
    pub(crate) const ALL: [Self; 4] = [Self::Agent, Self::Dockerd, Self::Containerd, Self::Shims];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Dockerd => "dockerd",
            Self::Containerd => "containerd",
            Self::Shims => "shims",
        }
    }

    /// By the name that the kernel shows, which has 15 letters at the most.
    fn of(process: u32, name: &str, agent: u32) -> Option<Self> {
        match name {
            _ if process == agent => Some(Self::Agent),
            "dockerd" => Some(Self::Dockerd),
            "containerd" => Some(Self::Containerd),
            "containerd-shim" => Some(Self::Shims),
            _ => None,
        }
    }
}

/// CPU nanoseconds of each group, in [`Group::ALL`]'s order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage([u64; 4]);

impl Usage {
    pub(crate) fn seconds(&self, group: Group) -> f64 {
        self.0.get(group as usize).map_or(0.0, |nanos| *nanos as f64 / 1e9)
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(mut self, before: Self) -> Self {
        for (now, before) in self.0.iter_mut().zip(before.0) {
            *now = now.saturating_sub(before);
        }
        self
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        for (sum, more) in self.0.iter_mut().zip(more.0) {
            *sum += more;
        }
    }
}

/// What all of them have used so far.
pub(crate) fn read(agent: u32) -> Result<Usage> {
    let mut usage = Usage::default();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
        let Some(group) = Group::of(process, name.trim(), agent) else { continue };
        if let Some(sum) = usage.0.get_mut(group as usize) {
            *sum += nanos(process);
        }
    }
    Ok(usage)
}

/// Of all threads. `/proc/<pid>/stat` counts in ticks of 10 ms, by which 50 shims could be half a second off; the scheduler's own
/// count is exact, at the price of threads that ended in between.
fn nanos(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let count = |text: String| text.split_whitespace().next()?.parse::<u64>().ok();
    threads.filter_map(|thread| count(fs::read_to_string(thread.path().join("schedstat")).ok()?)).sum()
}
