//! The record as it lies on disk, read by someone who is not the agent: nothing is made, locked or mended.

use std::fs;
use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};

use super::{Saved, Store, StoreError, crash};

impl Store {
    /// Reads a copy in memory, so that a file that was not closed well is no failure: the agent mends it when it starts. To be
    /// asked while no agent runs. `None`: no agent has run here yet.
    pub(crate) fn examine(dir: &Path) -> Result<Option<Saved>, StoreError> {
        let path = dir.join("agent.redb");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::Directory(dir.to_owned(), error)),
        };
        let unreadable = |error: redb::Error| StoreError::Open(path.clone(), error);
        let copy = InMemoryBackend::new();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        copy.set_len(length)
            .and_then(|()| copy.write(0, &bytes))
            .map_err(|e| unreadable(redb::StorageError::Io(e).into()))?;
        let db = Database::builder().create_with_backend(copy).map_err(|e| unreadable(e.into()))?;
        let store = Self { db, crash: crash::Points::from_env() };
        store.check_schema()?;
        store.load().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Store::examine(dir.path()).unwrap().is_none());
        drop(Store::open(dir.path()).unwrap());
        let path = dir.path().join("agent.redb");
        let before = fs::read(&path).unwrap();
        let saved = Store::examine(dir.path()).unwrap().unwrap();
        assert!(saved.node.is_none() && saved.tasks.is_empty());
        assert_eq!(fs::read(&path).unwrap(), before);
        fs::write(&path, b"no database").unwrap();
        let error = Store::examine(dir.path()).err().unwrap();
        assert!(error.to_string().contains("move it away"), "{error}");
    }
}
