use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::{debug, info, info_span, trace, warn};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `log` puts out under this filter.
fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = layer(format, filter.parse::<LogFilter>().unwrap().0, false, move || writer.clone());
    tracing::subscriber::with_default(Registry::default().with(layer), log);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn in_a_task_span() {
    let task =
        info_span!(target: "batch_node_agent", "task", task = "0f1e", job_id = "j-1", queue = "q", attempt = "2");
    let _task = task.enter();
    let pull = info_span!(target: "batch_node_agent", "pull", image = "busybox");
    let _pull = pull.enter();
    info!(target: "batch_node_agent::docker", exit_code = 3_i64, "the container \"default\" ended");
}

#[test]
fn a_json_line_carries_the_fields_of_its_task_at_the_top() {
    let lines = logged(LogFormat::Json, "info", in_a_task_span);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
    for (field, value) in [
        ("task", "0f1e"),
        ("job_id", "j-1"),
        ("queue", "q"),
        ("attempt", "2"),
        ("image", "busybox"),
        ("message", "the container \"default\" ended"),
        ("level", "INFO"),
        ("target", "batch_node_agent::docker"),
    ] {
        assert_eq!(line[field], value, "{lines}");
    }
    assert_eq!(line["exit_code"], 3);
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_text_line_carries_them_too() {
    let line = logged(LogFormat::Text, "info", in_a_task_span);
    for part in ["INFO", "ended", "task=\"0f1e\"", "job_id=\"j-1\"", "queue=\"q\"", "attempt=\"2\""] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains('\u{1b}'), "{line}");
}

#[test]
fn no_library_logs_its_requests_whatever_the_filter_says() {
    let log = || {
        debug!(target: "bollard::docker", "body: SECRET");
        trace!(target: "bollard", "SECRET");
        debug!(target: "hyper_util::client", "SECRET");
        trace!(target: "tungstenite::protocol", "SECRET");
        info!(target: "tokio_tungstenite", "SECRET");
        info!(target: "aws_config::profile", "SECRET");
        debug!(target: "node_core_like", "SECRET");
        warn!(target: "aws_smithy_runtime", "slow");
        info!(target: "bollard::docker", "connected");
        trace!(target: "batch_node_agent::docker", "ours");
        debug!(target: "node_core", "ours as well");
    };
    for filter in ["trace", "trace,bollard=trace,aws_config=trace,hyper_util=debug"] {
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = logged(format, filter, log);
            assert!(!lines.contains("SECRET"), "{lines}");
            assert_eq!(lines.lines().count(), 4, "{lines}");
        }
    }
}

#[test]
fn a_chain_tells_the_causes_too() {
    #[derive(Debug, thiserror::Error)]
    #[error("the socket cannot be made")]
    struct Outer(#[source] std::io::Error);
    let error = Outer(std::io::Error::other("no space left"));
    assert_eq!(chain(&error), "the socket cannot be made: no space left");
}

#[test]
fn a_filter_is_a_level_or_a_list_and_a_misspelling_is_neither() {
    for good in ["info", "OFF", "warn,node_core=debug", "node_core=trace"] {
        assert!(good.parse::<LogFilter>().is_ok(), "{good}");
    }
    for bad in ["", "inof", "3", "info,node_core=loud", "=info", "info,,warn"] {
        assert!(bad.parse::<LogFilter>().is_err(), "{bad}");
    }
    let lines = logged(LogFormat::Text, "warn,node_core=debug", || {
        debug!(target: "node_core", "heard");
        info!(target: "batch_node_agent", "unheard");
    });
    assert!(lines.contains("heard") && !lines.contains("unheard"), "{lines}");
}
