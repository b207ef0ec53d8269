//! Carrying out what the core asks for when the host leaves, and watching the host for reasons to leave. Every question gets
//! an answer, or the core would wait for it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use node_core::{
    Ailment, ApiFailure, Command, Deadline, Event, Facts, Finding, Interruption, OpFailure, Rng, Rung, Source,
    Timestamp, Waiting,
};
use serde_json::json;
use tracing::Span;

use super::Agent;
use super::identify::Cloud;
use crate::config::{Config, Home};
use crate::docker::Docker;
use crate::host::gpu::GpuFinder;
use crate::host::{notices, resources, usage};
use crate::instance::poweroff::Machine;
use crate::instance::{autoscaling, ec2, queues};

/// Looks at the metadata service are up to this much later than configured, so that a fleet does not ask in step.
const JITTER: Duration = Duration::from_secs(2);
/// Disks do not fill within seconds.
const DISK_LOOKS_APART: Duration = Duration::from_secs(30);
/// A full disk counts as well again when so much of it, in percent, is free that was not.
const RELIEF: u8 = 3;
/// A group that ends the host and does not tell its hooks is asked this often before it is taken to have none.
const HOOK_TRIES: u32 = 6;

impl Agent {
    pub(super) fn carry_out_leaving(&self, command: Command) {
        let here = Span::current();
        match command {
            Command::Signal { name, id, task, signal } => {
                let docker = self.docker.clone();
                self.spawn(self.task_span(&task), async move {
                    let result = docker.signal(&id, signal.as_str()).await;
                    Some(Event::Signalled(name, result))
                });
            }
            Command::PublishDeadline(deadline) => self.publish(deadline),
            // The shutdown is held up by `drain --host-shutdown --wait`, which sees the phase.
            Command::LetGo => {}
            Command::PowerOff => {
                self.spawn(here, async move { Some(Event::EndTried(Rung::PowerOff, Machine::look().power_off())) });
            }
            _ => match self.cloud.clone() {
                Some(cloud) => {
                    let (config, gpus) = (Arc::clone(&self.config), Arc::clone(&self.gpus));
                    self.spawn(here, async move { ask(&cloud, &config, &gpus, command).await });
                }
                None => self.spawn(here, async move { refusal(&command) }),
            },
        }
    }

    fn publish(&self, deadline: Option<Deadline>) {
        let path = deadline_file(&self.config);
        let written = match &deadline {
            Some(deadline) => write_deadline(&path, deadline),
            None => remove(&path),
        };
        if let Err(error) = written {
            tracing::warn!("jobs cannot read the host's deadline in {}: {error}", path.display());
        }
    }

    /// Watches the metadata service and the disks, until the agent stops.
    pub(super) fn watch_host(&self, cloud: Arc<Cloud>) {
        let (events, stop) = (self.events.clone(), self.stop.clone());
        let newest = self.newest.subscribe();
        let clock = self.clock;
        self.work.spawn(stop.run_until_cancelled_owned(async move {
            let mut rng = Rng::new(uuid::Uuid::new_v4().as_u64_pair().0);
            let mut watch = Watch::default();
            loop {
                for event in watch.look(&cloud, clock.now()).await {
                    // The loop is gone only when the agent stops.
                    let _ = events.send(event).await;
                }
                let every = newest.borrow().notice_interval;
                tokio::time::sleep(every + rng.between(Duration::ZERO, JITTER.min(every))).await;
            }
        }));
        let (events, stop, docker) = (self.events.clone(), self.stop.clone(), self.docker.clone());
        let (newest, data_dir) = (self.newest.subscribe(), self.config.data_dir.clone());
        self.work.spawn(stop.run_until_cancelled_owned(async move {
            loop {
                let full = newest.borrow().disk_full;
                for event in disks(&docker, data_dir.clone(), full).await {
                    let _ = events.send(event).await;
                }
                tokio::time::sleep(DISK_LOOKS_APART).await;
            }
        }));
    }
}

/// What stood at the last look: only what stood can vanish.
#[derive(Default)]
struct Watch {
    standing: BTreeSet<Source>,
    hook_tries: u32,
}

impl Watch {
    async fn look(&mut self, cloud: &Cloud, now: Timestamp) -> Vec<Event> {
        let mut seen = notices::look(&cloud.imds, now).await;
        match notices::scaled_in(&cloud.imds).await {
            Some(false) => {
                self.hook_tries = 0;
                seen.push((Source::ScaleIn, None));
            }
            Some(true) => seen.extend(self.scale_in(cloud).await.map(|found| (Source::ScaleIn, Some(found)))),
            None => {}
        }
        let mut events = Vec::new();
        for (source, found) in seen {
            match found {
                Some(interruption) => {
                    self.standing.insert(source);
                    events.push(Event::Interruption(interruption));
                }
                None if self.standing.remove(&source) => events.push(Event::InterruptionCancelled(source)),
                None => {}
            }
        }
        events
    }

