//! What one may ask of the plane to do wrong, as the control API reads it.

use std::time::Duration;

use ecs_wire::{acs, tcs};
use serde::Deserialize;

use crate::error::ApiError;

/// The longest that a fault may last: a day. One that is forgotten shall end by itself.
const LONGEST_SECONDS: f64 = 86_400.0;

/// An order to misbehave. Times are in seconds; `operation` is an AWS operation's name, `Poll` and
/// `StartTelemetrySession` for the upgrades of the ACS and TCS websockets, the type of a frame that goes either way on one of
/// these, or absent for every call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Order {
    /// Calls are answered with an error.
    Error { operation: Option<String>, error: ErrorKind, times: Option<u32>, seconds: Option<f64> },
    /// Calls are not answered; frames of this type are held back.
    Hang { operation: Option<String>, times: Option<u32>, seconds: Option<f64> },
    /// Calls are carried out, or frames of this type go their way, but later.
    Delay { operation: Option<String>, delay_seconds: f64, times: Option<u32>, seconds: Option<f64> },
    /// Every payload is sent twice, the very same frame.
    Duplicate { times: Option<u32>, seconds: Option<f64> },
    /// The plane cannot be reached: connections are refused, or, `silent`, nothing is read or written on any.
    Away {
        #[serde(default)]
        silent: bool,
        seconds: f64,
    },
    /// The agents' websockets are ended.
    Drop { how: Ending, code: Option<u16>, instance: Option<String> },
    /// Tasks that are not over are sent once more in new payloads, acknowledged or not.
    Redeliver { instance: Option<String> },
    /// This text goes down the ACS websockets as it is.
    Frame { text: String, instance: Option<String> },
    /// All keys that were issued are over at once; running tasks get new ones.
    ExpireCredentials {},
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ErrorKind {
    /// HTTP 500.
    Server,
    Throttle,
    AccessDenied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ending {
    /// TCP's ordinary end, without a websocket Close frame.
    Fin,
    /// TCP's reset.
    Rst,
    /// A websocket Close frame: of ACS only.
    Close,
}

impl ErrorKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Server => "error 500",
            Self::Throttle => "throttling",
            Self::AccessDenied => "AccessDenied",
        }
    }
}

