//! What the tests stand on: a plane, agents, Docker, and patience.

pub(crate) mod agent;
pub(crate) mod docker;
pub(crate) mod ecs;
pub(crate) mod faults;
pub(crate) mod frames;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod model;
pub(crate) mod plane;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod registry;
pub(crate) mod tap;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_batch-node-agent");
/// Longer than anything takes on a loaded machine; no test passes or fails by being faster.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(25);

/// Looks again and again until there is something to see.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "within {} s there was not: {what}", PATIENCE.as_secs());
        std::thread::sleep(INTERVAL);
    }
}

/// The program under test, with nothing of AWS's, Docker's or the agent's own in its environment.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["AWS_", "ECS_", "DOCKER_", "BATCH_NODE_AGENT_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}

/// What the agent whose files are in `dir` says of itself; `None` while it does not answer.
pub(crate) fn status(dir: &Path) -> Option<Value> {
    let socket = dir.join("agent.sock");
    let output = binary().arg("status").arg("--socket").arg(socket).arg("--json").output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// The log of the agent whose files are in `dir`.
pub(crate) fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("agent.log")).unwrap_or_default()
}

/// The last part of an ARN.
pub(crate) fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}"))
}

/// How many lines a file has; none while it does not exist.
pub(crate) fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}
