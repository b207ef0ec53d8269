//! The CloudWatch Logs API, as far as reading jobs' output goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Outcome, json as wire, page, unknown_operation};
use crate::clock::Millis;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::{ACCOUNT, Arns, TaskArn};
use crate::logs::{GROUP, LogLine};
use crate::model::cluster::TaskStatus;

/// CloudWatch's largest answer.
const MAX_EVENTS: usize = 10_000;

pub(super) async fn call(hub: &Arc<Hub>, operation: &str, body: &[u8]) -> Outcome {
    match operation {
        "DescribeLogGroups" => Ok(describe_groups(&hub.arns, &read(body)?)),
        "DescribeLogStreams" => describe_streams(hub, &read(body)?),
        "GetLogEvents" => get_events(hub, &read(body)?).await,
        "FilterLogEvents" => filter_events(hub, &read(body)?).await,
        other => Err(unknown_operation(other)),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    wire::read(body, "InvalidParameterException")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    #[serde(default)]
    log_group_name_prefix: String,
    #[serde(default)]
    log_group_name_pattern: String,
}

fn group_arn(arns: &Arns) -> String {
    format!("arn:aws:logs:{}:{ACCOUNT}:log-group:{GROUP}", arns.region)
}

fn describe_groups(arns: &Arns, which: &Groups) -> Value {
    let arn = group_arn(arns);
    let group = json!({"logGroupName": GROUP, "creationTime": 0, "metricFilterCount": 0, "storedBytes": 0,
        "arn": format!("{arn}:*"), "logGroupArn": arn, "logGroupClass": "STANDARD"});
    let wanted = GROUP.starts_with(&which.log_group_name_prefix) && GROUP.contains(&which.log_group_name_pattern);
    json!({"logGroups": if wanted { vec![group] } else { Vec::new() }})
}

/// A request names its group or gives its ARN.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
}

