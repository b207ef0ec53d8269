//! The report as people read it: a line for each check, below it what to do.

use std::fmt::Write;

use crate::check::{Finding, Report, Status};

/// Wide enough for `skipped` and `FAILURE`.
const STATUS_WIDTH: usize = 7;
const RESET: &str = "\x1b[0m";

pub(super) fn render(report: &Report, colours: bool) -> String {
    let width = report.checks.iter().map(|finding| finding.id.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut last = None;
    for finding in &report.checks {
        let group = finding.id.split('.').next();
        if last.is_some() && last != group {
            text.push('\n');
        }
        last = group;
        line(&mut text, finding, width, colours);
    }
    text.push('\n');
    text.push_str(&summary(report, colours));
    text
}

fn line(text: &mut String, Finding { id, status, found, fix }: &Finding, width: usize, colours: bool) {
    let word = painted(&format!("{:<STATUS_WIDTH$}", word(*status)), *status, colours);
    // Writing to a String does not fail.
    let _ = writeln!(text, "{word}  {id:<width$}  {found}");
    if let Some(fix) = fix {
        let _ = writeln!(text, "{:STATUS_WIDTH$}  {:width$}  fix: {fix}", "", "");
    }
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
