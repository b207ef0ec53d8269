//! The units of systemd, as their files lie: nothing is asked of a systemd that may not run while an image is built.

use super::super::context::ENVIRONMENT_FILE;
use super::super::{Context, Outcome};

/// Where units are, the administrator's first.
const PLACES: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const OWN: [&str; 2] = ["batch-node-agent.service", "batch-node-agent-poweroff.path"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Masked,
    Disabled,
    Enabled,
}

fn state(context: &Context, unit: &str) -> State {
    let found = PLACES.iter().map(|place| context.path(place).join(unit)).find(|path| path.symlink_metadata().is_ok());
    let Some(path) = found else { return State::Absent };
    if std::fs::read_link(&path).is_ok_and(|target| target.as_os_str() == "/dev/null") {
        return State::Masked;
    }
    let links = std::fs::read_dir(context.path(PLACES[0])).into_iter().flatten().flatten().map(|entry| entry.path());
    let wanting = links.filter(|path| path.extension().is_some_and(|end| end == "wants" || end == "requires"));
    let enabled = wanting.into_iter().any(|directory| directory.join(unit).symlink_metadata().is_ok());
    if enabled { State::Enabled } else { State::Disabled }
}

pub(in crate::check) fn docker(context: &Context) -> Outcome {
    match (state(context, "docker.service"), state(context, "docker.socket")) {
        (State::Enabled, _) => Outcome::ok("docker.service is enabled"),
        // It starts with the first who asks, which is the agent.
        (State::Disabled, State::Enabled) => Outcome::ok("docker.socket is enabled"),
        (State::Absent, _) => {
            Outcome::failure("docker.service is not installed").fix("install Docker Engine from a package")
        }
        (State::Masked, _) => Outcome::failure("docker.service is masked")
            .fix("systemctl unmask docker.service && systemctl enable docker.service"),
        (State::Disabled, _) => {
            Outcome::failure("docker.service is not enabled: a host of this image would wait for Docker for ever")
        }
    }
}

/// Where no compute environment is known, user data names it and enables the service.
pub(in crate::check) fn agent(context: &Context) -> Outcome {
    if let Some(absent) = OWN.into_iter().find(|unit| state(context, unit) == State::Absent) {
        return Outcome::failure(format!("{absent} is not installed"));
    }
    if let Some(masked) = OWN.into_iter().find(|unit| state(context, unit) == State::Masked) {
        return Outcome::failure(format!("{masked} is masked")).fix(format!("systemctl unmask {masked}"));
    }
    let [service, poweroff] = OWN;
    let off = |unit| state(context, unit) != State::Enabled;
    let enable = |unit| format!("systemctl enable {unit}");
    if off(poweroff) {
        return Outcome::failure(format!(
            "{poweroff} is not enabled: a host whose termination is refused would stay on"
        ))
        .fix(enable(poweroff));
    }
    let has_home = context.settings.home.is_some();
    match (off(service), has_home) {
        (true, true) => {
            Outcome::failure(format!("a compute environment is set, and {service} is not enabled")).fix(enable(service))
        }
        (true, false) => {
            Outcome::ok(format!("installed; user data is to write {ENVIRONMENT_FILE} and enable {service}"))
        }
        (false, _) => Outcome::ok("installed and enabled"),
    }
}

pub(in crate::check) fn rival(context: &Context) -> Outcome {
    match ["ecs.service", "amazon-ecs-agent.service"].into_iter().find(|unit| state(context, unit) == State::Enabled) {
        Some(unit) => Outcome::failure(format!("{unit} is enabled: amazon-ecs-agent would register the host as well"))
            .fix(format!("remove the package ecs-init (amazon-ecs-init on Debian and Ubuntu), or systemctl disable {unit} && systemctl mask {unit}")),
        None => Outcome::ok("amazon-ecs-agent is not enabled"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::super::super::Status;
    use super::*;

    struct Image(tempfile::TempDir);

    impl Image {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn install(self, unit: &str) -> Self {
            self.link(&format!("usr/lib/systemd/system/{unit}"), "/a-file")
        }

        fn enable(self, unit: &str) -> Self {
            let from = format!("etc/systemd/system/multi-user.target.wants/{unit}");
            self.install(unit).link(&from, &format!("/usr/lib/systemd/system/{unit}"))
        }

        fn mask(self, unit: &str) -> Self {
            self.link(&format!("etc/systemd/system/{unit}"), "/dev/null")
        }

        fn link(self, from: &str, to: &str) -> Self {
            let from = self.0.path().join(from);
            std::fs::create_dir_all(from.parent().unwrap()).unwrap();
            symlink(Path::new(to), from).unwrap();
            self
        }

        fn context(&self) -> Context {
            Context::below(self.0.path())
        }
    }

    #[test]
    fn docker_starts_by_itself_or_by_its_socket() {
        assert_eq!(docker(&Image::new().context()).status, Status::Failure);
        assert_eq!(docker(&Image::new().enable("docker.service").context()).status, Status::Ok);
        assert_eq!(docker(&Image::new().install("docker.service").context()).status, Status::Failure);
        let by_socket = Image::new().install("docker.service").enable("docker.socket");
        assert_eq!(docker(&by_socket.context()).status, Status::Ok);
        let masked = Image::new().install("docker.service").mask("docker.service");
        assert!(docker(&masked.context()).found.contains("masked"));
    }

    #[test]
    fn the_service_may_be_left_to_user_data() {
        let [service, poweroff] = OWN;
        assert!(agent(&Image::new().context()).found.contains("not installed"));
        let image = Image::new().install(service);
        let bare = Image::new().install(service).install(poweroff);
        assert!(agent(&bare.context()).found.contains("not enabled"));
        let image = image.enable(poweroff);
        assert_eq!(agent(&image.context()).status, Status::Ok);
        let mut with_home = image.context();
        with_home.settings.home = Some(crate::config::Home::ComputeEnvironment("ce".into()));
        assert_eq!(agent(&with_home).status, Status::Failure);
        let whole = Image::new().enable(service).enable(poweroff);
        assert_eq!(agent(&whole.context()).status, Status::Ok);
    }

    #[test]
    fn a_masked_rival_is_none() {
        assert_eq!(rival(&Image::new().context()).status, Status::Ok);
        assert_eq!(rival(&Image::new().enable("ecs.service").context()).status, Status::Failure);
        assert_eq!(rival(&Image::new().enable("ecs.service").mask("ecs.service").context()).status, Status::Ok);
    }
}