impl Order {
    /// # Errors
    /// When a number makes no sense, with what would.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let refuse = |text: &str| Err(ApiError::client(text));
        let (times, seconds) = self.limits();
        if times == Some(0) {
            return refuse("times must be at least 1; leave it out for no limit");
        }
        if seconds.is_some_and(|s| !(s > 0.0 && s <= LONGEST_SECONDS)) {
            return refuse("seconds must be more than 0 and at most 86400, a day");
        }
        match self {
            Self::Error { operation: Some(name), .. } if is_frame(name) => {
                refuse("a frame is not answered with an error: hang or delay it, or drop its websocket")
            }
            Self::Delay { delay_seconds, .. } if !(*delay_seconds > 0.0 && *delay_seconds <= LONGEST_SECONDS) => {
                refuse("delaySeconds must be more than 0 and at most 86400, a day")
            }
            Self::Drop { how: Ending::Close, code: Some(1000..=1003 | 1007..=1014 | 3000..=4999), .. } => Ok(()),
            Self::Drop { how: Ending::Close, .. } => {
                refuse("how \"close\" needs a code that may be sent: 1000 to 1003, 1007 to 1014 or 3000 to 4999")
            }
            Self::Drop { code: Some(_), .. } => refuse("a code goes with how \"close\" only: fin and rst carry none"),
            _ => Ok(()),
        }
    }

    /// How often and how long.
    pub(super) fn limits(&self) -> (Option<u32>, Option<f64>) {
        match self {
            Self::Error { times, seconds, .. }
            | Self::Hang { times, seconds, .. }
            | Self::Delay { times, seconds, .. }
            | Self::Duplicate { times, seconds } => (*times, *seconds),
            Self::Away { seconds, .. } => (None, Some(*seconds)),
            Self::Drop { .. } | Self::Redeliver { .. } | Self::Frame { .. } | Self::ExpireCredentials {} => {
                (None, None)
            }
        }
    }

    /// What it does, without its limits.
    pub(super) fn text(&self) -> String {
        let of = |operation: &Option<String>| match operation.as_deref() {
            Some(name) if is_frame(name) => format!("{name} frames"),
            Some(name) => format!("{name} calls"),
            None => "all calls".to_owned(),
        };
        match self {
            Self::Error { operation, error, .. } => format!("{} answered with {}", of(operation), error.name()),
            Self::Hang { operation: Some(name), .. } if is_frame(name) => format!("{name} frames held back"),
            Self::Hang { operation, .. } => format!("{} not answered", of(operation)),
            Self::Delay { operation, delay_seconds, .. } => format!("{} {delay_seconds} s late", of(operation)),
            Self::Duplicate { .. } => "payloads sent twice".to_owned(),
            Self::Away { silent: false, .. } => "away: connections refused".to_owned(),
            Self::Away { silent: true, .. } => "away: nothing read or answered".to_owned(),
            Self::Drop { .. } => "websockets dropped".to_owned(),
            Self::Redeliver { .. } => "tasks sent again".to_owned(),
            Self::Frame { .. } => "a frame sent".to_owned(),
            Self::ExpireCredentials {} => "credentials expired".to_owned(),
        }
    }

    /// Whether it meets a call of this operation.
    pub(super) fn meets(&self, called: &str) -> bool {
        match self {
            Self::Error { operation, .. } | Self::Hang { operation, .. } | Self::Delay { operation, .. } => {
                operation.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(called))
            }
            _ => false,
        }
    }

    /// Whether it meets frames of this type: only if it names the type.
    pub(super) fn meets_frame(&self, kind: &str) -> bool {
        match self {
            Self::Hang { operation, .. } | Self::Delay { operation, .. } => operation.as_deref() == Some(kind),
            _ => false,
        }
    }
}

/// Whether this names a type of ACS's or TCS's frames, of either direction.
fn is_frame(name: &str) -> bool {
    [acs::ToAgent::is_kind, acs::FromAgent::is_kind, tcs::ToAgent::is_kind, tcs::FromAgent::is_kind]
        .iter()
        .any(|is_kind| is_kind(name))
}

/// A number of seconds that [`Order::check`] has seen.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let refused = |text: &str| serde_json::from_str::<Order>(text).unwrap().check().unwrap_err().message;
        for (order, words) in [
            (r#"{"fault": "error", "error": "server", "times": 0}"#, "at least 1"),
            (r#"{"fault": "away", "seconds": -1}"#, "more than 0"),
            (r#"{"fault": "drop", "how": "close", "code": 1006}"#, "may be sent"),
            (r#"{"fault": "drop", "how": "close"}"#, "may be sent"),
            (r#"{"fault": "drop", "how": "rst", "code": 1000}"#, "close"),
            (r#"{"fault": "delay", "delaySeconds": 0}"#, "delaySeconds"),
            (r#"{"fault": "error", "operation": "AckRequest", "error": "server"}"#, "drop its websocket"),
        ] {
            assert!(refused(order).contains(words), "{order}");
        }
        assert!(serde_json::from_str::<Order>(r#"{"fault": "hang", "operatoin": "x"}"#).is_err());
    }

    #[test]
    fn operations_are_met_however_they_are_written() {
        let order =
            |operation: Option<&str>| Order::Hang { operation: operation.map(Into::into), times: None, seconds: None };
        assert!(order(Some("SubmitJob")).meets("submitjob") && order(None).meets("x") && !order(Some("a")).meets("b"));
        // Frames are met by their name alone.
        assert!(order(Some("AckRequest")).meets_frame("AckRequest") && !order(None).meets_frame("AckRequest"));
    }
}
