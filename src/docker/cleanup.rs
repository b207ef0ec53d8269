//! What the clean-up of images needs of Docker: what it holds, how full its disk is, and the removal itself.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::ImageSummary;
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions, RemoveImageOptions};
use node_core::{HeldImage, OpFailure, Timestamp};

use super::Docker;
use super::failure::{limited, names, status};

const LIST_LIMIT: Duration = Duration::from_secs(10 * 60);
/// amazon-ecs-agent's (agent/dockerclient/timeout.go), for each of an image's names.
const REMOVE_LIMIT: Duration = Duration::from_secs(3 * 60);

impl Docker {
    /// The directory that Docker keeps images in, if it tells.
    pub(crate) async fn root_dir(&self) -> Option<PathBuf> {
        let info = tokio::time::timeout(super::client::INFO_LIMIT, self.api.info()).await.ok()?.ok()?;
        info.docker_root_dir.map(PathBuf::from)
    }

    pub(crate) async fn images(&self) -> Result<Vec<HeldImage>, OpFailure> {
        limited("listed", LIST_LIMIT, async {
            // In this order: a container made in between is of an image that was there before.
            let images = self.api.list_images(None::<ListImagesOptions>).await;
            let images = images.map_err(|e| self.failed(names::LIST_IMAGES, &e))?;
            let all = ListContainersOptions { all: true, ..Default::default() };
            let containers = self.api.list_containers(Some(all)).await.map_err(|e| self.failed(names::LIST, &e))?;
            let used: HashSet<String> = containers.into_iter().filter_map(|container| container.image_id).collect();
            Ok(images.into_iter().map(|image| held(image, &used)).collect())
        })
        .await
    }

    /// Takes all its names from an image, and so the image. One that a container uses stays, whatever was believed before.
    pub(crate) async fn remove_image(&self, image: &HeldImage) -> Result<(), OpFailure> {
        let by_id = image.names.is_empty().then_some(&image.id);
        for name in image.names.iter().chain(by_id) {
            let options = RemoveImageOptions { force: false, noprune: false, platforms: None };
            limited("image removed", REMOVE_LIMIT, async {
                match self.api.remove_image(name, Some(options), None).await {
                    // The last tag takes the digests with it.
                    Err(error) if status(&error) != Some(404) => Err(self.failed(names::REMOVE_IMAGE, &error)),
                    _ => Ok(()),
                }
            })
            .await?;
        }
        Ok(())
    }
}

fn held(image: ImageSummary, used: &HashSet<String>) -> HeldImage {
    // Docker writes `<none>` for what an image has not got.
    let names = image.repo_tags.into_iter().chain(image.repo_digests).filter(|name| !name.contains("<none>"));
    HeldImage {
        names: names.collect(),
        bytes: u64::try_from(image.size).unwrap_or(0),
        made_at: Timestamp(u64::try_from(image.created).unwrap_or(0).saturating_mul(1000)),
        in_use: used.contains(&image.id),
        id: image.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameless_image_has_no_names_and_a_containers_image_is_in_use() {
        let image = |tags: &[&str]| ImageSummary {
            id: "sha256:01".to_owned(),
            repo_tags: tags.iter().map(ToString::to_string).collect(),
            repo_digests: vec!["<none>@<none>".to_owned()],
            created: 2,
            ..ImageSummary::default()
        };
        let used = HashSet::from(["sha256:01".to_owned()]);
        let nameless = held(image(&["<none>:<none>"]), &HashSet::new());
        assert_eq!((nameless.names.len(), nameless.in_use, nameless.made_at), (0, false, Timestamp(2000)));
        assert!(held(image(&["a:1"]), &used).in_use);
    }
}
