//! Images: pulled once however many ask, and known by their digests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, PoisonError, Weak};
use std::time::Duration;

use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;
use node_core::{ImagePulled, OpFailure, PullMode};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Docker;
use super::failure::{limited, names, refused, status, timed_out};

// Limits: amazon-ecs-agent, agent/config/config_unix.go and agent/dockerclient/dockerapi/docker_client.go.
/// `ECS_IMAGE_PULL_TIMEOUT`'s default: a pull as a whole.
const PULL_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);
/// Until the registry's first sign of life.
const PULL_BEGIN_LIMIT: Duration = Duration::from_secs(5 * 60);
/// `ECS_IMAGE_PULL_INACTIVITY_TIMEOUT`'s default: without any progress from then on.
const PULL_INACTIVITY_LIMIT: Duration = Duration::from_secs(60);
const IMAGE_INSPECT_LIMIT: Duration = Duration::from_secs(30);

type Outcome = Result<ImagePulled, OpFailure>;
/// The last pull of one image: when it was begun, and how it ended.
type Slot = Mutex<Option<(Instant, Outcome)>>;

/// The images being pulled now. A slot lives as long as someone waits for its image.
#[derive(Default)]
pub(super) struct Pulls(Lock<HashMap<String, Weak<Slot>>>);

impl Pulls {
    fn slot(&self, image: &str) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(image).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::<Slot>::default();
        slots.insert(image.to_owned(), Arc::downgrade(&slot));
        slot
    }
}

impl Docker {
    /// Sees to it that `image` is on the host. One attempt; `:latest` is meant where neither tag nor digest is given.
    pub(crate) async fn pull(&self, image: &str, mode: PullMode) -> Outcome {
        let asked = Instant::now();
        let image = with_tag(image);
        check(&image)?;
        if mode == PullMode::IfMissing
            && let Some(held) = self.held(&image).await?
        {
            return Ok(held);
        }
        let slot = self.pulls.slot(&image);
        let mut last = slot.lock().await;
        match &*last {
            // Begun after we asked, so it brought what the registry held when we asked, or newer.
            Some((begun, outcome)) if *begun >= asked => outcome.clone(),
            _ => {
                let begun = Instant::now();
                let outcome = limited("pulled", PULL_LIMIT, self.pull_now(&image, mode)).await;
                *last = Some((begun, outcome.clone()));
                outcome
            }
        }
    }

    /// The image as the host holds it; `None` if it does not.
    async fn held(&self, image: &str) -> Result<Option<ImagePulled>, OpFailure> {
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

    async fn pull_now(&self, image: &str, mode: PullMode) -> Outcome {
        // Whoever held the slot until now may have brought it.
        if mode == PullMode::IfMissing
            && let Some(held) = self.held(image).await?
        {
            return Ok(held);
        }
        let options = CreateImageOptions { from_image: Some(image.to_owned()), ..Default::default() };
        let mut progress = self.api.create_image(Some(options), None, None);
        let mut begun = false;
        loop {
            let limit = if begun { PULL_INACTIVITY_LIMIT } else { PULL_BEGIN_LIMIT };
            match tokio::time::timeout(limit, progress.next()).await {
                Ok(Some(Ok(_))) => begun = true,
                Ok(Some(Err(error))) => return Err(explained(self.failed(names::PULL, &error))),
                Ok(None) => break,
                Err(_) if begun => {
                    let text = "inactivity time exceeded timeout while pulling image";
                    return Err(refused(names::PULL, text.to_owned()));
                }
                Err(_) => return Err(timed_out("pullBegin", limit)),
            }
        }
        let held = self.held(image).await?.unwrap_or_default();
        Ok(ImagePulled { from_registry: true, ..held })
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

/// What stands in a request's path must not lead elsewhere. The words are Docker's own.
fn check(image: &str) -> Result<(), OpFailure> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._:/@-+".contains(c);
    let segments_named = image.split('/').all(|s| s.starts_with(|c: char| c.is_ascii_alphanumeric()));
    if image.chars().all(allowed) && segments_named {
        return Ok(());
    }
    Err(refused(names::PULL, "Error response from daemon: invalid reference format".to_owned()))
}

fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// `sha256:...`, from the entry of `RepoDigests` that names this image's repository, or from any.
fn digest(image: &str, repo_digests: &[String]) -> Option<String> {
    let wanted = repository(image);
    let mut entries = repo_digests.iter().filter_map(|entry| entry.split_once('@'));
    let first = entries.clone().next();
    let (_, digest) = entries.find(|(repo, _)| repository(repo) == wanted).or(first)?;
    Some(digest.to_owned())
}

/// A reference without tag, digest and Docker Hub's unspoken parts.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_meant_where_nothing_is_said() {
        assert_eq!(with_tag("busybox"), "busybox:latest");
        assert_eq!(with_tag("host:5000/a/b"), "host:5000/a/b:latest");
        for whole in ["busybox:1", "host:5000/a:1", "a@sha256:00"] {
            assert_eq!(with_tag(whole), whole);
        }
    }

    #[test]
    fn the_digest_is_the_one_of_the_images_own_repository() {
        let digests = ["other@sha256:01", "busybox@sha256:02", "h:5000/a@sha256:03"].map(str::to_owned);
        let of = |image: &str| digest(image, &digests);
        assert_eq!(of("docker.io/library/busybox:latest").as_deref(), Some("sha256:02"));
        assert_eq!(of("h:5000/a:1").as_deref(), Some("sha256:03"));
        assert_eq!(of("unknown:latest").as_deref(), Some("sha256:01"));
        assert_eq!(digest("busybox:latest", &[]), None);
    }

    #[test]
    fn a_reference_cannot_leave_its_place_in_a_path() {
        for good in ["busybox:latest", "h:5000/a_b/c.d-e:V1", "a@sha256:00ff"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "../containers/x", "a/../b", "a//b", "a b", "a?b", "a#b", "/a", "a%2f"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_denied_pull_says_what_to_check() {
        let denied =
            refused(names::PULL, "pull access denied: denied: requested access to the resource is denied".into());
        let OpFailure::Refused { text, .. } = explained(denied) else { panic!() };
        assert!(text.starts_with("The task can\u{2019}t pull the image. Check whether the image exists. pull access"));
        let other = refused(names::PULL, "manifest unknown".into());
        assert_eq!(explained(other.clone()), other);
    }

    #[test]
    fn a_slot_is_shared_while_it_is_wanted_and_forgotten_after() {
        let pulls = Pulls::default();
        let (one, two) = (pulls.slot("a"), pulls.slot("a"));
        assert!(Arc::ptr_eq(&one, &two));
        drop((one, two));
        let _other = pulls.slot("b");
        assert_eq!(pulls.0.lock().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    }
}
