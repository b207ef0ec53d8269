//! The host's secret for the ids of task endpoints, which outlives the agent as the containers do.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use node_core::EndpointKey;
use uuid::Uuid;

use super::StoreError;

const FILE: &str = "endpoint.key";

/// The key in `dir`, made if there is none, or none that can be read as one. Readable by its owner alone.
pub(crate) fn endpoint_key(dir: &Path) -> Result<EndpointKey, StoreError> {
    let path = dir.join(FILE);
    if let Some(key) = std::fs::read(&path).ok().and_then(|bytes| bytes.try_into().ok()) {
        return Ok(EndpointKey(key));
    }
    let key = fresh();
    write(&path, &key).map_err(|error| StoreError::Directory(dir.to_owned(), error))?;
    Ok(EndpointKey(key))
}

/// Twice the 122 random bits of a UUID, which the kernel gives.
fn fresh() -> [u8; 32] {
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let mut key = [0; 32];
    key.iter_mut().zip(one.into_bytes().into_iter().chain(two.into_bytes())).for_each(|(to, from)| *to = from);
    key
}

/// Under another name first: half a key must never be found.
fn write(path: &Path, key: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(key)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_stays_and_is_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let key = endpoint_key(dir.path()).unwrap();
        assert_eq!(endpoint_key(dir.path()).unwrap(), key);
        let path = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "half").unwrap();
        assert_ne!(endpoint_key(dir.path()).unwrap(), key);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(endpoint_key(other.path()).unwrap(), key);
    }
}
