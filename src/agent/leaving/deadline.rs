//! The host's deadline as a file that jobs may mount: in a folder of its own, for whoever mounts the admin socket's folder
//! could give the agent orders.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use node_core::Deadline;

use crate::config::Config;
use crate::serve::deadline::shown;

/// Beside the admin socket.
const FOLDER: &str = "jobs";
const FILE: &str = "deadline.json";

fn path(config: &Config) -> PathBuf {
    config.admin_socket.with_file_name(FOLDER).join(FILE)
}

pub(super) fn publish(config: &Config, deadline: Option<&Deadline>) {
    let path = path(config);
    let written = match deadline {
        Some(deadline) => write(&path, deadline),
        None => remove(&path),
    };
    if let Err(error) = written {
        tracing::warn!("jobs cannot read the host's deadline in {}: {error}", path.display());
    }
}

/// Takes away what a former process wrote, and makes the folder, before a job can mount it: Docker would make it as root.
pub(in crate::agent) fn forget(config: &Config) {
    let path = path(config);
    let done = remove(&path).and_then(|()| folder(&path));
    if let Err(error) = done {
        tracing::warn!("jobs will not read the host's deadline in {}: {error}", path.display());
    }
}

/// Never made anew while it is there: a job has mounted it.
fn folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The mask of a daemon is for its secrets.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whole or not at all, and for every user of the host to read.
fn write(path: &Path, deadline: &Deadline) -> io::Result<()> {
    folder(path)?;
    let draft = path.with_extension("json.new");
    std::fs::write(&draft, format!("{}\n", shown(deadline)))?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o644))?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use node_core::{Cause, Timestamp};

    use super::*;

    #[test]
    fn a_deadline_is_a_file_that_everyone_may_read_and_that_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs/deadline.json");
        let deadline = Deadline { at: Timestamp(1_000), cause: Cause::Spot, text: "t".into(), kills: true };
        write(&path, &deadline).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o644, 0o755));
        let body: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((&body["cause"], &body["kills"], &body["at_ms"]), (&"spot".into(), &true.into(), &1_000.into()));
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_folder_that_a_job_has_mounted_stays_the_same() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs/deadline.json");
        folder(&path).unwrap();
        let inode = || std::fs::metadata(path.parent().unwrap()).unwrap().ino();
        let before = inode();
        folder(&path).unwrap();
        assert_eq!(inode(), before);
    }
}
