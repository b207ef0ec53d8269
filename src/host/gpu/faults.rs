//! Watching the GPUs that are offered to jobs for what no job survives: a lost GPU, memory errors that cannot be corrected,
//! and XID errors that say so.

use std::time::{Duration, Instant};

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, EventSet, Nvml};

/// One wait for an event; the agent does not wait for the thread when it stops.
const WAIT: Duration = Duration::from_secs(1);

/// XID errors of the hardware or the driver's firmware, after which a GPU needs a reset at the least, as NVIDIA's catalogue has
/// them. Those of applications (13, 31, 43, 45 and their like) end a job and no host.
const FATAL_XIDS: &[(u64, &str)] = &[
    (48, "an ECC error that cannot be corrected"),
    (62, "its microcontroller has halted"),
    (64, "a broken row of memory could not be replaced"),
    (74, "NVLink fails"),
    (79, "it has fallen off the bus"),
    (95, "an ECC error that was not contained"),
    (119, "its system processor does not answer"),
    (120, "its system processor fails"),
    (140, "an ECC error that was not recovered from"),
];

/// Waits for a fault of one of these GPUs and says what it is. `None`: `watched_on` said no. `Err`: NVML does not say.
pub(super) fn watch(
    nvml: &Nvml,
    offered: &[String],
    looks_apart: Duration,
    watched_on: &dyn Fn() -> bool,
) -> Result<Option<String>, String> {
    let failed = |error: NvmlError| format!("NVML fails: {error}");
    let mut gpus = Vec::new();
    for uuid in offered {
        match nvml.device_by_uuid(uuid.as_str()) {
            Ok(device) => gpus.push((uuid.as_str(), device)),
            Err(error) => return lost(&error).map(|why| Some(told(uuid, why))).ok_or_else(|| failed(error)),
        }
    }
    let events = events(nvml, &gpus);
    let wait = looks_apart.min(WAIT);
    let mut looked_at = None;
    while watched_on() {
        if looked_at.is_none_or(|at: Instant| at.elapsed() >= looks_apart) {
            looked_at = Some(Instant::now());
            if let Some(fault) = gpus.iter().find_map(|(uuid, gpu)| Some(told(uuid, &ailing(gpu)?))) {
                return Ok(Some(fault));
            }
        }
        if let Some(fault) = xid(events.as_ref(), &gpus, wait) {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}

fn told(uuid: &str, why: &str) -> String {
    format!("GPU {uuid}: {why}")
}

/// `None` where the driver has no events: then the looks must do.
fn events<'n>(nvml: &'n Nvml, gpus: &[(&str, Device<'n>)]) -> Option<EventSet<'n>> {
    let mut set = nvml.create_event_set().ok()?;
    for (uuid, gpu) in gpus {
        match gpu.register_events(EventTypes::CRITICAL_XID_ERROR, set) {
            Ok(with) => set = with,
            Err(error) => {
                tracing::info!("GPU {uuid} tells no XID errors, and is watched without them: {}", error.error);
                return None;
            }
        }
    }
    Some(set)
}

fn xid(events: Option<&EventSet<'_>>, gpus: &[(&str, Device<'_>)], wait: Duration) -> Option<String> {
    let Some(events) = events else {
        std::thread::sleep(wait);
        return None;
    };
    match events.wait(wait.as_millis() as u32) {
        Ok(event) => {
            let Some(XidError::Value(code)) = event.event_data else { return None };
            let uuid = event.device.uuid().ok();
            let uuid = uuid.as_deref().unwrap_or_else(|| gpus.first().map_or("", |(uuid, _)| uuid));
            let fatal = FATAL_XIDS.iter().find(|(known, _)| *known == code);
            if fatal.is_none() {
                tracing::warn!(gpu = uuid, xid = code, "the driver tells of an error that the GPU outlives");
            }
            fatal.map(|(code, why)| told(uuid, &format!("XID {code}, {why}")))
        }
        Err(NvmlError::Timeout) => None,
        Err(error) => {
            // It comes back at once.
            std::thread::sleep(wait);
            lost(&error).map(|why| format!("a GPU: {why}"))
        }
    }
}

/// What the GPU itself says.
fn ailing(gpu: &Device<'_>) -> Option<String> {
    match gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile) {
        Ok(0) => {}
        Ok(count) => return Some(format!("{count} ECC error(s) that cannot be corrected")),
        Err(error) => {
            if let Some(why) = lost(&error) {
                return Some(why.to_owned());
            }
        }
    }
    // A GPU without ECC is asked something else that only it can answer.
    gpu.temperature(TemperatureSensor::Gpu).err().and_then(|error| lost(&error)).map(str::to_owned)
}

/// A GPU that is busy, or knows no such question, is not lost.
fn lost(error: &NvmlError) -> Option<&'static str> {
    match error {
        NvmlError::GpuLost => Some("it is lost: fallen off the bus, or otherwise out of reach"),
        NvmlError::ResetRequired => Some("it needs a reset"),
        _ => None,
    }
}
