//! Who asked for credentials, a line each, in the words of amazon-ecs-agent (agent/logger/audit):
//!
//! `<time> <status> <client> "<path>" "<user agent>" <task> <event> 2 <cluster> <container instance>`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use node_core::RoleKind;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::serve::credentials::Owner;

/// Lines on their way to the file. A disk that cannot take them does not hold up jobs: lines are lost, and the log says so.
const LINES_MAX: usize = 1_024;
/// Lines written at once.
const BATCH: usize = 64;
/// What an unknown user agent may fill.
const AGENT_CHARS: usize = 256;
const VERSION: u8 = 2;

/// One request. The path is without the credentials' id, which is what protects them.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) status: u16,
    pub(super) client: SocketAddr,
    pub(super) path: &'a str,
    pub(super) user_agent: &'a str,
    pub(super) owner: Option<&'a Owner>,
    pub(super) cluster: Option<&'a str>,
    pub(super) container_instance: Option<&'a str>,
}

impl Entry<'_> {
    fn line(&self, now: SystemTime) -> String {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let time = DateTime::from_secs(i64::try_from(seconds).unwrap_or_default());
        let time = time.fmt(Format::DateTime).unwrap_or_else(|_| "-".to_owned());
        let task = self.owner.map_or("-", |owner| owner.task.as_str());
        let event = match self.owner.map(|owner| owner.role) {
            Some(RoleKind::Task) => "GetCredentials",
            Some(RoleKind::Execution) => "GetCredentialsExecutionRole",
            None => "GetCredentialsInvalidRoleType",
        };
        let (path, agent) = (quotable(self.path), quotable(self.user_agent));
        let (cluster, instance) = (self.cluster.unwrap_or("-"), self.container_instance.unwrap_or("-"));
        format!(
            "{time} {} {} \"{path}\" \"{agent}\" {task} {event} {VERSION} {cluster} {instance}\n",
            self.status, self.client
        )
    }
}

/// A client's own text, which must not be able to forge a line.
fn quotable(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let plain = |c: char| if c == '"' || c == '\\' || c.is_control() { '?' } else { c };
    text.chars().take(AGENT_CHARS).map(plain).collect()
}

/// Where lines go; every clone writes the same file. `None` inside: nowhere.
#[derive(Debug, Clone)]
pub(crate) struct Audit(Option<mpsc::Sender<String>>);

impl Audit {
    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// Writes to `path` until every clone is gone. Must be called within a tokio runtime.
    pub(crate) fn to(path: &Path) -> Self {
        let (lines, inbox) = mpsc::channel(LINES_MAX);
        tokio::spawn(write(path.to_owned(), inbox));
        Self(Some(lines))
    }

    pub(super) fn note(&self, entry: &Entry<'_>) {
        let Some(lines) = &self.0 else { return };
        if lines.try_send(entry.line(SystemTime::now())).is_err() {
            tracing::warn!("the audit log is not written fast enough: a line is lost");
        }
    }
}

/// The file is opened for every batch, so that it may be moved away at any time.
async fn write(path: PathBuf, mut inbox: mpsc::Receiver<String>) {
    let mut batch = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        let text: String = batch.drain(..).collect();
        let written = async {
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).await?;
            file.write_all(text.as_bytes()).await?;
            file.flush().await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, "lines of the audit log {} are lost", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use node_core::TaskArn;

    use super::*;

    #[test]
    fn a_line_has_the_ten_fields_and_no_forged_ones() {
        let owner = Owner { task: TaskArn::new("arn:t"), role: RoleKind::Execution };
        let entry = Entry {
            status: 200,
            client: "172.17.0.2:4711".parse().unwrap(),
            path: "/v2/credentials",
            user_agent: "evil\"\n2026",
            owner: Some(&owner),
            cluster: Some("c1"),
            container_instance: None,
        };
        let line = entry.line(SystemTime::UNIX_EPOCH);
        assert_eq!(
            line,
            "1970-01-01T00:00:00Z 200 172.17.0.2:4711 \"/v2/credentials\" \"evil??2026\" arn:t \
             GetCredentialsExecutionRole 2 c1 -\n"
        );
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let (lines, inbox) = mpsc::channel(1);
        let writer = tokio::spawn(write(path.clone(), inbox));
        lines.send("one\n".to_owned()).await.unwrap();
        while std::fs::read_to_string(&path).unwrap_or_default() != "one\n" {
            tokio::task::yield_now().await;
        }
        std::fs::rename(&path, dir.path().join("audit.log.1")).unwrap();
        lines.send("two\n".to_owned()).await.unwrap();
        drop(lines);
        writer.await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }
}