    async fn scale_in(&mut self, cloud: &Cloud) -> Option<Interruption> {
        // It was told already, with its hook: that does not change.
        if self.standing.contains(&Source::ScaleIn) {
            return None;
        }
        match autoscaling::hook(&cloud.clients.autoscaling, &cloud.instance).await {
            Ok(hook) => Some(Interruption::ScaleIn { hook }),
            Err(failure) => {
                self.hook_tries += 1;
                tracing::warn!("the group ends this host, and does not tell its hooks: {}", failure.text());
                (self.hook_tries >= HOOK_TRIES).then_some(Interruption::ScaleIn { hook: None })
            }
        }
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

async fn ask(cloud: &Cloud, config: &Config, gpus: &GpuFinder, command: Command) -> Option<Event> {
    let (group, instance) = (&cloud.clients.autoscaling, &cloud.instance);
    Some(match command {
        Command::LookForWork => Event::WorkFound(waiting(cloud, config, gpus).await),
        Command::Preflight => Event::Preflight(facts(cloud).await),
        Command::TerminateInGroup { decrement } => {
            Event::EndTried(Rung::Group, autoscaling::terminate(group, instance, decrement).await)
        }
        Command::MarkUnhealthy => Event::EndTried(Rung::Unhealthy, autoscaling::mark_unhealthy(group, instance).await),
        Command::CompleteHook(hook) => Event::EndTried(Rung::Hook, autoscaling::complete(group, instance, &hook).await),
        Command::Heartbeat(hook) => Event::HeartbeatRecorded(autoscaling::heartbeat(group, instance, &hook).await),
        Command::Protect(on) => Event::Protected(on, autoscaling::protect(group, instance, on).await),
        _ => return None,
    })
}

async fn facts(cloud: &Cloud) -> Result<Facts, ApiFailure> {
    let (group, may_terminate) = tokio::join!(
        autoscaling::facts(&cloud.clients.autoscaling, &cloud.instance),
        ec2::may_terminate(&cloud.clients.ec2, &cloud.instance)
    );
    Ok(Facts { group: group?, may_terminate })
}

async fn waiting(cloud: &Cloud, config: &Config, gpus: &GpuFinder) -> Result<Waiting, ApiFailure> {
    let batch = &cloud.clients.batch;
    let name = match &config.home {
        Home::ComputeEnvironment(name) => Some(name.as_str()),
        Home::Cluster(_) => None,
    };
    let room = resources::detect(resources::Overrides {
        cpu_shares: config.cpu.map(crate::config::Vcpus::cpu_units),
        memory_mib: config.memory.map(|m| i32::try_from(m.0).unwrap_or(i32::MAX)),
        reserved_memory_mib: u32::try_from(config.reserved_memory.0).unwrap_or(u32::MAX),
    })
    .map_err(|error| ApiFailure::Rejected(error.to_string()))?;
    let room = queues::Room {
        vcpus: f64::from(room.cpu_shares) / 1024.0,
        memory_mib: f64::from(room.memory_mib),
        gpus: gpus.known().map_or(0.0, |gpus| gpus.devices.len() as f64),
    };
    match queues::environment(batch, name, cloud.cluster.as_str()).await? {
        Some(environment) => queues::waiting(batch, &environment, room).await,
        None => Ok(Waiting::default()),
    }
}

/// Before the host knows who it is.
fn refusal(command: &Command) -> Option<Event> {
    let no = || ApiFailure::Unavailable("this host does not know who it is yet".to_owned());
    Some(match command {
        Command::LookForWork => Event::WorkFound(Err(no())),
        Command::Preflight => Event::Preflight(Err(no())),
        Command::TerminateInGroup { .. } => Event::EndTried(Rung::Group, Err(no())),
        Command::MarkUnhealthy => Event::EndTried(Rung::Unhealthy, Err(no())),
        Command::CompleteHook(_) => Event::EndTried(Rung::Hook, Err(no())),
        Command::Heartbeat(_) => Event::HeartbeatRecorded(Err(no())),
        Command::Protect(on) => Event::Protected(*on, Err(no())),
        Command::Signal { name, .. } => Event::Signalled(name.clone(), Err(OpFailure::Missing)),
        _ => return None,
    })
}

fn deadline_file(config: &Config) -> PathBuf {
    config.admin_socket.with_file_name("deadline.json")
}

pub(super) fn forget_deadline(config: &Config) {
    if let Err(error) = remove(&deadline_file(config)) {
        tracing::warn!(%error, "an old deadline cannot be removed");
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whole or not at all, and for every user of the host to read.
fn write_deadline(path: &Path, deadline: &Deadline) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let left = deadline.at.since(now()).as_secs();
    let body = json!({
        "at_ms": deadline.at.0,
        "cause": deadline.cause.as_str(),
        "text": deadline.text,
        "kills": deadline.kills,
        "seconds_left": left,
    });
    let draft = path.with_extension("json.new");
    std::fs::write(&draft, format!("{body}\n"))?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o644))?;
    std::fs::rename(&draft, path)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use node_core::Cause;

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

    #[test]
    fn a_deadline_is_a_file_that_everyone_may_read_and_that_goes() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deadline.json");
        let deadline =
            Deadline { at: now().after(Duration::from_secs(90)), cause: Cause::Spot, text: "t".into(), kills: true };
        write_deadline(&path, &deadline).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        let body: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((&body["cause"], &body["kills"]), (&json!("spot"), &json!(true)));
        assert_eq!(body["at_ms"], deadline.at.0);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }
}
