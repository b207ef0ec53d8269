//! Telling the operator's own program of each step of leaving. Beside everything else: the departure never waits for it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use node_core::Announcement;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Steps that wait to be told; a host takes a few dozen in its life.
const WAITING_MAX: usize = 64;
const RUN_LIMIT: Duration = Duration::from_secs(30);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// What the program inherits but for these: nothing of it needs the host's credentials for registries.
const SECRETS: [&str; 2] = ["BATCH_NODE_AGENT_REGISTRY_AUTH_DATA", "ECS_ENGINE_AUTH_DATA"];

/// `None`: nobody listens.
#[derive(Clone)]
pub(super) struct Listener(Option<mpsc::Sender<String>>);

impl Listener {
    pub(super) fn start(command: Option<PathBuf>, stop: &CancellationToken) -> Self {
        let Some(command) = command else { return Self(None) };
        let (steps, mut waiting) = mpsc::channel::<String>(WAITING_MAX);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Some(step) = waiting.recv().await {
                tell(&command, &step).await;
            }
        }));
        Self(Some(steps))
    }

    pub(super) fn tell(&self, news: &Announcement) {
        let Some(steps) = &self.0 else { return };
        let Ok(body) = serde_json::to_string(news) else { return };
        if steps.try_send(body).is_err() {
            tracing::warn!(event = news.what.as_str(), "event_command is too slow: it is not told of this step");
        }
    }
}

async fn tell(command: &Path, step: &str) {
    for attempt in 1..=TRIES {
        let why = match tokio::time::timeout(RUN_LIMIT, run(command, step)).await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => format!("it took longer than {} s", RUN_LIMIT.as_secs()),
        };
        tracing::warn!(attempt, "event_command {} failed: {why}", command.display());
        if attempt < TRIES {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn run(command: &Path, step: &str) -> Result<(), String> {
    let mut command = Command::new(command);
    withhold(&mut command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read what it is told may still do its work.
        let _ = stdin.write_all(step.as_bytes()).await;
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

fn withhold(command: &mut Command) {
    for name in SECRETS {
        command.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn the_program_reads_the_step() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let hook = script(dir.path(), &format!("cat > {}", out.display()));
        run(&hook, "{\"what\":\"drain\"}").await.unwrap();
        assert_eq!(std::fs::read_to_string(out).unwrap(), "{\"what\":\"drain\"}");
    }

    #[tokio::test]
    async fn the_program_is_not_given_the_hosts_credentials_for_registries() {
        let mut command = Command::new("env");
        for name in SECRETS {
            command.env(name, "hunter2");
        }
        withhold(&mut command);
        let said = command.output().await.unwrap().stdout;
        assert!(!String::from_utf8_lossy(&said).contains("hunter2") && !said.is_empty());
    }

    #[tokio::test]
    async fn a_failing_program_and_a_missing_one_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let hook = script(dir.path(), "exit 3");
        assert!(run(&hook, "{}").await.unwrap_err().contains('3'));
        assert!(run(&dir.path().join("none"), "{}").await.is_err());
    }
}
