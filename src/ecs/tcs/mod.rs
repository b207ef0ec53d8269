//! Telemetry: what the containers of this host use, and whether Docker answers, told to ECS over the TCS websocket.
//!
//! Three loops: [`collect`] samples and makes a batch every 20 s, [`doctor`] looks at Docker, and [`talk`] holds a session and
//! signs and sends what the others have. A batch waits while there is no session.

mod collect;
mod doctor;
mod pages;
mod session;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::provider::SharedCredentialsProvider;
use ecs_wire::tcs::Time;
use node_core::{CloseCause, ContainerInstanceArn, Reconnect, RunningTask};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::pages::Batch;
use super::acs::liveness::Limits;
use super::api::Ecs;
use crate::docker::Docker;

/// Batches that wait for a session: five minutes' worth (amazon-ecs-agent, `agent/stats/engine.go`).
const BATCHES_MAX: usize = 15;

/// The tasks with running containers, as the node knows them at each moment.
pub(crate) type RunningTasks = watch::Receiver<Arc<[RunningTask]>>;

/// What telemetry needs to know.
pub(crate) struct Telemetry {
    pub(crate) ecs: Arc<Ecs>,
    pub(crate) credentials: SharedCredentialsProvider,
    pub(crate) region: String,
    pub(crate) container_instance: ContainerInstanceArn,
    pub(crate) docker: Docker,
    /// Nothing is sampled, and each message says that the instance is idle.
    pub(crate) disable_metrics: bool,
    /// What health checks say is kept to ourselves.
    pub(crate) disable_health: bool,
    /// ECS's over ACS: Docker is asked whether it is there at each.
    pub(crate) heartbeats: Arc<Notify>,
}

/// What of the containers is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    metrics: bool,
    health: bool,
}

impl Telemetry {
    fn said(&self) -> Said {
        Said { metrics: !self.disable_metrics, health: !self.disable_health }
    }
}

/// How often what happens.
#[derive(Debug, Clone, Copy)]
struct Cadence {
    sample: Duration,
    publish: Duration,
    /// Whether there is news of the host's own health.
    status: Duration,
    limits: Limits,
}

impl Cadence {
    /// amazon-ecs-agent's (`agent/stats/engine.go`, `ecs-agent/tcs/client/client.go`).
    const TCS: Self = Self {
        sample: Duration::from_secs(1),
        publish: Duration::from_secs(20),
        status: Duration::from_secs(20),
        limits: Limits::ACS,
    };
}

/// Measures and reports until `stop`; it never gives up.
pub(crate) async fn run(telemetry: Telemetry, tasks: RunningTasks, stop: CancellationToken) {
    run_at(Cadence::TCS, telemetry, tasks, stop).await;
}

async fn run_at(cadence: Cadence, telemetry: Telemetry, tasks: RunningTasks, stop: CancellationToken) {
    let (batches, waiting) = mpsc::channel(BATCHES_MAX);
    let (checks, checked) = watch::channel(doctor::Checked::none(now()));
    let collecting = collect::run(cadence, tasks, telemetry.said(), batches);
    let checking = doctor::run(&telemetry.heartbeats, &telemetry.docker, checks);
    tokio::join!(
        stop.run_until_cancelled(collecting),
        stop.run_until_cancelled(checking),
        talk(cadence, &telemetry, waiting, checked, &stop),
    );
}

/// One session after the other.
async fn talk(
    cadence: Cadence,
    telemetry: &Telemetry,
    mut batches: mpsc::Receiver<Batch>,
    mut checked: watch::Receiver<doctor::Checked>,
    stop: &CancellationToken,
) {
    let mut reconnect = Reconnect::new(uuid::Uuid::new_v4().as_u64_pair().0);
    // The state before the first check is news as well.
    checked.mark_changed();
    while !stop.is_cancelled() {
        let opened = stop.run_until_cancelled(session::open(telemetry)).await;
        let (cause, lived) = match opened {
            None => return,
            Some(Err(cause)) => (cause, Duration::ZERO),
            Some(Ok(line)) => {
                let since = Instant::now();
                tracing::debug!("the telemetry session is open");
                let cause = session::serve(cadence, line, telemetry, &mut batches, &mut checked, stop).await;
                (cause, since.elapsed())
            }
        };
        if stop.is_cancelled() {
            return;
        }
        let pause = reconnect.after(&cause, lived);
        log(&cause, pause);
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

fn log(cause: &CloseCause, pause: Duration) {
    let retry_ms = pause.as_millis();
    match cause {
        CloseCause::Clean => tracing::debug!(retry_ms, "telemetry session ended"),
        CloseCause::Failed(why) | CloseCause::Inactive(why) => {
            tracing::warn!(retry_ms, "telemetry session ended, reconnecting later: {why}");
        }
    }
}

/// By the host's clock.
fn now() -> Time {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { epoch_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests;
