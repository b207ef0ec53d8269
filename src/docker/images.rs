//! Images: pulled once however many ask, and known by their digests.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{CreateImageOptions, TagImageOptions};
use futures_util::StreamExt;
use node_core::{ImagePulled, OpFailure, PullMode, PullNews, PullProgress};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Docker;
use super::failure::{limited, names, refused, status, timed_out};
use super::layers::Layers;
use super::pulls::Outcome;
use super::reference::{check, digest, with_tag, without_tag};

// Limits: amazon-ecs-agent, agent/config/config_unix.go and agent/dockerclient/dockerapi/docker_client.go.
/// `ECS_IMAGE_PULL_TIMEOUT`'s default: a pull as a whole.
const PULL_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);
/// Until the registry's first sign of life.
const PULL_BEGIN_LIMIT: Duration = Duration::from_secs(5 * 60);
/// `ECS_IMAGE_PULL_INACTIVITY_TIMEOUT`'s default: without any progress from then on.
const PULL_INACTIVITY_LIMIT: Duration = Duration::from_secs(60);
const IMAGE_INSPECT_LIMIT: Duration = Duration::from_secs(30);
const TAG_LIMIT: Duration = Duration::from_secs(30);
/// Docker tells of progress many times a second; people read slower.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long the steps of a pull may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageLimits {
    /// A pull as a whole.
    pub(crate) pull: Duration,
    /// Without any progress once it has begun.
    pub(crate) inactivity: Duration,
    /// To find out an image's digest.
    pub(crate) manifest: Duration,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { pull: PULL_LIMIT, inactivity: PULL_INACTIVITY_LIMIT, manifest: Duration::from_secs(60) }
    }
}

/// One image, and how it is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) image: &'a str,
    pub(crate) mode: PullMode,
    /// Without asking for its digest first.
    pub(crate) by_tag: bool,
    /// Whose login it is pulled with: what one may have, another may not.
    pub(crate) identity: String,
}

