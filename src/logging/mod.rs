//! Logs: to standard error, as text for people or as a JSON object a line for machines. Each line carries the fields of the
//! spans it was logged in, so a line about a job has its `task`, `job_id`, `queue` and `attempt`.

mod json;

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::OnceLock;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        <Self as clap::ValueEnum>::from_str(text, false)
    }
}

/// What is logged: a level, or a list of `target=level` in which one level alone is for all other targets.
#[derive(Clone, PartialEq)]
pub(crate) struct LogFilter(Targets);

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO))
    }
}

impl FromStr for LogFilter {
    type Err = String;

    /// Stricter than `Targets`, which takes a misspelt level for a target that shall be traced.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut targets = Targets::new();
        for part in text.split(',').map(str::trim) {
            let (target, level) = match part.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim()),
                None => (None, part),
            };
            let level = level_of(level)
                .ok_or_else(|| format!("`{level}` is not one of off, error, warn, info, debug, trace"))?;
            targets = match target {
                Some("") => return Err(format!("`{part}` names no target")),
                Some(target) => targets.with_target(target, level),
                None => targets.with_default(level),
            };
        }
        Ok(Self(targets))
    }
}

fn level_of(name: &str) -> Option<LevelFilter> {
    let is_word = name.chars().all(|c| c.is_ascii_alphabetic()) && !name.is_empty();
    name.parse().ok().filter(|_| is_word)
}

/// Starts logging for the whole process. Only the first call does.
pub(crate) fn init(format: LogFormat, filter: &LogFilter) {
    let ansi = std::io::stderr().is_terminal();
    let (level, handle) = reload::Layer::new(filter.0.clone());
    // A second call finds a subscriber in place, which is as good.
    if Registry::default().with(layer(format, level, ansi, std::io::stderr)).try_init().is_ok() {
        let _ = LEVEL.set(handle);
    }
}

/// What is logged can change while the process runs.
static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

pub(crate) fn set_level(filter: &LogFilter) {
    if let Some(level) = LEVEL.get()
        && let Err(error) = level.reload(filter.0.clone())
    {
        tracing::warn!(%error, "the log level cannot be changed");
    }
}

/// An error and its causes in one line, for `error = %chain(&error)`: an error's own text leaves its causes out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn layer<W>(
    format: LogFormat,
    level: impl Filter<Registry> + Send + Sync + 'static,
    ansi: bool,
    writer: W,
) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = level.and(filter_fn(is_harmless));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(ansi);
    match format {
        LogFormat::Text => lines.compact().with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(json::Flat).with_filter(filter).boxed(),
    }
}

/// The crates of this workspace: they never log a secret, so only they may be turned up.
const OURS: [&str; 6] = ["acs_decode", "batch_node_agent", "node_core", "ecs_wire", "local_batch", "node_sim"];

/// Whether a line is one that cannot hold a secret. Libraries log requests and responses at `debug` and `trace` (bollard a
/// container's whole environment, the websocket its frames, the AWS SDK its headers), so they stay at `info`, and what handles
/// credentials at `warn`, whatever the operator asks for.
fn is_harmless(line: &Metadata<'_>) -> bool {
    let of = |name: &&str| -> bool {
        let rest = line.target().strip_prefix(*name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let cap = match line.target() {
        _ if OURS.iter().any(of) => LevelFilter::TRACE,
        target if target.starts_with("aws_") || target.contains("tungstenite") => LevelFilter::WARN,
        _ => LevelFilter::INFO,
    };
    *line.level() <= cap
}

#[cfg(test)]
mod tests;
