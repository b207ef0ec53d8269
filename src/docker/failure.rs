//! What Docker's errors are called towards the core and, through it, ECS.

use std::error::Error as _;
use std::time::Duration;

use bollard::errors::Error;
use node_core::OpFailure;

use super::Docker;

/// amazon-ecs-agent's error names (agent/dockerclient/dockerapi/errors.go); users and tools match on them.
pub(super) mod names {
    pub(crate) const AUTH: &str = "CannotPullContainerAuthError";
    pub(crate) const CREATE: &str = "CannotCreateContainerError";
    pub(crate) const ECR: &str = "CannotPullECRContainerError";
    pub(crate) const INSPECT: &str = "CannotInspectContainerError";
    pub(crate) const LIST: &str = "CannotListContainersError";
    pub(crate) const LIST_IMAGES: &str = "CannotListImagesError";
    pub(crate) const MANIFEST: &str = "CannotPullImageManifestError";
    pub(crate) const PULL: &str = "CannotPullContainerError";
    pub(crate) const REMOVE: &str = "CannotRemoveContainerError";
    pub(crate) const REMOVE_IMAGE: &str = "CannotRemoveImageError";
    pub(crate) const START: &str = "CannotStartContainerError";
    pub(crate) const STOP: &str = "CannotStopContainerError";
    pub(crate) const TIMEOUT: &str = "DockerTimeoutError";
}

impl Docker {
    /// Any error of bollard's: either nobody answered, or the answer was no.
    pub(super) fn failed(&self, name: &'static str, error: &Error) -> OpFailure {
        match error {
            Error::IOError { .. }
            | Error::HyperResponseError { .. }
            | Error::HyperLegacyError { .. }
            | Error::RequestTimeoutError => {
                OpFailure::Unreachable(format!("cannot reach Docker at {}: {}", self.host, with_causes(error)))
            }
            Error::DockerResponseServerError { message, .. } => {
                refused(name, format!("Error response from daemon: {}", message.trim()))
            }
            Error::DockerStreamError { error } => refused(name, error.trim().to_owned()),
            other => refused(name, with_causes(other)),
        }
    }

    /// As [`failed`](Self::failed), for an operation on a container: one that Docker does not know is `Missing`.
    pub(super) fn failed_on_container(&self, name: &'static str, error: &Error) -> OpFailure {
        // A start answers 404 for a network that is gone, too: the words tell the two apart.
        match error {
            Error::DockerResponseServerError { status_code: 404, message }
                if message.to_ascii_lowercase().contains("no such container") =>
            {
                OpFailure::Missing
            }
            other => self.failed(name, other),
        }
    }
}

pub(super) fn refused(name: &'static str, text: String) -> OpFailure {
    OpFailure::Refused { name, text }
}

/// The HTTP status that the daemon refused with.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// `work`, or the error that amazon-ecs-agent reports when it takes longer than `limit`.
pub(super) async fn limited<T>(
    step: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, OpFailure>>,
) -> Result<T, OpFailure> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(step, limit)),
    }
}

pub(super) fn timed_out(step: &str, limit: Duration) -> OpFailure {
    let text = format!("Could not transition to {step}; timed out after waiting {}", go_duration(limit));
    refused(names::TIMEOUT, text)
}

/// Whole seconds as Go prints them: `30s`, `3m0s`, `2h0m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// hyper says no more than `client error`; why is in what caused it.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_go_tells_them() {
        let text = |secs| go_duration(Duration::from_secs(secs));
        assert_eq!((text(30), text(180), text(7200)), ("30s".into(), "3m0s".into(), "2h0m0s".into()));
    }

    #[tokio::test]
    async fn an_operation_over_its_limit_is_a_docker_timeout() {
        let never = std::future::pending::<Result<(), OpFailure>>();
        let Err(OpFailure::Refused { name, text }) = limited("started", Duration::ZERO, never).await else {
            panic!("it must time out");
        };
        assert_eq!(name, "DockerTimeoutError");
        assert_eq!(text, "Could not transition to started; timed out after waiting 0s");
    }

    #[test]
    fn a_refusal_a_missing_container_and_a_dead_daemon_are_told_apart() {
        let docker = Docker::new("unix:///nowhere").unwrap();
        let answer =
            |status_code, message: &str| Error::DockerResponseServerError { status_code, message: message.into() };
        let fail = |error| docker.failed_on_container(names::START, &error);
        assert_eq!(fail(answer(404, "No such container: abc")), OpFailure::Missing);
        assert_eq!(
            fail(answer(404, "network n not found\n")),
            refused(names::START, "Error response from daemon: network n not found".into())
        );
        let gone = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(
            fail(gone.into()),
            OpFailure::Unreachable("cannot reach Docker at unix:///nowhere: connection refused".into())
        );
    }
}
