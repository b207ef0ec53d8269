//! What containers use, once a second, straight from the kernel: no question to Docker, whose stats streams cost the daemon,
//! containerd and the shims ten times what they cost the agent (amazon-ecs-agent, measured).

mod files;
mod parse;
mod stats;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use node_core::DockerId;

use self::files::{Buffer, Files};
use self::stats::Samples;
pub(crate) use self::stats::Sets;
use super::cgroup::Cgroups;

/// Samples the containers it is told of. Reading blocks for some tens of microseconds a container.
pub(crate) struct Sampler {
    cgroups: Cgroups,
    proc: PathBuf,
    cpus: u32,
    /// Readings are told apart by their distance from this.
    since: Instant,
    buffer: Buffer,
    containers: BTreeMap<DockerId, Container>,
}

#[derive(Default)]
struct Container {
    /// `None` until its control group is found.
    files: Option<Files>,
    /// The control group that was read last.
    group: Option<u64>,
    samples: Samples,
}

impl Container {
    /// A container that is started again has a new control group, whose counters begin anew.
    fn open(&mut self, cgroups: &Cgroups, id: &DockerId) {
        self.files = Files::open(cgroups, id).ok();
        let Some(files) = &self.files else { return };
        if self.group.replace(files.group()).is_some_and(|before| before != files.group()) {
            self.samples.restarted();
        }
    }
}

impl Sampler {
    pub(crate) fn new() -> Self {
        Self::at(Cgroups::new(), "/proc".into(), cpus())
    }

    fn at(cgroups: Cgroups, proc: PathBuf, cpus: u32) -> Self {
        let (since, buffer) = (Instant::now(), Buffer::default());
        Self { cgroups, proc, cpus, since, buffer, containers: BTreeMap::new() }
    }

    /// Reads each of these containers once, and forgets those that are not among them. One that cannot be read, as it has just
    /// ended or has not quite begun, has no sample this time.
    pub(crate) fn sample(&mut self, wanted: &BTreeSet<DockerId>) {
        self.containers.retain(|id, _| wanted.contains(id));
        for id in wanted {
            if !self.containers.contains_key(id) {
                self.containers.insert(id.clone(), Container::default());
            }
        }
        for (id, container) in &mut self.containers {
            if container.files.is_none() {
                container.open(&self.cgroups, id);
            }
            let Some(files) = &mut container.files else { continue };
            files.seek_network(&self.cgroups, &self.proc, id);
            let at = self.since.elapsed();
            match files.read(&mut self.buffer) {
                Ok(reading) => container.samples.add(at, reading, self.cpus),
                Err(error) => {
                    tracing::debug!(container = %id, %error, "a container's use cannot be read");
                    container.files = None;
                }
            }
        }
    }

    /// The sets over this container's samples since the last call, if there is enough for any.
    pub(crate) fn take(&mut self, id: &DockerId) -> Option<Sets> {
        self.containers.get_mut(id)?.samples.take()
    }
}

/// Logical CPUs of the host; a limit on this process is none on the containers.
fn cpus() -> u32 {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").ok();
    let counted = online.as_deref().and_then(count).filter(|n| *n > 0);
    counted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)))
}

/// `0-3,8` is five.
fn count(list: &str) -> Option<u32> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    list.trim().split(',').map(range).sum()
}

#[cfg(test)]
mod tests;
