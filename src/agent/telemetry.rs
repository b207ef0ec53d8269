//! Telemetry beside the loop: it is started with the first session of a registration, and told which containers run.

use std::sync::Arc;

use node_core::{ContainerInstanceArn, RunningTask};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Agent;
use crate::ecs::tcs;

/// What the loop holds of it.
pub(super) struct Telemetry {
    tasks: watch::Sender<Arc<[RunningTask]>>,
    /// Whose telemetry flows, and the word to end it.
    session: Option<(ContainerInstanceArn, CancellationToken)>,
    /// ECS's, over ACS: each has the host's own health checked.
    heartbeats: Arc<Notify>,
}

impl Telemetry {
    pub(super) fn idle() -> Self {
        Self { tasks: watch::Sender::new(Arc::from([])), session: None, heartbeats: Arc::default() }
    }

    pub(super) fn heartbeats(&self) -> Arc<Notify> {
        Arc::clone(&self.heartbeats)
    }
}

impl Agent {
    /// Starts telemetry for this container instance, if it does not flow already. A host that registered anew starts anew.
    pub(super) fn start_telemetry(&mut self, container_instance: &ContainerInstanceArn) {
        let Some(cloud) = self.cloud.clone() else { return };
        match &self.telemetry.session {
            Some((current, _)) if current == container_instance => return,
            Some((_, former)) => former.cancel(),
            None => {}
        }
        let stop = self.stop.child_token();
        self.telemetry.session = Some((container_instance.clone(), stop.clone()));
        self.tell_telemetry();
        let telemetry = tcs::Telemetry {
            ecs: Arc::clone(&cloud.ecs),
            credentials: cloud.clients.credentials.clone(),
            region: cloud.clients.region.to_string(),
            container_instance: container_instance.clone(),
            docker: self.docker.clone(),
            disable_metrics: self.config.disable_metrics,
            disable_health: self.config.disable_health_checks,
            heartbeats: self.telemetry.heartbeats(),
        };
        let tasks = self.telemetry.tasks.subscribe();
        self.work.spawn(tcs::run(telemetry, tasks, stop).instrument(tracing::info_span!("telemetry")));
    }

    /// Something was saved: other containers may run now.
    pub(super) fn tell_telemetry(&self) {
        if self.telemetry.session.is_none() {
            return;
        }
        let running = self.node.running_tasks();
        self.telemetry.tasks.send_if_modified(|known| {
            let news = **known != *running;
            if news {
                *known = Arc::from(running);
            }
            news
        });
    }
}
