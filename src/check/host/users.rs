//! Users and groups, as the files of this machine have them: accounts of a directory service are not asked for.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::{Context, Outcome};

/// Who the unit runs as.
pub(in crate::check) const AGENT: &str = "batch-node-agent";
const WRITE_BY_GROUP: u32 = 0o020;
const WRITE_BY_ALL: u32 = 0o002;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::check) struct Entry {
    pub(in crate::check) id: u32,
}

/// From the text of /etc/passwd.
pub(in crate::check) fn user(passwd: &str, name: &str) -> Option<Entry> {
    entry(passwd, name)
}

/// From the text of /etc/group.
pub(in crate::check) fn group(groups: &str, name: &str) -> Option<Entry> {
    entry(groups, name)
}

/// `name:password:id:..` in either file.
fn entry(text: &str, name: &str) -> Option<Entry> {
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    fields.get(2)?.parse().ok().map(|id| Entry { id })
}

/// Its user, its group and its permissions.
pub(in crate::check) fn owner(path: &Path) -> Option<(u32, u32, u32)> {
    std::fs::metadata(path).ok().map(|found| (found.uid(), found.gid(), found.mode() & 0o7777))
}

/// Whether members of `docker` may use a socket of this group and these permissions.
pub(in crate::check) fn socket(path: &Path, group: u32, mode: u32, docker: u32) -> Outcome {
    let path = path.display();
    if mode & WRITE_BY_ALL != 0 {
        return Outcome::warning(format!("every user of this host may use {path}, which makes each of them root"))
            .fix(format!("chmod 660 {path}, and mend whatever opened it"));
    }
    match group == docker && mode & WRITE_BY_GROUP != 0 {
        true => Outcome::ok(format!("{path} belongs to the group `docker`, in which the unit runs")),
        false => {
            Outcome::failure(format!("{path} has group {group} and mode {mode:o}: the group `docker` may not use it"))
        }
    }
}

/// Of an image: the unit's user comes with the package.
pub(in crate::check) fn agent(context: &Context) -> Outcome {
    match user(&context.text("/etc/passwd"), AGENT) {
        Some(_) => Outcome::ok(format!("user {AGENT} is there")),
        None => Outcome::failure(format!("there is no user {AGENT}, as whom the unit runs")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    #[test]
    fn a_name_is_looked_up_whole() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbatch-node-agent-2:x:7:7::/:/x\nbatch-node-agent:x:997:996::/:/x\n";
        assert_eq!(user(passwd, AGENT), Some(Entry { id: 997 }));
        assert_eq!(user(passwd, "batch"), None);
        assert_eq!(group("docker:x:no:\n", "docker"), None);
    }

    #[test]
    fn the_socket_must_be_the_groups_and_no_others() {
        let of = |group, mode| socket(Path::new("/s"), group, mode, 990).status;
        assert_eq!(of(990, 0o660), Status::Ok);
        assert_eq!(of(0, 0o660), Status::Failure);
        assert_eq!(of(990, 0o600), Status::Failure);
        assert_eq!(of(990, 0o666), Status::Warning);
    }
}