impl Group {
    fn check(&self) -> Result<(), ApiError> {
        let given = self.log_group_name.as_ref().or(self.log_group_identifier.as_ref());
        match given.is_some_and(|name| name == GROUP || name.ends_with(&format!(":{GROUP}"))) {
            true => Ok(()),
            false => Err(ApiError::new(
                "ResourceNotFoundException",
                format!("The specified log group does not exist; jobs write to {GROUP}"),
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Streams {
    #[serde(flatten)]
    group: Group,
    #[serde(default)]
    log_stream_name_prefix: String,
    #[serde(default)]
    descending: bool,
    limit: Option<i64>,
    next_token: Option<String>,
}

/// The streams of the plane's jobs that have been begun, with the time of their task's start.
fn streams(hub: &Hub, wanted: impl Fn(&str) -> bool) -> Vec<(String, Millis)> {
    let all: Vec<(String, Millis)> = hub.read(|state| {
        let named = state.tasks.values().filter_map(|task| Some((task.log_stream.clone()?, task.created_at)));
        named.filter(|(stream, _)| wanted(stream)).collect()
    });
    all.into_iter().filter(|(stream, _)| hub.logs.exists(stream)).collect()
}

fn describe_streams(hub: &Hub, which: &Streams) -> Outcome {
    which.group.check()?;
    let mut found = streams(hub, |stream| stream.starts_with(&which.log_stream_name_prefix));
    found.sort();
    if which.descending {
        found.reverse();
    }
    let arn = group_arn(&hub.arns);
    let shown = found.into_iter().map(|(stream, at)| {
        json!({"logStreamName": stream, "creationTime": at, "firstEventTimestamp": at, "storedBytes": 0,
            "arn": format!("{arn}:log-stream:{stream}")})
    });
    let page = page::page(shown.collect(), which.limit, which.next_token.as_deref(), 50)
        .map_err(|error| ApiError::invalid_parameter(error.message))?;
    Ok(page.into_answer("logStreams"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Get {
    #[serde(flatten)]
    group: Group,
    log_stream_name: String,
    start_time: Option<Millis>,
    end_time: Option<Millis>,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
    next_token: Option<String>,
}

/// A token is `f/` or `b/` and the number of lines before the place where it goes on.
async fn get_events(hub: &Hub, which: &Get) -> Outcome {
    which.group.check()?;
    let lines = lines(hub, &which.log_stream_name).await?;
    let lines: Vec<LogLine> = lines.into_iter().filter(|line| within(line, which.start_time, which.end_time)).collect();
    let limit = which.limit.unwrap_or(MAX_EVENTS).clamp(1, MAX_EVENTS);
    let (from, to) = match &which.next_token {
        Some(token) => {
            let bad = || ApiError::invalid_parameter("The specified nextToken is invalid.");
            let (way, place) = token.split_once('/').ok_or_else(bad)?;
            let place = place.parse::<usize>().map_err(|_| bad())?.min(lines.len());
            if way == "f" { (place, lines.len().min(place + limit)) } else { (place.saturating_sub(limit), place) }
        }
        None if which.start_from_head => (0, lines.len().min(limit)),
        None => (lines.len().saturating_sub(limit), lines.len()),
    };
    let events: Vec<Value> = lines[from..to].iter().map(event).collect();
    Ok(json!({"events": events, "nextForwardToken": format!("f/{to}"), "nextBackwardToken": format!("b/{from}")}))
}

/// Whole once the stream's task has stopped: who saw a job end may read all that it wrote.
async fn lines(hub: &Hub, stream: &str) -> Result<Vec<LogLine>, ApiError> {
    let over: BTreeSet<TaskArn> = hub.read(|state| {
        let writers = state.tasks.iter().filter(|(_, task)| task.log_stream.as_deref() == Some(stream));
        writers.filter(|(_, task)| task.status == TaskStatus::Stopped).map(|(arn, _)| arn.clone()).collect()
    });
    hub.logs.finished(&over).await;
    match hub.logs.read(stream).await {
        Ok(Some(lines)) => Ok(lines),
        Ok(None) => Err(ApiError::new("ResourceNotFoundException", "The specified log stream does not exist.")),
        Err(error) => Err(ApiError::new("ServiceUnavailableException", format!("the stream cannot be read: {error}"))),
    }
}

fn within(line: &LogLine, start: Option<Millis>, end: Option<Millis>) -> bool {
    start.is_none_or(|start| line.at >= start) && end.is_none_or(|end| line.at < end)
}

fn event(line: &LogLine) -> Value {
    json!({"timestamp": line.at, "ingestionTime": line.at, "message": line.message})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(flatten)]
    group: Group,
    #[serde(default)]
    log_stream_names: Vec<String>,
    #[serde(default)]
    log_stream_name_prefix: String,
    start_time: Option<Millis>,
    end_time: Option<Millis>,
    #[serde(default)]
    filter_pattern: String,
    limit: Option<i64>,
    next_token: Option<String>,
}

/// Patterns are plain words here: each must occur in the line.
async fn filter_events(hub: &Hub, which: &Filter) -> Outcome {
    which.group.check()?;
    let named = |stream: &str| which.log_stream_names.is_empty() || which.log_stream_names.iter().any(|n| n == stream);
    let words: Vec<&str> = which.filter_pattern.split_whitespace().map(|word| word.trim_matches('"')).collect();
    let mut events = Vec::new();
    for (stream, _) in streams(hub, |s| named(s) && s.starts_with(&which.log_stream_name_prefix)) {
        for (number, line) in lines(hub, &stream).await?.iter().enumerate() {
            if within(line, which.start_time, which.end_time) && words.iter().all(|word| line.message.contains(word)) {
                let more = json!({"logStreamName": stream, "eventId": format!("{stream}/{number}")});
                events.push((line.at, wire::merge(event(line), more)));
            }
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let events = events.into_iter().map(|(_, event)| event).collect();
    let page = page::page(events, which.limit, which.next_token.as_deref(), MAX_EVENTS)
        .map_err(|error| ApiError::invalid_parameter(error.message))?;
    Ok(page.into_answer("events"))
}
