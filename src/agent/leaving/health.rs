//! What makes a host unfit for new work and the core cannot see by itself: full disks, and GPUs that fail.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use node_core::{Ailment, Event, Finding};

use crate::agent::Agent;
use crate::docker::Docker;
use crate::host::gpu::GpuFinder;
use crate::host::usage;

/// Disks do not fill within seconds.
const DISK_LOOKS_APART: Duration = Duration::from_secs(30);
/// A full disk counts as well again when so much of it, in percent, is free that was not.
const RELIEF: u8 = 3;
/// Until the host offers GPUs there are none to watch.
const GPU_LOOKS_APART: Duration = Duration::from_secs(5);

impl Agent {
    /// Watches until the agent stops.
    pub(super) fn watch_health(&self) {
        let (events, docker) = (self.events.clone(), self.docker.clone());
        let (newest, data_dir) = (self.newest.subscribe(), self.config.data_dir.clone());
        self.work.spawn(self.stop.clone().run_until_cancelled_owned(async move {
            loop {
                let full = newest.borrow().disk_full;
                for event in disks(&docker, data_dir.clone(), full).await {
                    // The loop is gone only when the agent stops.
                    let _ = events.send(event).await;
                }
                tokio::time::sleep(DISK_LOOKS_APART).await;
            }
        }));
        if self.config.watch_gpus {
            let (events, gpus) = (self.events.clone(), Arc::clone(&self.gpus));
            self.work.spawn(self.stop.clone().run_until_cancelled_owned(async move {
                let fault = gpu_fault(&gpus).await;
                let _ = events.send(Event::Health(Ailment::GpuError, Finding::Sick(fault))).await;
            }));
        }
    }
}

/// Ends with the first fault. It is no use to look on: only a reset or another host mends such a GPU.
async fn gpu_fault(gpus: &GpuFinder) -> String {
    loop {
        let offered = gpus.known().map(|known| known.devices).unwrap_or_default();
        if !offered.is_empty()
            && let Some(fault) = gpus.fault(offered.into_iter().map(|gpu| gpu.uuid).collect()).await
        {
            return fault;
        }
        tokio::time::sleep(GPU_LOOKS_APART).await;
    }
}

async fn disks(docker: &Docker, data_dir: PathBuf, full: u8) -> Vec<Event> {
    let root = docker.root_dir().await;
    let look = move || {
        let places: Vec<_> = root.into_iter().chain([data_dir]).collect();
        places.into_iter().filter_map(|place| Some((usage::used_percent(&place)?, place))).collect::<Vec<_>>()
    };
    let Ok(found) = tokio::task::spawn_blocking(look).await else { return Vec::new() };
    let space = found.iter().map(|((space, _), place)| (*space, place));
    let inodes = found.iter().filter_map(|((_, inodes), place)| Some(((*inodes)?, place)));
    let space = finding("the disk", space.max_by_key(|(used, _)| *used), full);
    let inodes = finding("the table of inodes", inodes.max_by_key(|(used, _)| *used), full);
    let told = [(Ailment::DiskFull, space), (Ailment::InodesFull, inodes)];
    told.into_iter().filter_map(|(kind, finding)| Some(Event::Health(kind, finding?))).collect()
}

/// In between, what was before goes on.
fn finding(what: &str, worst: Option<(u8, &PathBuf)>, full: u8) -> Option<Finding> {
    let (used, place) = worst.filter(|_| full < 100)?;
    match used {
        used if used >= full => Some(Finding::Sick(format!("{what} of {} is {used} % full", place.display()))),
        used if used.saturating_add(RELIEF) <= full => Some(Finding::Well),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_sick_when_full_and_well_when_there_is_room_again() {
        let place = PathBuf::from("/d");
        let of = |used| finding("the disk", Some((used, &place)), 95);
        assert!(matches!(of(95), Some(Finding::Sick(text)) if text.contains("/d is 95 % full")));
        assert_eq!(of(94), None);
        assert_eq!(of(92), Some(Finding::Well));
        assert_eq!(finding("the disk", Some((100, &place)), 100), None);
    }
}
