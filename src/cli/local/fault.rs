//! `batch-node-agent local fault`: orders faults from a plane that is running.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::control::ask;
use super::say;

/// The plane carries an order out at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A frame that is no JSON, and one of a type that no agent knows.
const MALFORMED: &str = "{\"type\": \"PayloadMessage\", \"message\": {";
const UNKNOWN: &str = r#"{"type": "Novelty", "message": {"messageId": "1"}}"#;

#[derive(Debug, Args)]
pub(crate) struct FaultArgs {
    /// Where the plane's AWS APIs are
    #[arg(long, global = true, default_value = "http://127.0.0.1:8700", value_name = "URL")]
    endpoint: String,
    #[command(subcommand)]
    fault: Fault,
}

/// Which calls, how often and how long. Without a limit a fault stands until it is cleared.
#[derive(Debug, Args)]
struct Calls {
    /// The AWS operation, SubmitTaskStateChange for one; Poll and StartTelemetrySession are the ACS and TCS upgrades; or, to
    /// hang or delay, the type of a frame, AckRequest for one [default: every operation]
    operation: Option<String>,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Debug, Args)]
struct Limits {
    /// After so many times it is over
    #[arg(long, value_name = "NUMBER")]
    times: Option<u32>,
    /// After so long it is over
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasts: Option<Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ErrorKind {
    /// HTTP 500
    Server,
    Throttle,
    AccessDenied,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ending {
    /// TCP's end, without a Close frame
    Fin,
    /// TCP's reset
    Rst,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FrameKind {
    /// Broken JSON
    Malformed,
    /// A type that no agent knows
    Unknown,
}

#[derive(Debug, Subcommand)]
enum Fault {
    /// Answer calls with an error
    Error {
        #[command(flatten)]
        calls: Calls,
        /// Which error
        #[arg(long, value_enum, default_value_t = ErrorKind::Server, value_name = "KIND")]
        error: ErrorKind,
    },
    /// Do not answer calls
    Hang(Calls),
    /// Carry calls out late
    Delay {
        #[command(flatten)]
        calls: Calls,
        /// How late
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        by: Duration,
    },
    /// Send every payload twice
    Duplicate(Limits),
    /// Be out of reach: all connections end and new ones are refused. `local fault` of this machine still reaches it.
    Away {
        /// How long
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        lasts: Duration,
        /// Keep connections, but read and answer nothing
        #[arg(long)]
        silent: bool,
    },
    /// End the agents' websockets
    Drop {
        /// How TCP ends
        #[arg(long, value_enum, default_value_t = Ending::Fin, value_name = "HOW", conflicts_with = "code")]
        how: Ending,
        /// Send ACS sessions a websocket Close frame of this code instead
        #[arg(long, value_name = "CODE")]
        code: Option<u16>,
        /// Only those of the container instance whose ARN ends so
        #[arg(long, value_name = "ID")]
        instance: Option<String>,
    },
    /// Send tasks that are not over once more, although they were acknowledged
    Redeliver {
        /// Only those of the container instance whose ARN ends so
        #[arg(long, value_name = "ID")]
        instance: Option<String>,
    },
    /// Send the agents a frame that ACS would not send
    Frame {
        #[arg(value_enum, required_unless_present = "text", value_name = "KIND")]
        kind: Option<FrameKind>,
        /// This text instead
        #[arg(long, conflicts_with = "kind", value_name = "TEXT")]
        text: Option<String>,
    },
    /// End all credentials that were issued; running tasks get new ones
    ExpireCredentials,
    /// List the faults that stand
    List,
    /// End a fault, or all
    Clear {
        /// Its number in the list
        id: Option<u64>,
    },
}

/// `500ms`, `20s`, `1.5m`, `2h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)].iter().find(|(name, _)| *name == unit);
    let parsed = number.parse::<f64>().ok().zip(seconds).map(|(number, (_, seconds))| number * seconds);
    let parsed = parsed.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.filter(|d| !d.is_zero()).ok_or_else(|| "a number with ms, s, m or h is needed, 20s for one".to_owned())
}

pub(super) async fn run(args: FaultArgs) -> anyhow::Result<()> {
    let endpoint = args.endpoint.trim_end_matches('/');
    let call = async |method: Method, path: &str, body: Option<Value>| {
        timeout(ANSWER_WITHIN, ask(endpoint, method, path, body)).await.unwrap_or_else(|_| {
            Err(anyhow::anyhow!("it did not answer within {} s; is it away on order?", ANSWER_WITHIN.as_secs()))
        })
    };
    let answer = match args.fault {
        Fault::List => call(Method::GET, "", None).await,
        Fault::Clear { id: None } => call(Method::DELETE, "", None).await,
        Fault::Clear { id: Some(id) } => call(Method::DELETE, &format!("/{id}"), None).await,
        fault => call(Method::POST, "", Some(order(fault))).await,
    };
    let answer = answer.with_context(|| format!("the plane at {endpoint}"))?;
    for line in lines(&answer) {
        say(&line);
    }
    Ok(())
}

/// The order as the control API reads it.
fn order(fault: Fault) -> Value {
    let limits = |limits: &Limits| (limits.times, limits.lasts.map(|d| d.as_secs_f64()));
    let calls = |name: &str, calls: Calls| {
        let (times, seconds) = limits(&calls.limits);
        json!({"fault": name, "operation": calls.operation, "times": times, "seconds": seconds})
    };
    match fault {
        Fault::Error { calls: of, error } => with(calls("error", of), "error", json!(name(error))),
        Fault::Hang(of) => calls("hang", of),
        Fault::Delay { calls: of, by } => with(calls("delay", of), "delaySeconds", json!(by.as_secs_f64())),
        Fault::Duplicate(of) => {
            let (times, seconds) = limits(&of);
            json!({"fault": "duplicate", "times": times, "seconds": seconds})
        }
        Fault::Away { lasts, silent } => json!({"fault": "away", "silent": silent, "seconds": lasts.as_secs_f64()}),
        Fault::Drop { code: Some(code), instance, .. } => {
            json!({"fault": "drop", "how": "close", "code": code, "instance": instance})
        }
        Fault::Drop { how, instance, .. } => json!({"fault": "drop", "how": name(how), "instance": instance}),
        Fault::Redeliver { instance } => json!({"fault": "redeliver", "instance": instance}),
        Fault::Frame { kind, text } => {
            let known = if matches!(kind, Some(FrameKind::Unknown)) { UNKNOWN } else { MALFORMED };
            json!({"fault": "frame", "text": text.as_deref().unwrap_or(known)})
        }
        Fault::ExpireCredentials => json!({"fault": "expire-credentials"}),
        // These two are no orders.
        Fault::List | Fault::Clear { .. } => Value::Null,
    }
}

fn with(mut order: Value, key: &str, value: Value) -> Value {
    if let Value::Object(members) = &mut order {
        members.insert(key.to_owned(), value);
    }
    order
}

fn name(of: impl ValueEnum) -> String {
    of.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The answer in words, a line each.
fn lines(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let standing =
        |fault: &Value| format!("{}  {} ({})", text(&fault["id"]), text(&fault["fault"]), text(&fault["left"]));
    if let Some(faults) = answer["faults"].as_array() {
        return if faults.is_empty() { vec!["no faults".to_owned()] } else { faults.iter().map(standing).collect() };
    }
    vec![match (answer.get("done"), answer.get("cleared")) {
        (Some(done), _) => text(done),
        (_, Some(cleared)) => format!("faults cleared: {cleared}"),
        _ => format!("fault {}", standing(answer)),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (given, millis) in [("500ms", 500), ("20s", 20_000), ("1.5m", 90_000), ("1h", 3_600_000)] {
            assert_eq!(duration(given), Ok(Duration::from_millis(millis)), "{given}");
        }
        for given in ["20", "", "s", "0s", "-1s", "1d2", "1.2.3s"] {
            assert!(duration(given).is_err(), "{given}");
        }
    }

    #[test]
    fn answers_are_one_line_each() {
        let standing = json!({"id": 2, "fault": "all calls not answered", "left": "until cleared"});
        assert_eq!(lines(&standing), ["fault 2  all calls not answered (until cleared)"]);
        assert_eq!(lines(&json!({"faults": [standing]})), ["2  all calls not answered (until cleared)"]);
        assert_eq!(lines(&json!({"faults": []})), ["no faults"]);
        assert_eq!(lines(&json!({"cleared": 1})), ["faults cleared: 1"]);
        assert_eq!(lines(&json!({"done": "websockets dropped: 2"})), ["websockets dropped: 2"]);
    }
}
