//! The guard's loop: it looks at start, when it is asked to, and every minute, since whoever reloads a firewall takes rules away.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{BlockImds, Found, Guard, firewall, group};
use crate::docker::{Docker, Groups};

const EVERY: Duration = Duration::from_secs(60);
/// Says that there are rules of ours, so that a host that never blocked anything is not even asked.
const MARK: &str = "imds-blocked";

/// What the loop works with.
pub(crate) struct Duties {
    pub(crate) docker: Docker,
    pub(crate) data_dir: PathBuf,
    pub(crate) stop: CancellationToken,
}

impl Guard {
    /// Looks until `stop`. The rules outlive the agent, as containers do.
    pub(crate) async fn watch(self, duties: Duties) {
        let Duties { docker, data_dir, stop } = duties;
        let work = async {
            if self.wanted == BlockImds::Off {
                unblock(&data_dir.join(MARK)).await;
            } else {
                self.look_for_ever(&docker, &data_dir.join(MARK)).await;
            }
        };
        stop.run_until_cancelled(work).await;
    }

    async fn look_for_ever(&self, docker: &Docker, mark: &Path) {
        let mut groups = None;
        let mut told = None;
        loop {
            // What Docker once said of its control groups stays true; while it is away nothing starts anyway.
            groups = docker.groups().await.or(groups);
            let found = look(mark, groups.as_ref()).await;
            // Before Docker has answered there is nothing to complain of.
            if groups.is_some() && told.as_ref() != Some(&found) {
                self.tell(&found);
                told = Some(found.clone());
            }
            self.found.send_replace(Some(found));
            tokio::select! {
                () = self.due.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    fn tell(&self, found: &Found) {
        match (found.open(), self.wanted) {
            (None, _) => tracing::info!("jobs are kept from the instance metadata service"),
            (Some(open), BlockImds::Require) => {
                tracing::error!("jobs cannot be kept from the instance metadata service: this host takes none; {open}");
            }
            (Some(open), _) => tracing::warn!("jobs are not kept from the instance metadata service: {open}"),
        }
    }
}

async fn look(mark: &Path, groups: Option<&Groups>) -> Found {
    if let Err(error) = std::fs::write(mark, "") {
        let why = format!("{} cannot be written: {error}", mark.display());
        return Found { bridges: Err(why.clone()), host: Err(why) };
    }
    let bridges = firewall::close_bridges().await;
    let host = match groups.map(group::ready) {
        None => Err("Docker has yet to say which control groups it uses".to_owned()),
        Some(Err(why)) => Err(why),
        Some(Ok(group)) => firewall::close_host(&group.path).await.map(|()| group.confinement),
    };
    Found { bridges, host }
}

async fn unblock(mark: &Path) {
    if !mark.exists() {
        return;
    }
    match firewall::open().await {
        Ok(()) => {
            tracing::info!("jobs are no longer kept from the instance metadata service");
            // If it stays, the next start finds nothing to take out.
            let _ = std::fs::remove_file(mark);
        }
        Err(why) => tracing::error!("jobs are still kept from the instance metadata service, the rules stay: {why}"),
    }
}
