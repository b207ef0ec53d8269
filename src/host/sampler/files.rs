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

/// A container that has not moved is read whole at every so many looks all the same: the kernel may write back or reclaim for it.
const WHOLE_EVERY: u32 = 5;
/// Looks for a container's interfaces until it counts as one without: while it starts, its first process is still on the host's.
const NETWORK_LOOKS: u32 = 5;

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
    /// The control group's own inode.
    group: u64,
    cpu: File,
    memory: File,
    memory_stat: File,
    /// `None` where the kernel does not account for it.
    storage: Option<File>,
    network: Interfaces,
    last: Option<Look>,
}

/// A container's network interfaces.
#[derive(Debug)]
enum Interfaces {
    Seen(File),
    /// Looked for so many times: it has the host's network, or none, or one that is not ours to see, or it only starts.
    Unseen(u32),
}

/// What was read last, and how often it was found unchanged since it was read whole.
#[derive(Debug, Clone, Copy)]
struct Look {
    cpu_nanos: u64,
    used: u64,
    reclaimable: u64,
    storage: Option<Storage>,
    unchanged: u32,
}

impl Files {
    /// `NotFound` for a container that does not run.
    pub(super) fn open(cgroups: &Cgroups, id: &DockerId) -> io::Result<Self> {
        let memory = cgroups.directory("memory", id)?;
        let (network, last) = (Interfaces::Unseen(0), None);
        let group = fs::metadata(&memory)?.ino();
        if cgroups.is_unified() {
            return Ok(Self {
                unified: true,
                group,
                cpu: File::open(memory.join("cpu.stat"))?,
                memory: File::open(memory.join("memory.current"))?,
                memory_stat: File::open(memory.join("memory.stat"))?,
                storage: File::open(memory.join("io.stat")).ok(),
                network,
                last,
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
            group,
            cpu: File::open(cpu.join("cpuacct.usage"))?,
            memory: File::open(memory.join("memory.usage_in_bytes"))?,
            memory_stat: File::open(memory.join("memory.stat"))?,
            storage,
            network,
            last,
        })
    }

    pub(super) fn group(&self) -> u64 {
        self.group
    }

    /// Looks for the container's interfaces, as long as it is worth it.
    pub(super) fn seek_network(&mut self, cgroups: &Cgroups, proc: &Path, id: &DockerId) {
        let Interfaces::Unseen(looks) = &mut self.network else { return };
        if *looks == NETWORK_LOOKS {
            return;
        }
        *looks += 1;
        let group = cgroups.directory("memory", id);
        if let Some(file) = group.ok().and_then(|group| network(proc, &group, id)) {
            self.network = Interfaces::Seen(file);
        }
    }

    /// An error, once the container is gone.
    pub(super) fn read(&mut self, buffer: &mut Buffer) -> io::Result<Reading> {
        let cpu = buffer.read(&self.cpu)?;
        let cpu_nanos = match self.unified {
            true => parse::entry(cpu, "usage_usec").map(|micros| micros.saturating_mul(1000)),
            false => parse::number(cpu),
        };
        let used = parse::number(buffer.read(&self.memory)?);
        let (Some(cpu_nanos), Some(used)) = (cpu_nanos, used) else {
            return Err(malformed());
        };
        let look = self.look(cpu_nanos, used, buffer)?;
        self.last = Some(look);
        let network = match &self.network {
            Interfaces::Seen(file) => buffer.read(file).ok().and_then(parse::net_dev),
            Interfaces::Unseen(_) => None,
        };
        let memory_bytes = used.saturating_sub(look.reclaimable);
        Ok(Reading { cpu_nanos, memory_bytes, storage: look.storage, network })
    }

    /// The rest of what the control groups tell. Who has not run since the last look, and holds as much memory, has the page
    /// cache and the block I/O that it had: the two files that cost the kernel most are not read for it.
    fn look(&self, cpu_nanos: u64, used: u64, buffer: &mut Buffer) -> io::Result<Look> {
        let still = self.last.filter(|last| (last.cpu_nanos, last.used) == (cpu_nanos, used));
        if let Some(last) = still.filter(|last| last.unchanged + 1 < WHOLE_EVERY) {
            return Ok(Look { unchanged: last.unchanged + 1, ..last });
        }
        // What the kernel could take back at once, as ECS counts it.
        let stat = buffer.read(&self.memory_stat)?;
        let reclaimable = match self.unified {
            true => parse::entry(stat, "inactive_file").or_else(|| parse::entry(stat, "cache")),
            false => parse::entry(stat, "cache"),
        };
        let reclaimable = reclaimable.ok_or_else(malformed)?;
        let storage = self.storage.as_ref().and_then(|file| buffer.read(file).ok());
        let storage = storage.map(|text| if self.unified { parse::io_stat(text) } else { parse::blkio(text) });
        Ok(Look { cpu_nanos, used, reclaimable, storage, unchanged: 0 })
    }
}

/// The interfaces of the container, by way of any of its processes. The open file outlives the process.
fn network(proc: &Path, group: &Path, id: &DockerId) -> Option<File> {
    let processes = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    let process = proc.join(processes.lines().next()?);
    let namespace = |of: &Path| fs::metadata(of.join("ns/net")).map(|file| file.ino()).ok();
    let theirs = namespace(&process)?;
    // The host's counters are not the container's.
    let file = (namespace(&proc.join("self"))? != theirs).then(|| File::open(process.join("net/dev")).ok())??;
    // Only now: the process may have ended meanwhile, and its number be another's.
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    groups.contains(id.as_str()).then_some(file)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a control group's file holds no such number")
}
