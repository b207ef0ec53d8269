//! Pulling images: how often it is tried, and what a failure means. Source: amazon-ecs-agent, agent/engine/docker_task_engine.go.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::command::{Command, Notice};
use crate::container::{Op, Stage};
use crate::docker::describe;
use crate::event::{ImagePulled, OpFailure};
use crate::ids::{DockerName, TaskArn};
use crate::node::{Node, PullBehavior};
use crate::task::Task;
use crate::time::Timestamp;

/// amazon-ecs-agent tries as often. It shares one backoff among all images; here each pull has its own.
const TRIES: u32 = 5;
const RETRY: Backoff = Backoff::new(Duration::from_millis(1100), Duration::from_secs(5));
/// A long pull is logged this often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Failures that say how this host or this job is set up: the same will come again.
const FINAL_NAMES: [&str; 2] = ["CannotPullECRContainerError", "CannotPullContainerAuthError"];
/// A registry's or Docker's plain answer, which a second question does not change.
const FINAL_WORDS: [&str; 9] = [
    "manifest unknown",
    "name unknown",
    "not found",
    "does not exist",
    "access denied",
    "unauthorized",
    "not authorized to perform",
    "no basic auth credentials",
    "invalid reference format",
];

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PullProgress {
    pub layers: u32,
    pub layers_done: u32,
    /// Of the layers whose size the registry has told so far.
    pub bytes: u64,
    pub bytes_done: u64,
}

/// What is known of a pull that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PullNews {
    /// The digest that the registry gives the image.
    pub digest: Option<String>,
    pub progress: PullProgress,
}

/// A container's pull; lost in a crash, and begun again.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PullState {
    tries: u32,
    /// The registry would not tell the digest, so the image is asked for by its tag.
    pub(crate) by_tag: bool,
    /// What a pull by tag is to be blamed for if it fails as well: the first error wins.
    first_error: Option<String>,
    pub(crate) progress: Option<PullProgress>,
    told_at: Option<Timestamp>,
}

impl Node {
    pub(crate) fn on_pulled(&mut self, name: &DockerName, result: Result<ImagePulled, OpFailure>, now: Timestamp) {
        let Some((arn, i)) = self.op_ended(name, Op::Pull) else {
            return;
        };
        let over = |task: &Task| task.record.containers.get(i).is_none_or(|c| c.stage == Stage::Stopped);
        match result {
            // It was stopped meanwhile: the image is here for others, and a failure is nobody's.
            _ if self.tasks.get(&arn).is_none_or(over) => {}
            Ok(image) => self.image_is_here(&arn, i, image, now),
            Err(OpFailure::Unreachable(_)) => self.retry_later(&arn, i, now),
            Err(failure) => self.pull_refused(&arn, i, &failure, now),
        }
        self.touch(&arn);
    }

    /// A digest is news for ECS at once, as a pull may take long; the rest is for people.
    pub(crate) fn on_pull_news(&mut self, name: &DockerName, news: PullNews, now: Timestamp) {
        let Some((arn, i)) = self.names.get(name).cloned() else { return };
        let Some(task) = self.tasks.get_mut(&arn) else { return };
        let Some(state) = task.record.containers.get_mut(i).filter(|c| c.op == Some(Op::Pull)) else { return };
        let since = *state.pull.told_at.get_or_insert(now);
        if now.since(since) >= TELL_EVERY {
            state.pull.told_at = Some(now);
            let progress = news.progress.clone();
            self.commands.push_back(Command::Notice(Notice::Pulling(arn.clone(), progress)));
        }
        state.pull.progress = Some(news.progress);
        if state.stage == Stage::Waiting && state.image_digest.is_none() && news.digest.is_some() {
            state.image_digest = news.digest;
            self.save_task(&arn);
            self.touch(&arn);
        }
    }

