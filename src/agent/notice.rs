//! The core's notices as log lines. Each line about a job stands in that task's span: `task`, `job_id`, `queue`, `attempt`.

use node_core::{Announcement, Happening, JobLabel, Notice, TaskArn};
use tracing::{Span, debug, error, info, info_span, warn};

/// The span of everything that is logged about one task.
pub(super) fn task_span(task: &TaskArn, job: Option<&JobLabel>) -> Span {
    match job {
        Some(job) => {
            info_span!("task", task = task.id(), job_id = job.job_id, queue = job.queue, attempt = job.attempt)
        }
        None => info_span!("task", task = task.id()),
    }
}

/// The task that a notice is about.
pub(super) fn subject(notice: &Notice) -> Option<&TaskArn> {
    match notice {
        Notice::Accepted(task)
        | Notice::Repeated(task)
        | Notice::Rejected(task, _)
        | Notice::StopRequested(task)
        | Notice::Running(task, _)
        | Notice::Exited { task, .. }
        | Notice::Restarting { task, .. }
        | Notice::Reported(task, _)
        | Notice::ReportDropped(task, _)
        | Notice::ReportRetried { task, .. }
        | Notice::PullFailed(task, _)
        | Notice::PullRetried { task, .. }
        | Notice::Pulling(task, _)
        | Notice::CleanedUp(task)
        | Notice::CleanUpFailed(task, _)
        | Notice::TurnedAway(task) => Some(task),
        Notice::Images(_)
        | Notice::DockerDown(_)
        | Notice::DockerUp { .. }
        | Notice::Strangers { .. }
        | Notice::PhaseChanged { .. }
        | Notice::HomeMoved { .. }
        | Notice::HomeTrouble(_)
        | Notice::SessionLost { .. }
        | Notice::ApiRetried { .. } => None,
        Notice::Leaving(news) => news.task.as_ref(),
    }
}

/// Logs a notice; the task's span, if it has one, is entered already.
pub(super) fn log(notice: &Notice) {
    match notice {
        Notice::Accepted(_) => info!("task accepted"),
        Notice::Repeated(_) => info!("task is here already; its payload was a repeat"),
        Notice::Rejected(_, error) => warn!("task refused, reported as STOPPED: {error}"),
        Notice::StopRequested(_) => info!("ECS asked to stop the task"),
        Notice::Running(_, container) => info!(%container, "container runs"),
        Notice::Exited { container, exit_code, reason, .. } => {
            exited(container.as_str(), exit_code.map(|c| c.0), reason.as_deref())
        }
        Notice::Restarting { container, exit_code, restarts, .. } => {
            warn!(%container, exit_code = exit_code.0, restarts, "container exited and is started again, as its restart policy says");
        }
        Notice::Reported(_, status) => info!("reported {}", status.as_str()),
        Notice::ReportDropped(_, error) => {
            error!("ECS refused the report for good, it is not sent again: {error}");
        }
        Notice::ReportRetried { error, attempt, .. } => {
            warn!(attempt, "report not delivered, will be tried again: {error}");
        }
        Notice::PullRetried { error, retry_ms, .. } => warn!(retry_ms, "the image is not here yet: {error}"),
        Notice::Pulling(_, pull) => info!(
            layers = pull.layers,
            layers_done = pull.layers_done,
            mib = pull.bytes >> 20,
            mib_done = pull.bytes_done >> 20,
            "the image is being pulled"
        ),
        Notice::PullFailed(_, error) => warn!("image not pulled: {error}"),
        Notice::CleanedUp(_) => info!("containers removed"),
        Notice::CleanUpFailed(_, error) => {
            warn!("container could not be removed, it is left to you: {error}");
        }
        Notice::Images(notice) => super::images::log(notice),
        Notice::DockerDown(why) => {
            error!("Docker cannot be reached, tasks wait until it is back: {why}");
        }
        Notice::DockerUp { containers } => info!(containers, "Docker answers"),
        Notice::Strangers { containers: 0 } => info!("no other ECS agent's containers run here any more"),
        Notice::Strangers { containers } => warn!(
            containers,
            "containers of another ECS agent run on this host; they are left alone, and what they use is offered to jobs as well"
        ),
        Notice::PhaseChanged { from, to, why } => info!("{from} -> {to}: {why}"),
        Notice::HomeMoved { from, to, live } => warn!(
            %from, %to, tasks = live,
            "the compute environment has a new cluster; this host follows when no task of the old one is left"
        ),
        Notice::HomeTrouble(text) => warn!("{text}"),
        Notice::TurnedAway(_) => {
            warn!("task not taken: this host is about to end, or to leave this cluster for another")
        }
        Notice::SessionLost { cause, retry_ms: 0 } => info!("ACS session ended ({cause}), reconnecting"),
        Notice::SessionLost { cause, retry_ms } => {
            warn!(retry_ms, "ACS session ended, reconnecting later: {cause}");
        }
        Notice::Leaving(news) => leaving(news),
        Notice::ApiRetried { call, error, retry_ms } => warn!(retry_ms, "{call} failed, will be tried again: {error}"),
    }
}

/// A change of phase has its own line.
fn leaving(news: &Announcement) {
    let event = news.what.as_str();
    match news.what {
        Happening::Phase => debug!(event, "{}", news.text),
        Happening::RungFailed | Happening::HookLost | Happening::Stays | Happening::CutOff => {
            warn!(event, "{}", news.text);
        }
        _ => info!(event, "{}", news.text),
    }
}

fn exited(container: &str, exit_code: Option<i64>, reason: Option<&str>) {
    match (exit_code, reason) {
        (Some(0), None) => info!(container, exit_code = 0, "container exited"),
        (Some(code), None) => warn!(container, exit_code = code, "container exited"),
        (Some(code), Some(reason)) => {
            warn!(container, exit_code = code, "container exited: {reason}");
        }
        (None, Some(reason)) => warn!(container, "container did not run: {reason}"),
        (None, None) => info!(container, "container is over without having run"),
    }
}
