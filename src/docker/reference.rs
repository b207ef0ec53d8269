//! Names of images: `[registry/]repository[:tag][@digest]`.

use node_core::OpFailure;

use super::failure::{names, refused};

/// What stands in a request's path must not lead elsewhere. The words are Docker's own.
pub(super) fn check(image: &str) -> Result<(), OpFailure> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._:/@-+".contains(c);
    let segments_named = image.split('/').all(|s| s.starts_with(|c: char| c.is_ascii_alphanumeric()));
    if image.chars().all(allowed) && segments_named {
        return Ok(());
    }
    Err(refused(names::PULL, "Error response from daemon: invalid reference format".to_owned()))
}

pub(super) fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// `sha256:...`, from the entry of `RepoDigests` that names this image's repository, or from any.
pub(super) fn digest(image: &str, repo_digests: &[String]) -> Option<String> {
    let wanted = repository(image);
    let mut entries = repo_digests.iter().filter_map(|entry| entry.split_once('@'));
    let first = entries.clone().next();
    let (_, digest) = entries.find(|(repo, _)| repository(repo) == wanted).or(first)?;
    Some(digest.to_owned())
}

/// A reference without tag, digest and Docker Hub's unspoken parts.
fn repository(image: &str) -> &str {
    let name = without_tag(image);
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// A reference without tag and digest.
pub(super) fn without_tag(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
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
}
