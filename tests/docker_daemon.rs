//! A Docker daemon that is down at start, or goes away under running jobs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::process::Process;
use crate::common::{docker, eventually, text};

const SOCKET: &str = "/var/run/docker.sock";

#[test]
fn a_host_joins_when_docker_answers() {
    let plane = Plane::without_nodes();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let url = format!("\"unix://{}\"", socket.display());
    let mut agent = Agent::start(Setup::on(&plane, &plane.run_instance()).set("docker_host", &url));
    let line = agent.line(&["Docker cannot be reached"]);
    assert!(line.contains("ERROR") && line.contains(&socket.display().to_string()), "{line}");
    agent.line(&["WARN", "RegisterContainerInstance", "Docker must answer first"]);
    assert_eq!(text(&agent.status()["state"]["docker"]), "down");
    let id = plane.shell("hello", "true");
    assert_eq!(plane.job(&id)["status"], "RUNNABLE", "a host without Docker gets no work");
    std::os::unix::fs::symlink(SOCKET, &socket).unwrap();
    plane.job_in(&id, "SUCCEEDED");
    assert_eq!(agent.count("Docker cannot be reached"), 1);
    assert!(agent.process().exited().is_none());
}

/// A daemon of this test's own, in a network namespace of its own: a second daemon in the host's would take its bridge away.
pub(crate) struct Dockerd {
    /// What it is started with: what makes its namespace, and how it treats networks.
    network: &'static [&'static str],
    process: Option<Process>,
    dir: TempDir,
    /// Further flags.
    args: Vec<&'static str>,
}

impl Dockerd {
    fn start(args: &[&'static str]) -> Self {
        const NONE: &[&str] = &["unshare", "--net", "dockerd", "--bridge=none", "--iptables=false", "--ip-masq=false"];
        Self::start_in(NONE, args)
    }

    /// One with a bridge and rules, where the test has a network namespace already.
    pub(crate) fn start_with_bridge() -> Self {
        Self::start_in(&["dockerd"], &[])
    }

    fn start_in(network: &'static [&'static str], args: &[&'static str]) -> Self {
        docker::need_busybox();
        let mut dockerd = Self { network, process: None, dir: tempfile::tempdir().unwrap(), args: args.to_vec() };
        dockerd.start_again();
        let archive = dockerd.file("busybox.tar");
        docker::docker(&["save", "--output", archive.to_str().unwrap(), "busybox"]);
        dockerd.docker(&["load", "--input", archive.to_str().unwrap()]);
        dockerd
    }

    pub(crate) fn start_again(&mut self) {
        // A killed daemon's containerd may stay a zombie for long, which the next daemon would take for a living one.
        drop(std::fs::remove_file(self.file("exec/containerd/containerd.pid")));
        let mut command = Command::new(self.network[0]);
        command.args(&self.network[1..]).arg("--storage-driver=vfs");
        command.args([
            "--shutdown-timeout=2",
            "--containerd-namespace=batch-test",
            "--containerd-plugins-namespace=batch-test-p",
        ]);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(self.file(name));
        }
        command.arg("--host").arg(self.url()).args(&self.args);
        self.process = Some(Process::spawn(command, &self.file("log")));
        let process = self.process.as_mut().unwrap();
        let (url, log) = (format!("unix://{}", self.dir.path().join("s").display()), self.dir.path().join("log"));
        eventually("the private Docker's answer", || {
            let log = || std::fs::read_to_string(&log).unwrap();
            assert!(process.exited().is_none(), "the private dockerd does not run: {}", log());
            Command::new("docker").args(["--host", &url, "version"]).output().unwrap().status.success().then_some(())
        });
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.file("s").display())
    }

    pub(crate) fn docker(&self, args: &[&str]) -> String {
        docker::docker(&[&["--host", &self.url()], args].concat())
    }

    /// Ends it as `signal` does, and waits.
    pub(crate) fn end(&mut self, signal: &str) {
        let process = self.process.as_mut().unwrap();
        process.signal(signal);
        assert!(process.ends_within(Duration::from_secs(30)).is_some(), "dockerd runs on after {signal}");
    }

    /// The exit code that it knows of a task's container.
    fn exit_code(&self, task: &str) -> Value {
        let filter = format!("label=com.amazonaws.ecs.task-arn={task}");
        let id = self.docker(&["ps", "--all", "--quiet", "--filter", &filter]);
        serde_json::from_str(&self.docker(&["inspect", "--format", "{{json .State.ExitCode}}", &id])).unwrap()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- dockerd\n{}", std::fs::read_to_string(self.file("log")).unwrap_or_default());
        }
        if let Some(process) = &mut self.process {
            process.signal("TERM");
            process.ends_within(Duration::from_secs(30));
        }
        kill_all(self.dir.path());
        unmount(self.dir.path());
    }
}

