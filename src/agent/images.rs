//! Carrying out the clean-up of images, and telling of it.

use node_core::{Event, HeldImage, ImageCommand, ImageEvent, ImageNotice, ImagePolicy};
use tracing::{Span, info, warn};

use super::Agent;
use crate::config::Config;
use crate::host::usage;

const MIB: u64 = 1024 * 1024;

/// `None` where images are left alone.
pub(super) fn policy(config: &Config) -> Option<ImagePolicy> {
    config.image_cleanup.then(|| config.image_cleanup_policy.clone())
}

impl Agent {
    pub(super) fn clean_images(&self, command: ImageCommand) {
        let docker = self.docker.clone();
        self.spawn(Span::current(), async move {
            let event = match command {
                ImageCommand::MeasureDisk => {
                    let root = docker.root_dir().await;
                    let measured = tokio::task::spawn_blocking(move || usage::free_percent(&root?)).await;
                    ImageEvent::DiskMeasured(measured.ok().flatten())
                }
                ImageCommand::List => ImageEvent::Listed(docker.images().await),
                ImageCommand::Remove(image) => {
                    let result = docker.remove_image(&image).await;
                    ImageEvent::Removed { id: image.id, result }
                }
            };
            Some(Event::Images(event))
        });
    }
}

pub(super) fn log(notice: &ImageNotice) {
    match notice {
        ImageNotice::Removed { image, unused_for } => info!(
            image = name(image),
            mib = image.bytes / MIB,
            unused_for_s = unused_for.map(|d| d.as_secs()),
            "image removed"
        ),
        ImageNotice::NotRemoved { image, error } => warn!(image = name(image), "image not removed: {error}"),
        ImageNotice::NotListed(error) => warn!("images cannot be listed, and so not be cleaned up: {error}"),
        ImageNotice::DiskShort { free_percent, wanted_percent } => warn!(
            free_percent,
            wanted_percent, "the disk of Docker's images is short of space; images that no job needs are removed"
        ),
        ImageNotice::NothingToRemove { free_percent } => warn!(
            free_percent,
            "the disk of Docker's images is short of space, and no image can be removed: all are in use, kept by \
            image_cleanup_keep, or none that this agent has pulled"
        ),
        ImageNotice::DiskRecovered { free_percent } => {
            info!(free_percent, "the disk of Docker's images has space again")
        }
    }
}

fn name(image: &HeldImage) -> &str {
    image.names.first().unwrap_or(&image.id)
}