impl Docker {
    /// Sees to it that the image is on the host. One attempt; `:latest` is meant where neither tag nor digest is given. `login`
    /// is awaited only if the registry is asked; `tell` hears of a pull under way, its own or the one it waits for.
    pub(crate) async fn pull(
        &self,
        wanted: Wanted<'_>,
        login: impl Future<Output = Result<Option<DockerCredentials>, OpFailure>>,
        tell: impl Fn(PullNews),
    ) -> Outcome {
        let asked = Instant::now();
        let image = with_tag(wanted.image);
        check(&image)?;
        if wanted.mode == PullMode::IfMissing
            && let Some(held) = self.held(&image).await?
        {
            return Ok(held);
        }
        let slot = self.pulls.slot(&format!("{image} {} {}", wanted.by_tag, wanted.identity));
        let mut news = slot.news.subscribe();
        let work = async {
            let mut last = slot.last.lock().await;
            match &*last {
                // Begun after we asked, so it brought what the registry held when we asked, or newer.
                Some((begun, outcome)) if *begun >= asked => outcome.clone(),
                _ => {
                    let begun = Instant::now();
                    let pull = self.pull_now(&image, &wanted, login, &slot.news);
                    let outcome = limited("pulled", self.limits.pull, pull).await;
                    *last = Some((begun, outcome.clone()));
                    outcome
                }
            }
        };
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                outcome = &mut work => return outcome,
                Ok(()) = news.changed() => tell(news.borrow_and_update().clone()),
            }
        }
    }

    /// The image as the host holds it; `None` if it does not.
    pub(super) async fn held(&self, image: &str) -> Result<Option<ImagePulled>, OpFailure> {
        limited("inspecting", IMAGE_INSPECT_LIMIT, async {
            match self.api.inspect_image(image).await {
                Ok(found) => {
                    let digest = digest(image, &found.repo_digests.unwrap_or_default());
                    Ok(Some(ImagePulled { digest, from_registry: false }))
                }
                Err(error) if status(&error) == Some(404) => Ok(None),
                Err(error) => Err(self.failed(names::PULL, &error)),
            }
        })
        .await
    }

    /// Asks for the digest, pulls exactly that unless it is here, and gives it the name it was asked for by.
    async fn pull_now(
        &self,
        image: &str,
        wanted: &Wanted<'_>,
        login: impl Future<Output = Result<Option<DockerCredentials>, OpFailure>>,
        news: &watch::Sender<PullNews>,
    ) -> Outcome {
        // Whoever held the slot until now may have brought it.
        if wanted.mode == PullMode::IfMissing
            && let Some(held) = self.held(image).await?
        {
            return Ok(held);
        }
        let login = login.await?;
        let found = match image.split_once('@') {
            Some((_, digest)) => Some(digest.to_owned()),
            None if wanted.by_tag => None,
            None => self.resolve(image, login.clone()).await?,
        };
        let known = PullNews { digest: found.clone(), progress: PullProgress::default() };
        news.send_replace(known.clone());
        let exact = found.as_ref().map(|digest| format!("{}@{digest}", without_tag(image)));
        let target = exact.as_deref().unwrap_or(image);
        // A digest that is here needs no pull: the same digest is the same image.
        if exact.is_none() || self.held(target).await?.is_none() {
            self.fetch(target, login, known, news).await?;
        }
        if target != image {
            self.tag(target, image).await?;
        }
        let held = self.held(image).await?.unwrap_or_default();
        Ok(ImagePulled { digest: found.or(held.digest), from_registry: true })
    }

    /// The digest that the registry gives `image` now; `None` where it is of a kind that Docker cannot pull by digest.
    async fn resolve(&self, image: &str, login: Option<DockerCredentials>) -> Result<Option<String>, OpFailure> {
        limited("MANIFEST_PULLED", self.limits.manifest, async {
            let answer = self.api.inspect_registry_image(image, login).await;
            let found = answer.map_err(|error| explained(self.failed(names::MANIFEST, &error)))?.descriptor;
            let schema1 = found.media_type.as_deref().is_some_and(|kind| kind.contains("manifest.v1"));
            Ok(found.digest.filter(|digest| !schema1 && digest.starts_with("sha256:")))
        })
        .await
    }

    async fn fetch(
        &self,
        image: &str,
        login: Option<DockerCredentials>,
        known: PullNews,
        news: &watch::Sender<PullNews>,
    ) -> Result<(), OpFailure> {
        let options = CreateImageOptions { from_image: Some(image.to_owned()), ..Default::default() };
        let mut answers = self.api.create_image(Some(options), None, login);
        let mut layers = Layers::default();
        let mut told = Instant::now();
        let mut begun = false;
        loop {
            let limit = if begun { self.limits.inactivity } else { PULL_BEGIN_LIMIT };
            match tokio::time::timeout(limit, answers.next()).await {
                Ok(Some(Ok(line))) => {
                    begun = true;
                    layers.note(&line);
                    if told.elapsed() >= TELL_EVERY {
                        told = Instant::now();
                        news.send_replace(PullNews { progress: layers.progress(), ..known.clone() });
                    }
                }
                Ok(Some(Err(error))) => return Err(explained(self.failed(names::PULL, &error))),
                Ok(None) => return Ok(()),
                Err(_) if begun => {
                    let text = "inactivity time exceeded timeout while pulling image";
                    return Err(refused(names::PULL, text.to_owned()));
                }
                Err(_) => return Err(timed_out("pullBegin", limit)),
            }
        }
    }

    async fn tag(&self, target: &str, image: &str) -> Result<(), OpFailure> {
        let (repo, tag) = (without_tag(image), image.strip_prefix(without_tag(image)).unwrap_or_default());
        let options =
            TagImageOptions { repo: Some(repo.to_owned()), tag: Some(tag.trim_start_matches(':').to_owned()) };
        limited("tagged", TAG_LIMIT, async {
            self.api.tag_image(target, Some(options)).await.map_err(|error| self.failed(names::PULL, &error))
        })
        .await
    }
}

/// amazon-ecs-agent's hints before the registry's words (agent/api/errormessages/error_messages.go).
fn explained(failure: OpFailure) -> OpFailure {
    let OpFailure::Refused { name, text } = failure else {
        return failure;
    };
    let hint = if text.contains("is not authorized to perform: ecr:BatchGetImage on resource") {
        "Check that the role has the permissions to pull images from the registry. "
    } else if text.contains("denied: requested access to the resource is denied") {
        "Check whether the image exists. "
    } else if text.contains("request canceled while waiting for connection") {
        "Check your network configuration. "
    } else {
        return refused(name, text);
    };
    refused(name, format!("The task can\u{2019}t pull the image. {hint}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_pull_says_what_to_check() {
        let denied =
            refused(names::PULL, "pull access denied: denied: requested access to the resource is denied".into());
        let OpFailure::Refused { text, .. } = explained(denied) else { panic!() };
        assert!(text.starts_with("The task can\u{2019}t pull the image. Check whether the image exists. pull access"));
        let other = refused(names::PULL, "manifest unknown".into());
        assert_eq!(explained(other.clone()), other);
    }
}
