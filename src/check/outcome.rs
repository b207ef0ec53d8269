//! What came of a check.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Ok,
    /// It could not, or need not, be looked at.
    Skipped,
    Warning,
    Failure,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    /// One line. Never a secret.
    pub(crate) found: String,
    /// What to do; `None`: what the check's own `fix` says.
    pub(crate) fix: Option<String>,
}

impl Outcome {
    fn new(status: Status, found: impl Into<String>) -> Self {
        Self { status, found: found.into(), fix: None }
    }

    pub(crate) fn ok(found: impl Into<String>) -> Self {
        Self::new(Status::Ok, found)
    }

    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self::new(Status::Skipped, why)
    }

    pub(crate) fn warning(found: impl Into<String>) -> Self {
        Self::new(Status::Warning, found)
    }

    pub(crate) fn failure(found: impl Into<String>) -> Self {
        Self::new(Status::Failure, found)
    }

    #[must_use]
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}
