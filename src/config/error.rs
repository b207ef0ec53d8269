//! Everything that is wrong with a configuration, told at once.

use std::fmt;
use std::path::PathBuf;

/// All the mistakes of a configuration, file and environment together, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct ConfigError {
    pub(super) problems: Vec<Problem>,
}

impl ConfigError {
    /// Nothing is wrong but that nobody has said whom this host works for.
    pub(crate) fn is_unset(&self) -> bool {
        self.problems.iter().all(|problem| matches!(problem, Problem::NoHome))
    }

    /// For a log.
    pub(crate) fn in_one_line(&self) -> String {
        let problems: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "the configuration has a mistake:")?,
            count => write!(f, "the configuration has {count} mistakes:")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    Variable(String),
    File {
        path: PathBuf,
        line: usize,
    },
    /// Of amazon-ecs-agent's JSON file, known by the variable of the same meaning.
    Field {
        path: PathBuf,
        variable: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Variable(name) => f.write_str(name),
            Self::Field { path, variable } => write!(f, "{} (as {variable})", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("{}: cannot be read: {why}", .path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{}: {why}", .path.display())]
    Json { path: PathBuf, why: String },
    #[error("{origin}: {message}")]
    Syntax { origin: Origin, message: String },
    #[error("{origin}: there is no key `{key}`{}", hint(.nearest.as_deref()))]
    UnknownKey { origin: Origin, key: String, nearest: Option<String> },
    #[error("{origin}: `{key}` is {}not {expects}", quoted(.value.as_deref()))]
    Value {
        origin: Origin,
        key: &'static str,
        /// `None` for one that may hold a secret.
        value: Option<String>,
        expects: &'static str,
    },
    #[error(
        "neither `compute_environment` nor `cluster` is set: give one of them, in the file or as \
        BATCH_NODE_AGENT_COMPUTE_ENVIRONMENT or BATCH_NODE_AGENT_CLUSTER"
    )]
    NoHome,
    #[error(
        "`registry_auth_data` is set without `registry_auth_type`, which says how it is written: docker or dockercfg"
    )]
    AuthWithoutType,
    #[error("`registry_auth_data` (not shown) cannot be read: {why}")]
    AuthData { why: String },
    #[error("`{a}` ({a_origin}) and `{b}` ({b_origin}) contradict each other: {why}")]
    Contradiction { a: &'static str, a_origin: Origin, b: &'static str, b_origin: Origin, why: &'static str },
}

fn quoted(value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!("`{value}`, which is "))
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
