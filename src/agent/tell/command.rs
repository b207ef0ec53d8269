//! The operator's own program, run once for each step.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Failure;

const RUN_LIMIT: Duration = Duration::from_secs(30);
pub(super) const TRIES: u32 = 3;

/// What the program inherits but for these: nothing of it needs the host's credentials for registries.
const SECRETS: [&str; 2] = ["BATCH_NODE_AGENT_REGISTRY_AUTH_DATA", "ECS_ENGINE_AUTH_DATA"];

/// The program's path.
pub(super) struct Hook(pub(super) PathBuf);

impl Hook {
    pub(super) async fn run(&self, step: &str) -> Result<(), Failure> {
        let why = match tokio::time::timeout(RUN_LIMIT, self.run_once(step)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => format!("it took longer than {} s", RUN_LIMIT.as_secs()),
        };
        Err(Failure::Passing(format!("{}: {why}", self.0.display())))
    }

    async fn run_once(&self, step: &str) -> Result<(), String> {
        let mut command = Command::new(&self.0);
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
}

fn withhold(command: &mut Command) {
    for name in SECRETS {
        command.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn script(dir: &Path, text: &str) -> Hook {
        let path = dir.join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Hook(path)
    }

    #[tokio::test]
    async fn the_program_reads_the_step() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let hook = script(dir.path(), &format!("cat > {}", out.display()));
        hook.run("{\"what\":\"drain\"}").await.unwrap();
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
        assert!(matches!(hook.run("{}").await, Err(Failure::Passing(why)) if why.contains("exit status: 3")));
        assert!(Hook(dir.path().join("none")).run("{}").await.is_err());
    }
}
