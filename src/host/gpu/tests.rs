use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn gpu(uuid: &str) -> Gpu {
    Gpu { uuid: uuid.to_owned(), name: "NVIDIA L4".to_owned(), memory_mib: Some(23_034) }
}

fn gpus(uuids: &[&str]) -> Gpus {
    Gpus { devices: uuids.iter().map(|uuid| gpu(uuid)).collect(), driver: Some("550.1".to_owned()), trouble: None }
}

/// A machine as a test has it.
struct Played {
    hardware: usize,
    /// What each look finds; the last one stays.
    driver: Vec<Result<Gpus, String>>,
    looks: AtomicUsize,
    uptime: Duration,
}

impl Source for Played {
    fn hardware(&self) -> usize {
        self.hardware
    }

    fn driver(&self) -> Result<Gpus, String> {
        let look = self.looks.fetch_add(1, Ordering::SeqCst);
        self.driver[look.min(self.driver.len() - 1)].clone()
    }

    fn uptime(&self) -> Duration {
        self.uptime
    }

    fn fault(&self, offered: &[String], _: &dyn Fn() -> bool) -> Result<Option<String>, String> {
        Ok(Some(format!("GPU {} fails", offered[0])))
    }
}

const PATIENCE: Duration = Duration::from_secs(300);

fn finder(choice: GpuChoice, hardware: usize, uptime: u64, driver: &[Result<Gpus, String>]) -> GpuFinder {
    let uptime = Duration::from_secs(uptime);
    let played = Played { hardware, driver: driver.to_vec(), looks: AtomicUsize::new(0), uptime };
    GpuFinder::with(Arc::new(played), choice, PATIENCE)
}

fn has_runtime() -> std::future::Ready<Option<String>> {
    std::future::ready(None)
}

fn not_ready() -> Result<Gpus, String> {
    Err("NVML does not start: the driver is not loaded".to_owned())
}

#[tokio::test]
async fn a_host_without_gpus_offers_none_at_once_with_or_without_the_library() {
    for driver in [not_ready(), Ok(gpus(&[]))] {
        let finder = finder(GpuChoice::All, 0, 1, &[driver]);
        let found = finder.offer(async { panic!("Docker need not be asked") }).await.unwrap();
        assert_eq!((found.devices.len(), found.trouble), (0, None));
    }
}

#[tokio::test]
async fn a_young_host_waits_for_its_driver_and_then_offers_every_gpu() {
    let finder = finder(GpuChoice::All, 2, 20, &[not_ready(), Ok(gpus(&["GPU-a"])), Ok(gpus(&["GPU-a", "GPU-b"]))]);
    let text = finder.offer(has_runtime()).await.unwrap_err().to_string();
    assert!(text.contains("until 300 s after its boot") && text.contains("driver is not loaded"), "{text}");
    assert_eq!(finder.known(), None);
    let text = finder.offer(has_runtime()).await.unwrap_err().to_string();
    assert!(text.contains("shows 1 of 2 GPUs"), "{text}");
    assert_eq!(finder.offer(has_runtime()).await, Ok(gpus(&["GPU-a", "GPU-b"])));
    assert_eq!(finder.known(), Some(gpus(&["GPU-a", "GPU-b"])));
}

#[tokio::test]
async fn an_older_host_offers_what_there_is_and_says_what_is_not() {
    let finder = finder(GpuChoice::All, 2, 301, &[Ok(gpus(&["GPU-a"])), not_ready()]);
    let found = finder.offer(has_runtime()).await.unwrap();
    assert_eq!((found.devices, found.trouble.as_deref()), (vec![gpu("GPU-a")], Some("the driver shows 1 of 2 GPUs")));
    let found = finder.offer(has_runtime()).await.unwrap();
    assert!(found.devices.is_empty() && found.trouble.unwrap().contains("2 NVIDIA GPU(s)"));
}

