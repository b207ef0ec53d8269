//! The reference of all checks: the tables of `docs/check.md`, filled in where the page has its marks.

use std::fmt::Write;

use super::list::ALL;
use super::{Check, Scope, job};

/// The page with its tables as they are now.
pub(crate) fn page(page: &str) -> String {
    between(&between(page, "checks", &checks()), "job", &rows())
}

fn checks() -> String {
    let mut text = String::from("| Check | Where | What is looked at, and why | Fix |\n| --- | --- | --- | --- |\n");
    for Check { id, scope, means, fix, .. } in ALL {
        let scope = match scope {
            Scope::Host => "host",
            Scope::Image => "`--bake`",
            Scope::Both => "both",
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "| `{id}` | {scope} | {} | {} |", cell(means), cell(fix));
    }
    text
}

fn rows() -> String {
    let mut text = String::from("| Check | What is looked at | Fix |\n| --- | --- | --- |\n");
    for (id, means, fix) in job::ROWS {
        let _ = writeln!(text, "| `{id}` | {} | {} |", cell(means), cell(fix));
    }
    text
}

/// Markdown takes `<name>` for HTML.
fn cell(text: &str) -> String {
    text.replace('<', "&lt;").replace('|', "\\|")
}

fn between(page: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    parts.map_or_else(|| page.to_owned(), |(before, after)| format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_every_check_as_it_is() {
        let page = include_str!("../../docs/check.md");
        assert!(page.contains("| `docker.reachable` |") && page.contains("| `job.memory` |"));
        assert_eq!(super::page(page), page, "run `make docs`");
    }
}
