//! `batch-node-agent local interrupt`, `deny` and `allow`: what EC2, Auto Scaling and IAM do to hosts, to rehearse.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::control::ask_at;
use super::fault::duration;
use super::say;

/// The plane carries an order out at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where a plane listens that was told nothing else.
const ENDPOINT: &str = "http://127.0.0.1:8700";

#[derive(Debug, Args)]
pub(crate) struct InterruptArgs {
    /// Where the plane's AWS APIs are
    #[arg(long, default_value = ENDPOINT, value_name = "URL")]
    endpoint: String,
    /// The instance whose id ends so [default: the only one that runs]
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    #[command(flatten)]
    what: What,
    /// What Spot does to the instance
    // What is announced excludes the rest, and clap does not require what is excluded: hence the conflicts.
    #[arg(long, value_enum, requires = "spot", default_value_t = Action::Terminate, value_name = "ACTION")]
    #[arg(conflicts_with_all = ["rebalance", "maintenance", "scale_in", "stop", "cancel"])]
    action: Action,
    /// When the maintenance begins
    #[arg(long = "in", requires = "maintenance", default_value = "10m", value_name = "DURATION", value_parser = duration)]
    #[arg(conflicts_with_all = ["spot", "rebalance", "scale_in", "stop", "cancel"])]
    after: Duration,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// A Spot interruption notice; after so long the instance is taken
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "120s", value_parser = duration)]
    spot: Option<Duration>,
    /// A rebalance recommendation
    #[arg(long)]
    rebalance: bool,
    /// A scheduled event
    #[arg(long, value_enum, value_name = "CODE")]
    maintenance: Option<Code>,
    /// The Auto Scaling group gives up one instance: this one, through its termination hooks
    #[arg(long)]
    scale_in: bool,
    /// EC2 stops the instance
    #[arg(long)]
    stop: bool,
    /// Takes back what was announced: Spot, rebalance and scheduled events
    #[arg(long)]
    cancel: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    Terminate,
    Stop,
    Hibernate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Code {
    InstanceReboot,
    SystemReboot,
    SystemMaintenance,
    InstanceRetirement,
    InstanceStop,
}

