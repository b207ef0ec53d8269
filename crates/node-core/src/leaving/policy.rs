//! What an operator has chosen about leaving.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::Source;
use super::signal::Signal;

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

/// How a node leaves. The idle time itself is [`crate::Policy::idle_timeout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeavingPolicy {
    /// Before an idle drain, ask whether work that fits this host waits in the queues ([`crate::Command::LookForWork`]).
    pub look_for_work: bool,
    /// Waiting work is looked for about this often, once the idle time is over.
    pub look_every: Duration,
    /// Work that waits and never comes here keeps the host this long beyond its idle time.
    pub waiting_patience: Duration,
    /// A question about waiting work that gets no answer keeps the host this long.
    pub unanswered_patience: Duration,
    /// Drain once this many jobs have been taken.
    pub max_jobs: Option<u32>,
    /// Drain at this age of the host.
    pub max_age: Option<Duration>,

    pub spot: Reaction,
    pub rebalance: Reaction,
    pub maintenance: Reaction,
    pub scale_in: Reaction,
    pub shutdown: Reaction,
    /// A drain for maintenance begins this long before its NotBefore.
    pub maintenance_lead: Duration,

    /// Ask [`crate::Command::Preflight`] before draining of the node's own accord.
    pub check_first: bool,
    /// What a node that would shrink its group below MinSize does.
    pub at_min_size: AtMinSize,
    /// What a node does whose termination is refused.
    pub refused: Refused,
    /// One way of ending the host that gets no answer or no effect is given up for the next after this long.
    pub rung_patience: Duration,
    /// Keep the Auto Scaling group from choosing a busy host (SetInstanceProtection).
    pub protect_while_busy: bool,

    /// The warning that a job gets which asks for one and does not name a signal.
    pub warn_signal: Signal,
    /// How long before the host's end a job is warned which does not say; at once when the end is nearer. `None`: at once.
    pub warn_lead: Option<Duration>,
    /// What becomes of the failure of a job that the host's end has killed.
    pub retries: Retries,
    /// A host that lives this long after it should have been taken has survived.
    pub survived_after: Duration,

    /// Docker unreachable for this long makes the host sick.
    pub docker_down_after: Option<Duration>,
    /// Docker unreachable for this long: its jobs are given up for lost with the host.
    pub docker_dead_after: Option<Duration>,
    /// No ACS session for this long makes the host sick.
    pub acs_gone_after: Option<Duration>,
    /// A host that is well again before it has left goes on working.
    pub recovers: bool,
}

impl Default for LeavingPolicy {
    fn default() -> Self {
        Self {
            look_for_work: true,
            look_every: Duration::from_secs(45),
            waiting_patience: minutes(30),
            unanswered_patience: minutes(10),
            max_jobs: None,
            max_age: None,
            spot: Reaction::Drain,
            rebalance: Reaction::Ignore,
            maintenance: Reaction::Drain,
            scale_in: Reaction::Drain,
            shutdown: Reaction::Drain,
            maintenance_lead: minutes(60),
            check_first: true,
            at_min_size: AtMinSize::Stay,
            refused: Refused::PowerOff,
            rung_patience: minutes(5),
            protect_while_busy: false,
            warn_signal: Signal::Term,
            warn_lead: Some(minutes(2)),
            retries: Retries::Withhold,
            survived_after: minutes(10),
            docker_down_after: Some(minutes(5)),
            docker_dead_after: Some(minutes(60)),
            acs_gone_after: Some(minutes(30)),
            recovers: true,
        }
    }
}

impl LeavingPolicy {
    /// What is done about an interruption from `source`.
    #[must_use]
    pub fn reaction(&self, source: Source) -> Reaction {
        match source {
            Source::Spot => self.spot,
            Source::Rebalance => self.rebalance,
            Source::Maintenance => self.maintenance,
            Source::ScaleIn => self.scale_in,
            Source::Shutdown => self.shutdown,
        }
    }

    /// A host outside AWS: nobody to ask, nothing to power off. It only drains and asks EC2 for its termination.
    #[must_use]
    pub fn alone() -> Self {
        Self {
            look_for_work: false,
            check_first: false,
            refused: Refused::KeepAsking,
            docker_down_after: None,
            docker_dead_after: None,
            acs_gone_after: None,
            ..Self::default()
        }
    }
}

/// What a node does about an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    Ignore,
    /// Take no new work; what runs here may run until the host is taken.
    Drain,
    /// And SIGKILL what still runs at the deadline.
    DrainWithDeadline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtMinSize {
    /// Stay and work; ask again later.
    Stay,
    /// Leave, and let the group put another host in this one's place.
    Replace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// Try every way there is; the last is to power the host off.
    PowerOff,
    /// Go back to work and try again later, each time later. A host that must leave (sick, told to) powers off all the same.
    Rejoin,
    /// Ask again for ever, and never power off.
    KeepAsking,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retries {
    /// It is not reported, so that ECS writes `Host EC2 (instance i-...) terminated.`, on which a job's retry rule can match.
    Withhold,
    /// It is reported like any other exit.
    Report,
}