#[tokio::test]
async fn gpus_that_docker_cannot_give_to_containers_are_not_offered() {
    let trouble = || async { Some("Docker has no runtime \"nvidia\"".to_owned()) };
    let young = finder(GpuChoice::All, 1, 1, &[Ok(gpus(&["GPU-a"]))]);
    assert!(young.offer(trouble()).await.unwrap_err().to_string().contains("no runtime"));
    let old = finder(GpuChoice::All, 1, 301, &[Ok(gpus(&["GPU-a"]))]);
    let found = old.offer(trouble()).await.unwrap();
    assert!(found.devices.is_empty() && found.trouble.unwrap().contains("no runtime"));
}

#[tokio::test]
async fn an_operator_chooses_which_are_offered() {
    let all = || Ok(gpus(&["GPU-a", "GPU-b"]));
    let none = finder(GpuChoice::None, 2, 1, &[not_ready()]);
    assert_eq!(none.offer(has_runtime()).await, Ok(Gpus::default()));
    let one = finder(GpuChoice::Only(vec!["GPU-b".into()]), 2, 301, &[all()]);
    assert_eq!(one.offer(has_runtime()).await.unwrap().devices, [gpu("GPU-b")]);
    let wanted = ["GPU-b".to_owned(), "GPU-a".to_owned()];
    assert_eq!(one.missing(&wanted).await, Some("GPU-a"));
    let absent = finder(GpuChoice::Only(vec!["GPU-z".into()]), 2, 301, &[all()]);
    assert!(absent.offer(has_runtime()).await.unwrap().trouble.unwrap().contains("GPU-z"));
}

#[tokio::test]
async fn a_job_of_before_a_restart_is_checked_without_a_registration() {
    let finder = finder(GpuChoice::All, 1, 1, &[Ok(gpus(&["GPU-a"]))]);
    assert_eq!(finder.missing(&[]).await, None);
    assert_eq!(finder.missing(&["GPU-a".to_owned()]).await, None);
    assert_eq!(finder.missing(&["GPU-b".to_owned()]).await, Some("GPU-b"));
}

#[test]
fn the_bus_tells_gpus_from_bridges_and_other_makers() {
    let dir = tempfile::tempdir().unwrap();
    let devices = [
        ("0000:00:01.0", "0x10de", "0x030200"),
        ("0000:00:02.0", "0x10de", "0x030000"),
        ("0000:00:03.0", "0x10de", "0x068000"),
        ("0000:00:04.0", "0x1d0f", "0x030000"),
    ];
    for (name, vendor, class) in devices {
        let device = dir.path().join(name);
        std::fs::create_dir(&device).unwrap();
        std::fs::write(device.join("vendor"), format!("{vendor}\n")).unwrap();
        std::fs::write(device.join("class"), format!("{class}\n")).unwrap();
    }
    assert_eq!(count_hardware(dir.path()), 2);
    assert_eq!(count_hardware(Path::new("/nonexistent")), 0);
}

/// The words of `nvml.h` that the agent uses, for two GPUs of which the second has fallen off the bus.
const FAKE: &str = include_str!("../../../tests/common/nvml.c");

/// That library, made with these words.
fn library(dir: &Path, words: &[&str]) -> String {
    let (source, library) = (dir.join("nvml.c"), dir.join("libnvidia-ml.so.1"));
    std::fs::write(&source, FAKE).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC"]).args(words).arg("-o").arg(&library).arg(&source).status();
    assert!(built.unwrap().success(), "a C compiler is needed");
    library.to_str().unwrap().to_owned()
}

#[test]
fn the_drivers_library_is_read_and_a_gpu_that_is_lost_is_left_out_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let library = library(dir.path(), &["-DLOST=1"]);
    let found = nvml::look_in(&[library.as_str()]).unwrap();
    let device = Gpu {
        uuid: "GPU-00000000-0000-0000-0000-000000000000".into(),
        name: "Played GPU".into(),
        memory_mib: Some(16_384),
    };
    assert_eq!((found.devices, found.driver.as_deref()), (vec![device], Some("550.54.14")));
    assert!(found.trouble.as_ref().unwrap().contains("GPU 1 does not answer"), "{:?}", found.trouble);
}

