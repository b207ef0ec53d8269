//! The state on disk: a line for each change, written before anybody hears of it, so that a killed plane goes on where it was.
//!
//! A line is whole or counts as never written. The system's cache is trusted: this outlives the process, not a power cut.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tracing::{error, info};

use crate::config::PlaneError;
use crate::model::State;
use crate::model::restore::Record;

/// Below the data directory.
const FILE: &str = "plane.jsonl";
/// The form of the lines: another one is not read.
const HEADER: &str = r#"{"batch-node-agent local":1}"#;
/// The file is written anew when it has grown by so much, in bytes: its lines repeat what has changed since.
const GROWS_BY: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes since it was written anew.
    grown: u64,
    /// The last line could not be written: everything is to be written anew.
    is_broken: bool,
}

impl Journal {
    /// Opens the journal in `dir`, alone, and puts into `state` what it holds.
    ///
    /// # Errors
    /// When another plane has it, it cannot be read or written, or a line makes no sense.
    pub(crate) fn open(dir: &Path, state: &mut State) -> Result<Self, PlaneError> {
        let path = dir.join(FILE);
        let failed = |source: io::Error| PlaneError::State { path: path.clone(), source };
        let mut file = options().open(&path).map_err(failed)?;
        lock(&file).map_err(failed)?;
        replay(&mut file, state).map_err(failed)?;
        let mut journal = Self { path: path.clone(), file, grown: 0, is_broken: false };
        journal.write_anew(state).map_err(failed)?;
        Ok(journal)
    }

    /// Writes what has changed.
    pub(crate) fn save(&mut self, state: &mut State) {
        let written = if self.is_broken || self.grown > GROWS_BY { self.write_anew(state) } else { self.append(state) };
        match written {
            Ok(()) if self.is_broken => {
                info!(path = %self.path.display(), "the plane's state can be saved again");
                self.is_broken = false;
            }
            Ok(()) => {}
            Err(cause) => {
                if !self.is_broken {
                    error!(%cause, path = %self.path.display(), "the plane's state cannot be saved: it would be lost with the process; make room");
                }
                self.is_broken = true;
            }
        }
    }

    fn append(&mut self, state: &mut State) -> io::Result<()> {
        let Some(mut line) = state.take_changes()? else { return Ok(()) };
        line.push(b'\n');
        self.grown += u64::try_from(line.len()).unwrap_or(u64::MAX);
        self.file.write_all(&line)
    }

    /// The whole state in a new file, which then takes the old one's place.
    fn write_anew(&mut self, state: &mut State) -> io::Result<()> {
        state.touch_all();
        let whole = state.take_changes()?.unwrap_or_else(|| b"[]".to_vec());
        let new = self.path.with_extension("new");
        let mut file = options().truncate(true).open(&new)?;
        lock(&file)?;
        file.write_all(&[HEADER.as_bytes(), b"\n", &whole, b"\n"].concat())?;
        std::fs::rename(&new, &self.path)?;
        self.file = file;
        self.grown = 0;
        Ok(())
    }
}

/// Keys are in it: it is its owner's alone.
fn options() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another plane is using this data directory"),
        TryLockError::Error(error) => error,
    })
}

fn replay(file: &mut File, state: &mut State) -> io::Result<()> {
    file.rewind()?;
    let mut reader = BufReader::new(file);
    let (mut line, mut count) = (Vec::new(), 0);
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        // The last one may be torn: its change was never told to anybody.
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(()) };
        let bad = |what: &dyn std::fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {what}", count + 1))
        };
        if count == 0 {
            if text != HEADER.as_bytes() {
                return Err(bad(&"not the state of a plane of this version"));
            }
        } else {
            let records: Vec<Record> = serde_json::from_slice(text).map_err(|error| bad(&error))?;
            for record in records {
                state.replay(record);
            }
        }
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    #[test]
    fn a_torn_line_never_happened_and_a_garbled_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = World::new();
        let mut journal = Journal::open(dir.path(), &mut w.state).unwrap();
        let kept = w.submit(serde_json::json!({}));
        journal.save(&mut w.state);
        let held = Journal::open(dir.path(), &mut World::new().state).unwrap_err();
        assert!(std::error::Error::source(&held).unwrap().to_string().contains("another plane"));
        let lost = w.submit(serde_json::json!({}));
        journal.save(&mut w.state);
        drop(journal);
        let path = dir.path().join(FILE);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let mut again = World::blank();
        Journal::open(dir.path(), &mut again).unwrap();
        assert!(again.jobs.contains_key(&kept) && !again.jobs.contains_key(&lost));
        std::fs::write(&path, [&bytes[..40], b"\n"].concat()).unwrap();
        let refused = Journal::open(dir.path(), &mut World::blank()).unwrap_err();
        assert!(std::error::Error::source(&refused).unwrap().to_string().contains("line 2"));
    }

    #[test]
    fn a_journal_that_was_broken_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = World::new();
        let mut journal = Journal::open(dir.path(), &mut w.state).unwrap();
        let job = w.submit(serde_json::json!({}));
        journal.file = File::open(&journal.path).unwrap();
        journal.save(&mut w.state);
        assert!(journal.is_broken);
        journal.save(&mut w.state);
        assert!(!journal.is_broken);
        drop(journal);
        let mut again = World::blank();
        Journal::open(dir.path(), &mut again).unwrap();
        assert!(again.jobs.contains_key(&job));
    }
}
