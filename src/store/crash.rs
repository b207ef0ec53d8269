//! Crash points at every commit, for the tests of durability: in builds with debug assertions only.
//!
//! `BATCH_NODE_AGENT_TEST_CRASH=<n>:<before|after>:<marker file>` aborts the process, as `kill -9` would, before or after its
//! n-th commit, unless the marker file exists; it is made first, so that the restarted process lives.

#[cfg(debug_assertions)]
pub(super) use enabled::Points;

#[cfg(not(debug_assertions))]
pub(super) struct Points;

#[cfg(not(debug_assertions))]
impl Points {
    pub(super) fn from_env() -> Self {
        Self
    }
    pub(super) fn before_commit(&self) {}
    pub(super) fn after_commit(&self) {}
}

#[cfg(debug_assertions)]
mod enabled {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};

    pub(in crate::store) struct Points {
        commits: AtomicU64,
        plan: Option<Plan>,
    }

    struct Plan {
        at: u64,
        after: bool,
        marker: PathBuf,
    }

    impl Points {
        pub(in crate::store) fn from_env() -> Self {
            let plan = std::env::var("BATCH_NODE_AGENT_TEST_CRASH")
                .ok()
                .and_then(|text| Plan::parse(&text))
                .filter(|plan| !plan.marker.exists());
            Self { commits: AtomicU64::new(0), plan }
        }

        pub(in crate::store) fn before_commit(&self) {
            let n = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
            self.crash_if(n, false);
        }

        pub(in crate::store) fn after_commit(&self) {
            self.crash_if(self.commits.load(Ordering::Relaxed), true);
        }

        fn crash_if(&self, n: u64, after: bool) {
            if let Some(plan) = &self.plan
                && plan.at == n
                && plan.after == after
                && std::fs::write(&plan.marker, n.to_string()).is_ok()
            {
                std::process::abort();
            }
        }
    }

    impl Plan {
        fn parse(text: &str) -> Option<Self> {
            let mut parts = text.splitn(3, ':');
            Some(Self {
                at: parts.next()?.parse().ok()?,
                after: parts.next()? == "after",
                marker: parts.next()?.into(),
            })
        }
    }
}
