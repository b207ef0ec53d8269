//! A machine of a test's own: Debian with systemd as its first process and with Docker, in a container (scripts/root.sh).
//! The agent is installed in it as its package does.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::plane::{Instance, Plane};
use super::{BINARY, docker, eventually};

const UNIT: &str = "batch-node-agent";
/// Where the program under test is found in the machine.
const BUILD: &str = "/opt/build";
pub(crate) const CONFIG: &str = "/etc/batch-node-agent/config.toml";

pub(crate) struct Host {
    name: String,
}

impl Host {
    /// Boots it, and installs the agent and its units. Nothing is started.
    pub(crate) fn boot() -> Self {
        docker::need_busybox();
        let host = Self { name: format!("host-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]) };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let build = format!("{}:{BUILD}:ro", Path::new(BINARY).parent().unwrap().display());
        let units = format!("{}:/opt/units:ro", root.join("systemd").display());
        let mut boot = Command::new(root.join("scripts/root.sh"));
        boot.args(["boot", &host.name, "--network", "bridge", "-v", &build, "-v", &units]);
        let output = boot.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // It reaches the plane on the bridge, and nothing else.
        host.run("ip route del default");
        let load = format!("docker save busybox | docker exec --interactive {} docker load", host.name);
        assert!(Command::new("sh").args(["-c", &load]).output().unwrap().status.success(), "{load}");
        host.install();
        host.run(
            "cd /opt/units && cp *.service *.path /usr/lib/systemd/system/ && \
             cp *.sysusers /usr/lib/sysusers.d/batch-node-agent.conf && \
             cp *.tmpfiles /usr/lib/tmpfiles.d/batch-node-agent.conf && \
             systemd-sysusers batch-node-agent.conf && systemd-tmpfiles --create batch-node-agent.conf && \
             systemctl daemon-reload && mkdir /srv/work",
        );
        host
    }

    /// Puts the program where its package puts it. One that runs goes on with the file that it was started from.
    pub(crate) fn install(&self) {
        self.run(&format!("cp {BUILD}/{UNIT} /usr/bin/{UNIT}.new && mv /usr/bin/{UNIT}.new /usr/bin/{UNIT}"));
    }

    /// Makes it an instance of the plane, with these lines of configuration beside the usual ones.
    pub(crate) fn configure(&self, plane: &Plane, instance: &Instance, lines: &[&str]) {
        let usual = [
            "compute_environment = 'local'",
            "idle_timeout = 'never'",
            "image_pull_behavior = 'prefer-cached'",
            "memory = 4096",
        ];
        self.write(CONFIG, &[&usual[..], lines].concat().join("\n"));
        let environment = [
            ("AWS_ENDPOINT_URL", plane.endpoint.as_str()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.imds.as_deref().unwrap()),
            ("AWS_REGION", "us-east-1"),
            ("BATCH_NODE_AGENT_CPU", "16"),
        ];
        let environment: Vec<String> = environment.map(|(name, value)| format!("{name}={value}")).to_vec();
        self.write("/etc/batch-node-agent/environment", &environment.join("\n"));
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        self.run(&format!("mkdir -p $(dirname {path}); cat >{path} <<'END'\n{text}\nEND"));
    }

    pub(crate) fn try_run(&self, script: &str) -> Output {
        Command::new("docker").args(["exec", &self.name, "sh", "-c", script]).output().unwrap()
    }

    /// What a script says, which must succeed.
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.try_run(script);
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{script}: {said} {}", String::from_utf8_lossy(&output.stderr));
        said
    }

    pub(crate) fn systemctl(&self, words: &str) -> String {
        self.run(&format!("systemctl {words} {UNIT}.service"))
    }

    /// A property of the agent's unit.
    pub(crate) fn property(&self, name: &str) -> String {
        self.systemctl(&format!("show --value --property {name}"))
    }

    /// Waits until a property is as wished.
    pub(crate) fn property_with(&self, name: &str, holds: impl Fn(&str) -> bool) -> String {
        eventually(&format!("a fitting {name}"), || Some(self.property(name)).filter(|value| holds(value)))
    }

    pub(crate) fn journal(&self) -> String {
        self.run(&format!("journalctl --no-pager --output cat --unit {UNIT}"))
    }

    /// Waits for a line of the agent's journal that has all these parts.
    pub(crate) fn line(&self, parts: &[&str]) -> String {
        eventually(&format!("a line of the journal with {parts:?}"), || {
            let journal = self.journal();
            journal.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        })
    }

    /// What the agent says of itself; `None` while it does not answer.
    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.try_run("batch-node-agent status --json");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    pub(crate) fn joined(&self) -> Value {
        eventually("an agent that has joined", || self.status().filter(|s| s["state"]["acs_connected"] == true))
    }

    /// Waits until it has gone down.
    pub(crate) fn is_down(&self) {
        eventually("the end of the host", || {
            let state = docker::docker(&["inspect", "--format", "{{.State.Running}}", &self.name]);
            (state == "false").then_some(())
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.try_run(
                "journalctl --no-pager --output short-precise --lines 120 _PID=1 + _SYSTEMD_UNIT=batch-node-agent.service",
            );
            eprintln!("--- {}\n{}", self.name, String::from_utf8_lossy(&journal.stdout));
        }
        drop(Command::new("docker").args(["rm", "--force", "--volumes", &self.name]).output());
    }
}
