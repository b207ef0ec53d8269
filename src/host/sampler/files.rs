//! The files that tell what one container uses, kept open: a look is one read a file, without the way through the tree.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use node_core::DockerId;

use super::parse::{self, Network, Storage};
use crate::host::cgroup::Cgroups;

/// Larger than any of these files: the kernel writes a page at the most, memory.stat of version 2 about four fifths of one.
const BUFFER: usize = 16 * 1024;
/// What a short read leaves no doubt about: the kernel hands out most files whole, and a list by the page.
const WHOLE: usize = 2 * 1024;

/// What a container has used up to one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// Over all cores, in nanoseconds.
    pub(super) cpu_nanos: u64,
    pub(super) memory_bytes: u64,
    pub(super) storage: Option<Storage>,
    pub(super) network: Option<Network>,
}

/// One buffer for all reads.
pub(super) struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; BUFFER])
    }
}

impl Buffer {
    fn read(&mut self, file: &File) -> io::Result<&str> {
        let mut filled = 0;
        while let Some(room) = self.0.get_mut(filled..).filter(|room| !room.is_empty()) {
            let read = file.read_at(room, filled as u64)?;
            filled += read;
            if read < WHOLE {
                break;
            }
        }
        std::str::from_utf8(self.0.get(..filled).unwrap_or_default()).map_err(|_| malformed())
    }
}

#[derive(Debug)]
pub(super) struct Files {
    unified: bool,
    cpu: File,
    memory: File,
    memory_stat: File,
    /// `None` where the kernel does not account for it.
    storage: Option<File>,
    /// `None` for a container that has the host's network, or none, or whose network is not ours to see.
    network: Option<File>,
}

impl Files {
    /// `NotFound` for a container that does not run.
    pub(super) fn open(cgroups: &Cgroups, proc: &Path, id: &DockerId) -> io::Result<Self> {
        let memory = cgroups.directory("memory", id)?;
        let network = network(proc, &memory);
        if cgroups.is_unified() {
            return Ok(Self {
                unified: true,
                cpu: File::open(memory.join("cpu.stat"))?,
                memory: File::open(memory.join("memory.current"))?,
                memory_stat: File::open(memory.join("memory.stat"))?,
                storage: File::open(memory.join("io.stat")).ok(),
                network,
            });
        }
        let cpu = cgroups.directory("cpuacct", id)?;
        let blkio = cgroups.directory("blkio", id).ok();
        // Kernels before 5.0 have no recursive one of the throttling policy; a container has no groups below its own anyway.
        let storage = blkio.and_then(|dir| {
            let names = ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"];
            names.iter().find_map(|name| File::open(dir.join(name)).ok())
        });
        Ok(Self {
            unified: false,
            cpu: File::open(cpu.join("cpuacct.usage"))?,
            memory: File::open(memory.join("memory.usage_in_bytes"))?,
            memory_stat: File::open(memory.join("memory.stat"))?,
            storage,
            network,
        })
    }

    /// An error, once the container is gone.
    pub(super) fn read(&self, buffer: &mut Buffer) -> io::Result<Reading> {
        let cpu = buffer.read(&self.cpu)?;
        let cpu_nanos = match self.unified {
            true => parse::entry(cpu, "usage_usec").map(|micros| micros.saturating_mul(1000)),
            false => parse::number(cpu),
        };
        let used = parse::number(buffer.read(&self.memory)?);
        // What the kernel could take back at once, as ECS counts it.
        let reclaimable = if self.unified { "inactive_file" } else { "cache" };
        let reclaimable = parse::entry(buffer.read(&self.memory_stat)?, reclaimable);
        let (Some(cpu_nanos), Some(used), Some(reclaimable)) = (cpu_nanos, used, reclaimable) else {
            return Err(malformed());
        };
        let storage = self.storage.as_ref().and_then(|file| buffer.read(file).ok());
        let storage = storage.map(|text| if self.unified { parse::io_stat(text) } else { parse::blkio(text) });
        let network = self.network.as_ref().and_then(|file| buffer.read(file).ok()).and_then(parse::net_dev);
        Ok(Reading { cpu_nanos, memory_bytes: used.saturating_sub(reclaimable), storage, network })
    }
}

/// The interfaces of the container, by way of any of its processes. The open file outlives the process.
fn network(proc: &Path, group: &Path) -> Option<File> {
    let processes = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    let process = proc.join(processes.lines().next()?);
    let namespace = |of: &Path| fs::metadata(of.join("ns/net")).map(|file| file.ino()).ok();
    let theirs = namespace(&process)?;
    // The host's counters are not the container's.
    (namespace(&proc.join("self"))? != theirs).then(|| File::open(process.join("net/dev")).ok())?
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a control group's file holds no such number")
}
