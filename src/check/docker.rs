//! Docker: what its daemon says of itself, and who may ask it.

use std::path::Path;

use super::context::{Context, Daemon};
use super::host::users;
use super::{Outcome, Status};
use crate::docker::About;

/// Those that Docker's own documentation takes for current, and the one of containerd's image store.
const STORAGE: [&str; 4] = ["overlay2", "overlayfs", "btrfs", "zfs"];

pub(super) async fn reachable(context: &Context) -> Outcome {
    match context.docker().await {
        Ok(Daemon { version, .. }) => Outcome::ok(format!(
            "Docker {} speaks Engine API {}; it must be 1.41 or newer",
            version.engine, version.api
        )),
        Err(why) if why.contains("Permission denied") => {
            Outcome::failure(why.to_owned()).fix("run this as root, or as a member of the group `docker`")
        }
        Err(why) if why.contains("1.41") => Outcome::failure(why.to_owned())
            .fix("install Docker Engine 20.10 or newer: see docs.docker.com/engine/install"),
        Err(why) => Outcome::failure(why.to_owned()),
    }
}

pub(super) fn storage(about: &About) -> Outcome {
    match about.storage_driver.as_str() {
        driver if STORAGE.contains(&driver) => Outcome::ok(format!("storage driver {driver}")),
        driver => Outcome::warning(format!("storage driver {driver:?} is slow or no longer maintained")),
    }
}

/// `here` is whether this machine has cgroup version 2.
pub(super) fn cgroups(about: &About, here: bool, usable: Result<(), String>) -> Outcome {
    let (version, driver) = (about.cgroup_version.as_str(), about.cgroup_driver.as_str());
    let mine = if here { "2" } else { "1" };
    if !version.is_empty() && version != mine {
        return Outcome::failure(format!("Docker uses cgroup version {version}, and this machine shows version {mine}"))
            .fix("run the agent on the host itself, with the host's /sys/fs/cgroup; restart Docker after a change of version");
    }
    match usable {
        Err(why) => Outcome::failure(format!("no figures of containers can be read: {why}")),
        Ok(()) if version == "2" && driver == "cgroupfs" => Outcome::warning(
            "cgroup version 2 with Docker's driver cgroupfs: systemd and Docker both write to one tree",
        )
        .fix("set \"exec-opts\": [\"native.cgroupdriver=systemd\"] in /etc/docker/daemon.json and restart Docker"),
        Ok(()) => Outcome::ok(format!("cgroup version {mine}, driver {driver}")),
    }
}

pub(super) fn limits(about: &About) -> Outcome {
    match (about.limits_memory, about.limits_swap) {
        (false, _) => Outcome::failure("Docker cannot limit the memory of containers: a job could take the host's")
            .fix("boot with the memory controller on: cgroup_enable=memory on the kernel's command line"),
        (true, false) => Outcome::warning("Docker cannot limit swap: maxSwap of job definitions does nothing")
            .fix("boot with swapaccount=1 on the kernel's command line, or use cgroup version 2"),
        (true, true) => Outcome::ok("memory and swap of containers are limited"),
    }
}

pub(super) fn log_drivers(about: &About, offered: Option<&[String]>) -> Outcome {
    let has = |name: &str| about.log_drivers.iter().any(|driver| driver == name);
    let offers = |name: &str| offered.is_none_or(|offered| offered.iter().any(|driver| driver == name));
    if let Some(absent) = offered.and_then(|offered| offered.iter().find(|name| *name != "none" && !has(name))) {
        return Outcome::failure(format!("the key logging_drivers names {absent}, which Docker has not got"))
            .fix("take it out of logging_drivers, or install Docker's plug-in for it");
    }
    if !has("awslogs") {
        return Outcome::failure("Docker has no log driver awslogs: jobs that do not choose another one stay RUNNABLE");
    }
    if !offers("awslogs") {
        return Outcome::warning(
            "logging_drivers leaves awslogs out: jobs that do not choose another one stay RUNNABLE",
        )
        .fix("add awslogs to logging_drivers");
    }
    let listed: Vec<&str> = about.log_drivers.iter().map(String::as_str).filter(|name| offers(name)).collect();
    Outcome::ok(listed.join(", "))
}

pub(super) fn live_restore(about: &About) -> Outcome {
    match about.live_restore {
        true => Outcome::ok("live-restore is on: jobs survive a restart of Docker"),
        false => Outcome::warning("live-restore is off: a restart of Docker, such as by an upgrade, kills every job"),
    }
}

