//! The report as metrics: Prometheus's text format, version 0.0.4. Few series, and none whose number grows with the jobs.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use node_core::Happening;

use super::report::StatusReport;

/// What the text is served as.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const PREFIX: &str = "batch_node_agent";

/// In the order in which a host passes them.
const PHASES: [&str; 7] = ["BOOTING", "REGISTERING", "ACTIVE", "DRAINING", "IDLE", "DEREGISTERING", "TERMINATING"];

pub(crate) fn render(report: &StatusReport) -> String {
    let StatusReport { agent, instance, state, leaving, host, .. } = report;
    let mut text = Text::default();
    let known = |value: &Option<String>| value.clone().unwrap_or_default();
    text.family("info", "gauge", "Which agent this is, and of which host.");
    text.line(
        "info",
        &[
            ("version", agent.version.clone()),
            ("instance_id", known(&instance.id)),
            ("cluster", known(&instance.cluster)),
            ("compute_environment", known(&instance.compute_environment)),
        ],
        1,
    );
    text.family("phase", "gauge", "1 for the phase that the host is in.");
    for phase in PHASES {
        text.line("phase", &[("phase", phase.to_owned())], u8::from(state.phase == phase));
    }
    text.one("phase_since_seconds", "gauge", "When it came into this phase.", seconds(state.since_ms));
    text.one("start_time_seconds", "gauge", "When this process began.", seconds(agent.started_at_ms));
    text.one("acs_connected", "gauge", "Whether there is a session with ECS.", u8::from(state.acs_connected));
    text.one("docker_up", "gauge", "Whether Docker answers.", u8::from(state.docker == "up"));
    let mut tasks: BTreeMap<&str, usize> = ["PENDING", "RUNNING", "STOPPED"].map(|status| (status, 0)).into();
    for task in &report.tasks {
        *tasks.entry(task.known.as_str()).or_default() += 1;
    }
    text.family("tasks", "gauge", "Tasks whose containers are here.");
    for (status, count) in tasks {
        text.line("tasks", &[("status", status.to_owned())], count);
    }
    text.one("unreported_tasks", "gauge", "Tasks whose state ECS has yet to confirm.", report.unreported.len());
    text.one("withheld_tasks", "gauge", "Tasks whose failure is kept back.", leaving.withheld);
    text.one("jobs_taken_total", "counter", "Jobs that this host has taken, over restarts.", leaving.jobs_taken);
    text.one("held", "gauge", "Whether the operator holds this host.", u8::from(leaving.hold.is_some()));
    text.one("stays", "gauge", "Whether the last wish to leave came to nothing.", u8::from(leaving.stays.is_some()));
    text.family("leaving", "gauge", "1 for each reason to leave that stands.");
    for reason in &leaving.reasons {
        text.line("leaving", &[("cause", reason.cause().as_str().to_owned())], 1);
    }
    if let Some(deadline) = &leaving.deadline {
        text.one("deadline_seconds", "gauge", "When this host will be gone.", seconds(deadline.at.0));
    }
    text.family("leaving_steps_total", "counter", "Steps of leaving since this process began.");
    for what in Happening::ALL {
        let count = leaving.counters.get(what.as_str()).copied().unwrap_or_default();
        text.line("leaving_steps_total", &[("step", what.as_str().to_owned())], count);
    }
    if !report.deliveries.is_empty() {
        text.family("deliveries_total", "counter", "Steps that were to be told, since this process began.");
        for (to, count) in &report.deliveries {
            for (result, count) in
                [("delivered", count.delivered), ("failed", count.failed), ("dropped", count.dropped)]
            {
                text.line("deliveries_total", &[("to", to.clone()), ("result", result.to_owned())], count);
            }
        }
    }
    text.one("gpus", "gauge", "GPUs that are offered to jobs.", instance.gpus.len());
    text.one(
        "disk_used_ratio",
        "gauge",
        "How full the disk is that holds the agent's data.",
        host.disk_used_percent / 100.0,
    );
    text.0
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, String)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{PREFIX}_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use node_core::{Deadline, DrainReason, SpotAction, Timestamp};

    use super::*;
    use crate::serve::report::{Deliveries, sample};

    fn leaving() -> StatusReport {
        let mut report = sample::report();
        let at = Timestamp(120_500);
        let reason = DrainReason::Spot { action: SpotAction::Stop, at };
        report.state.phase = "DRAINING".into();
        report.leaving.deadline = Some(Deadline { at, cause: reason.cause(), text: reason.to_string(), kills: true });
        report.leaving.reasons = vec![reason];
        report.leaving.counters = [("drain".to_owned(), 2), ("phase".to_owned(), 3)].into();
        report.leaving.jobs_taken = 7;
        let count = Deliveries { delivered: 4, failed: 1, dropped: 0 };
        report.deliveries = [("event_webhook".to_owned(), count)].into();
        report
    }

    #[test]
    fn a_host_that_leaves_counts_its_steps() {
        let text = render(&leaving());
        for line in [
            r#"batch_node_agent_phase{phase="DRAINING"} 1"#,
            r#"batch_node_agent_phase{phase="ACTIVE"} 0"#,
            r#"batch_node_agent_leaving{cause="spot"} 1"#,
            "batch_node_agent_deadline_seconds 120.5",
            r#"batch_node_agent_leaving_steps_total{step="drain"} 2"#,
            r#"batch_node_agent_leaving_steps_total{step="rung-failed"} 0"#,
            "batch_node_agent_jobs_taken_total 7",
            r#"batch_node_agent_deliveries_total{to="event_webhook",result="failed"} 1"#,
            r#"batch_node_agent_tasks{status="RUNNING"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    /// Each family is told once and before its samples, and each sample has a number.
    #[test]
    fn the_text_is_in_prometheuss_format() {
        let text = render(&leaving());
        assert!(text.ends_with('\n'));
        let mut families = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(families.insert(name) && matches!(kind, "gauge" | "counter"), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(families.contains(series.split('{').next().unwrap()), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
