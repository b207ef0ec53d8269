//! The node's own wishes to leave: idle for long, enough jobs taken, old.

use std::time::Duration;

use super::asking::Asking;
use super::facts::Waiting;
use super::news::Happening;
use super::phase::Phase;
use super::reason::DrainReason;
use crate::command::Command;
use crate::event::ApiFailure;
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::time::Timestamp;

/// The longest pause after a wish that came to nothing.
const WISH_PAUSE_MAX: Duration = Duration::from_secs(30 * 60);
const WISH_PAUSE: Duration = Duration::from_secs(60);

/// What is known of work that waits in the queues; asked anew for each idle time.
#[derive(Debug, Default)]
pub(crate) struct WorkWatch {
    asking: Asking,
    /// When it was first asked.
    since: Option<Timestamp>,
    /// Nothing waited then.
    clear_at: Option<Timestamp>,
    pub(crate) waiting: Option<Waiting>,
    unanswered_since: Option<Timestamp>,
}

impl Node {
    pub(crate) fn idle_since(&self) -> Timestamp {
        self.record.as_ref().map_or(self.started_at, |r| r.idle_since)
    }

    /// The host has run out of work just now.
    pub(crate) fn note_idle(&mut self, now: Timestamp) {
        if let Some(record) = &mut self.record {
            record.idle_since = now;
        }
        self.leaving.work = WorkWatch::default();
        self.save_node();
    }

    pub(crate) fn note_job_taken(&mut self) {
        self.change_leaving(|leaving| {
            leaving.jobs_taken = leaving.jobs_taken.saturating_add(1);
            leaving.refusals = 0;
            leaving.stays = None;
        });
    }

    /// Drains of its own accord where it may.
    pub(crate) fn wish(&mut self, now: Timestamp) {
        if !self.may_wish() || self.wish_after().is_some_and(|at| at > now) {
            return;
        }
        let Some(wish) = self.next_wish(now) else { return };
        if self.may_leave(&wish, now) {
            self.change_leaving(|leaving| leaving.stays = None);
            self.add_reason(wish, now);
        }
    }

    fn may_wish(&self) -> bool {
        self.phase() == Phase::Active
            && self.session.registered
            && self.leaving_record().is_some_and(|r| r.hold.is_none() || fault::is(Fault::IgnoresHold))
    }

    fn wish_after(&self) -> Option<Timestamp> {
        self.leaving_record().and_then(|r| r.wish_after)
    }

    fn next_wish(&mut self, now: Timestamp) -> Option<DrainReason> {
        if self.age_due().is_some_and(|at| at <= now) {
            return Some(DrainReason::Age(now.since(self.born_at())));
        }
        let taken = self.leaving_record().map_or(0, |r| r.jobs_taken);
        if self.policy.leaving.max_jobs.is_some_and(|most| taken >= most) {
            return Some(DrainReason::JobsDone(taken));
        }
        let idle = self.idle_due().is_some_and(|at| at <= now);
        (idle && self.no_work_waits(now)).then(|| DrainReason::IdleFor(now.since(self.idle_since())))
    }

    fn born_at(&self) -> Timestamp {
        self.leaving_record().and_then(|r| r.boot.as_ref()).map_or(self.started_at, |b| b.at)
    }

    fn age_due(&self) -> Option<Timestamp> {
        self.policy.leaving.max_age.map(|age| self.born_at().after(age))
    }

    fn idle_due(&self) -> Option<Timestamp> {
        let timeout = self.policy.idle_timeout.filter(|_| self.live_tasks() == 0)?;
        Some(self.idle_since().after(timeout))
    }

    /// No work waits for this host, as far as can be known in bounded time.
    fn no_work_waits(&mut self, now: Timestamp) -> bool {
        let policy = self.policy.leaving;
        let watch = &mut self.leaving.work;
        let asked_enough = watch.unanswered_since.is_some_and(|since| now.since(since) >= policy.unanswered_patience);
        let fresh = watch.clear_at.is_some_and(|at| now.since(at) < policy.look_every);
        let waited_enough = watch.since.is_some_and(|since| now.since(since) >= policy.waiting_patience);
        if !policy.look_for_work || fresh || asked_enough || waited_enough {
            return true;
        }
        watch.since.get_or_insert(now);
        if watch.asking.ready(now) {
            watch.asking.begin();
            self.commands.push_back(Command::LookForWork);
        }
        false
    }

    pub(crate) fn on_work_found(&mut self, result: Result<Waiting, ApiFailure>, now: Timestamp) {
        let every = self.policy.leaving.look_every;
        let pause = self.rng.between(every * 2 / 3, every * 4 / 3);
        let watch = &mut self.leaving.work;
        watch.asking.ended();
        match result {
            Ok(waiting) if waiting.runnable == 0 && waiting.starting == 0 => {
                watch.clear_at = Some(now);
                watch.waiting = None;
                watch.unanswered_since = None;
                watch.asking.answered();
            }
            Ok(waiting) => {
                let text = waiting_text(&waiting);
                let news = watch.waiting.replace(waiting).is_none();
                watch.unanswered_since = None;
                watch.asking.answered();
                watch.asking.again_at(now.after(pause));
                if news {
                    self.announce(Happening::WorkWaits, format!("idle, and stays: {text}"));
                }
            }
            Err(failure) => {
                watch.unanswered_since.get_or_insert(now);
                watch.asking.failed(failure.text().to_owned(), &mut self.rng, now);
                watch.asking.again_at(now.after(pause));
            }
        }
    }

    /// The wish comes to nothing for now; the next one waits, each time longer.
    pub(crate) fn stay(&mut self, why: String, now: Timestamp) {
        let refusals = self.leaving_record().map_or(0, |r| r.refusals);
        let full = WISH_PAUSE.saturating_mul(1 << refusals.min(10)).min(WISH_PAUSE_MAX);
        let after = now.after(self.rng.between(full / 2, full));
        self.change_leaving(|leaving| {
            leaving.refusals = refusals.saturating_add(1);
            leaving.wish_after = Some(after);
            leaving.stays = Some(why.clone());
        });
        self.leaving.work = WorkWatch::default();
        self.leaving.facts_at = None;
        self.announce(Happening::Stays, why);
    }

    pub(crate) fn wish_wakes_at(&self) -> Vec<Timestamp> {
        if !self.may_wish() {
            return Vec::new();
        }
        let policy = &self.policy.leaving;
        let watch = &self.leaving.work;
        let idle = self.idle_due();
        let patience = watch.since.map(|since| since.after(policy.waiting_patience));
        let unanswered = watch.unanswered_since.map(|since| since.after(policy.unanswered_patience));
        let preflight = self.leaving.preflight.failing_since().map(|since| since.after(policy.rung_patience));
        [self.wish_after(), self.age_due(), idle, patience, unanswered, watch.asking.wakes_at(), preflight]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The time until the node would drain for being idle, for people.
    pub(crate) fn idle_left(&self, now: Timestamp) -> Option<Duration> {
        self.idle_due().map(|due| due.since(now))
    }
}

pub(crate) fn waiting_text(waiting: &Waiting) -> String {
    let example = waiting.example.as_ref().map_or_else(String::new, |job| format!(" (such as {job})"));
    format!(
        "{} RUNNABLE and {} STARTING job(s) that fit this host wait in its queues{example}",
        waiting.runnable, waiting.starting
    )
}
