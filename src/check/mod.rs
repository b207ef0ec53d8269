//! `batch-node-agent check`: whether this host, or this image, is fit to run Batch's jobs, and what to mend if not.
//!
//! A check is a function that looks and gives an [`Outcome`]; [`ALL`] is the list of them, from which the report and
//! `docs/check.md` are made. They run side by side, each with a limit, so that the whole never takes longer than [`LONGEST`].

mod agent;
mod cloud;
mod configuration;
mod context;
mod docker;
mod docs;
mod host;
mod image;
pub(crate) mod job;
mod list;
mod outcome;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::time::timeout;

pub(crate) use context::{Context, Settings};
pub(crate) use docs::page;
use list::ALL;
pub(crate) use outcome::{Outcome, Status};

/// No check may take longer, and they all run at once.
pub(crate) const LONGEST: Duration = Duration::from_secs(20);

/// Where a check has something to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A host that has booted, with its role and its compute environment.
    Host,
    /// An image that is being built: `--bake`.
    Image,
    Both,
}

impl Scope {
    fn is_in(self, bake: bool) -> bool {
        match self {
            Self::Host => !bake,
            Self::Image => bake,
            Self::Both => true,
        }
    }
}

type Run = fn(Arc<Context>) -> BoxFuture<'static, Outcome>;

pub(crate) struct Check {
    /// `group.name`, and never another: scripts select by it.
    pub(crate) id: &'static str,
    /// What is looked at, and why it matters.
    pub(crate) means: &'static str,
    /// What to do if it fails and the outcome itself does not say.
    pub(crate) fix: &'static str,
    pub(crate) scope: Scope,
    run: Run,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) found: String,
    /// Of a warning or a failure.
    pub(crate) fix: Option<String>,
}

/// Everything that was found, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// `host`, `image` or `job`.
    pub(crate) scope: &'static str,
    /// The worst of all: `ok` where there are only skipped ones beside it.
    pub(crate) status: Status,
    pub(crate) checks: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(scope: &'static str, checks: Vec<Finding>) -> Self {
        let worst = checks.iter().map(|finding| finding.status).filter(|status| *status != Status::Skipped).max();
        Self { scope, status: worst.unwrap_or(Status::Ok), checks }
    }
}

impl Finding {
    pub(crate) fn new(id: &str, outcome: Outcome, fix: &str) -> Self {
        let wanting = matches!(outcome.status, Status::Warning | Status::Failure);
        let fix = wanting.then(|| outcome.fix.unwrap_or_else(|| fix.to_owned()));
        Self { id: id.to_owned(), status: outcome.status, found: one_line(&outcome.found), fix }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Looks at everything at once.
pub(crate) async fn run(context: Context) -> Report {
    let (bake, context) = (context.bake, Arc::new(context));
    let chosen = ALL.iter().filter(|check| check.scope.is_in(bake));
    let findings = chosen.map(|check| {
        let looking = AssertUnwindSafe((check.run)(Arc::clone(&context))).catch_unwind();
        async move {
            let outcome = match timeout(LONGEST, looking).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => {
                    Outcome::failure("this check itself failed: a mistake in batch-node-agent, please report it")
                }
                Err(_) => Outcome::failure(format!("no answer within {} s", LONGEST.as_secs())),
            };
            Finding::new(check.id, outcome, check.fix)
        }
    });
    let findings = join_all(findings).await;
    Report::new(if bake { "image" } else { "host" }, findings)
}

/// For checks that read files: a file system that hangs keeps a thread, and not the others.
fn blocking(look: impl FnOnce() -> Outcome + Send + 'static) -> BoxFuture<'static, Outcome> {
    async move {
        match tokio::task::spawn_blocking(look).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::failure("this check itself failed: a mistake in batch-node-agent, please report it"),
        }
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_its_own_name_and_says_what_to_do() {
        let ids: BTreeSet<_> = ALL.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), ALL.len());
        for check in ALL {
            assert!(check.id.split_once('.').is_some_and(|(group, name)| !group.is_empty() && !name.is_empty()));
            assert!(!check.means.is_empty() && !check.fix.is_empty(), "{}", check.id);
        }
        let mut together: Vec<_> = ALL.iter().filter_map(|check| check.id.split('.').next()).collect();
        together.dedup();
        assert_eq!(together.iter().collect::<BTreeSet<_>>().len(), together.len(), "a group stands in one place");
    }

    #[test]
    fn the_worst_finding_is_the_reports() {
        let of = |outcomes: &[fn(&'static str) -> Outcome]| {
            let findings = outcomes.iter().map(|outcome| Finding::new("a.b", outcome("x"), "mend it")).collect();
            Report::new("host", findings).status
        };
        assert_eq!(of(&[Outcome::skipped, Outcome::ok]), Status::Ok);
        assert_eq!(of(&[Outcome::skipped]), Status::Ok);
        assert_eq!(of(&[Outcome::warning, Outcome::skipped, Outcome::ok]), Status::Warning);
        assert_eq!(of(&[Outcome::failure, Outcome::warning]), Status::Failure);
    }

    #[test]
    fn only_what_is_wanting_has_a_fix_and_a_finding_is_one_line() {
        let ok = Finding::new("a.b", Outcome::ok("two\n  lines").fix("no"), "mend it");
        assert_eq!((ok.found.as_str(), ok.fix), ("two lines", None));
        let general = Finding::new("a.b", Outcome::failure("x"), "mend it");
        assert_eq!(general.fix.as_deref(), Some("mend it"));
        let special = Finding::new("a.b", Outcome::warning("x").fix("so"), "mend it");
        assert_eq!(special.fix.as_deref(), Some("so"));
    }
}
