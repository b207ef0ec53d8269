//! What names one machine, or lets anyone in, and so must not be in an image.

use std::path::Path;

use super::super::{Context, Outcome};

/// systemd takes either for a machine that has not booted yet.
const UNSET: [&str; 2] = ["", "uninitialized"];

pub(in crate::check) fn machine_id(context: &Context) -> Outcome {
    let other = context.path("/var/lib/dbus/machine-id");
    let copied = other.symlink_metadata().is_ok_and(|found| found.is_file());
    match context.text("/etc/machine-id").trim() {
        id if !UNSET.contains(&id) => {
            Outcome::failure("/etc/machine-id is set: every host of this image would have the same")
        }
        _ if copied => Outcome::failure("/var/lib/dbus/machine-id is a file of its own, with this machine's id")
            .fix("rm /var/lib/dbus/machine-id"),
        _ => Outcome::ok("/etc/machine-id is not set"),
    }
}

pub(in crate::check) fn ssh_keys(context: &Context) -> Outcome {
    let keys = entries(&context.path("/etc/ssh")).into_iter();
    let keys: Vec<_> = keys.filter(|name| name.starts_with("ssh_host_") && name.contains("_key")).collect();
    match keys.first() {
        Some(key) => Outcome::failure(format!("/etc/ssh/{key}: every host of this image would have the same key")),
        None => Outcome::ok("no SSH host keys"),
    }
}

/// What an agent that ran here would leave.
pub(in crate::check) fn state(context: &Context) -> Outcome {
    let config = match context.config() {
        Ok(config) => config,
        Err(skipped) => return skipped,
    };
    let found = entries(&context.path(&config.data_dir));
    let ecs = "/var/lib/ecs/data";
    match found.first() {
        Some(name) => Outcome::failure(format!(
            "{}/{name}: an agent has run here, and another host would take its place",
            config.data_dir.display()
        ))
        .fix(format!("systemctl stop batch-node-agent; rm -rf {}", config.data_dir.display())),
        None if !entries(&context.path(ecs)).is_empty() => {
            Outcome::warning(format!("{ecs} holds the state of an amazon-ecs-agent")).fix(format!("rm -rf {ecs}"))
        }
        None => Outcome::ok(format!("{} is empty", config.data_dir.display())),
    }
}

pub(in crate::check) fn directories(context: &Context) -> Outcome {
    match context.path("/etc/batch-node-agent").is_dir() {
        true => Outcome::ok("/etc/batch-node-agent is there; systemd makes the others"),
        false => Outcome::failure("there is no /etc/batch-node-agent, where the settings go"),
    }
}

/// In order; none where there is no such directory.
fn entries(directory: &Path) -> Vec<String> {
    let found = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = found.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    fn image(files: &[(&str, &str)]) -> (tempfile::TempDir, Context) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let context = Context::below(root.path());
        (root, context)
    }

    #[test]
    fn a_machine_id_is_unset_in_either_way() {
        let of = |text: &str| machine_id(&image(&[("etc/machine-id", text)]).1).status;
        assert_eq!(of(""), Status::Ok);
        assert_eq!(of("uninitialized\n"), Status::Ok);
        assert_eq!(of("0123456789abcdef0123456789abcdef\n"), Status::Failure);
        assert_eq!(machine_id(&image(&[]).1).status, Status::Ok);
        assert_eq!(machine_id(&image(&[("var/lib/dbus/machine-id", "0123")]).1).status, Status::Failure);
    }

    #[test]
    fn keys_and_state_are_named() {
        let (_root, clean) = image(&[("etc/ssh/sshd_config", ""), ("etc/batch-node-agent/config.toml", "")]);
        let all = [ssh_keys(&clean), state(&clean), directories(&clean)];
        assert!(all.iter().all(|outcome| outcome.status == Status::Ok), "{all:?}");
        let (_root, used) = image(&[("etc/ssh/ssh_host_rsa_key", ""), ("var/lib/batch-node-agent/agent.redb", "")]);
        assert!(ssh_keys(&used).found.contains("ssh_host_rsa_key"));
        assert!(state(&used).found.contains("agent.redb"));
        assert_eq!(directories(&used).status, Status::Failure);
        let (_root, ecs) = image(&[("var/lib/ecs/data/agent.db", "")]);
        assert_eq!(state(&ecs).status, Status::Warning);
    }
}
