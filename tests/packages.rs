//! The packages: made, installed, upgraded and removed on a Debian that systemd has booted, which also has rpm.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::{docker, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_batch-node-agent");
const CONFIG: &str = "/etc/batch-node-agent/config.toml";
/// A line that only the second version's configuration has.
const NEWS: &str = "# The second version says more.";
const UNIT: &str = "batch-node-agent.service";
/// Debian's rpm wants to be told that it is meant, and knows nothing of what dpkg has installed.
const PRELUDE: &str = "
export DEBIAN_FRONTEND=noninteractive
deb1=$(echo /packages/*_0.0.1_*.deb) deb2=$(echo /packages/*_0.0.2_*.deb)
rpm1=$(echo /packages/*-0.0.1-1.*.rpm) rpm2=$(echo /packages/*-0.0.2-1.*.rpm)
rpm() { command rpm --force-debian --nodeps \"$@\"; }";

/// Packages of this build, 0.0.1 and 0.0.2, whose configuration files differ.
struct Packages {
    folder: TempDir,
}

impl Packages {
    /// In both formats, or as `only` says.
    fn make(only: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let news = folder.path().join("news");
        let script = format!("#!/bin/sh\n{BINARY} \"$@\" || exit\n[ \"$*\" != 'config --example' ] || echo '{NEWS}'\n");
        std::fs::write(&news, script).unwrap();
        std::fs::set_permissions(&news, std::fs::Permissions::from_mode(0o755)).unwrap();
        package(folder.path(), "0.0.1", Path::new(BINARY), only);
        package(folder.path(), "0.0.2", &news, only);
        Self { folder }
    }
}

fn package(folder: &Path, version: &str, generator: &Path, only: &[&str]) {
    let mut command = Command::new("scripts/package.sh");
    command.args(["--fast", "--binary", BINARY, "--version", version]).args(only);
    command.arg("--generator").arg(generator).arg("--out").arg(folder);
    succeeded(command.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap());
}

/// A booted machine with the packages in /packages; it goes with the test.
struct Host {
    name: String,
    _packages: Packages,
}

impl Host {
    fn boot(format: &str) -> Self {
        docker::need_busybox();
        let packages = Packages::make(&["--only", format]);
        let name = format!("packages-{}", uuid::Uuid::new_v4().simple());
        let host = Self { name, _packages: packages };
        let volume = format!("{}:/packages:ro", host._packages.folder.path().display());
        let boot = Command::new("scripts/root.sh").args(["boot", &host.name, "--volume", &volume]).output();
        succeeded(boot.unwrap());
        host
    }

    /// Runs a script that knows the packages as $deb1, $deb2, $rpm1 and $rpm2.
    fn run(&self, script: &str) -> Output {
        let script = format!("{PRELUDE}\n{script}");
        Command::new("docker").args(["exec", &self.name, "bash", "-c", &script]).output().unwrap()
    }

    /// What a script that succeeds prints, on standard error too.
    fn said(&self, script: &str) -> String {
        succeeded(self.run(&format!("{{ {script}\n}} 2>&1"))).trim().to_owned()
    }

    /// The first word that a script prints, whether it succeeds or not.
    fn word(&self, script: &str) -> String {
        let output = self.run(script);
        String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap_or_default().to_owned()
    }

    fn is_there(&self, path: &str) -> bool {
        self.run(&format!("[ -e {path} ]")).status.success()
    }

    fn file(&self, path: &str) -> String {
        self.said(&format!("cat {path}"))
    }

    /// What holds after a first installation, in either format.
    fn is_installed_and_waits(&self) {
        assert_eq!(self.word(&format!("systemctl is-enabled {UNIT}")), "enabled");
        assert_eq!(self.word(&format!("systemctl is-active {UNIT}")), "inactive", "an installation starts nothing");
        self.said(&format!("systemctl start {UNIT}"));
        assert_eq!(self.word(&format!("systemctl is-active {UNIT}")), "inactive", "nor does a boot, untold");
        assert_eq!(self.said("systemctl --failed --no-legend"), "");
        assert_eq!(self.said(&format!("stat -c '%a %U:%G' {CONFIG}")), "640 root:batch-node-agent");
        assert_eq!(self.said("batch-node-agent --version"), format!("batch-node-agent {}", env!("CARGO_PKG_VERSION")));
        let unset = self.run("batch-node-agent config");
        assert_eq!(unset.status.code(), Some(5));
        let told = String::from_utf8_lossy(&unset.stderr);
        assert!(told.contains("a mistake") && told.contains("neither `compute_environment` nor `cluster`"), "{told}");
        self.said("source /usr/share/bash-completion/completions/batch-node-agent.bash; complete -p batch-node-agent");
        for file in [
            "/usr/share/man/man1/batch-node-agent-drain.1.gz",
            "/usr/share/bash-completion/completions/batch-node-agent.bash",
            "/usr/share/doc/batch-node-agent/configuration.md",
            "/usr/lib/systemd/system/batch-node-agent-poweroff.path",
        ] {
            assert!(self.is_there(file), "{file}");
        }
    }

    /// Gives the agent a cluster that it will not reach, starts it, and something that looks like a job.
    fn works(&self) {
        self.said(&format!(
            "printf 'cluster = \"mine\"\\nregion = \"us-east-1\"\\ntask_endpoint = \"off\"\\n' >>{CONFIG}"
        ));
        let nowhere = "http://127.0.0.1:9";
        self.said(&format!(
            "printf 'AWS_ENDPOINT_URL={nowhere}\\nAWS_EC2_METADATA_SERVICE_ENDPOINT={nowhere}\\nAWS_ACCESS_KEY_ID=a\\n\
             AWS_SECRET_ACCESS_KEY=b\\n' >/etc/batch-node-agent/environment"
        ));
        self.said(&format!("systemctl start --no-block {UNIT}"));
        eventually("the agent's process", || (self.pid() != "0").then_some(()));
        let load = format!("docker save busybox | docker exec -i {} docker load", self.name);
        succeeded(Command::new("bash").args(["-o", "pipefail", "-c", &load]).output().unwrap());
        self.said(
            "docker run --detach --network none --name job --label com.amazonaws.ecs.task-arn=t busybox sleep 10000",
        );
        self.said("touch /var/lib/batch-node-agent/record");
    }

    fn pid(&self) -> String {
        self.said(&format!("systemctl show --property MainPID --value {UNIT}"))
    }

    /// An upgrade by this script starts another process of the agent, and leaves jobs and settings alone.
    fn is_upgraded_by(&self, script: &str) {
        let before = self.pid();
        self.said(script);
        eventually("the new version's process", || {
            let now = self.pid();
            (now != "0" && now != before).then_some(())
        });
        let config = self.file(CONFIG);
        assert!(config.contains("cluster = \"mine\"") && !config.contains(NEWS), "{config}");
        assert_eq!(self.said(&format!("stat -c '%a %U:%G' {CONFIG}")), "640 root:batch-node-agent");
        assert_eq!(self.word(&format!("systemctl is-enabled {UNIT}")), "enabled");
        self.job_runs();
    }

    /// A removal ends the agent and not the jobs, and says so.
    fn is_removed_by(&self, script: &str) {
        let told = self.said(script);
        assert!(told.contains("1 containers of jobs still run"), "{told}");
        self.job_runs();
        assert_eq!(self.word("pgrep -x batch-node-agent"), "", "{told}");
        assert!(!self.is_there("/usr/bin/batch-node-agent"));
        assert!(self.is_there("/var/lib/batch-node-agent/record"), "what the agent knows stays");
    }

    fn job_runs(&self) {
        assert_eq!(self.said("docker inspect --format '{{.State.Running}}' job"), "true");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "--force", "--volumes", &self.name]).output());
    }
}

fn succeeded(output: Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[test]
fn the_deb_is_installed_upgraded_removed_and_purged() {
    let host = Host::boot("deb");
    host.said("dpkg --install $deb1");
    host.is_installed_and_waits();
    assert_eq!(host.said("dpkg --verify batch-node-agent"), "");

    // Nobody has touched the configuration: it becomes the new one. Then back, for the upgrade of one that is in use.
    host.said("dpkg --install $deb2");
    assert!(host.file(CONFIG).contains(NEWS));
    host.said("dpkg --install $deb1");
    host.works();
    host.is_upgraded_by("dpkg --force-confdef --force-confold --install $deb2");
    assert!(host.file(&format!("{CONFIG}.dpkg-dist")).contains(NEWS));

    host.said(&format!("systemctl disable {UNIT}"));
    host.said("dpkg --force-confold --install $deb1");
    assert_eq!(host.word(&format!("systemctl is-enabled {UNIT}")), "disabled", "the administrator's choice stays");

    host.is_removed_by("dpkg --remove batch-node-agent");
    assert!(host.file(CONFIG).contains("cluster = \"mine\""));
    host.said("dpkg --purge batch-node-agent");
    assert!(!host.is_there("/etc/batch-node-agent") && !host.is_there("/var/lib/batch-node-agent"));
    assert_eq!(host.said("find /etc/systemd /var/lib/systemd -name 'batch-node-agent*'"), "");
    host.job_runs();
}

#[test]
fn the_rpm_is_installed_upgraded_and_removed() {
    let host = Host::boot("rpm");
    host.said("rpm --install $rpm1");
    host.is_installed_and_waits();
    assert_eq!(host.said("rpm --verify batch-node-agent"), "");
    host.said("rpm --upgrade $rpm2");
    assert!(host.file(CONFIG).contains(NEWS));
    host.said("rpm --upgrade --oldpackage $rpm1");
    host.works();
    host.is_upgraded_by("rpm --upgrade $rpm2");
    assert!(host.file(&format!("{CONFIG}.rpmnew")).contains(NEWS));

    host.is_removed_by("rpm --erase batch-node-agent");
    assert!(host.file(&format!("{CONFIG}.rpmsave")).contains("cluster = \"mine\""));
    assert_eq!(host.said("find /etc/systemd -name 'batch-node-agent*'"), "");
}

/// As under Packer's chroot builder, or in a Dockerfile.
#[test]
fn packages_are_installed_where_no_systemd_runs() {
    docker::need_busybox();
    let packages = Packages::make(&[]);
    let image = succeeded(Command::new("scripts/root.sh").arg("host").output().unwrap());
    let volume = format!("{}:/packages:ro", packages.folder.path().display());
    for install in [
        "apt-get install --quiet --yes --no-install-recommends /packages/*_0.0.1_*.deb",
        "rpm --force-debian --nodeps --install /packages/*-0.0.1-1.*.rpm",
    ] {
        let script = format!("{install} && systemctl is-enabled {UNIT} && stat -c '%a %U:%G' {CONFIG}");
        let run = ["run", "--rm", "--network", "none", "--volume", &volume, image.trim(), "sh", "-c", &script];
        let said = docker::docker(&run);
        assert!(said.ends_with("enabled\n640 root:batch-node-agent"), "{said}");
    }
}

#[test]
fn the_same_binary_makes_the_same_packages() {
    let made = |folder: &Path| {
        package(folder, "0.0.1", Path::new(BINARY), &[]);
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (made(first.path()), made(second.path()));
    assert_eq!(first.len(), 3, "a .deb, an .rpm and the list of what is in them: {first:?}");
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one.file_name(), other.file_name());
        assert!(std::fs::read(one).unwrap() == std::fs::read(other).unwrap(), "{} differs", one.display());
    }
}

/// Amazon Linux 2023's glibc is 2.34; every package that these tests make was held against that.
#[test]
fn a_binary_that_needs_a_newer_glibc_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("scripts/package.sh");
    command.args(["--fast", "--binary", BINARY, "--out"]).arg(folder.path());
    let output = command.env("GLIBC_MAX", "2.17").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("the oldest system that is served has 2.17"), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
