//! The control group of all jobs' containers. On the host's network nothing else tells a job's packets from the host's own.

use std::io::ErrorKind;
use std::path::Path;

use super::Confinement;
use crate::docker::Groups;
use crate::host::cgroup::JOBS_GROUP;

const ROOT: &str = "/sys/fs/cgroup";

/// The group: for Docker, and its path below the root for the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) confinement: Confinement,
    pub(super) path: String,
}

/// Sees to it that the group is there; the kernel takes no rule for one that is not.
pub(super) fn ready(groups: &Groups) -> Result<Group, String> {
    let group = choose(groups)?;
    let path = Path::new(ROOT).join(&group.path);
    if path.is_dir() {
        return Ok(group);
    }
    if groups.by_systemd {
        return Err(format!(
            "systemd has not made the control group of jobs: systemctl enable --now {JOBS_GROUP}.slice"
        ));
    }
    match std::fs::create_dir(&path) {
        Ok(()) => Ok(group),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(group),
        Err(error) => Err(format!("{} cannot be made ({error}): make it as root at each boot", path.display())),
    }
}

fn choose(groups: &Groups) -> Result<Group, String> {
    let (cgroup_parent, path) = match groups {
        Groups { version_2: false, .. } => {
            return Err(
                "this host has version 1 of control groups, by which jobs cannot be told apart: use version 2".into()
            );
        }
        Groups { by_systemd: true, .. } => ("batchjobs.slice", format!("{JOBS_GROUP}.slice")),
        Groups { by_systemd: false, .. } => ("/batchjobs", JOBS_GROUP.to_owned()),
    };
    Ok(Group { confinement: Confinement { cgroup_parent }, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_and_the_kernel_name_the_same_group() {
        let chosen = |by_systemd| choose(&Groups { version_2: true, by_systemd }).unwrap();
        for (group, parent) in [(chosen(true), "batchjobs.slice"), (chosen(false), "/batchjobs")] {
            assert_eq!(group.confinement.cgroup_parent, parent);
            assert_eq!(group.path, parent.trim_start_matches('/'));
        }
        assert!(choose(&Groups { version_2: false, by_systemd: true }).unwrap_err().contains("version 1"));
    }
}
