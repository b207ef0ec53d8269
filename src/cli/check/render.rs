//! The report as people read it: a line for each check, below it what to do.

use std::fmt::Write;

use crate::check::{Finding, Report, Status};

/// Wide enough for `skipped` and `FAILURE`.
const STATUS_WIDTH: usize = 7;
/// On a terminal; a file or a pipe gets each finding in one line.
const LINE: usize = 120;
const SHORTEST: usize = 40;
const RESET: &str = "\x1b[0m";

/// `terminal`: with colours, and folded.
pub(super) fn render(report: &Report, terminal: bool) -> String {
    let width = report.checks.iter().map(|finding| finding.id.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut last = None;
    for finding in &report.checks {
        let group = finding.id.split('.').next();
        if last.is_some() && last != group {
            text.push('\n');
        }
        last = group;
        line(&mut text, finding, width, terminal);
    }
    text.push('\n');
    text.push_str(&summary(report, terminal));
    text
}

fn line(text: &mut String, Finding { id, status, found, fix }: &Finding, width: usize, terminal: bool) {
    let word = painted(&format!("{:<STATUS_WIDTH$}", word(*status)), *status, terminal);
    let indent = STATUS_WIDTH + width + 4;
    let fold = |words: &str| if terminal { folded(words, indent) } else { words.to_owned() };
    // Writing to a String does not fail.
    let _ = writeln!(text, "{word}  {id:<width$}  {}", fold(found));
    if let Some(fix) = fix {
        let _ = writeln!(text, "{:indent$}{}", "", fold(&format!("fix: {fix}")));
    }
}

/// Broken between words, the lines after the first as far in as the first begins.
fn folded(words: &str, indent: usize) -> String {
    let room = LINE.saturating_sub(indent).max(SHORTEST);
    let mut text = String::new();
    let mut used = 0;
    for word in words.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            let _ = write!(text, "\n{:indent$}", "");
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text
}

/// What is wanting stands out without colours as well.
fn word(status: Status) -> String {
    match status {
        Status::Failure => status.as_str().to_uppercase(),
        _ => status.as_str().to_owned(),
    }
}

fn painted(word: &str, status: Status, colours: bool) -> String {
    let colour = match status {
        Status::Ok => "\x1b[32m",
        Status::Skipped => "\x1b[2m",
        Status::Warning => "\x1b[33m",
        Status::Failure => "\x1b[1;31m",
    };
    if colours { format!("{colour}{word}{RESET}") } else { word.to_owned() }
}

fn summary(report: &Report, colours: bool) -> String {
    let count = |status: Status| report.checks.iter().filter(|finding| finding.status == status).count();
    let part = |status, one: &str, more: &str| match count(status) {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {more}")),
    };
    let parts = [
        part(Status::Failure, "failure", "failures"),
        part(Status::Warning, "warning", "warnings"),
        part(Status::Ok, "ok", "ok"),
        part(Status::Skipped, "skipped", "skipped"),
    ];
    let counts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let verdict = match (report.scope, report.status) {
        ("image", Status::Failure) => "This image is not ready",
        ("image", _) => "This image is ready",
        ("job", Status::Failure) => "The job is not placed on this host",
        ("job", _) => "The job can be placed on this host",
        (_, Status::Failure) => "This host is not ready for jobs",
        _ => "This host is ready for jobs",
    };
    format!("{}: {counts}.\n", painted(verdict, report.status, colours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let finding = |id: &str, status, fix: Option<&str>| Finding {
            id: id.into(),
            status,
            found: "what was found".into(),
            fix: fix.map(str::to_owned),
        };
        let checks = vec![
            finding("docker.api", Status::Ok, None),
            finding("docker.live-restore", Status::Warning, Some("set it")),
            finding("host.kernel", Status::Skipped, None),
        ];
        Report::new("host", checks)
    }

    #[test]
    fn columns_are_aligned_and_groups_apart() {
        let expected = "\
ok       docker.api           what was found
warning  docker.live-restore  what was found
                              fix: set it

skipped  host.kernel          what was found

This host is ready for jobs: 1 warning, 1 ok, 1 skipped.
";
        assert_eq!(render(&report(), false), expected);
    }

    #[test]
    fn long_findings_are_folded_on_a_terminal() {
        let text = folded(&"word ".repeat(40), 60);
        assert!(text.lines().count() > 1);
        assert!(text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(60)) && line.len() <= LINE), "{text}");
        assert_eq!(folded("short", 60), "short");
    }

    #[test]
    fn colours_change_nothing_else() {
        let coloured = render(&report(), true);
        assert!(coloured.contains("\x1b[33mwarning"));
        let plain = ["\x1b[32m", "\x1b[2m", "\x1b[33m", "\x1b[1;31m", RESET]
            .iter()
            .fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(plain, render(&report(), false));
    }

    #[test]
    fn a_failure_is_the_verdict() {
        let mut failed = report().checks;
        failed[0].status = Status::Failure;
        let text = render(&Report::new("image", failed), false);
        assert!(
            text.starts_with("FAILURE  docker.api") && text.contains("This image is not ready: 1 failure"),
            "{text}"
        );
    }
}