const FIRST: &str = "GPU-00000000-0000-0000-0000-000000000000";
const SECOND: &str = "GPU-11111111-1111-1111-1111-111111111111";

#[test]
fn what_no_job_survives_is_a_fault_of_the_gpu() {
    for (word, expected) in [
        ("-DFALLEN=1", "it is lost"),
        ("-DLOST=1", "it is lost"),
        ("-DUNCORRECTED=3", "3 ECC error(s) that cannot be corrected"),
        ("-DXID=79", "XID 79, it has fallen off the bus"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let library = library(dir.path(), &[word]);
        let both = [FIRST, SECOND].map(str::to_owned);
        let watched = nvml::with(&[library.as_str()], |nvml| faults::watch(nvml, &both, Duration::ZERO, &|| true));
        let fault = watched.unwrap().unwrap().unwrap();
        assert!(fault.starts_with(&format!("GPU {SECOND}: ")) && fault.contains(expected), "{word}: {fault}");
    }
}

/// An application's error, and a fault of a GPU that is not offered, end no host.
#[test]
fn what_the_offered_gpus_survive_is_no_fault() {
    for (word, offered) in [("-DXID=31", [FIRST, SECOND].as_slice()), ("-DFALLEN=1", &[FIRST])] {
        let dir = tempfile::tempdir().unwrap();
        let library = library(dir.path(), &[word]);
        let offered: Vec<String> = offered.iter().map(|uuid| (*uuid).to_owned()).collect();
        let rounds = AtomicUsize::new(0);
        let some_rounds = || rounds.fetch_add(1, Ordering::SeqCst) < 8;
        let watched =
            nvml::with(&[library.as_str()], |nvml| faults::watch(nvml, &offered, Duration::ZERO, &some_rounds));
        assert_eq!(watched, Ok(Ok(None)), "{word}");
    }
}

#[tokio::test]
async fn a_fault_is_waited_for_beside_the_rest() {
    let finder = finder(GpuChoice::All, 1, 1, &[not_ready()]);
    assert_eq!(finder.fault(vec!["GPU-a".to_owned()]).await.as_deref(), Some("GPU GPU-a fails"));
}

#[test]
fn without_the_library_the_text_says_what_to_install() {
    let text = nvml::look_in(&["/nonexistent/libnvidia-ml.so.1"]).unwrap_err();
    assert!(text.contains("not installed: install the NVIDIA driver"), "{text}");
}

/// On a machine with GPUs: `cargo nextest run -p batch-node-agent real_gpus --run-ignored only --no-capture`.
#[tokio::test]
#[ignore = "needs a GPU"]
async fn real_gpus() {
    let finder = GpuFinder::new(GpuChoice::All, Duration::ZERO);
    println!("on the PCI bus: {}", Host.hardware());
    let found = finder.offer(has_runtime()).await.unwrap();
    println!("{found:#?}");
    assert!(!found.devices.is_empty());
    assert!(found.driver.is_some());
    for gpu in &found.devices {
        assert!(gpu.uuid.starts_with("GPU-") && gpu.uuid.len() == 40, "{}", gpu.uuid);
        assert!(gpu.memory_mib.is_some_and(|mib| mib > 1000));
    }
}

/// The same: healthy GPUs are watched for a while, events and all, and nothing is found.
#[test]
#[ignore = "needs a GPU"]
fn real_gpus_are_watched() {
    let found = Host.driver().unwrap();
    let offered: Vec<String> = found.devices.into_iter().map(|gpu| gpu.uuid).collect();
    assert!(!offered.is_empty());
    let rounds = AtomicUsize::new(0);
    let fault = Host.fault(&offered, &|| rounds.fetch_add(1, Ordering::SeqCst) < 5);
    assert_eq!(fault, Ok(None));
}
