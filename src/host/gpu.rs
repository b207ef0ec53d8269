//! NVIDIA's GPUs, through NVML: which there are, and whether this host may offer them to jobs.
//!
//! The library comes with the driver and is loaded when it is needed, so one AMI serves hosts with and without GPUs. On a first
//! boot the driver may be ready minutes after the agent: while the PCI bus shows more GPUs than NVML does, a young host waits.

mod faults;
mod nvml;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// NVML brings sleeping GPUs up one by one, for seconds each.
const LOOK_LIMIT: Duration = Duration::from_secs(60);
const PCI_DEVICES: &str = "/sys/bus/pci/devices";
const NVIDIA: &str = "0x10de";
/// VGA and 3D controllers.
const DISPLAY_CLASSES: [&str; 2] = ["0x0300", "0x0302"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gpu {
    /// `GPU-` and 36 characters: what ECS assigns, and what NVIDIA's container runtime is told.
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) memory_mib: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gpus {
    pub(crate) devices: Vec<Gpu>,
    pub(crate) driver: Option<String>,
    /// What is wrong with GPUs that this host has and does not offer.
    pub(crate) trouble: Option<String>,
}

impl Gpus {
    fn without(trouble: String) -> Self {
        Self { trouble: Some(trouble), ..Self::default() }
    }
}

/// The key `gpus`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum GpuChoice {
    #[default]
    All,
    None,
    /// Those with these UUIDs.
    Only(Vec<String>),
}

/// GPUs do not fail by the second, and XID errors are heard at once.
const FAULT_LOOKS_APART: Duration = Duration::from_secs(30);
/// NVML that does not start any more is asked this often, so far apart, before the host is taken to be sick.
const FAULT_TRIES: u32 = 4;
const FAULT_TRIES_APART: Duration = Duration::from_secs(30);

/// What the host is looked at with.
pub(crate) trait Source: Send + Sync {
    /// GPUs on the PCI bus, ready or not.
    fn hardware(&self) -> usize;
    /// What the driver says; a text for people where it says nothing.
    fn driver(&self) -> Result<Gpus, String>;
    fn uptime(&self) -> Duration;
    /// Waits for a fault of one of these GPUs, while `watched_on` says so; `Err` where the driver says nothing.
    fn fault(&self, offered: &[String], watched_on: &dyn Fn() -> bool) -> Result<Option<String>, String>;
}

/// This machine.
pub(crate) struct Host;

impl Source for Host {
    fn hardware(&self) -> usize {
        count_hardware(Path::new(PCI_DEVICES))
    }

    fn driver(&self) -> Result<Gpus, String> {
        nvml::look()
    }

    fn uptime(&self) -> Duration {
        sysinfo::System::uptime().map_or(Duration::MAX, Duration::from_secs)
    }

    fn fault(&self, offered: &[String], watched_on: &dyn Fn() -> bool) -> Result<Option<String>, String> {
        nvml::with(&nvml::LIBRARIES, |nvml| faults::watch(nvml, offered, FAULT_LOOKS_APART, watched_on))?
    }
}

fn count_hardware(devices: &Path) -> usize {
    let is_gpu = |device: &Path| {
        let read = |file: &str| std::fs::read_to_string(device.join(file)).unwrap_or_default();
        read("vendor").trim() == NVIDIA && DISPLAY_CLASSES.iter().any(|class| read("class").starts_with(class))
    };
    let entries = std::fs::read_dir(devices).into_iter().flatten().flatten();
    entries.filter(|entry| is_gpu(&entry.path())).count()
}

/// Looks for GPUs at each registration, and remembers what was found.
pub(crate) struct GpuFinder {
    choice: GpuChoice,
    /// How old, since its boot, a host is when it no longer waits for a driver.
    patience: Duration,
    source: Arc<dyn Source>,
    known: Mutex<Option<Gpus>>,
    /// A look that is under way: a driver that hangs holds one thread, not one for each registration.
    looking: Mutex<Option<watch::Receiver<Option<Gpus>>>>,
}

/// The host is young, and its GPUs are not ready: what it waits for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("waiting for the host's GPUs, until {} s after its boot: {why}", patience.as_secs())]
pub(crate) struct NotYet {
    why: String,
    patience: Duration,
}

impl GpuFinder {
    pub(crate) fn new(choice: GpuChoice, patience: Duration) -> Self {
        Self::with(Arc::new(Host), choice, patience)
    }

    fn with(source: Arc<dyn Source>, choice: GpuChoice, patience: Duration) -> Self {
        Self { choice, patience, source, known: Mutex::default(), looking: Mutex::default() }
    }

    /// What the last look found; `None` before the first.
    pub(crate) fn known(&self) -> Option<Gpus> {
        lock(&self.known).clone()
    }

    /// Looks, and says what to offer. `runtime` is why Docker cannot give GPUs to containers, if so: asked only where there
    /// are some.
    pub(crate) async fn offer(&self, runtime: impl Future<Output = Option<String>>) -> Result<Gpus, NotYet> {
        if self.choice == GpuChoice::None {
            return Ok(self.remember(Gpus::default()));
        }
        let mut found = self.look().await;
        if !found.devices.is_empty()
            && let Some(trouble) = runtime.await
        {
            // Jobs would be placed here, one after the other, and fail.
            found = Gpus::without(trouble);
        }
        match found.trouble.clone() {
            Some(why) if self.source.uptime() < self.patience => Err(NotYet { why, patience: self.patience }),
            _ => Ok(self.remember(found)),
        }
    }