#[derive(Debug, Args)]
pub(crate) struct DenyArgs {
    /// Where the plane's AWS APIs are
    #[arg(long, default_value = ENDPOINT, value_name = "URL")]
    endpoint: String,
    /// As in a policy: ec2:TerminateInstances, autoscaling:* [default: show what is denied]
    action: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AllowArgs {
    /// Where the plane's AWS APIs are
    #[arg(long, default_value = ENDPOINT, value_name = "URL")]
    endpoint: String,
    /// As it was denied [default: everything]
    action: Option<String>,
}

pub(super) async fn run(args: InterruptArgs) -> anyhow::Result<()> {
    let answer = ask(&args.endpoint, Method::POST, "/local/interrupts", Some(order(&args))).await?;
    told(&answer, &args).iter().for_each(|line| say(line));
    Ok(())
}

pub(super) async fn deny(args: DenyArgs) -> anyhow::Result<()> {
    let Some(action) = args.action else { return tell(&args.endpoint, Method::GET, "/local/denials", None).await };
    tell(&args.endpoint, Method::POST, "/local/denials", Some(json!({"action": action}))).await?;
    say(&format!("undo:  batch-node-agent local allow '{action}'{}", given(&args.endpoint)));
    Ok(())
}

pub(super) async fn allow(args: AllowArgs) -> anyhow::Result<()> {
    let body = args.action.map(|action| json!({"action": action}));
    tell(&args.endpoint, Method::DELETE, "/local/denials", body).await
}

async fn tell(endpoint: &str, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<()> {
    lines(&ask(endpoint, method, path, body).await?).iter().for_each(|line| say(line));
    Ok(())
}

async fn ask(endpoint: &str, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let endpoint = endpoint.trim_end_matches('/');
    let answer = timeout(ANSWER_WITHIN, ask_at(endpoint, method, path, body)).await.unwrap_or_else(|_| {
        Err(anyhow::anyhow!("it did not answer within {} s; is it away on order?", ANSWER_WITHIN.as_secs()))
    });
    answer.with_context(|| format!("the plane at {endpoint}"))
}

/// What is done, what follows, and what a user may do about it.
fn told(answer: &Value, args: &InterruptArgs) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let mut lines: Vec<String> = [&answer["done"], &answer["follows"]].into_iter().filter_map(text).collect();
    lines.extend(text(&answer["socket"]).map(|socket| format!("watch: batch-node-agent status --socket {socket}")));
    let what = &args.what;
    if what.spot.is_some() || what.rebalance || what.maintenance.is_some() {
        let (instance, endpoint) = (text(&answer["instance"]).unwrap_or_default(), given(&args.endpoint));
        lines.push(format!("undo:  batch-node-agent local interrupt --cancel --instance {instance}{endpoint}"));
    }
    lines
}

/// An endpoint as it has to be given again.
fn given(endpoint: &str) -> String {
    match endpoint {
        ENDPOINT => String::new(),
        other => format!(" --endpoint {other}"),
    }
}

/// The order as the control API reads it.
fn order(args: &InterruptArgs) -> Value {
    let name = |of: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        of().map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let what = &args.what;
    let mut order = if let Some(after) = what.spot {
        json!({"interrupt": "spot", "action": name(&|| args.action.to_possible_value()), "seconds": seconds(after)})
    } else if let Some(code) = what.maintenance {
        let code = name(&|| code.to_possible_value());
        json!({"interrupt": "maintenance", "code": code, "seconds": seconds(args.after)})
    } else {
        let kinds = [(what.rebalance, "rebalance"), (what.scale_in, "scale-in"), (what.stop, "stop")];
        let kind = kinds.iter().find(|(is_wanted, _)| *is_wanted).map_or("cancel", |(_, kind)| kind);
        json!({"interrupt": kind})
    };
    if let (Some(instance), Value::Object(members)) = (&args.instance, &mut order) {
        members.insert("instance".to_owned(), json!(instance));
    }
    order
}

/// To the second, as EC2 writes times.
fn seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

/// The answer in words, a line each.
fn lines(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match (answer["denied"].as_array(), &answer["done"]) {
        (Some(denied), _) if denied.is_empty() => vec!["nothing is denied".to_owned()],
        (Some(denied), _) => denied.iter().map(text).collect(),
        (None, done) => vec![text(done)],
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: InterruptArgs,
    }

    fn parsed(words: &str) -> Result<Value, String> {
        let words = std::iter::once("interrupt").chain(words.split_whitespace());
        Cli::try_parse_from(words).map(|cli| order(&cli.args)).map_err(|error| error.to_string())
    }

    #[test]
    fn orders_are_what_the_plane_reads() {
        for (words, expected) in [
            ("--spot 120s", json!({"interrupt": "spot", "action": "terminate", "seconds": 120})),
            ("--spot", json!({"interrupt": "spot", "action": "terminate", "seconds": 120})),
            ("--spot 1500ms --action stop", json!({"interrupt": "spot", "action": "stop", "seconds": 2})),
            ("--rebalance", json!({"interrupt": "rebalance"})),
            (
                "--maintenance system-reboot --in 1h --instance i-1",
                json!({"interrupt": "maintenance", "code": "system-reboot", "seconds": 3600, "instance": "i-1"}),
            ),
            ("--scale-in", json!({"interrupt": "scale-in"})),
            ("--stop", json!({"interrupt": "stop"})),
            ("--cancel", json!({"interrupt": "cancel"})),
        ] {
            assert_eq!(parsed(words), Ok(expected), "{words}");
        }
    }

    #[test]
    fn exactly_one_interruption_is_ordered() {
        for words in [
            "",
            "--spot 2m --rebalance",
            "--stop --in 5m",
            "--rebalance --action stop",
            "--spot 120",
            "--maintenance earthquake",
        ] {
            assert!(parsed(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_user_reads_what_follows_and_how_to_undo_it() {
        let args = |words: &str| Cli::try_parse_from(words.split_whitespace()).unwrap().args;
        let answer = json!({"done": "d", "follows": "f", "instance": "i-1", "socket": "/n/agent.sock"});
        let undo = "undo:  batch-node-agent local interrupt --cancel --instance i-1";
        let watch = "watch: batch-node-agent status --socket /n/agent.sock";
        assert_eq!(told(&answer, &args("interrupt --rebalance")), ["d", "f", watch, undo]);
        let elsewhere = told(&answer, &args("interrupt --spot --endpoint http://127.0.0.1:9"));
        assert_eq!(elsewhere[3], format!("{undo} --endpoint http://127.0.0.1:9"));
        let by_hand = json!({"done": "d", "follows": "f", "instance": "i-1", "socket": null});
        assert_eq!(told(&by_hand, &args("interrupt --stop")), ["d", "f"]);
    }

    #[test]
    fn denials_are_listed_a_line_each() {
        assert_eq!(lines(&json!({"denied": []})), ["nothing is denied"]);
        assert_eq!(lines(&json!({"denied": ["a:b", "c:*"]})), ["a:b", "c:*"]);
        assert_eq!(lines(&json!({"done": "denied: a:b"})), ["denied: a:b"]);
    }
}