pub(super) fn warnings(about: &About) -> Outcome {
    // The same as docker.limits has them.
    let other: Vec<&str> =
        about.warnings.iter().map(String::as_str).filter(|text| !text.contains("limit support")).collect();
    match other.is_empty() {
        true => Outcome::ok("Docker warns of nothing"),
        false => Outcome::warning(other.join("; ")),
    }
}

/// Whether the unit's user may use Docker's socket: by the group that the socket belongs to.
pub(super) fn permission(context: &Context) -> Outcome {
    let config = match context.config() {
        Ok(config) => config,
        Err(skipped) => return skipped,
    };
    let (passwd, groups) = (context.text("/etc/passwd"), context.text("/etc/group"));
    let Some(docker) = users::group(&groups, "docker") else {
        return Outcome::failure("there is no group `docker`, which the unit's user gets Docker's socket through")
            .fix("groupadd --system docker, and restart docker.socket or docker.service");
    };
    let owner = users::owner(&context.path(&config.docker_socket));
    let socket = match owner {
        Some((_, group, mode)) => users::socket(&config.docker_socket, group, mode, docker.id),
        None => Outcome::ok("the socket comes with Docker's start, for the group `docker`"),
    };
    match users::user(&passwd, users::AGENT) {
        Some(_) => socket,
        None if socket.status == Status::Failure => socket,
        None => {
            Outcome::skipped(format!("there is no user {}: the agent is not installed from its package", users::AGENT))
        }
    }
}

/// Whether dockerd is there at all, for an image in which it does not run.
pub(super) fn installed(context: &Context) -> Outcome {
    const PLACES: [&str; 4] = ["/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", "/snap/bin/dockerd"];
    match PLACES.iter().find(|place| context.path(Path::new(place)).exists()) {
        Some(place) => Outcome::ok(format!("{place} is there")),
        None => Outcome::failure("dockerd is in none of the usual places"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            storage_driver: "overlay2".into(),
            cgroup_driver: "systemd".into(),
            cgroup_version: "2".into(),
            log_drivers: ["awslogs", "json-file"].map(str::to_owned).to_vec(),
            live_restore: true,
            limits_memory: true,
            limits_swap: true,
            ..About::default()
        }
    }

    #[test]
    fn a_sound_daemon_passes() {
        let about = about();
        let all = [
            storage(&about),
            cgroups(&about, true, Ok(())),
            limits(&about),
            log_drivers(&about, None),
            live_restore(&about),
            warnings(&about),
        ];
        assert!(all.iter().all(|outcome| outcome.status == Status::Ok), "{all:?}");
    }

    #[test]
    fn a_missing_log_driver_is_the_reason_for_waiting_jobs() {
        let without = About { log_drivers: vec!["json-file".into()], ..about() };
        assert_eq!(log_drivers(&without, None).status, Status::Failure);
        let offered = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(log_drivers(&about(), Some(&offered(&["json-file", "none"]))).status, Status::Warning);
        let absent = log_drivers(&about(), Some(&offered(&["awslogs", "splunk"])));
        assert!(absent.status == Status::Failure && absent.found.contains("splunk"));
        assert_eq!(log_drivers(&about(), Some(&offered(&["awslogs"]))).found, "awslogs");
    }

    #[test]
    fn control_groups_must_be_the_same_for_docker_and_the_agent() {
        let of = |version: &str, driver: &str| About {
            cgroup_version: version.into(),
            cgroup_driver: driver.into(),
            ..about()
        };
        assert_eq!(cgroups(&of("2", "systemd"), false, Ok(())).status, Status::Failure);
        assert_eq!(cgroups(&of("2", "cgroupfs"), true, Ok(())).status, Status::Warning);
        assert_eq!(cgroups(&of("1", "cgroupfs"), false, Ok(())).status, Status::Ok);
        assert_eq!(cgroups(&of("1", "cgroupfs"), false, Err("no cpuacct".into())).status, Status::Failure);
        // An old daemon does not say.
        assert_eq!(cgroups(&of("", "cgroupfs"), false, Ok(())).status, Status::Ok);
    }

    #[test]
    fn what_jobs_would_miss_is_a_warning() {
        assert_eq!(storage(&About { storage_driver: "vfs".into(), ..about() }).status, Status::Warning);
        assert_eq!(limits(&About { limits_swap: false, ..about() }).status, Status::Warning);
        assert_eq!(limits(&About { limits_memory: false, ..about() }).status, Status::Failure);
        assert_eq!(live_restore(&About { live_restore: false, ..about() }).status, Status::Warning);
        let warned = |text: &str| warnings(&About { warnings: vec![text.into()], ..about() }).status;
        assert_eq!(warned("WARNING: bridge-nf-call-iptables is disabled"), Status::Warning);
        assert_eq!(warned("WARNING: No swap limit support"), Status::Ok);
    }
}
