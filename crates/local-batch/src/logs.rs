//! Job output: copied from Docker into a file for each log stream, and read back as CloudWatch Logs events.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{StreamExt, TryStreamExt};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::{self, Millis};
use crate::ids::TaskArn;

/// The log group that Batch writes to.
pub(crate) const GROUP: &str = "/aws/batch/job";
/// The end of a stopped container's output is there at once; this only bounds a Docker that hangs.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) at: Millis,
    pub(crate) message: String,
}

/// Collects and keeps the streams, under `<data dir>/logs`: each line with the timestamp that Docker gave it.
#[derive(Clone)]
pub(crate) struct LogKeeper {
    pub(crate) docker: Option<Docker>,
    dir: PathBuf,
    /// By task; cancelled when its output is complete.
    collected: Arc<Mutex<HashMap<TaskArn, CancellationToken>>>,
}

impl LogKeeper {
    pub(crate) fn new(docker: Option<Docker>, dir: PathBuf) -> Self {
        Self { docker, dir, collected: Arc::default() }
    }

    /// Starts copying a container's output from its first line; once for each task.
    pub(crate) fn collect(&self, task: TaskArn, runtime_id: String, stream: String) {
        let Some(docker) = self.docker.clone() else { return };
        let done = CancellationToken::new();
        {
            let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
            if collected.contains_key(&task) {
                return;
            }
            collected.insert(task.clone(), done.clone());
        }
        let keeper = self.clone();
        tokio::spawn(async move {
            let _done = done.drop_guard();
            if let Err(error) = follow(&docker, &runtime_id, &keeper.path(&stream)).await {
                warn!(task = %task, %error, "the job's output was not collected to its end");
                // So that a later report of the task tries again.
                keeper.collected.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
            }
        });
    }

    /// Waits until the output of these tasks is complete, as far as it is being collected.
    pub(crate) async fn finished(&self, tasks: &BTreeSet<TaskArn>) {
        let waits: Vec<CancellationToken> = {
            let collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.iter().filter_map(|task| collected.get(task)).cloned().collect()
        };
        let all = async {
            for done in waits {
                done.cancelled().await;
            }
        };
        if tokio::time::timeout(FINISH_WITHIN, all).await.is_err() {
            warn!("Docker did not deliver the end of some output in time");
        }
    }

    /// The lines of a stream, or none when there is no such stream.
    pub(crate) async fn read(&self, stream: &str) -> io::Result<Option<Vec<LogLine>>> {
        match tokio::fs::read(self.path(stream)).await {
            Ok(bytes) => Ok(Some(parse(&String::from_utf8_lossy(&bytes)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn exists(&self, stream: &str) -> bool {
        self.path(stream).is_file()
    }

    /// A stream's name comes from a job definition: no part of it leads out of the directory.
    fn path(&self, stream: &str) -> PathBuf {
        let parts = stream.split('/').map(|part| if matches!(part, "" | "." | "..") { "_" } else { part });
        self.dir.join(parts.collect::<PathBuf>())
    }
}

fn parse(text: &str) -> Vec<LogLine> {
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some((at, message)) => (clock::parse_rfc3339(at), message),
        None => (clock::parse_rfc3339(line), ""),
    });
    let mut last = 0;
    lines
        .map(|(at, message)| {
            last = at.unwrap_or(last);
            LogLine { at: last, message: message.to_owned() }
        })
        .collect()
}

async fn follow(docker: &Docker, runtime_id: &str, path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    let mut file = File::options().create(true).write(true).truncate(false).open(path).await?;
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).timestamps(true).build();
    let mut output = docker.logs(runtime_id, Some(options)).map(|chunk| chunk.map_err(io::Error::other)).boxed();
    let (mut mid_line, mut is_first) = (false, true);
    while let Some(chunk) = output.try_next().await? {
        if std::mem::take(&mut is_first) {
            // A copy that the end of an earlier plane cut short; it stays where Docker has no more than that.
            file.set_len(0).await?;
        }
        let bytes = chunk.into_bytes();
        // A long line comes in parts, and Docker puts a timestamp before each.
        let stamp = bytes.iter().position(|b| *b == b' ').filter(|_| mid_line).map_or(0, |at| at + 1);
        file.write_all(&bytes[stamp..]).await?;
        mid_line = !bytes.ends_with(b"\n");
        file.flush().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_times() {
        let lines = parse("2025-10-09T08:53:20.123456789Z hello there\n2025-10-09T08:53:21Z \ngarbled\n");
        let line = |at, message: &str| LogLine { at, message: message.into() };
        assert_eq!(
            lines,
            [line(1_760_000_000_123, "hello there"), line(1_760_000_001_000, ""), line(1_760_000_001_000, "")]
        );
    }

    #[test]
    fn a_stream_name_stays_in_its_directory() {
        let keeper = LogKeeper::new(None, PathBuf::from("/logs"));
        assert_eq!(keeper.path("../../etc//passwd"), PathBuf::from("/logs/_/_/etc/_/passwd"));
    }
}