/// What a killed daemon may leave: the keepers of its containers, which have its directory on their command lines, and
/// their children.
fn kill_all(dir: &Path) {
    let dir = dir.display().to_string();
    for pid in std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
        let line = std::fs::read(pid.join("cmdline")).unwrap_or_default();
        if !String::from_utf8_lossy(&line).contains(&dir) {
            continue;
        }
        let pid = pid.file_name().unwrap().to_string_lossy().into_owned();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for pid in children.split_whitespace().chain([pid.as_str()]) {
            drop(Command::new("kill").args(["-s", "KILL", pid]).output());
        }
    }
}

/// A daemon that was killed leaves mounts.
fn unmount(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(mount).starts_with(dir) {
            drop(Command::new("umount").args(["--lazy", mount]).output());
        }
    }
}

#[test]
fn jobs_that_went_with_docker_are_reported_and_the_next_ones_run() {
    let mut dockerd = Dockerd::start(&[]);
    let url = dockerd.url();
    let plane = Plane::start(&["--max-nodes", "0", "--docker-host", &url]);
    let mut agent = Agent::start(Setup::on(&plane, &plane.run_instance()).set("docker_host", &format!("{url:?}")));
    let before = plane.shell("hello", "exit 5");
    assert_eq!(plane.job_in(&before, "FAILED")["container"]["exitCode"], 5);
    // Docker stops its containers before it ends by itself; killed, it ends them when it comes back.
    for (round, signal) in ["TERM", "KILL"].into_iter().enumerate() {
        let job = plane.shell("hello", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
        let task = text(&plane.job_in(&job, "RUNNING")["container"]["taskArn"]).to_owned();
        eventually("the job's first words", || plane.output(&plane.job(&job)).first().cloned());
        dockerd.end(signal);
        agent.status_with("an agent that misses Docker", |status| status["state"]["docker"] == "down");
        let meanwhile = plane.shell("hello", "exit 6");
        agent.line(&[&meanwhile, "task accepted"]);
        dockerd.start_again();
        let ended = plane.job_in(&job, "FAILED");
        let known = dockerd.exit_code(&task);
        assert_eq!((&ended["container"]["exitCode"], ended["attempts"].as_array().unwrap().len()), (&known, 1));
        if signal == "TERM" {
            assert_eq!(known, 7);
        }
        assert_eq!(plane.job_in(&meanwhile, "FAILED")["container"]["exitCode"], 6, "it waited for Docker");
        assert_eq!(agent.count("Docker cannot be reached"), round + 1, "one line each time: {}", agent.log());
    }
    assert!(agent.process().exited().is_none());
    let after = plane.shell("hello", "true");
    plane.job_in(&after, "SUCCEEDED");
}

#[test]
fn jobs_live_through_a_restart_of_docker_with_live_restore() {
    let mut dockerd = Dockerd::start(&["--live-restore"]);
    let url = dockerd.url();
    let plane = Plane::start(&["--max-nodes", "0", "--docker-host", &url]);
    let agent = Agent::start(Setup::on(&plane, &plane.run_instance()).set("docker_host", &format!("{url:?}")));
    let work = tempfile::tempdir().unwrap();
    plane.define_with_work("work", work.path());
    let script = |code: u8| {
        format!("echo >>/work/starts{code}; while [ ! -e /work/end{code} ]; do sleep 0.05; done; exit {code}")
    };
    let release = |code: u8| std::fs::write(work.path().join(format!("end{code}")), "").unwrap();
    for (round, signal) in ["TERM", "KILL"].into_iter().enumerate() {
        let [during, after] = [10, 11].map(|code| code + 10 * u8::try_from(round).unwrap());
        let jobs = [during, after].map(|code| (code, plane.shell("work", &script(code))));
        for (code, id) in &jobs {
            plane.job_in(id, "RUNNING");
            eventually("its first words", || work.path().join(format!("starts{code}")).exists().then_some(()));
        }
        dockerd.end(signal);
        agent.status_with("an agent that misses Docker", |status| status["state"]["docker"] == "down");
        // One ends while nobody looks.
        release(during);
        dockerd.start_again();
        agent.status_with("an agent that has Docker", |status| status["state"]["docker"] != "down");
        release(after);
        for (code, id) in &jobs {
            let job = plane.job_in(id, "FAILED");
            assert_eq!(
                (&job["container"]["exitCode"], job["attempts"].as_array().unwrap().len()),
                (&(*code).into(), 1)
            );
            assert_eq!(crate::common::lines(&work.path().join(format!("starts{code}"))), 1, "it ran once");
        }
    }
}
