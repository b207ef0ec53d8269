//! Watches jobs and nodes from outside, with a progress bar, until the jobs have ended and the nodes have gone.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::bail;
use aws_sdk_batch::types::JobStatus;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};

use crate::cloud::{Cloud, Node};

/// How often we look.
const EVERY: Duration = Duration::from_millis(300);
/// How long nothing at all may change before we say that it is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(180);
/// Without a terminal there is no bar but a line, this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Jobs and nodes at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) jobs: BTreeMap<String, JobStatus>,
    pub(crate) nodes: Vec<Node>,
}

impl Snapshot {
    async fn take(cloud: &Cloud) -> anyhow::Result<Self> {
        Ok(Self { jobs: cloud.jobs().await?, nodes: cloud.nodes().await? })
    }

    fn count(&self, statuses: &[JobStatus]) -> usize {
        self.jobs.values().filter(|status| statuses.contains(status)).count()
    }

    fn ended(&self) -> usize {
        self.count(&[JobStatus::Succeeded, JobStatus::Failed])
    }

    fn has_ended(&self, job: &str) -> bool {
        matches!(self.jobs.get(job), Some(JobStatus::Succeeded | JobStatus::Failed))
    }

    /// No job is left, and no node. Whether the poller had ended is asked of the snapshot before: jobs that it made
    /// while this one was taken may be missing here.
    fn is_over(&self, before: &Self, poller: &str) -> bool {
        before.has_ended(poller) && self.ended() == self.jobs.len() && self.nodes.iter().all(Node::is_terminated)
    }

    fn line(&self) -> String {
        let gone = self.nodes.iter().filter(|node| node.is_terminated()).count();
        let there = self.nodes.len() - gone;
        let mut line = format!(
            "{} waiting, {} running",
            self.count(&[JobStatus::Submitted, JobStatus::Pending, JobStatus::Runnable]),
            self.count(&[JobStatus::Starting, JobStatus::Running]),
        );
        let failed = self.count(&[JobStatus::Failed]);
        if failed > 0 {
            line += &format!(", {failed} failed");
        }
        line + &format!("; nodes {there} up, {gone} gone")
    }
}

/// Watches until every job has ended and every node has terminated itself; returns the last look.
pub(crate) async fn until_done(cloud: &Cloud, poller: &str) -> anyhow::Result<Snapshot> {
    let mut show = Show::new();
    let mut last = Snapshot::default();
    let mut changed = Instant::now();
    loop {
        let now = Snapshot::take(cloud).await?;
        show.update(&now);
        if now.is_over(&last, poller) {
            show.close();
            return Ok(now);
        }
        if now != last {
            changed = Instant::now();
        } else if changed.elapsed() > STUCK_AFTER {
            bail!("nothing has changed for {} s: {}", STUCK_AFTER.as_secs(), now.line());
        }
        last = now;
        sleep(EVERY).await;
    }
}

/// The bar on a terminal, or a line now and then.
struct Show {
    bar: Option<ProgressBar>,
    said: Option<Instant>,
}

impl Show {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            let style = ProgressStyle::with_template("{elapsed:>4} [{bar:20}] {pos}/{len} jobs, {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
        });
        Self { bar, said: None }
    }

    fn update(&mut self, now: &Snapshot) {
        if let Some(bar) = &self.bar {
            bar.set_length(now.jobs.len().max(1) as u64);
            bar.set_position(now.ended() as u64);
            bar.set_message(now.line());
        } else if self.said.is_none_or(|said| said.elapsed() >= LINE_EVERY) {
            self.said = Some(Instant::now());
            eprintln!("{}/{} jobs, {}", now.ended(), now.jobs.len(), now.line());
        }
    }

    fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
