//! The reference of all checks, for `docs/check.md`.

use std::fmt::Write;

use super::list::ALL;
use super::{Check, Scope};

/// A table in markdown, in the order of the report.
pub(crate) fn markdown() -> String {
    let mut text = String::from("| Check | Where | What is looked at, and why | Fix |\n| --- | --- | --- | --- |\n");
    for Check { id, scope, means, fix, .. } in ALL {
        let scope = match scope {
            Scope::Host => "host",
            Scope::Image => "`--bake`",
            Scope::Both => "both",
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "| `{id}` | {scope} | {means} | {fix} |");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_every_check_as_it_is() {
        let page = include_str!("../../docs/check.md");
        assert!(page.contains(&super::markdown()), "run `make docs`");
    }
}
