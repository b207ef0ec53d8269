//! Scale-in protection: on while there is work, so that the group ends only idle hosts.

use std::time::Duration;

use super::news::Happening;
use super::phase::Phase;
use crate::command::Command;
use crate::event::ApiFailure;
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::time::Timestamp;

/// A refusal is asked about again this late: the host may have joined its group by then.
const REFUSED_AGAIN: Duration = Duration::from_secs(10 * 60);

impl Node {
    pub(crate) fn protect(&mut self, now: Timestamp) {
        let known = self.session.registered || self.phase() == Phase::Terminating;
        if !self.policy.leaving.protect_while_busy || !known {
            return;
        }
        let held = self.leaving_record().is_some_and(|r| r.hold.is_some());
        let wanted =
            fault::is(Fault::StaysProtected) || (self.live_tasks() > 0 || held) && self.phase() != Phase::Terminating;
        if self.leaving.protected != Some(wanted) && self.leaving.protect.ready(now) {
            self.leaving.protect.begin();
            // Until the answer comes it may be either.
            self.leaving.protected = None;
            self.commands.push_back(Command::Protect(wanted));
        }
    }

    pub(crate) fn on_protected(&mut self, on: bool, result: Result<(), ApiFailure>, now: Timestamp) {
        self.leaving.protect.ended();
        match result {
            Ok(()) => {
                self.leaving.protect.answered();
                self.leaving.protected = Some(on);
                let (what, text) = match on {
                    true => (Happening::Protected, "protected from scale-in"),
                    false => (Happening::Unprotected, "no longer protected from scale-in"),
                };
                self.announce(what, text.to_owned());
            }
            Err(failure) => {
                self.leaving.protect.failed(failure.text().to_owned(), &mut self.rng, now);
                if matches!(failure, ApiFailure::Rejected(_) | ApiFailure::Gone(_) | ApiFailure::Denied(_)) {
                    self.leaving.protect.again_at(now.after(REFUSED_AGAIN));
                }
            }
        }
    }
}
