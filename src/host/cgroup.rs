//! What a container uses, read from its control groups: no question to Docker, whose stats cost it a second each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use node_core::DockerId;
use serde::Serialize;

/// The group that containers of jobs share where `block_imds` wants them told apart. systemd reads a dash as a level more.
pub(crate) const JOBS_GROUP: &str = "batchjobs";

const MIB: f64 = 1024.0 * 1024.0;

/// One container's use so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ContainerUsage {
    /// CPU time since its start, over all cores, in nanoseconds.
    pub(crate) cpu_nanos: u64,
    /// Without what the kernel could take back at once: as ECS counts it, usage minus page cache (v1) or minus inactive file
    /// pages (v2).
    pub(crate) memory_bytes: u64,
}

impl ContainerUsage {
    #[must_use]
    pub(crate) fn memory_mib(&self) -> f64 {
        self.memory_bytes as f64 / MIB
    }
}

/// The host's control groups: v1, v2, or both (then v1 has the controllers).
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    root: PathBuf,
    unified: bool,
}

impl Cgroups {
    pub(crate) fn new() -> Self {
        Self::at("/sys/fs/cgroup")
    }

    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let unified = root.join("cgroup.controllers").exists();
        Self { root, unified }
    }

    /// Version 2, with its one tree.
    pub(crate) fn is_unified(&self) -> bool {
        self.unified
    }

    /// A container's directory in the tree of a version 1 controller; version 2 has one tree for all of them.
    pub(super) fn directory(&self, controller: &str, id: &DockerId) -> io::Result<PathBuf> {
        if self.unified { group(&self.root, id) } else { group(&self.root.join(controller), id) }
    }

    /// Of a running container of Docker's, under the cgroup driver `cgroupfs` or `systemd`.
    ///
    /// # Errors
    /// `NotFound` if it does not run.
    pub(crate) fn usage(&self, id: &DockerId) -> io::Result<ContainerUsage> {
        if self.unified { self.usage_v2(id) } else { self.usage_v1(id) }
    }

    fn usage_v1(&self, id: &DockerId) -> io::Result<ContainerUsage> {
        let memory = group(&self.root.join("memory"), id)?;
        let cpu = group(&self.root.join("cpuacct"), id)?;
        let used = number(&memory.join("memory.usage_in_bytes"))?;
        let cache = entry(&memory.join("memory.stat"), "cache")?;
        Ok(ContainerUsage { cpu_nanos: number(&cpu.join("cpuacct.usage"))?, memory_bytes: used.saturating_sub(cache) })
    }

    fn usage_v2(&self, id: &DockerId) -> io::Result<ContainerUsage> {
        let group = group(&self.root, id)?;
        let used = number(&group.join("memory.current"))?;
        let inactive = entry(&group.join("memory.stat"), "inactive_file")?;
        Ok(ContainerUsage {
            cpu_nanos: entry(&group.join("cpu.stat"), "usage_usec")?.saturating_mul(1000),
            memory_bytes: used.saturating_sub(inactive),
        })
    }
}

/// Where Docker's two cgroup drivers put a container, by default and under [`JOBS_GROUP`].
fn group(controller: &Path, id: &DockerId) -> io::Result<PathBuf> {
    let places = [
        format!("docker/{id}"),
        format!("system.slice/docker-{id}.scope"),
        format!("{JOBS_GROUP}/{id}"),
        format!("{JOBS_GROUP}.slice/docker-{id}.scope"),
    ];
    places
        .iter()
        .map(|place| controller.join(place))
        .find(|path| path.is_dir())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("container {id} has no cgroup")))
}

fn number(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    text.trim().parse().map_err(|_| malformed(file))
}

/// The value of `key` in a file of `key value` lines.
fn entry(file: &Path, key: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| malformed(file))
}

fn malformed(file: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no such number", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn usage(files: &[(&str, &str)]) -> io::Result<ContainerUsage> {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), files);
        Cgroups::at(root.path()).usage(&DockerId::new("abc"))
    }

    #[test]
    fn version_1_under_cgroupfs() {
        let seen = usage(&[
            ("memory/docker/abc/memory.usage_in_bytes", "5242880\n"),
            ("memory/docker/abc/memory.stat", "cache 1048576\nrss 4194304\ntotal_cache 7\n"),
            ("cpuacct/docker/abc/cpuacct.usage", "123456789\n"),
            ("unified/cgroup.controllers", "\n"),
        ])
        .unwrap();
        assert_eq!(seen, ContainerUsage { cpu_nanos: 123_456_789, memory_bytes: 4_194_304 });
        assert!((seen.memory_mib() - 4.0).abs() < f64::EPSILON);
    }

    #[test]
    fn version_1_under_systemd() {
        let seen = usage(&[
            ("memory/system.slice/docker-abc.scope/memory.usage_in_bytes", "10\n"),
            ("memory/system.slice/docker-abc.scope/memory.stat", "cache 20\n"),
            ("cpuacct/system.slice/docker-abc.scope/cpuacct.usage", "1\n"),
        ]);
        assert_eq!(seen.unwrap(), ContainerUsage { cpu_nanos: 1, memory_bytes: 0 });
    }

    #[test]
    fn version_2_under_either_driver() {
        for place in
            ["docker/abc", "system.slice/docker-abc.scope", "batchjobs/abc", "batchjobs.slice/docker-abc.scope"]
        {
            let at = |file: &str| format!("{place}/{file}");
            let seen = usage(&[
                ("cgroup.controllers", "cpu memory\n"),
                (&at("memory.current"), "3145728\n"),
                (&at("memory.stat"), "anon 1\ninactive_file 1048576\nactive_file 5\n"),
                (&at("cpu.stat"), "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"),
            ]);
            assert_eq!(seen.unwrap(), ContainerUsage { cpu_nanos: 1_500_000, memory_bytes: 2_097_152 });
        }
    }

    #[test]
    fn a_container_that_does_not_run_is_not_found_and_nonsense_is_an_error() {
        assert_eq!(usage(&[]).unwrap_err().kind(), io::ErrorKind::NotFound);
        let nonsense = usage(&[
            ("memory/docker/abc/memory.usage_in_bytes", "much\n"),
            ("cpuacct/docker/abc/cpuacct.usage", "1\n"),
        ]);
        assert_eq!(nonsense.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_container_that_runs_here() {
        let docker = |words: &[&str]| {
            let output = std::process::Command::new("docker").args(words).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let id = docker(&["run", "-d", "--rm", "--network", "none", "busybox", "sleep", "60"]);
        let seen = Cgroups::new().usage(&DockerId::new(&id));
        docker(&["rm", "-f", &id]);
        let seen = seen.unwrap();
        assert!(seen.cpu_nanos > 0 && seen.memory_mib() < 1024.0, "{seen:?}");
    }
}
