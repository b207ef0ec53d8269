//! Powering the host off: the last way, and only on an EC2 instance whose systemd has offered it.
//!
//! The agent has no right to do it. It leaves a file in its runtime directory, and `batch-node-agent-poweroff.path` acts on it.

use std::path::{Path, PathBuf};

use node_core::ApiFailure;

/// What the unit gives the agent (`RuntimeDirectory=`), and where the path unit watches.
const RUNTIME_DIR: &str = "/run/batch-node-agent";
const MARKER: &str = "poweroff";

/// What is known of the machine.
pub(crate) struct Machine {
    /// systemd's `RUNTIME_DIRECTORY`: the agent runs as its unit says.
    runtime_dir: Option<PathBuf>,
    /// The metadata service is EC2's own, not one that somebody plays.
    real_metadata: bool,
    /// The firmware says that EC2 made it.
    made_by_ec2: bool,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let played = ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL"];
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            runtime_dir: std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from),
            real_metadata: !played.iter().any(|name| std::env::var_os(name).is_some()),
            made_by_ec2: read("/sys/class/dmi/id/sys_vendor").trim() == "Amazon EC2"
                || read("/sys/hypervisor/uuid").to_ascii_lowercase().starts_with("ec2"),
        }
    }

    /// Whether this is an instance of EC2's own, and no rehearsal.
    pub(crate) fn is_ec2(&self) -> bool {
        self.real_metadata && self.made_by_ec2
    }

    /// Asks systemd to power the host off.
    pub(crate) fn power_off(&self) -> Result<(), ApiFailure> {
        let no = |why: &str| Err(ApiFailure::Rejected(why.to_owned()));
        if !self.is_ec2() {
            return no("this is no EC2 instance: it is not powered off");
        }
        match self.runtime_dir.as_deref() {
            Some(dir) if dir == Path::new(RUNTIME_DIR) => leave_marker(dir),
            _ => no("the agent does not run as its systemd unit: nothing would act on an order to power off"),
        }
    }
}

fn leave_marker(dir: &Path) -> Result<(), ApiFailure> {
    let path = dir.join(MARKER);
    std::fs::write(&path, "").map_err(|e| ApiFailure::Unavailable(format!("{} cannot be written: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ec2_instance_under_systemd_is_powered_off() {
        let unit = || Some(PathBuf::from(RUNTIME_DIR));
        let refused = |machine: Machine| match machine.power_off() {
            Err(ApiFailure::Rejected(why)) => why,
            other => panic!("{other:?}"),
        };
        let rehearsal = Machine { runtime_dir: unit(), real_metadata: false, made_by_ec2: true };
        assert!(refused(rehearsal).contains("no EC2 instance"));
        let laptop = Machine { runtime_dir: unit(), real_metadata: true, made_by_ec2: false };
        assert!(refused(laptop).contains("no EC2 instance"));
        let by_hand = Machine { runtime_dir: None, real_metadata: true, made_by_ec2: true };
        assert!(refused(by_hand).contains("systemd"));
        let elsewhere = Machine { runtime_dir: Some("/tmp".into()), real_metadata: true, made_by_ec2: true };
        assert!(refused(elsewhere).contains("systemd"));
    }

    #[test]
    fn the_order_is_a_file() {
        let dir = tempfile::tempdir().unwrap();
        leave_marker(dir.path()).unwrap();
        assert!(dir.path().join("poweroff").exists());
        assert!(matches!(leave_marker(&dir.path().join("gone")), Err(ApiFailure::Unavailable(_))));
    }
}
