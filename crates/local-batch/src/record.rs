//! Every frame of ACS and TCS that went either way, in a file: what a test holds against the models of the protocol.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tracing::warn;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Service {
    Acs,
    Tcs,
}

/// Writes to the file, if there is one.
pub(crate) struct Recorder(Option<Mutex<File>>);

impl Recorder {
    /// A file holds credentials of jobs' roles, as the frames do: its owner alone reads it.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(Mutex::new);
        path.map(open).transpose().map(Self)
    }

    /// A line of JSON: the service, who spoke, and the frame as it was.
    pub(crate) fn write(&self, service: Service, is_agent: bool, frame: &str) {
        let Some(file) = &self.0 else { return };
        let service = match service {
            Service::Acs => "acs",
            Service::Tcs => "tcs",
        };
        let line = json!({"service": service, "by": if is_agent { "agent" } else { "plane" }, "frame": frame});
        // In one write, which no kill cuts in two.
        let line = format!("{line}\n");
        if let Err(error) = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()) {
            warn!(%error, "a frame could not be recorded");
        }
    }
}
