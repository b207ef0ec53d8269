//! A launched node's agent: its process, restarted as systemd would, ended as EC2 would.

use std::fs::OpenOptions;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::settings::NodeFiles;
use crate::events::PlaneEvent;
use crate::hub::Hub;
use crate::ids::Ec2Id;

/// As the unit's RestartSec.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// Between SIGTERM and SIGKILL, when an instance is terminated and when the whole plane goes.
const KILL_AFTER: Duration = Duration::from_secs(10);
const KILL_AT_CLOSE: Duration = Duration::from_secs(3);
/// Exit codes after which systemd would leave the agent down: it has ended well, or restarting cannot help.
const STAYS_DOWN: [i32; 2] = [0, 5];
/// What must not leak from the plane's own environment into a node.
const FOREIGN_PREFIXES: [&str; 3] = ["AWS_", "ECS_", "BATCH_NODE_AGENT_"];

/// Keeps the agent running until its instance is terminated.
pub(crate) async fn supervise(hub: &Arc<Hub>, id: &Ec2Id, files: &NodeFiles, imds: &str, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        if hub.read(|state| state.nodes.get(id).is_none_or(|node| node.is_down)) {
            return stop.cancelled().await;
        }
        let how = match spawn(hub, files, imds) {
            Ok(mut child) => {
                tokio::select! {
                    status = child.wait() => status,
                    () = stop.cancelled() => return terminate(hub, &mut child).await,
                }
            }
            Err(cause) => {
                error!(instance = %id, %cause, program = %hub.config.node.program.display(), "cannot start the agent");
                Err(cause)
            }
        };
        match how {
            Ok(status) if status.code().is_none_or(|code| !STAYS_DOWN.contains(&code)) => {
                publish(hub, id, status.to_string(), true);
                tokio::select! {
                    () = tokio::time::sleep(RESTART_AFTER) => {}
                    () = stop.cancelled() => {}
                }
            }
            Ok(status) => stays_down(hub, id, status.to_string()),
            Err(cause) => stays_down(hub, id, cause.to_string()),
        }
    }
}

/// The agent is not running and nobody will start it: the instance stands there until it is terminated.
pub(super) fn stays_down(hub: &Arc<Hub>, id: &Ec2Id, how: String) {
    hub.update(|state, _| {
        if let Some(node) = state.nodes.get_mut(id) {
            node.is_down = true;
        }
    });
    publish(hub, id, how, false);
}

fn publish(hub: &Hub, id: &Ec2Id, how: String, restarting: bool) {
    hub.publish(PlaneEvent::NodeProcessExited { instance_id: id.to_string(), how, restarting });
}

fn spawn(hub: &Hub, files: &NodeFiles, imds: &str) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(&files.log)?;
    let mut command = Command::new(&hub.config.node.program);
    command.arg("run").arg("--config").arg(&files.config);
    for (name, _) in std::env::vars_os() {
        if FOREIGN_PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_ENDPOINT_URL", &hub.endpoint)
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds)
        .env("AWS_REGION", &hub.config.region)
        // A fresh host has no profiles: its credentials come from the metadata service.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .envs(hub.config.node.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// SIGTERM; SIGKILL to the whole group when that was not enough; reaped either way.
async fn terminate(hub: &Hub, child: &mut Child) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    if let Err(cause) = kill_process(pid, Signal::TERM) {
        warn!(%cause, "cannot signal an agent");
    }
    let closing = async {
        hub.closing.cancelled().await;
        tokio::time::sleep(KILL_AT_CLOSE).await;
    };
    tokio::select! {
        _ = child.wait() => return,
        () = tokio::time::sleep(KILL_AFTER) => {}
        () = closing => {}
    }
    if let Err(cause) = kill_process_group(pid, Signal::KILL) {
        warn!(%cause, "cannot kill an agent that did not end");
    }
    drop(child.wait().await);
}
