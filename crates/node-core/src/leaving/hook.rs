//! The group's termination hook: kept waiting while jobs finish, completed at the end, never abandoned in silence.

use std::time::Duration;

use super::facts::Rung;
use super::news::Happening;
use super::reason::{Cause, DrainReason, Hook};
use crate::command::Command;
use crate::event::ApiFailure;
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::time::Timestamp;

const BEAT_MIN: Duration = Duration::from_secs(5);

impl Node {
    /// The hook that waits for this host.
    pub(crate) fn standing_hook(&self) -> Option<Hook> {
        let record = self.leaving_record().filter(|r| !r.hook_over)?;
        match &record.of(Cause::ScaleIn)?.reason {
            DrainReason::ScaleIn { hook, .. } => hook.clone(),
            _ => None,
        }
    }

    /// Two heartbeats for each heartbeat timeout, so that one may be lost.
    pub(crate) fn beat(&mut self, now: Timestamp) {
        let Some(hook) = self.standing_hook() else { return };
        if self.leaving.beat.ready(now) {
            self.leaving.beat.begin();
            self.commands.push_back(Command::Heartbeat(hook));
        }
    }

    pub(crate) fn on_heartbeat(&mut self, result: Result<(), ApiFailure>, now: Timestamp) {
        if fault::is(Fault::BeatsOnce) {
            return;
        }
        self.leaving.beat.ended();
        let Some(hook) = self.standing_hook() else { return };
        let half = (hook.heartbeat_timeout / 2).max(BEAT_MIN);
        match result {
            Ok(()) => {
                self.leaving.beat.answered();
                self.leaving.beat.again_at(now.after(half));
            }
            // It waits no longer: completed by someone else, or its time was over.
            Err(ApiFailure::Rejected(why) | ApiFailure::Gone(why)) => {
                self.hook_is_over();
                let name = &hook.name;
                self.announce(Happening::HookLost, format!("life-cycle hook {name} no longer waits: {why}"));
            }
            Err(failure) => {
                self.leaving.beat.failed(failure.text().to_owned(), &mut self.rng, now);
            }
        }
    }

    pub(crate) fn hook_is_over(&mut self) {
        self.change_leaving(|leaving| leaving.hook_over = true);
    }

    /// From here on Auto Scaling ends the host.
    pub(crate) fn hook_completed(&mut self, now: Timestamp) {
        self.hook_is_over();
        self.announce(Happening::HookCompleted, "the life-cycle hook is completed".to_owned());
        self.change_leaving(|leaving| {
            if let Some(ladder) = &mut leaving.ladder {
                ladder.rung = Rung::Taken;
                ladder.accepted = true;
                ladder.since = now;
            }
        });
    }
}
