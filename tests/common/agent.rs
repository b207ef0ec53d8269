//! An agent that a test runs itself, on an instance without a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::plane::{Instance, Plane};
use super::process::Process;
use super::{binary, eventually, log, status};

pub(crate) struct Agent {
    process: Option<Process>,
    setup: Setup,
    dir: TempDir,
}

/// How an agent is started.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Where all AWS APIs are.
    pub(crate) endpoint: String,
    pub(crate) imds: String,
    /// Lines of the configuration.
    pub(crate) config: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) args: Vec<String>,
}

impl Setup {
    /// An agent on this instance, in compute environment `local`, with room for many jobs, that never leaves.
    pub(crate) fn on(plane: &Plane, instance: &Instance) -> Self {
        let config = [
            r#"compute_environment = "local""#,
            r#"idle_timeout = "never""#,
            r#"image_pull_behavior = "prefer-cached""#,
            "cpu = 16",
            "memory = 4096",
        ];
        Self {
            endpoint: plane.endpoint.clone(),
            imds: instance.imds.clone().unwrap(),
            config: config.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            args: Vec::new(),
        }
    }

    /// Sets a key anew, or another one.
    #[must_use]
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.config.retain(|line| line.split(' ').next() != Some(key));
        self.config.push(format!("{key} = {value}"));
        self
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub(crate) fn through(mut self, endpoint: &str) -> Self {
        endpoint.clone_into(&mut self.endpoint);
        self
    }

    #[must_use]
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(ToString::to_string).collect();
        self
    }
}

impl Agent {
    /// An agent on a new instance of the plane.
    pub(crate) fn on(plane: &Plane) -> Self {
        Self::start(Setup::on(plane, &plane.run_instance()))
    }

    pub(crate) fn start(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = setup.config.clone();
        // The default would give this very machine 169.254.170.2.
        if !lines.iter().any(|line| line.starts_with("task_endpoint")) {
            lines.push(r#"task_endpoint = "loopback:0""#.to_owned());
        }
        lines.push(format!("data_dir = {:?}", dir.path().join("data")));
        lines.push(format!("admin_socket = {:?}", dir.path().join("agent.sock")));
        std::fs::write(dir.path().join("config.toml"), lines.join("\n")).unwrap();
        let mut agent = Self { process: None, setup, dir };
        agent.start_again();
        agent
    }

    /// Starts the process anew, as a service manager would.
    pub(crate) fn start_again(&mut self) {
        self.process = Some(Process::spawn(self.command(), &self.dir().join("agent.log")));
    }

    fn command(&self) -> Command {
        let mut command = binary();
        command.arg("run").arg("--config").arg(self.dir().join("config.toml")).args(&self.setup.args);
        command.env("AWS_ENDPOINT_URL", &self.setup.endpoint).env("AWS_REGION", "us-east-1");
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &self.setup.imds);
        command.envs(self.setup.environment.iter().cloned());
        command
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        log(self.dir())
    }

    /// What it says of itself, once it answers.
    pub(crate) fn status(&self) -> Value {
        eventually("the agent's answer", || status(self.dir()))
    }

    /// Waits until the agent's status is as wished.
    pub(crate) fn status_with(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || status(self.dir()).filter(|status| holds(status)))
    }

    /// Waits until it is registered and connected.
    pub(crate) fn joined(&self) -> Value {
        self.status_with("an agent that has joined", |s| s["state"]["acs_connected"] == true)
    }

    /// Waits for a line of the log that has all these parts, and gives it.
    pub(crate) fn line(&self, parts: &[&str]) -> String {
        eventually(&format!("a log line with {parts:?}"), || self.line_now(parts))
    }

    pub(crate) fn line_now(&self, parts: &[&str]) -> Option<String> {
        self.log().lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    }

    /// How many lines of the log have this part.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.log().lines().filter(|line| line.contains(part)).count()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- agent\n{}", self.log());
        }
        if let Some(process) = &mut self.process {
            process.signal("TERM");
            process.ends_within(Duration::from_secs(5));
        }
    }
}
