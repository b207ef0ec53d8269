//! The kernel, swap, and the limits of dockerd's process.

use super::super::{Context, Outcome};
use crate::host::cgroup::Cgroups;

/// What the kernel that Amazon Linux 2 began with had; Docker and the agent want no more.
const OLDEST: (u32, u32) = (4, 14);
/// Files that dockerd and, through it, containers may have open: fewer, and a host with many jobs runs out of them.
const FILES: u64 = 65_536;
/// Without these no figure of a container can be read: those of version 2, then of version 1.
const UNIFIED: [&str; 2] = ["cpu", "memory"];
const SEPARATE: [&str; 2] = ["memory", "cpuacct"];

pub(in crate::check) fn release(context: &Context) -> Outcome {
    judge_release(context.text("/proc/sys/kernel/osrelease").trim())
}

fn judge_release(release: &str) -> Outcome {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST => {
            Outcome::warning(format!("Linux {release} is older than {}.{}", OLDEST.0, OLDEST.1))
        }
        (Some(Ok(_)), Some(Ok(_))) => Outcome::ok(format!("Linux {release}")),
        _ => Outcome::skipped(format!("the kernel calls itself {release:?}")),
    }
}

/// Whether the control groups hold what telemetry reads.
pub(in crate::check) fn controllers(context: &Context) -> Result<(), String> {
    let cgroups = Cgroups::at(context.path("/sys/fs/cgroup"));
    let missing = match cgroups.is_unified() {
        true => {
            let on = context.text("/sys/fs/cgroup/cgroup.controllers");
            UNIFIED.into_iter().find(|name| !on.split_whitespace().any(|have| have == *name))
        }
        false => SEPARATE.into_iter().find(|name| !context.path(format!("/sys/fs/cgroup/{name}")).is_dir()),
    };
    missing.map_or(Ok(()), |name| Err(format!("/sys/fs/cgroup has no controller {name}")))
}

pub(in crate::check) fn is_unified(context: &Context) -> bool {
    Cgroups::at(context.path("/sys/fs/cgroup")).is_unified()
}

pub(in crate::check) fn swap(context: &Context) -> Outcome {
    judge_swap(&context.text("/proc/meminfo"))
}

fn judge_swap(meminfo: &str) -> Outcome {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("SwapTotal:"));
    match line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok()) {
        Some(0) => Outcome::ok("no swap: maxSwap of job definitions does nothing, and memory is what it seems"),
        Some(kib) => Outcome::ok(format!("{} MiB of swap, for jobs with maxSwap", kib / 1024)),
        None => Outcome::skipped("/proc/meminfo does not say"),
    }
}

pub(in crate::check) fn open_files(context: &Context) -> Outcome {
    let Ok(processes) = std::fs::read_dir(context.path("/proc")) else {
        return Outcome::skipped("there is no /proc");
    };
    let mut processes = processes.flatten().map(|entry| entry.path());
    let dockerd = processes
        .find(|process| std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "dockerd"));
    let Some(dockerd) = dockerd else { return Outcome::skipped("dockerd does not run on this machine") };
    judge_files(&std::fs::read_to_string(dockerd.join("limits")).unwrap_or_default())
}

fn judge_files(limits: &str) -> Outcome {
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")).map(str::split_whitespace);
    match soft.and_then(|mut words| words.next()) {
        Some("unlimited") => Outcome::ok("dockerd may open any number of files"),
        Some(number) => match number.parse::<u64>() {
            Ok(files) if files < FILES => Outcome::warning(format!("dockerd may open {files} files only")),
            Ok(files) => Outcome::ok(format!("dockerd may open {files} files")),
            Err(_) => Outcome::skipped("the limits of dockerd's process cannot be read"),
        },
        None => Outcome::skipped("the limits of dockerd's process cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(judge_release("6.1.115-126.197.amzn2023.x86_64").status, Status::Ok);
        assert_eq!(judge_release("4.14.355-275.582.amzn2.x86_64").status, Status::Ok);
        assert_eq!(judge_release("4.9.0").status, Status::Warning);
        assert_eq!(judge_release("").status, Status::Skipped);
    }

    #[test]
    fn limits_and_swap_are_read_as_the_kernel_writes_them() {
        let limits =
            |soft: &str| format!("Limit  Soft Limit  Hard Limit  Units\nMax open files  {soft}  524288  files\n");
        assert_eq!(judge_files(&limits("1024")).status, Status::Warning);
        assert_eq!(judge_files(&limits("1048576")).status, Status::Ok);
        assert_eq!(judge_files(&limits("unlimited")).status, Status::Ok);
        assert_eq!(judge_files("").status, Status::Skipped);
        assert!(judge_swap("MemTotal: 1 kB\nSwapTotal:  2097148 kB\n").found.starts_with("2047 MiB"));
        assert!(judge_swap("SwapTotal: 0 kB\n").found.starts_with("no swap"));
    }

    #[test]
    fn telemetry_needs_its_controllers() {
        let root = tempfile::tempdir().unwrap();
        let context = Context::below(root.path());
        assert!(controllers(&context).unwrap_err().contains("memory"));
        std::fs::create_dir_all(root.path().join("sys/fs/cgroup")).unwrap();
        std::fs::write(root.path().join("sys/fs/cgroup/cgroup.controllers"), "cpuset cpu io\n").unwrap();
        assert!(is_unified(&context));
        assert!(controllers(&context).unwrap_err().contains("memory"));
        std::fs::write(root.path().join("sys/fs/cgroup/cgroup.controllers"), "cpuset cpu io memory\n").unwrap();
        assert_eq!(controllers(&context), Ok(()));
    }
}
