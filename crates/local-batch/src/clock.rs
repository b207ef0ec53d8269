//! Wall time in the forms that the APIs want.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the epoch.
pub(crate) type Millis = i64;

pub(crate) fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| Millis::try_from(elapsed.as_millis()).ok())
        .unwrap_or_default()
}

/// `2026-01-02T03:04:05Z`, with a fraction where there is one.
pub(crate) fn rfc3339(at: Millis) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000)
        .ok()
        .and_then(|t| t.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// To the second, as EC2 and IMDS write times.
pub(crate) fn rfc3339_seconds(at: Millis) -> String {
    rfc3339(at - at.rem_euclid(1000))
}

/// As IMDS writes the times of scheduled events: `9 Oct 2025 08:53:20 GMT`.
pub(crate) fn imds(at: Millis) -> String {
    let Ok(t) = OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)) else { return String::new() };
    let month = t.month().to_string();
    let month = month.get(..3).unwrap_or_default();
    format!("{} {month} {} {:02}:{:02}:{:02} GMT", t.day(), t.year(), t.hour(), t.minute(), t.second())
}

pub(crate) fn parse_rfc3339(text: &str) -> Option<Millis> {
    let t = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Millis::try_from(t.unix_timestamp_nanos() / 1_000_000).ok()
}

/// ECS writes times as seconds with a fraction.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch fit 53 bits for millennia")]
pub(crate) fn seconds(at: Millis) -> f64 {
    at as f64 / 1000.0
}

/// And reads them so.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and a time so far off is nonsense anyway")]
pub(crate) fn from_seconds(at: f64) -> Millis {
    (at * 1000.0).round() as Millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_round_trip() {
        assert_eq!(rfc3339_seconds(1_760_000_000_123), "2025-10-09T08:53:20Z");
        assert_eq!(parse_rfc3339("2025-10-09T08:53:20.123456789Z"), Some(1_760_000_000_123));
        assert_eq!(from_seconds(seconds(1_760_000_000_123)), 1_760_000_000_123);
    }
}
