//! Ending the host: one way after the other until it is gone. How far it is survives a restart and a reboot.

use std::time::Duration;

use super::facts::Rung;
use super::news::Happening;
use super::phase::Phase;
use super::policy::Refused;
use super::reason::{DrainReason, Ending};
use super::record::Ladder;
use crate::command::Command;
use crate::event::ApiFailure;
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::time::Timestamp;

/// An accepted TerminateInstances that has not ended the host after this long is asked for again.
const TERMINATE_AGAIN: Duration = Duration::from_secs(60);
/// A plain no is asked about this often: someone may be mending it, or the request raced with another.
const REFUSALS: u32 = 3;
/// The longest pause before every way is tried once more.
const ROUND_PAUSE_MAX: Duration = Duration::from_secs(30 * 60);

impl Node {
    /// The ways of ending this host that make sense now.
    pub(crate) fn rungs(&self) -> Vec<Rung> {
        let group = self.leaving_record().and_then(|r| r.facts.as_ref()).and_then(|f| f.group.as_ref());
        let mut rungs = Vec::new();
        let ending = self.ruling().map(DrainReason::ending);
        rungs.extend((ending == Some(Ending::LetGo)).then_some(Rung::LetGo));
        // Whatever rules, an empty host need not keep its group waiting.
        rungs.extend(self.standing_hook().map(|_| Rung::Hook));
        rungs.extend(matches!(ending, Some(Ending::LetGo | Ending::Taken)).then_some(Rung::Taken));
        if group.is_some_and(|g| !g.terminate_suspended && !g.terminating) {
            rungs.extend([Rung::Group, Rung::Unhealthy]);
        }
        rungs.push(Rung::Instance);
        let must = match self.policy.leaving.refused {
            Refused::PowerOff => true,
            Refused::Rejoin => !self.only_wishes(),
            Refused::KeepAsking => false,
        };
        rungs.extend(must.then_some(Rung::PowerOff));
        rungs
    }

    /// The next thing to do about the host's end.
    pub(crate) fn ladder_call(&mut self, now: Timestamp) -> Option<Command> {
        if self.lacks_facts() && self.ask_facts(now) {
            return None;
        }
        let ladder = self.leaving_record()?.ladder.clone();
        let ladder = match ladder {
            Some(ladder) => ladder,
            None => self.stand_on(*self.rungs().first()?, 0, now),
        };
        if self.rung_ends_at().is_some_and(|at| at <= now) {
            let why = if ladder.accepted { "it has not ended the host" } else { "it takes too long" };
            self.climb(why, now);
            return None;
        }
        // What an earlier request may yet bring about is waited for; nothing more is asked without a reason.
        if !self.must_drain(now) {
            return None;
        }
        let call = self.rung_call(&ladder, now)?;
        self.change_leaving(|leaving| {
            if let Some(ladder) = &mut leaving.ladder {
                ladder.unanswered = ladder.unanswered.saturating_add(1);
            }
        });
        Some(call)
    }

    fn rung_call(&mut self, ladder: &Ladder, now: Timestamp) -> Option<Command> {
        match ladder.rung {
            Rung::Taken => None,
            Rung::LetGo => {
                self.commands.push_back(Command::LetGo);
                self.climb("done", now);
                None
            }
            Rung::Hook => self.standing_hook().map(Command::CompleteHook),
            _ if ladder.accepted && ladder.rung != Rung::Instance => None,
            Rung::Group => {
                let facts = self.leaving_record().and_then(|r| r.facts.as_ref());
                let decrement = facts.is_some_and(|f| f.decrement(self.ruling()));
                Some(Command::TerminateInGroup { decrement })
            }
            Rung::Unhealthy => Some(Command::MarkUnhealthy),
            Rung::Instance => Some(Command::Terminate),
            Rung::PowerOff => Some(Command::PowerOff),
        }
    }

    /// The host may be about to end by what this node has asked for: too late to take work, or anything, back.
    pub(crate) fn may_be_ending(&self, now: Timestamp) -> bool {
        let Some(ladder) = self.leaving_record().and_then(|r| r.ladder.as_ref()) else { return false };
        let asked = ladder.accepted || ladder.unanswered > 0;
        asked && self.rung_ends_at().is_none_or(|at| at > now)
    }

    /// A group is asked about before each try: the last one may have worked unseen, and shrinking it twice would be wrong.
    fn lacks_facts(&self) -> bool {
        let record = self.leaving_record();
        let unknown = record.is_none_or(|r| r.facts.is_none());
        let open =
            record.and_then(|r| r.ladder.as_ref()).is_none_or(|l| !l.accepted && (unknown || l.rung == Rung::Group));
        self.policy.leaving.check_first && open && self.leaving.facts_at.is_none()
    }

    fn stand_on(&mut self, rung: Rung, rounds: u32, now: Timestamp) -> Ladder {
        let before =
            self.leaving_record().and_then(|r| r.ladder.as_ref()).filter(|l| l.rounds == rounds && !l.accepted);
        let unanswered = before.map_or(0, |l| l.unanswered);
        let ladder = Ladder { rung, since: now, tries: 0, accepted: false, rounds, unanswered };
        self.change_leaving(|leaving| leaving.ladder = Some(ladder.clone()));
        self.leaving.call.restart();
        self.announce(Happening::Rung, format!("ending this host: {rung}"));
        ladder
    }

