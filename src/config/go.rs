//! amazon-ecs-agent's notations, which are Go's, brought into ours.

/// `strconv.ParseBool`.
pub(super) fn boolean(text: &str) -> Option<String> {
    match text.trim() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some("true".to_owned()),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some("false".to_owned()),
        _ => None,
    }
}

/// What it says not to do.
pub(super) fn not(text: &str) -> Option<String> {
    boolean(text).map(|yes| if yes == "true" { "false" } else { "true" }.to_owned())
}

/// `off` where it is true; else it sets nothing.
pub(super) fn off(text: &str) -> Option<String> {
    boolean(text).map(|yes| if yes == "true" { "off".to_owned() } else { String::new() })
}

/// Whether GPUs are wanted.
pub(super) fn all_or_none(text: &str) -> Option<String> {
    boolean(text).map(|wanted| if wanted == "true" { "all" } else { "none" }.to_owned())
}

/// Whether to drain.
pub(super) fn drain_or_ignore(text: &str) -> Option<String> {
    boolean(text).map(|wanted| if wanted == "true" { "drain" } else { "ignore" }.to_owned())
}

/// A duration such as `1h30m` or `0.5h` in milliseconds, raised to `seconds` if it is less, as amazon-ecs-agent does.
pub(super) fn at_least(text: &str, seconds: u32) -> Option<String> {
    let millis = millis(text.trim())?.max(f64::from(seconds) * 1000.0);
    // Beyond 2^53 ms there are no whole milliseconds any more, and no use for such a limit.
    (millis < 9e15).then(|| format!("{millis:.0}ms"))
}

/// `time.ParseDuration`, for durations that are not negative.
fn millis(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let of_unit = match unit {
            "ns" => 1e-6,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3600e3,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * of_unit;
        rest = tail;
    }
    Some(sum)
}

/// `logfmt` is text for people, more or less.
pub(super) fn log_format(text: &str) -> Option<String> {
    match text.trim() {
        "logfmt" => Some("text".to_owned()),
        "json" => Some("json".to_owned()),
        _ => None,
    }
}

pub(super) fn log_level(text: &str) -> Option<String> {
    let level = match text.trim().to_ascii_lowercase().as_str() {
        "crit" => "error",
        "none" => "off",
        "debug" => "debug",
        "info" => "info",
        "warn" => "warn",
        "error" => "error",
        _ => return None,
    };
    Some(level.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_and_raised_to_their_floor() {
        for (given, ours) in [
            ("3h", "10800000ms"),
            ("1h30m", "5400000ms"),
            ("0.5h", "1800000ms"),
            ("1m0.5s", "60500ms"),
            ("10ms", "1000ms"),
        ] {
            assert_eq!(at_least(given, 1).as_deref(), Some(ours), "{given}");
        }
        for wrong in ["", "90", "h", "1d", "-1s", "1h 30m", "1..5s"] {
            assert_eq!(at_least(wrong, 1), None, "{wrong:?}");
        }
    }

    #[test]
    fn booleans_and_levels_are_gos() {
        assert_eq!(boolean("T").as_deref(), Some("true"));
        assert_eq!(boolean("yes"), None);
        assert_eq!((not("1").as_deref(), not("false").as_deref()), (Some("false"), Some("true")));
        assert_eq!((off("true").as_deref(), off("0").as_deref(), off("no")), (Some("off"), Some(""), None));
        assert_eq!(log_level("CRIT").as_deref(), Some("error"));
        assert_eq!(log_level("none").as_deref(), Some("off"));
        assert_eq!(log_format("logfmt").as_deref(), Some("text"));
    }
}
