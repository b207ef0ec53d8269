//! Why the node is still alive, in one line; and the figures of its leaving.

use super::facts::Rung;
use super::idle::waiting_text;
use super::news::{Happening, LeavingStatus};
use super::phase::Phase;
use super::reason::Ending;
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::time::Timestamp;

impl Node {
    /// Why the node is still alive, in one line.
    pub(crate) fn why(&self, now: Timestamp) -> String {
        if fault::is(Fault::Silent) {
            return String::new();
        }
        let live = self.live_tasks();
        let because = self.ruling().map_or_else(String::new, |r| format!(" ({r})"));
        let stuck = self.stuck();
        match self.phase() {
            Phase::Booting => "finding out which instance and cluster this is".to_owned(),
            Phase::Registering => {
                let error = self.session.register_error.as_ref();
                let error = error.map_or_else(String::new, |error| format!("; {error}"));
                format!("registering with ECS{because}{error}")
            }
            Phase::Active => self.why_active(live, now),
            Phase::Draining if self.waits_for_work(now) => {
                format!("waiting for {live} task(s) to end and be reported{because}{stuck}")
            }
            Phase::Draining if self.ending() == Ending::Stay => {
                format!("drained, and stays until the reason is taken back{because}")
            }
            Phase::Draining => format!("telling ECS to place nothing here{because}{stuck}"),
            Phase::Idle => format!("asking ECS whether anything is left here{because}{stuck}"),
            Phase::Deregistering => format!("deregistering{because}{stuck}"),
            Phase::Terminating => self.why_terminating(&because, &stuck),
        }
    }

    fn why_active(&self, live: usize, now: Timestamp) -> String {
        let record = self.leaving_record();
        let coming = self.deadline().map(|d| format!("; {}", d.text)).unwrap_or_default();
        if live > 0 {
            return format!("{live} task(s) at work or not yet reported{coming}");
        }
        if let Some(hold) = record.and_then(|r| r.hold.as_ref()) {
            let why = if hold.why.is_empty() { String::new() } else { format!(": {}", hold.why) };
            return format!("idle, and held by the operator{why}");
        }
        let Some(left) = self.idle_left(now) else {
            return format!("idle, and told to stay{coming}");
        };
        let idle = now.since(self.idle_since()).as_secs();
        let asleep = record.and_then(|r| r.wish_after).filter(|at| *at > now);
        if let (Some(at), Some(why)) = (asleep, record.and_then(|r| r.stays.as_ref())) {
            return format!("idle for {idle} s, but {why}; asks again in {} s", at.since(now).as_secs());
        }
        if left.is_zero() {
            let work = &self.leaving.work;
            let unsure = self.leaving.preflight.error.as_ref();
            return match (&work.waiting, unsure, record.and_then(|r| r.stays.as_ref())) {
                (Some(waiting), _, _) => format!("idle for {idle} s, but {}", waiting_text(waiting)),
                (None, Some(error), _) => format!("idle for {idle} s; {error}"),
                (None, None, Some(why)) => format!("idle for {idle} s, but {why}; asks again now"),
                (None, None, None) => format!("idle for {idle} s, making sure that it may leave"),
            };
        }
        format!("idle for {idle} s, drains in {} s{coming}", left.as_secs())
    }

    fn why_terminating(&self, because: &str, stuck: &str) -> String {
        let ladder = self.leaving_record().and_then(|r| r.ladder.as_ref());
        let Some(ladder) = ladder else {
            return format!("terminating this instance{because}{stuck}");
        };
        let how = match (ladder.rung, ladder.accepted) {
            (Rung::Taken, _) => "waiting to be taken".to_owned(),
            (rung, true) => format!("{rung} was accepted, waiting to be gone"),
            (rung, false) => format!("{rung}, try {}", ladder.tries + 1),
        };
        format!("terminating this instance{because}: {how}{stuck}")
    }

    fn stuck(&self) -> String {
        let leaving = &self.leaving;
        let stuck = leaving.note.as_ref().or(leaving.call.error.as_ref()).or(leaving.preflight.error.as_ref());
        stuck.map_or_else(String::new, |e| format!("; {e}"))
    }

    pub(crate) fn leaving_status(&self) -> LeavingStatus {
        let Some(record) = self.leaving_record() else { return LeavingStatus::default() };
        let named = |(what, n): (&Happening, &u64)| (what.as_str().to_owned(), *n);
        LeavingStatus {
            reasons: record.reasons.iter().rev().filter(|s| !s.over).map(|s| s.reason.clone()).collect(),
            deadline: self.deadline(),
            hold: record.hold.as_ref().map(|h| h.why.clone()),
            rung: record.ladder.as_ref().map(|l| l.rung),
            stays: record.stays.clone(),
            jobs_taken: record.jobs_taken,
            withheld: self.withheld_tasks(),
            counters: self.leaving.counters.iter().map(named).collect(),
        }
    }
}