    /// When the present rung is given up.
    fn rung_ends_at(&self) -> Option<Timestamp> {
        let ladder = self.leaving_record().and_then(|r| r.ladder.as_ref())?;
        let after = self.survived_after();
        // The clock may have been set while no process ran.
        let since = ladder.since.max(self.started_at);
        match ladder.rung {
            Rung::Taken => Some(self.deadline().map_or(since, |d| d.at.max(since)).after(after)),
            _ if ladder.accepted => Some(since.after(after)),
            _ => Some(since.after(self.policy.leaving.rung_patience)),
        }
    }

    pub(crate) fn ladder_wakes_at(&self) -> Option<Timestamp> {
        self.rung_ends_at().filter(|_| self.phase() == Phase::Terminating)
    }

    pub(crate) fn accepted(&mut self, now: Timestamp) {
        self.change_leaving(|leaving| {
            if let Some(ladder) = leaving.ladder.as_mut().filter(|l| !l.accepted) {
                ladder.accepted = true;
                ladder.since = now;
            }
        });
    }

    pub(crate) fn on_end_tried(&mut self, rung: Rung, result: Result<(), ApiFailure>, now: Timestamp) {
        if fault::is(Fault::AsksOnce) {
            return;
        }
        self.leaving.call.ended();
        let standing = self.leaving_record().and_then(|r| r.ladder.clone()).filter(|l| l.rung == rung);
        let Some(ladder) = standing.filter(|_| self.phase() == Phase::Terminating) else { return };
        match result {
            Ok(()) if rung == Rung::Hook => self.hook_completed(now),
            Ok(()) => {
                self.leaving.call.answered();
                self.accepted(now);
                self.leaving.call.again_at(now.after(TERMINATE_AGAIN));
            }
            Err(failure) => {
                self.call_failed(call_of(rung), &failure, now);
                let tries = ladder.tries + 1;
                let clear = !matches!(failure, ApiFailure::Unavailable(_));
                self.change_leaving(|leaving| {
                    if let Some(ladder) = &mut leaving.ladder {
                        ladder.tries = tries;
                        ladder.unanswered = ladder.unanswered.saturating_sub(u32::from(clear));
                    }
                });
                // Asked again with the group's facts as they are then.
                self.leaving.facts_at = self.leaving.facts_at.filter(|_| rung != Rung::Group);
                let refused = matches!(failure, ApiFailure::Rejected(_) | ApiFailure::Denied(_));
                if matches!(failure, ApiFailure::Gone(_)) || refused && tries >= REFUSALS {
                    self.climb(failure.text(), now);
                }
            }
        }
    }

    /// On to the next way; after the last one begins again, or gives the wish up.
    pub(crate) fn climb(&mut self, why: &str, now: Timestamp) {
        let Some(ladder) = self.leaving_record().and_then(|r| r.ladder.clone()) else { return };
        let from = ladder.rung;
        let last = !self.rungs().iter().any(|rung| *rung > from);
        let rejoins =
            last && self.policy.leaving.refused == Refused::Rejoin && self.only_wishes() && self.ruling().is_some();
        if let Some(end) = self.rung_ends_at().filter(|_| rejoins && self.may_be_ending(now)) {
            // A request whose answer was lost may have been heard, whatever was said to a later one.
            self.leaving.call.again_at(end);
            return;
        }
        if from == Rung::Hook {
            self.hook_is_over();
        }
        if !matches!(from, Rung::LetGo | Rung::Taken) {
            self.announce(Happening::RungFailed, format!("{from}: {why}"));
        }
        let rungs = self.rungs();
        if let Some(next) = rungs.iter().find(|rung| **rung > from) {
            self.stand_on(*next, ladder.rounds, now);
            return;
        }
        if rejoins {
            self.change_leaving(|leaving| leaving.ladder = None);
            self.give_way(format!("no way of ending this host works: {why}"), now);
            return;
        }
        // A group that could not be looked up may be by now.
        self.leaving.preflight.restart();
        let rounds = ladder.rounds.saturating_add(1);
        let full = TERMINATE_AGAIN.saturating_mul(1 << (rounds - 1).min(10)).min(ROUND_PAUSE_MAX);
        let pause = self.rng.between(Duration::ZERO, full);
        let first = rungs.into_iter().find(|rung| *rung > Rung::Taken).unwrap_or(Rung::Instance);
        self.stand_on(first, rounds, now.after(pause));
        self.leaving.note = Some(format!("no way has worked; the last: {why}"));
        self.leaving.call.again_at(now.after(pause));
    }

    /// The wish to leave is given up: back to work, and the next wish comes later.
    pub(crate) fn give_way(&mut self, why: String, now: Timestamp) {
        self.drop_reasons("its end was refused", |cause| cause.is_wish());
        self.stay(why.clone(), now);
        self.come_back(&why, now);
    }
}

pub(crate) fn call_of(rung: Rung) -> &'static str {
    match rung {
        Rung::LetGo | Rung::Taken => "waiting",
        Rung::Hook => "CompleteLifecycleAction",
        Rung::Group => "TerminateInstanceInAutoScalingGroup",
        Rung::Unhealthy => "SetInstanceHealth",
        Rung::Instance => "TerminateInstances",
        Rung::PowerOff => "powering off",
    }
}
