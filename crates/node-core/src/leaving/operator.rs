//! The operator's word.

use super::facts::Order;
use super::news::Happening;
use super::phase::Phase;
use super::reason::{Cause, DrainReason};
use super::record::Hold;
use crate::node::Node;
use crate::time::Timestamp;

impl Node {
    /// A host that does not know yet who it is has nowhere to write an order down: the shell turns it away.
    pub(crate) fn on_order(&mut self, order: Order, now: Timestamp) {
        match order {
            Order::Drain { terminate, deadline } => {
                let reason = DrainReason::Operator { terminate, deadline };
                let known = self.leaving_record().and_then(|r| r.of(Cause::Operator));
                if known.is_none_or(|s| s.reason != reason) {
                    self.add_reason(reason, now);
                }
            }
            Order::Cancel => {
                self.drop_reasons("the operator took the drain back", |cause| cause == Cause::Operator);
                self.come_back("the operator took the drain back", now);
            }
            Order::Hold { why } => self.hold(why, now),
            Order::Release => {
                let held = self.leaving_record().is_some_and(|r| r.hold.is_some());
                self.change_leaving(|leaving| leaving.hold = None);
                if held {
                    self.announce(Happening::Released, "the operator no longer holds this host".to_owned());
                }
            }
        }
    }

    /// Beats every wish of the node's own, even one that has come far; never the world, an ailment or an order to drain.
    fn hold(&mut self, why: String, now: Timestamp) {
        let text = match why.as_str() {
            "" => "the operator holds this host".to_owned(),
            why => format!("the operator holds this host: {why}"),
        };
        self.change_leaving(|leaving| leaving.hold = Some(Hold { since: now, why }));
        self.announce(Happening::Held, text);
        self.drop_reasons("held", Cause::is_wish);
        self.come_back("held", now);
        if self.phase() == Phase::Terminating {
            self.announce(Happening::Held, "the hold comes too late: the host is being ended".to_owned());
        }
    }
}
