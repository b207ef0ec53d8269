//! The closing table.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_batch::types::JobStatus;
use comfy_table::{CellAlignment, Table, presets};

use crate::cloud::{Job, Node};
use crate::plane::last_lines;
use crate::results::Measured;

/// Of failed jobs, mistakes and the biggest files, this many are shown.
const SHOWN: usize = 5;
/// Of the output of a failed job.
const LOG_LINES: usize = 4;

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) jobs: Vec<Job>,
    pub(crate) nodes: Vec<Node>,
    /// How many files the poller handed out.
    pub(crate) files: usize,
    pub(crate) results: Vec<Measured>,
    /// Where a result is not what the file says; empty if all is well.
    pub(crate) mistakes: Vec<String>,
    pub(crate) output: PathBuf,
    /// The folder in which the plane keeps log streams.
    pub(crate) logs: PathBuf,
    pub(crate) wall: Duration,
}

impl Report {
    pub(crate) fn is_success(&self) -> bool {
        self.jobs.iter().all(|job| job.status == JobStatus::Succeeded)
            && self.nodes.iter().all(Node::left_by_itself)
            && self.results.len() == self.files
            && self.mistakes.is_empty()
    }

    fn jobs_by_state(&self) -> String {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for job in &self.jobs {
            *states.entry(job.status.as_str()).or_default() += 1;
        }
        let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        states.join(", ")
    }

    fn nodes_by_state(&self) -> String {
        let gone = self.nodes.iter().filter(|node| node.left_by_itself()).count();
        format!("{} launched, {gone} terminated themselves", self.nodes.len())
    }

    fn results_in_all(&self) -> String {
        let sum = |field: fn(&Measured) -> u64| self.results.iter().map(field).sum::<u64>();
        format!(
            "{} of {} files: {} lines, {} words, {} bytes, {} compressed",
            self.results.len(),
            self.files,
            sum(|result| result.lines),
            sum(|result| result.words),
            sum(|result| result.bytes),
            sum(|result| result.gzip_bytes),
        )
    }

    fn summary(&self) -> Table {
        let mut table = table();
        table.add_row(["jobs", &self.jobs_by_state()]);
        table.add_row(["results", &self.results_in_all()]);
        let check = if self.mistakes.is_empty() {
            "every line and byte count and SHA-256 is right"
        } else {
            "some results are wrong"
        };
        table.add_row(["checked", check]);
        table.add_row(["nodes", &self.nodes_by_state()]);
        table.add_row(["wall time", &format!("{:.1} s", self.wall.as_secs_f64())]);
        table.add_row(["written to", &self.output.display().to_string()]);
        table
    }

    fn biggest(&self) -> Table {
        let mut biggest: Vec<&Measured> = self.results.iter().collect();
        biggest.sort_by_key(|result| std::cmp::Reverse(result.bytes));
        let mut table = table();
        table.set_header(["biggest files", "lines", "words", "bytes", "compressed", "sha256"]);
        for result in biggest.into_iter().take(SHOWN) {
            let numbers =
                [result.lines, result.words, result.bytes, result.gzip_bytes].map(|number| number.to_string());
            let hash = result.sha256.get(..12).unwrap_or(&result.sha256);
            let [lines, words, bytes, compressed] = numbers;
            table.add_row([&result.file, &lines, &words, &bytes, &compressed, hash]);
        }
        for column in 1..=4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    fn failure(&self, job: &Job) -> String {
        let said = last_lines(&self.logs.join(&job.log_stream), LOG_LINES);
        let said: String = said.iter().map(|line| format!("\n    {line}")).collect();
        format!("{} failed: {}{said}", job.name, job.reason)
    }

    fn complaints(&self) -> Vec<String> {
        let failed = self.jobs.iter().filter(|job| job.status == JobStatus::Failed);
        let failed = failed.map(|job| self.failure(job));
        let lost = self.nodes.iter().filter(|node| !node.left_by_itself());
        let lost =
            lost.map(|node| format!("node {} is {} by {:?}, not by its own call", node.id, node.state, node.why));
        let mut complaints: Vec<String> = failed.chain(lost).chain(self.mistakes.iter().cloned()).collect();
        let more = complaints.len().saturating_sub(SHOWN);
        complaints.truncate(SHOWN);
        if more > 0 {
            complaints.push(format!("and {more} more"));
        }
        complaints
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary())?;
        if !self.results.is_empty() {
            writeln!(f, "{}", self.biggest())?;
        }
        for complaint in self.complaints() {
            writeln!(f, "{complaint}")?;
        }
        Ok(())
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table
}
