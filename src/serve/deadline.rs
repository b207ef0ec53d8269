//! The host's deadline as jobs see it: in a file, and in the task metadata endpoint.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use node_core::{Deadline, Timestamp};
use serde_json::{Value, json};

/// As of now.
pub(crate) fn shown(deadline: &Deadline) -> Value {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    at(deadline, Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

fn at(deadline: &Deadline, now: Timestamp) -> Value {
    let millis = i64::try_from(deadline.at.0).ok();
    let time = millis.and_then(|millis| DateTime::from_millis(millis).fmt(Format::DateTime).ok());
    json!({
        "at": time,
        "at_ms": deadline.at.0,
        "cause": deadline.cause.as_str(),
        "text": deadline.text,
        "kills": deadline.kills,
        "seconds_left": deadline.at.since(now).as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use node_core::Cause;

    use super::*;

    #[test]
    fn a_deadline_has_a_time_for_people_and_for_programs() {
        let deadline = Deadline { at: Timestamp(61_000), cause: Cause::ScaleIn, text: "why".into(), kills: false };
        let expected = json!({
            "at": "1970-01-01T00:01:01Z", "at_ms": 61_000, "cause": "scale-in", "text": "why", "kills": false, "seconds_left": 59
        });
        assert_eq!(at(&deadline, Timestamp(2_000)), expected);
    }
}