    fn image_is_here(&mut self, arn: &TaskArn, i: usize, image: ImagePulled, now: Timestamp) {
        let name = self.tasks.get(arn).and_then(|t| t.record.spec.containers.get(i)).map(|c| c.image.clone());
        if let Some(name) = name {
            self.note_image(&name, image.digest.as_deref(), image.from_registry, now);
        }
        let Some(task) = self.tasks.get_mut(arn) else {
            return;
        };
        if image.from_registry {
            task.record.pull_stopped_at = Some(now);
            let name = task.record.spec.containers.get(i).map(|c| c.image.clone());
            if self.policy.pull_behavior == PullBehavior::Once
                && let (Some(record), Some(name)) = (&mut self.record, name)
                && record.pulled_images.insert(name)
            {
                self.save_node();
            }
        }
        if let Some(task) = self.tasks.get_mut(arn)
            && let Some(state) = task.record.containers.get_mut(i)
            && state.stage < Stage::Pulled
        {
            state.stage = Stage::Pulled;
            state.image_digest = image.digest.or(state.image_digest.take());
        }
    }

    /// Tries again what may yet work. Where a cached image would do, one last pull by tag is worth it when only the digest
    /// could not be found out: a mirror may serve images and no digests.
    fn pull_refused(&mut self, arn: &TaskArn, i: usize, failure: &OpFailure, now: Timestamp) {
        let error = describe(failure, "CannotPullContainerError");
        if !of_manifest(failure)
            && !is_named_final(failure)
            && let Some(task) = self.tasks.get_mut(arn)
        {
            // The pull itself was begun, and this is its end.
            task.record.pull_stopped_at = Some(now);
        }
        let goes_on = matches!(self.policy.pull_behavior, PullBehavior::Default | PullBehavior::PreferCached);
        let Some(state) = self.tasks.get_mut(arn).and_then(|t| t.record.containers.get_mut(i)) else {
            return;
        };
        let pull = &mut state.pull;
        pull.tries += 1;
        if pull.tries < TRIES && !is_final(failure) {
            let mut backoff = RETRY;
            let delay = (0..pull.tries).map(|_| backoff.next(&mut self.rng)).last().unwrap_or_default();
            state.retry_at = Some(now.after(delay));
            let retry_ms = delay.as_millis() as u64;
            let notice = Notice::PullRetried { task: arn.clone(), error, retry_ms };
            self.commands.push_back(Command::Notice(notice));
        } else if goes_on && !pull.by_tag && of_manifest(failure) {
            pull.by_tag = true;
            pull.first_error = Some(error);
            // It gets one try.
            pull.tries = TRIES;
        } else {
            let error = pull.first_error.take().unwrap_or(error);
            self.pull_failed(arn, i, &error, now);
        }
    }

    /// Behaviours `default` and `prefer-cached` go on with what the host may hold; the pull's error stays the reason if it holds nothing.
    fn pull_failed(&mut self, arn: &TaskArn, i: usize, error: &str, now: Timestamp) {
        self.commands.push_back(Command::Notice(Notice::PullFailed(arn.clone(), error.to_owned())));
        match self.policy.pull_behavior {
            PullBehavior::Default | PullBehavior::PreferCached => {
                if let Some(task) = self.tasks.get_mut(arn)
                    && let Some(state) = task.record.containers.get_mut(i)
                    && state.stage < Stage::Pulled
                {
                    state.stage = Stage::Pulled;
                    state.reason = Some(error.to_owned());
                }
            }
            PullBehavior::Always | PullBehavior::Once => {
                self.fail_container(arn, i, None, Some(error.to_owned()), now);
                self.settle_task(arn, now);
            }
        }
    }
}

/// Whether it was the digest that could not be found out; a limit that passed has another name, and says of what.
fn of_manifest(failure: &OpFailure) -> bool {
    matches!(failure, OpFailure::Refused { name, text }
        if *name == "CannotPullImageManifestError" || text.contains("MANIFEST_PULLED"))
}

fn is_named_final(failure: &OpFailure) -> bool {
    matches!(failure, OpFailure::Refused { name, .. } if FINAL_NAMES.contains(name))
}

fn is_final(failure: &OpFailure) -> bool {
    let OpFailure::Refused { text, .. } = failure else { return false };
    let text = text.to_ascii_lowercase();
    is_named_final(failure) || FINAL_WORDS.iter().any(|words| text.contains(words))
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
