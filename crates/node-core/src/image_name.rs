//! Names of images: `[registry/]repository[:tag][@digest]`.

/// One name for one image: without Docker Hub's unspoken parts, with the tag that is meant where none stands, and with the
/// digest alone where there is one.
pub(crate) fn canonical(image: &str) -> String {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    match image.split_once('@') {
        Some((name, digest)) => format!("{}@{digest}", repository(name)),
        None if repository(image).len() < image.len() => image.to_owned(),
        None => format!("{image}:latest"),
    }
}

/// A name without tag and digest.
pub(crate) fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for (given, one) in [
            ("busybox", "busybox:latest"),
            ("docker.io/library/busybox:1", "busybox:1"),
            ("h:5000/a/b", "h:5000/a/b:latest"),
            ("h:5000/a:1@sha256:01", "h:5000/a@sha256:01"),
        ] {
            assert_eq!(canonical(given), one);
        }
    }
}
