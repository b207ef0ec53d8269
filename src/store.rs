//! The durable record, on redb: one commit makes a whole step of the core durable.
//!
//! Records are small JSON documents, one table a kind, so that a record of an older version reads with its new fields defaulted.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use node_core::{NodeRecord, Save, Saved, TaskRecord};
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

mod crash;
mod examine;
mod key;

pub(crate) use key::endpoint_key;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const NODE: TableDefinition<&str, &[u8]> = TableDefinition::new("node");
const TASKS: TableDefinition<&str, &[u8]> = TableDefinition::new("tasks");

const SCHEMA_KEY: &str = "schema_version";
/// Raised when a record can no longer be read by what is written here.
const SCHEMA_VERSION: u64 = 1;
const NODE_KEY: &str = "node";
/// redb's page cache; the records of a busy host fill a fraction of it.
const CACHE_BYTES: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("cannot make the data directory {0}; check data_dir and its permissions")]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("{0} is in use; is another agent running with the same data_dir?")]
    InUse(PathBuf),
    #[error("cannot open {0}; if the file is damaged, move it away: tasks it held are then reported as lost by ECS")]
    Open(PathBuf, #[source] redb::Error),
    #[error(
        "the record was written by a newer agent (schema {found}, this agent reads {SCHEMA_VERSION}); install that version again, or move data_dir away"
    )]
    Newer { found: u64 },
    #[error("the saved record {key} cannot be read; move data_dir away to start clean")]
    Unreadable {
        key: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("cannot read the durable record")]
    Read(#[source] redb::Error),
    #[error("cannot save; is the disk of data_dir full?")]
    Commit(#[source] redb::Error),
}

pub(crate) struct Store {
    db: Database,
    crash: crash::Points,
}

impl Store {
    /// Opens `<dir>/agent.redb`, making what is missing. Readable by its owner alone: environments of jobs stand in it.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let directory = |e| StoreError::Directory(dir.to_owned(), e);
        if !dir.exists() {
            fs::create_dir_all(dir).map_err(directory)?;
            fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(directory)?;
        }
        let path = dir.join("agent.redb");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(directory)?;
        let opening = |e| match e {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.clone()),
            other => StoreError::Open(path.clone(), other.into()),
        };
        // The backend locks the file, so that no second agent writes to it.
        let backend = FileBackend::new(file).map_err(opening)?;
        let db = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend).map_err(opening)?;
        let store = Self { db, crash: crash::Points::from_env() };
        store.check_schema()?;
        Ok(store)
    }

    fn check_schema(&self) -> Result<(), StoreError> {
        let found = self.prepare().map_err(StoreError::Commit)?;
        if found > SCHEMA_VERSION {
            return Err(StoreError::Newer { found });
        }
        Ok(())
    }

    /// Makes the tables, and returns the schema version that the file has.
    fn prepare(&self) -> Result<u64, redb::Error> {
        let txn = self.db.begin_write()?;
        let found = {
            let mut meta = txn.open_table(META)?;
            txn.open_table(NODE)?;
            txn.open_table(TASKS)?;
            let found = meta.get(SCHEMA_KEY)?.map(|v| v.value());
            if found.is_none() {
                meta.insert(SCHEMA_KEY, SCHEMA_VERSION)?;
            }
            found.unwrap_or(SCHEMA_VERSION)
        };
        txn.commit()?;
        Ok(found)
    }

    /// Everything that was saved.
    pub(crate) fn load(&self) -> Result<Saved, StoreError> {
        let (node, tasks) = self.raw().map_err(StoreError::Read)?;
        let node = node.map(|bytes| decode::<NodeRecord>(NODE_KEY, &bytes)).transpose()?;
        let tasks = tasks.iter().map(|(key, bytes)| decode::<TaskRecord>(key, bytes)).collect::<Result<_, _>>()?;
        Ok(Saved { node, tasks })
    }

    #[expect(clippy::type_complexity, reason = "two plain lists, used once")]
    fn raw(&self) -> Result<(Option<Vec<u8>>, Vec<(String, Vec<u8>)>), redb::Error> {
        let txn = self.db.begin_read()?;
        let node = txn.open_table(NODE)?.get(NODE_KEY)?.map(|v| v.value().to_vec());
        let mut tasks = Vec::new();
        for row in txn.open_table(TASKS)?.iter()? {
            let (key, value) = row?;
            tasks.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok((node, tasks))
    }

    /// Makes all of `saves` durable, or none of them.
    pub(crate) fn commit(&self, saves: &[Save]) -> Result<(), StoreError> {
        self.crash.before_commit();
        self.write(saves).map_err(StoreError::Commit)?;
        self.crash.after_commit();
        Ok(())
    }

    fn write(&self, saves: &[Save]) -> Result<(), redb::Error> {
        let txn = self.db.begin_write()?;
        {
            let mut nodes = txn.open_table(NODE)?;
            let mut tasks = txn.open_table(TASKS)?;
            for save in saves {
                match save {
                    Save::Node(record) => {
                        nodes.insert(NODE_KEY, encode(record).as_slice())?;
                    }
                    Save::Task(record) => {
                        tasks.insert(record.arn().as_str(), encode(record).as_slice())?;
                    }
                    Save::Forget(arn) => {
                        tasks.remove(arn.as_str())?;
                    }
                    Save::Clear => {
                        nodes.retain(|_, _| false)?;
                        tasks.retain(|_, _| false)?;
                    }
                }
            }
        }
        txn.commit()?;
        Ok(())
    }
}

fn decode<T: serde::de::DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Unreadable { key: key.to_owned(), source })
}

/// Records are plain structs with string keys: serializing them cannot fail.
fn encode<T: serde::Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

#[cfg(test)]
mod tests;
