//! How full the disks are that jobs and the agent write to.

use std::path::{Path, PathBuf};

use super::super::Outcome;
use crate::host::usage;

/// In use, in percent: from here on jobs with large images or outputs fail.
const HIGH: u8 = 90;

/// The disk of `place`, which need not exist yet. `full` is the setting `disk_full`, in percent; 100 is never.
pub(in crate::check) fn room(place: &Path, full: u8) -> Outcome {
    match there(place).and_then(|there| usage::used_percent(&there)) {
        Some((space, inodes)) => judge(place, space, inodes, full),
        None => Outcome::skipped(format!("the disk of {} does not tell its size", place.display())),
    }
}

/// The path itself, or the nearest above it that exists.
fn there(place: &Path) -> Option<PathBuf> {
    place.ancestors().find(|path| path.exists()).map(Path::to_owned)
}

fn judge(place: &Path, space: u8, inodes: Option<u8>, full: u8) -> Outcome {
    let of_inodes = inodes.map_or_else(String::new, |percent| format!(", {percent} % of its inodes"));
    let found = format!("{}: {space} % of the disk in use{of_inodes}", place.display());
    let worst = space.max(inodes.unwrap_or_default());
    match worst {
        _ if worst >= full && full < 100 => {
            Outcome::failure(format!("{found}: at {full} % the host counts as sick and leaves"))
        }
        _ if worst >= HIGH => Outcome::warning(found),
        _ => Outcome::ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    #[test]
    fn space_and_inodes_count_alike() {
        let of = |space, inodes| judge(Path::new("/d"), space, inodes, 98).status;
        assert_eq!(of(50, Some(3)), Status::Ok);
        assert_eq!(of(91, None), Status::Warning);
        assert_eq!(of(10, Some(99)), Status::Failure);
        assert_eq!(judge(Path::new("/d"), 100, None, 100).status, Status::Warning);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_on_the_disk_above_it() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(there(&root.path().join("a/b")), Some(root.path().to_owned()));
    }
}
