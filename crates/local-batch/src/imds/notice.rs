//! What the metadata service tells of the instance's end: Spot, rebalance, scheduled events, Auto Scaling.

use serde_json::{Value, json};

use crate::clock;
use crate::model::node::Node;
use crate::model::notice::{EventState, Maintenance, SpotAction};

/// The trees that are only there while there is something to tell, but for scheduled events, whose lists are then empty.
pub(super) fn is_one(path: &str) -> bool {
    ["spot/", "events/", "autoscaling/"].iter().any(|tree| path.starts_with(tree))
}

/// `None`: 404.
pub(super) fn find(path: &str, node: &Node) -> Option<String> {
    let notices = &node.notices;
    Some(match path {
        "autoscaling/target-lifecycle-state" => {
            let is_going = node.is_ending() || !node.state.is_live();
            node.membership.as_ref().map(|_| if is_going { "Terminated" } else { "InService" })?.to_owned()
        }
        "spot/instance-action" => {
            let notice = notices.spot.as_ref()?;
            json!({"action": notice.action.as_str(), "time": clock::rfc3339_seconds(notice.at)}).to_string()
        }
        "spot/termination-time" => {
            let notice = notices.spot.as_ref().filter(|notice| notice.action == SpotAction::Terminate)?;
            clock::rfc3339_seconds(notice.at)
        }
        "events/recommendations/rebalance" => {
            json!({"noticeTime": clock::rfc3339_seconds(notices.rebalance?)}).to_string()
        }
        "events/maintenance/scheduled" => events(&notices.maintenance, |state| state == EventState::Active),
        "events/maintenance/history" => events(&notices.maintenance, |state| state != EventState::Active),
        _ => return None,
    })
}

fn events(all: &[Maintenance], wanted: impl Fn(EventState) -> bool) -> String {
    let shown = all.iter().filter(|event| wanted(event.state)).map(|event| {
        let (code, description) = event.code.words();
        let (state, mark) = match event.state {
            EventState::Active => ("active", ""),
            EventState::Completed => ("completed", "[Completed] "),
            EventState::Canceled => ("canceled", "[Canceled] "),
        };
        json!({"NotBefore": clock::imds(event.not_before), "NotAfter": clock::imds(event.not_after), "Code": code,
            "Description": format!("{mark}{description}"), "EventId": event.id, "State": state})
    });
    Value::Array(shown.collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::node::NewNode;
    use crate::model::notice::{EventCode, SpotNotice};

    #[test]
    fn nothing_is_told_of_an_instance_that_stays() {
        let node = Node::new(NewNode::default(), 1, 0);
        for path in [
            "spot/instance-action",
            "spot/termination-time",
            "events/recommendations/rebalance",
            "autoscaling/target-lifecycle-state",
        ] {
            assert_eq!(find(path, &node), None, "{path}");
        }
        assert_eq!(find("events/maintenance/scheduled", &node).as_deref(), Some("[]"));
    }

    #[test]
    fn notices_are_worded_as_ec2_words_them() {
        let mut node = Node::new(NewNode::default(), 1, 0);
        let at = 1_760_000_000_123;
        node.notices.spot = Some(SpotNotice { action: SpotAction::Terminate, at });
        node.notices.rebalance = Some(at);
        let event = |id: &str, state| Maintenance {
            id: id.into(),
            code: EventCode::SystemReboot,
            not_before: at,
            not_after: at + 60_000,
            state,
        };
        node.notices.maintenance = vec![event("a", EventState::Active), event("b", EventState::Canceled)];
        let json = |path| serde_json::from_str::<Value>(&find(path, &node).unwrap()).unwrap();
        let time = "2025-10-09T08:53:20Z";
        assert_eq!(json("spot/instance-action"), json!({"action": "terminate", "time": time}));
        assert_eq!(find("spot/termination-time", &node).as_deref(), Some(time));
        assert_eq!(json("events/recommendations/rebalance"), json!({"noticeTime": time}));
        let scheduled = json("events/maintenance/scheduled");
        assert_eq!(scheduled[0]["NotBefore"], "9 Oct 2025 08:53:20 GMT");
        assert_eq!((&scheduled[0]["Code"], scheduled.as_array().unwrap().len()), (&json!("system-reboot"), 1));
        assert_eq!(json("events/maintenance/history")[0]["Description"], "[Canceled] scheduled reboot");
    }
}
