//! What the instance metadata service announces: spot interruptions, rebalance recommendations, maintenance, scale-in.

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use node_core::{Interruption, Source, SpotAction, Timestamp};
use serde::Deserialize;

use super::imds::{Imds, ImdsFailure};

const SPOT: &str = "/latest/meta-data/spot/instance-action";
const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";
const MAINTENANCE: &str = "/latest/meta-data/events/maintenance/scheduled";
const TARGET_STATE: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";
/// EC2's spot notice comes this long before the end; for one whose time cannot be read.
const SPOT_NOTICE: Duration = Duration::from_secs(120);

/// What stands at one source now.
pub(crate) type Seen = (Source, Option<Interruption>);

/// All but scale-in. A source that gives no answer, or none that can be read, is left out: that is no all-clear.
pub(crate) async fn look(imds: &Imds, now: Timestamp) -> Vec<Seen> {
    let (spot, rebalance, maintenance) = tokio::join!(
        imds.item("spot notice", SPOT),
        imds.item("rebalance recommendation", REBALANCE),
        imds.item("maintenance events", MAINTENANCE)
    );
    let mut seen = Vec::new();
    let spot = told(spot).and_then(|text| text.map(|t| read_spot(&t, now)).transpose().ok());
    seen.extend(spot.map(|found| (Source::Spot, found)));
    seen.extend(told(rebalance).map(|text| (Source::Rebalance, text.map(|_| Interruption::Rebalance))));
    let maintenance = told(maintenance).and_then(|text| text.map_or(Ok(None), |t| read_maintenance(&t)).ok());
    seen.extend(maintenance.map(|found| (Source::Maintenance, found)));
    seen
}

/// What its Auto Scaling group is making of this instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Terminated,
    /// In the warm pool: `Warmed:Stopped`, `Warmed:Running` or `Warmed:Hibernated`.
    Warmed(String),
    /// `InService`, as a rule.
    Other(String),
}

/// `None`: it is in no group, or the group has not said yet.
pub(crate) async fn target(imds: &Imds) -> Result<Option<Target>, ImdsFailure> {
    let state = imds.item("target life-cycle state", TARGET_STATE).await?;
    Ok(state.map(|state| match state.as_str() {
        "Terminated" => Target::Terminated,
        _ if state.starts_with("Warmed:") => Target::Warmed(state),
        _ => Target::Other(state),
    }))
}

fn told(answer: Result<Option<String>, ImdsFailure>) -> Option<Option<String>> {
    answer.inspect_err(|failure| tracing::debug!("{failure}")).ok()
}

#[derive(Deserialize)]
struct Spot {
    action: String,
    time: String,
}

fn read_spot(text: &str, now: Timestamp) -> serde_json::Result<Interruption> {
    let spot: Spot =
        serde_json::from_str(text).inspect_err(|error| tracing::warn!("the spot notice cannot be read: {error}"))?;
    let action = match spot.action.as_str() {
        "stop" => SpotAction::Stop,
        "hibernate" => SpotAction::Hibernate,
        _ => SpotAction::Terminate,
    };
    Ok(Interruption::Spot { action, at: time(&spot.time).unwrap_or_else(|| now.after(SPOT_NOTICE)) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    not_before: String,
    code: String,
    #[serde(default)]
    state: String,
}

/// The first event that is still to come.
fn read_maintenance(text: &str) -> serde_json::Result<Option<Interruption>> {
    let events: Vec<Event> = serde_json::from_str(text)
        .inspect_err(|error| tracing::warn!("the maintenance events cannot be read: {error}"))?;
    let open = events.into_iter().filter(|e| e.state.is_empty() || e.state == "active");
    let timed = open.filter_map(|event| Some((calendar(&event.not_before)?, event.code)));
    Ok(timed.min().map(|(not_before, code)| Interruption::Maintenance { code, not_before }))
}

fn time(text: &str) -> Option<Timestamp> {
    let millis = DateTime::from_str(text, Format::DateTime).ok()?.to_millis().ok()?;
    u64::try_from(millis).ok().map(Timestamp)
}

/// `21 Jan 2019 09:00:43 GMT`, or as everywhere else.
fn calendar(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [day, month, year, clock, "GMT"] = words[..] else { return time(text) };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    time(&format!("{year}-{month:02}-{day:0>2}T{clock}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    #[test]
    fn a_spot_notice_has_an_action_and_a_time() {
        let at = Timestamp(1_505_722_920_000);
        let text = r#"{"action":"terminate","time":"2017-09-18T08:22:00Z"}"#;
        assert_eq!(read_spot(text, NOW).ok(), Some(Interruption::Spot { action: SpotAction::Terminate, at }));
        let soon = Interruption::Spot { action: SpotAction::Stop, at: Timestamp(121_000) };
        assert_eq!(read_spot(r#"{"action":"stop","time":"soon"}"#, NOW).ok(), Some(soon));
        assert!(read_spot("<html>", NOW).is_err());
    }

    #[test]
    fn the_first_event_that_is_to_come_counts() {
        let text = r#"[
            {"NotBefore":"3 Feb 2019 10:00:00 GMT","Code":"instance-retirement","State":"active","EventId":"e"},
            {"NotBefore":"21 Jan 2019 09:00:43 GMT","Code":"system-reboot","State":"active","EventId":"f"},
            {"NotBefore":"01 Jan 2019 09:00:43 GMT","Code":"instance-stop","State":"completed","EventId":"g"}]"#;
        let not_before = Timestamp(1_548_061_243_000);
        assert_eq!(
            read_maintenance(text).unwrap(),
            Some(Interruption::Maintenance { code: "system-reboot".into(), not_before })
        );
        assert_eq!(read_maintenance("[]").unwrap(), None);
        assert!(read_maintenance("<html>").is_err());
    }
}
