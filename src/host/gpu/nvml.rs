//! The driver's own library.

use std::ffi::OsStr;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::{Gpu, Gpus};

/// The driver's package has the first, a developer's the second as well.
pub(super) const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];
const MIB: u64 = 1024 * 1024;

/// Loads the library, looks, and lets it go again: it would hold the driver and megabytes of memory.
pub(super) fn look() -> Result<Gpus, String> {
    look_in(&LIBRARIES)
}

pub(super) fn look_in(libraries: &[&str]) -> Result<Gpus, String> {
    with(libraries, read)?.map_err(|error| format!("NVML fails: {error}"))
}

/// Has the library loaded while `work` is done.
pub(super) fn with<T>(libraries: &[&str], work: impl FnOnce(&Nvml) -> T) -> Result<T, String> {
    let mut failure = None;
    for library in libraries {
        match Nvml::builder().lib_path(OsStr::new(library)).init() {
            Ok(nvml) => return Ok(work(&nvml)),
            // The first failure is the telling one.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(match failure {
        Some(NvmlError::LibloadingError(_)) | None => {
            "NVML (libnvidia-ml.so.1) is not installed: install the NVIDIA driver".to_owned()
        }
        Some(error) => format!("NVML does not start: {error}"),
    })
}

/// A GPU that does not answer (fallen off the bus, for one) is left out by name; the others still serve.
fn read(nvml: &Nvml) -> Result<Gpus, NvmlError> {
    let mut found = Gpus { driver: nvml.sys_driver_version().ok(), ..Gpus::default() };
    for index in 0..nvml.device_count()? {
        match gpu(nvml, index) {
            Ok(gpu) => found.devices.push(gpu),
            Err(error) => found.trouble = Some(format!("GPU {index} does not answer: {error}")),
        }
    }
    Ok(found)
}

fn gpu(nvml: &Nvml, index: u32) -> Result<Gpu, NvmlError> {
    let device = nvml.device_by_index(index)?;
    Ok(Gpu {
        uuid: device.uuid()?,
        name: device.name().unwrap_or_else(|_| "NVIDIA GPU".to_owned()),
        memory_mib: device.memory_info().ok().map(|memory| memory.total / MIB),
    })
}
