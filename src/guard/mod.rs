//! Keeping jobs from the instance metadata service (`block_imds`): rules of the host's firewall, looked at again and again, and a
//! control group by which the rules know jobs on the host's network.

mod firewall;
mod group;
pub(crate) mod other_agent;
mod rules;
mod watch;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch as channel};
use tokio::time::timeout;

pub(crate) use watch::Duties;

/// A look at the rules is a few programs and one question to Docker, each with a limit of its own.
const LOOK_WITHIN: Duration = Duration::from_secs(45);

/// The key `block_imds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockImds {
    Off,
    /// As far as it goes; what is left open is told.
    Try,
    /// Without it this host takes no jobs.
    Require,
}

impl FromStr for BlockImds {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Self::Off),
            "try" => Ok(Self::Try),
            "require" => Ok(Self::Require),
            _ => Err(()),
        }
    }
}

/// What a container of a job is given so that the rules know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// For Docker's `CgroupParent`.
    pub(crate) cgroup_parent: &'static str,
}

/// What came of the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether containers with a network of their own are kept from it.
    pub(super) bridges: Result<(), String>,
    /// Whether those on the host's network are.
    pub(super) host: Result<Confinement, String>,
}

impl Found {
    /// What is open, for people; `None` if nothing is.
    fn open(&self) -> Option<String> {
        match (&self.bridges, &self.host) {
            (Ok(()), Ok(_)) => None,
            (Ok(()), Err(why)) => Some(format!("jobs on the host's network can reach it: {why}")),
            (Err(why), Ok(_)) => Some(format!("jobs on a network of their own can reach it: {why}")),
            (Err(why), Err(other)) if why == other => Some(format!("all jobs can reach it: {why}")),
            (Err(why), Err(other)) => Some(format!("all jobs can reach it: {why}; {other}")),
        }
    }
}

/// The agent's handle on the guard. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    wanted: BlockImds,
    /// `None` while a look is due or under way.
    found: Arc<channel::Sender<Option<Found>>>,
    due: Arc<Notify>,
}

impl Guard {
    pub(crate) fn new(wanted: BlockImds) -> Self {
        Self { wanted, found: Arc::new(channel::Sender::new(None)), due: Arc::default() }
    }

    /// Docker has come back, or somebody needs to know how things are now.
    pub(crate) fn look_again(&self) {
        if self.wanted != BlockImds::Off {
            self.found.send_replace(None);
            self.due.notify_one();
        }
    }

    /// What a job's container needs, once it is known that it may start here; the reason if it may not.
    pub(crate) async fn admit(&self) -> Result<Option<Confinement>, String> {
        if self.wanted == BlockImds::Off {
            return Ok(None);
        }
        let mut seen = self.found.subscribe();
        let settled = timeout(LOOK_WITHIN, seen.wait_for(Option::is_some)).await;
        let found = settled.ok().and_then(Result::ok).and_then(|found| found.clone());
        let Some(found) = found else {
            return self.verdict("the host's firewall does not answer".to_owned(), None);
        };
        match found.open() {
            None => Ok(found.host.ok()),
            Some(open) => self.verdict(open, found.host.ok()),
        }
    }

    fn verdict(&self, open: String, confinement: Option<Confinement>) -> Result<Option<Confinement>, String> {
        match self.wanted {
            BlockImds::Require => Err(format!(
                "jobs cannot be kept from the instance metadata service, and block_imds is \"require\": {open}"
            )),
            BlockImds::Off | BlockImds::Try => Ok(confinement),
        }
    }

    /// For `status`; `None` where it is not asked for.
    pub(crate) fn shown(&self) -> Option<String> {
        if self.wanted == BlockImds::Off {
            return None;
        }
        let found = self.found.borrow().clone();
        Some(
            found.map_or_else(
                || "being looked at".to_owned(),
                |f| f.open().unwrap_or_else(|| "blocked for jobs".into()),
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bridges: Result<(), &str>, host: Result<(), &str>) -> Found {
        let group = Confinement { cgroup_parent: "/batchjobs" };
        Found { bridges: bridges.map_err(str::to_owned), host: host.map(|()| group).map_err(str::to_owned) }
    }

    fn guard(wanted: BlockImds, found: Found) -> Guard {
        let guard = Guard::new(wanted);
        guard.found.send_replace(Some(found));
        guard
    }

    #[tokio::test]
    async fn who_requires_the_block_takes_no_job_without_all_of_it() {
        let whole = guard(BlockImds::Require, found(Ok(()), Ok(())));
        assert_eq!(whole.admit().await.unwrap().unwrap().cgroup_parent, "/batchjobs");
        let half = guard(BlockImds::Require, found(Ok(()), Err("no groups")));
        let why = half.admit().await.unwrap_err();
        assert!(why.contains("jobs on the host's network can reach it: no groups"), "{why}");
        assert!(guard(BlockImds::Require, found(Err("x"), Ok(()))).admit().await.is_err());
    }

    #[tokio::test]
    async fn who_tries_takes_jobs_and_is_told_what_is_open() {
        let half = guard(BlockImds::Try, found(Ok(()), Err("no groups")));
        assert_eq!(half.admit().await, Ok(None));
        assert!(half.shown().unwrap().contains("no groups"));
        let none = guard(BlockImds::Try, found(Err("no iptables"), Err("no iptables")));
        assert_eq!(none.shown().unwrap(), "all jobs can reach it: no iptables");
    }

    #[tokio::test]
    async fn a_look_under_way_is_waited_for() {
        let guard = Guard::new(BlockImds::Require);
        let (asking, answering) = (guard.clone(), guard.clone());
        guard.look_again();
        let asked = tokio::spawn(async move { asking.admit().await });
        tokio::task::yield_now().await;
        assert!(!asked.is_finished());
        answering.found.send_replace(Some(found(Ok(()), Ok(()))));
        assert!(asked.await.unwrap().is_ok());
        assert_eq!(Guard::new(BlockImds::Off).admit().await, Ok(None));
    }
}
