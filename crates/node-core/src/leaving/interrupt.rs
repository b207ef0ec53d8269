//! What the world does to the host: taken up, taken back, outlived.

use std::time::Duration;

use super::facts::{Interruption, Rung, Source};
use super::news::Happening;
use super::phase::Phase;
use super::policy::Reaction;
use super::reason::{Cause, DrainReason};
use super::record::Boot;
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::time::Timestamp;

/// Without a hook Auto Scaling ends the host at once; what is left is about what a shutdown takes.
const NO_HOOK: Duration = Duration::from_secs(60);

impl Interruption {
    #[must_use]
    pub fn source(&self) -> Source {
        match self {
            Self::Spot { .. } => Source::Spot,
            Self::Rebalance => Source::Rebalance,
            Self::Maintenance { .. } => Source::Maintenance,
            Self::ScaleIn { .. } => Source::ScaleIn,
            Self::Shutdown { .. } => Source::Shutdown,
        }
    }

    fn into_reason(self, now: Timestamp) -> DrainReason {
        match self {
            Self::Spot { action, at } => DrainReason::Spot { action, at },
            Self::Rebalance => DrainReason::Rebalance,
            Self::Maintenance { code, not_before } => DrainReason::Maintenance { code, not_before },
            Self::ScaleIn { hook } => {
                let wait = hook.as_ref().map_or(NO_HOOK, super::reason::Hook::longest_wait);
                DrainReason::ScaleIn { hook, deadline: Some(now.after(wait)) }
            }
            Self::Shutdown { deadline } => DrainReason::Shutdown { deadline },
        }
    }

    /// It is what `reason` stands for already.
    fn is(&self, reason: &DrainReason) -> bool {
        match (self, reason) {
            (Self::ScaleIn { hook }, DrainReason::ScaleIn { hook: known, .. }) => hook == known,
            _ => self.clone().into_reason(Timestamp(0)) == *reason,
        }
    }
}

impl Source {
    fn cause(self) -> Cause {
        match self {
            Self::Spot => Cause::Spot,
            Self::Rebalance => Cause::Rebalance,
            Self::Maintenance => Cause::Maintenance,
            Self::ScaleIn => Cause::ScaleIn,
            Self::Shutdown => Cause::Shutdown,
        }
    }
}

impl Node {
    pub(crate) fn on_interruption(&mut self, interruption: Interruption, now: Timestamp) {
        let source = interruption.source();
        if self.policy.leaving.reaction(source) == Reaction::Ignore {
            if self.leaving.ignored.insert(source) {
                let reason = interruption.into_reason(now);
                self.announce(Happening::Ignored, format!("{reason}: the policy is to ignore it"));
            }
            return;
        }
        let Some(record) = self.leaving_record() else { return };
        if record.of(source.cause()).is_some_and(|s| interruption.is(&s.reason)) {
            return;
        }
        self.add_reason(interruption.into_reason(now), now);
        if source == Source::ScaleIn {
            self.change_leaving(|leaving| leaving.hook_over = false);
            self.leaving.beat.restart();
            // The node's own end in its group makes the group's hook wait, too.
            if self.phase() == Phase::Terminating && self.standing_hook().is_some() {
                self.change_leaving(|leaving| leaving.ladder = None);
                self.leaving.call.restart();
            }
        }
    }

    pub(crate) fn on_interruption_cancelled(&mut self, source: Source, now: Timestamp) {
        self.leaving.ignored.remove(&source);
        let cause = source.cause();
        if self.leaving_record().is_none_or(|r| r.of(cause).is_none()) || fault::is(Fault::NeverUndoes) {
            return;
        }
        self.drop_reasons("cancelled", |c| c == cause);
        self.come_back("the interruption was cancelled", now);
    }

    /// A host that lives on long after it should have been taken is taken for spared.
    pub(crate) fn outlive(&mut self, now: Timestamp) {
        let past: Vec<_> = self.outliving().filter(|(_, at)| *at <= now).map(|(cause, _)| cause).collect();
        for cause in past {
            let mut text = String::new();
            self.change_leaving(|leaving| {
                for standing in leaving.reasons.iter_mut().filter(|s| s.reason.cause() == cause) {
                    standing.over = true;
                    text = format!("still here long after: {}", standing.reason);
                }
            });
            self.announce(Happening::Survived, text);
            // The wait to be taken was for that one; a hook still waits for this host.
            if self.phase() == Phase::Terminating && self.standing_hook().is_some() {
                self.change_leaving(|leaving| leaving.ladder = leaving.ladder.take().filter(|l| l.rung > Rung::Taken));
                self.leaving.call.restart();
            }
            self.come_back("the host has survived its interruption", now);
        }
    }

    /// Those that the world alone was to see through, and when the host has survived them.
    fn outliving(&self) -> impl Iterator<Item = (Cause, Timestamp)> {
        let after = self.survived_after();
        let by_world = self.standing().map(|s| &s.reason);
        by_world
            .filter(|r| matches!(r.cause(), Cause::Spot | Cause::ScaleIn | Cause::Shutdown))
            .filter_map(move |r| Some((r.cause(), r.deadline()?.after(after))))
    }

    pub(crate) fn outlive_at(&self) -> Option<Timestamp> {
        self.outliving().map(|(_, at)| at).min()
    }

    pub(crate) fn on_host_booted(&mut self, id: String, at: Timestamp, now: Timestamp) {
        self.leaving.boot = Some(Boot { id, at });
        if self.identified {
            self.note_boot(now);
        }
    }

    /// After a reboot the world's reasons are void: what still holds is told again. The operator's word and the way already gone
    /// towards the host's end are kept.
    pub(crate) fn note_boot(&mut self, now: Timestamp) {
        let Some(boot) = self.leaving.boot.take() else { return };
        let before = self.leaving_record().and_then(|r| r.boot.clone());
        self.change_leaving(|leaving| leaving.boot = Some(boot.clone()));
        if before.is_some_and(|old| old.id != boot.id) {
            let by_world = |cause: Cause| !cause.is_wish() && cause != Cause::Operator;
            if self.drop_reasons("the host has been booted again", by_world) {
                // What was accepted before has not ended the host but with a boot.
                self.change_leaving(|leaving| {
                    leaving.ladder = leaving.ladder.take().filter(|l| l.rung > Rung::Taken);
                });
                self.come_back("the host has been booted again", now);
            }
        }
    }
}