    /// The first of these GPUs that this host does not offer.
    pub(crate) async fn missing<'a>(&self, wanted: &'a [String]) -> Option<&'a str> {
        if wanted.is_empty() {
            return None;
        }
        let known = match self.known() {
            Some(known) => known,
            // A job of before a restart.
            None if self.choice == GpuChoice::None => Gpus::default(),
            None => self.look().await,
        };
        wanted.iter().find(|uuid| !known.devices.iter().any(|gpu| gpu.uuid == **uuid)).map(String::as_str)
    }

    /// Waits for a fault of these GPUs, for as long as it is polled; `None`: there is nothing to watch.
    pub(crate) async fn fault(&self, offered: Vec<String>) -> Option<String> {
        let offered: Arc<[String]> = offered.into();
        for tries in 1.. {
            let why = match self.await_fault(Arc::clone(&offered)).await? {
                Ok(fault) => return fault,
                Err(why) => why,
            };
            if tries >= FAULT_TRIES {
                return Some(why);
            }
            tracing::warn!("the GPUs cannot be watched: {why}");
            tokio::time::sleep(FAULT_TRIES_APART).await;
        }
        None
    }

    /// On a thread of its own, which ends soon after this is given up.
    async fn await_fault(&self, offered: Arc<[String]>) -> Option<Result<Option<String>, String>> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let source = Arc::clone(&self.source);
        let thread = std::thread::Builder::new().name("gpu-faults".to_owned());
        let watch = move || {
            let found = source.fault(&offered, &|| !answer.is_closed());
            // Whoever asked may have given up.
            let _ = answer.send(found);
        };
        if let Err(error) = thread.spawn(watch) {
            tracing::warn!(%error, "no thread to watch the GPUs");
        }
        answered.await.ok()
    }

    fn remember(&self, found: Gpus) -> Gpus {
        let before = lock(&self.known).replace(found.clone());
        if before.as_ref() != Some(&found) {
            if let Some(trouble) = &found.trouble {
                tracing::warn!(offered = found.devices.len(), "GPUs of this host are not offered to jobs: {trouble}");
            }
            if !found.devices.is_empty() {
                let names: Vec<&str> = found.devices.iter().map(|gpu| gpu.name.as_str()).collect();
                tracing::info!(gpus = found.devices.len(), driver = found.driver.as_deref(), ?names, "GPUs found");
            }
        }
        found
    }

    async fn look(&self) -> Gpus {
        let mut answer = self.start_look();
        let answered = tokio::time::timeout(LOOK_LIMIT, answer.wait_for(Option::is_some)).await;
        let found = match answered {
            Ok(Ok(found)) => found.clone(),
            Ok(Err(_)) => Some(Gpus::without("the look at the GPUs failed".to_owned())),
            Err(_) => None,
        };
        let Some(found) = found else {
            return Gpus::without(format!("the NVIDIA driver does not answer within {} s", LOOK_LIMIT.as_secs()));
        };
        *lock(&self.looking) = None;
        self.chosen(found)
    }

    /// On a thread of its own: the calls block.
    fn start_look(&self) -> watch::Receiver<Option<Gpus>> {
        let mut looking = lock(&self.looking);
        if let Some(under_way) = looking.as_ref() {
            return under_way.clone();
        }
        let (answer, answered) = watch::channel(None);
        let source = Arc::clone(&self.source);
        let thread = std::thread::Builder::new().name("gpus".to_owned());
        let spawned = thread.spawn(move || {
            // Whoever asked may have given up.
            let _ = answer.send(Some(judge(source.hardware(), source.driver())));
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread to look for GPUs");
        }
        *looking = Some(answered.clone());
        answered
    }

    fn chosen(&self, found: Gpus) -> Gpus {
        let GpuChoice::Only(uuids) = &self.choice else { return found };
        let (devices, _): (Vec<Gpu>, Vec<Gpu>) = found.devices.into_iter().partition(|gpu| uuids.contains(&gpu.uuid));
        let absent = uuids.iter().find(|uuid| !devices.iter().any(|gpu| gpu.uuid == **uuid));
        let absent = absent.map(|uuid| format!("the key `gpus` names {uuid}, which this host has not got"));
        Gpus { devices, trouble: absent, driver: found.driver }
    }
}

/// What the two views of the host come to.
fn judge(hardware: usize, driver: Result<Gpus, String>) -> Gpus {
    match driver {
        Ok(found) if found.devices.len() < hardware && found.trouble.is_none() => {
            let shown = found.devices.len();
            Gpus { trouble: Some(format!("the driver shows {shown} of {hardware} GPUs")), ..found }
        }
        // A bridge of NVSwitch or a headless part more or less: what the driver shows counts.
        Ok(found) => found,
        Err(why) if hardware > 0 => Gpus::without(format!("the host has {hardware} NVIDIA GPU(s), and {why}")),
        // An AMI with the driver on a host without GPUs, or neither.
        Err(_) => Gpus::default(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
