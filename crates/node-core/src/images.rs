//! Which images leave the host, and when: those that this node pulled and no task needs, the longest unused first, after a
//! while or as soon as the disk runs short. Source of the first half: amazon-ecs-agent, agent/engine/docker_image_manager.go;
//! it never looks at the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{Command, Notice};
use crate::event::OpFailure;
use crate::ids::TaskArn;
use crate::image_name::{canonical, repository};
use crate::node::{Node, PullBehavior};
use crate::time::Timestamp;

/// A disk that fills is noticed within this.
const MEASURE_EVERY: Duration = Duration::from_secs(60);
/// A listing may be older than a pull that ended meanwhile: what was just used is not forgotten because of it.
const LISTING_AGE: Duration = Duration::from_secs(600);

/// What an operator has chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePolicy {
    /// ECS_IMAGE_CLEANUP_INTERVAL
    pub interval: Duration,
    /// Since its last pull (ECS_IMAGE_MINIMUM_CLEANUP_AGE).
    pub min_age: Duration,
    /// Removed at once (ECS_NUM_IMAGES_DELETE_PER_CYCLE).
    pub count: usize,
    /// Below this share of Docker's disk the rounds follow each other, and age no longer counts. 0: never.
    pub min_free_percent: u8,
    /// Images that this node did not pull go too, this long after they were made (ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP).
    pub untracked_min_age: Option<Duration>,
    /// Names of images that stay.
    pub keep: BTreeSet<String>,
}

/// When an image was pulled and last used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUse {
    pub pulled_at: Timestamp,
    pub used_at: Timestamp,
}

/// An image as Docker holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldImage {
    pub id: String,
    /// With tag, and with digest.
    pub names: Vec<String>,
    pub bytes: u64,
    /// When it was built.
    pub made_at: Timestamp,
    /// Some container, anybody's, in whatever state, is made of it.
    pub in_use: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageCommand {
    /// How full is the disk that Docker keeps images on?
    MeasureDisk,
    List,
    /// With all its names; never by force.
    Remove(HeldImage),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageEvent {
    /// Percent that are free; `None` where nobody can tell.
    DiskMeasured(Option<u8>),
    Listed(Result<Vec<HeldImage>, OpFailure>),
    Removed {
        id: String,
        result: Result<(), OpFailure>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageNotice {
    Removed {
        image: HeldImage,
        unused_for: Option<Duration>,
    },
    NotRemoved {
        image: HeldImage,
        error: String,
    },
    NotListed(String),
    DiskShort {
        free_percent: u8,
        wanted_percent: u8,
    },
    /// The disk is short, and every image is in use, excluded or not this node's.
    NothingToRemove {
        free_percent: u8,
    },
    DiskRecovered {
        free_percent: u8,
    },
}

/// The clean-up as this process knows it; after a restart it begins anew.
#[derive(Debug, Default)]
pub(crate) struct Cleaning {
    policy: Option<ImagePolicy>,
    next_round: Timestamp,
    next_measure: Timestamp,
    /// An answer is under way.
    asking: bool,
    removing: BTreeMap<String, HeldImage>,
    removed_any: bool,
    /// What is free, while that is too little.
    short: Option<u8>,
    told_helpless: bool,
}

impl Cleaning {
    /// While images go, nothing is pulled: what a pull finds here must still be here when its container is made.
    pub(crate) fn under_way(&self) -> bool {
        !self.removing.is_empty()
    }
}

impl Node {
    /// Has this node remove images. Behaviour `prefer-cached` keeps all, as amazon-ecs-agent does.
    #[must_use]
    pub fn cleaning_images(mut self, policy: ImagePolicy) -> Self {
        self.cleaning.next_round = self.started_at.after(policy.interval);
        self.cleaning.next_measure = self.started_at;
        self.clean_by(Some(policy));
        self
    }

    pub(crate) fn clean_by(&mut self, policy: Option<ImagePolicy>) {
        let policy = policy.filter(|_| self.policy.pull_behavior != PullBehavior::PreferCached);
        self.cleaning.policy = policy.map(|policy| {
            let keep = policy.keep.iter().map(|name| canonical(name)).collect();
            ImagePolicy { keep, ..policy }
        });
    }

    pub(crate) fn images_wake_at(&self) -> Option<Timestamp> {
        let cleaning = &self.cleaning;
        let policy =
            cleaning.policy.as_ref().filter(|_| self.docker_up && !cleaning.asking && !cleaning.under_way())?;
        let measure = (policy.min_free_percent > 0).then_some(cleaning.next_measure);
        Some(measure.map_or(cleaning.next_round, |at| at.min(cleaning.next_round)))
    }

    pub(crate) fn clean_images(&mut self, now: Timestamp) {
        if self.images_wake_at().is_none_or(|at| at > now) {
            return;
        }
        let Some(policy) = &self.cleaning.policy else { return };
        let step = if self.cleaning.next_round <= now {
            self.cleaning.next_round = now.after(policy.interval);
            ImageCommand::List
        } else {
            self.cleaning.next_measure = now.after(MEASURE_EVERY);
            ImageCommand::MeasureDisk
        };
        self.ask_about_images(step);
    }

    fn ask_about_images(&mut self, step: ImageCommand) {
        self.cleaning.asking = true;
        self.commands.push_back(Command::Images(step));
    }

    pub(crate) fn on_images(&mut self, event: ImageEvent, now: Timestamp) {
        match event {
            ImageEvent::DiskMeasured(free) => self.on_disk_measured(free),
            ImageEvent::Listed(Ok(held)) => self.on_images_listed(&held, now),
            ImageEvent::Listed(Err(failure)) => {
                self.cleaning.asking = false;
                self.image_notice(ImageNotice::NotListed(words(failure)));
            }
            ImageEvent::Removed { id, result } => self.on_image_removed(&id, result, now),
        }
    }

    fn on_disk_measured(&mut self, free: Option<u8>) {
        self.cleaning.asking = false;
        let Some(wanted_percent) = self.cleaning.policy.as_ref().map(|p| p.min_free_percent) else { return };
        let short = free.filter(|free| *free < wanted_percent);
        let before = std::mem::replace(&mut self.cleaning.short, short);
        match (before, short, free) {
            (None, Some(free_percent), _) => {
                self.image_notice(ImageNotice::DiskShort { free_percent, wanted_percent });
            }
            (Some(_), None, Some(free_percent)) => {
                self.cleaning.told_helpless = false;
                self.image_notice(ImageNotice::DiskRecovered { free_percent });
            }
            _ => {}
        }
        if short.is_some() {
            self.ask_about_images(ImageCommand::List);
        }
    }

    fn on_images_listed(&mut self, held: &[HeldImage], now: Timestamp) {
        self.cleaning.asking = false;
        self.forget_lost_images(held, now);
        let chosen = self.choose_images(held, now);
        self.cleaning.removed_any = false;
        if let Some(free_percent) = self.cleaning.short
            && chosen.is_empty()
            && !std::mem::replace(&mut self.cleaning.told_helpless, true)
        {
            self.image_notice(ImageNotice::NothingToRemove { free_percent });
        }
        for image in chosen {
            self.cleaning.removing.insert(image.id.clone(), image.clone());
            self.commands.push_back(Command::Images(ImageCommand::Remove(image)));
        }
    }

    /// The longest unused first; of those that this node did not pull the oldest, after all others.
    fn choose_images(&self, held: &[HeldImage], now: Timestamp) -> Vec<HeldImage> {
        let (Some(policy), Some(record)) = (&self.cleaning.policy, &self.record) else { return Vec::new() };
        let wanted = self.wanted_images();
        let short = self.cleaning.short.is_some();
        let rank = |image: &HeldImage| {
            let names: BTreeSet<String> = image.names.iter().map(|name| canonical(name)).collect();
            let digests = image.names.iter().filter_map(|name| name.split_once('@')).map(|(_, digest)| digest);
            let stays = image.in_use
                || names.iter().any(|name| wanted.contains(name) || policy.keep.contains(name))
                || digests.into_iter().any(|digest| wanted.contains(digest))
                || policy.keep.contains(&image.id);
            if stays {
                return None;
            }
            match names.iter().filter_map(|name| record.images.get(name)).max_by_key(|at| at.used_at) {
                Some(at) => (short || now.since(at.pulled_at) >= policy.min_age).then_some((false, at.used_at)),
                None => {
                    let old = policy.untracked_min_age.is_some_and(|age| now.since(image.made_at) >= age);
                    old.then_some((true, image.made_at))
                }
            }
        };
        let mut ranked: Vec<_> = held.iter().filter_map(|image| Some((rank(image)?, &image.id, image))).collect();
        ranked.sort_by_key(|(rank, id, _)| (*rank, *id));
        ranked.into_iter().take(policy.count).map(|(_, _, image)| image.clone()).collect()
    }

    /// Names and digests of the images of every task whose containers are not gone for good, pulls under way among them.
    fn wanted_images(&self) -> BTreeSet<String> {
        let records = self.tasks.values().map(|task| &task.record).filter(|record| !record.cleaned);
        let of_task = records.flat_map(|record| {
            let names = record.spec.containers.iter().map(|container| canonical(&container.image));
            names.chain(record.containers.iter().filter_map(|state| state.image_digest.clone()))
        });
        of_task.collect()
    }

    fn on_image_removed(&mut self, id: &str, result: Result<(), OpFailure>, now: Timestamp) {
        let Some(image) = self.cleaning.removing.remove(id) else { return };
        match result {
            Ok(()) => {
                self.cleaning.removed_any = true;
                self.cleaning.told_helpless = false;
                let unused_for = self.forget_image(&image).map(|at| now.since(at.used_at));
                self.image_notice(ImageNotice::Removed { image, unused_for });
            }
            Err(failure) => self.image_notice(ImageNotice::NotRemoved { image, error: words(failure) }),
        }
        if !self.cleaning.under_way() {
            // What came meanwhile waited to be pulled.
            self.touch_all();
            if self.cleaning.short.is_some() && self.cleaning.removed_any {
                self.cleaning.next_measure = now;
            }
        }
    }

    fn forget_image(&mut self, image: &HeldImage) -> Option<ImageUse> {
        let record = self.record.as_mut()?;
        let names: BTreeSet<String> = image.names.iter().map(|name| canonical(name)).collect();
        record.pulled_images.retain(|name| !names.contains(&canonical(name)));
        let last = names.iter().filter_map(|name| record.images.remove(name)).max_by_key(|at| at.used_at);
        self.save_node();
        last
    }

    /// What somebody else removed need not be remembered.
    fn forget_lost_images(&mut self, held: &[HeldImage], now: Timestamp) {
        let Some(record) = &mut self.record else { return };
        let names: BTreeSet<String> = held.iter().flat_map(|image| &image.names).map(|name| canonical(name)).collect();
        let before = record.images.len();
        record.images.retain(|name, at| names.contains(name) || now.since(at.used_at) < LISTING_AGE);
        if record.images.len() < before {
            self.save_node();
        }
    }

    /// A container's image is here. Only what came from a registry is this node's to remove.
    pub(crate) fn note_image(&mut self, name: &str, digest: Option<&str>, pulled: bool, now: Timestamp) {
        let cleaned = self.cleaning.policy.is_some();
        let Some(record) = self.record.as_mut().filter(|_| cleaned) else { return };
        let name = canonical(name);
        let exact = digest.map(|digest| format!("{}@{digest}", repository(&name)));
        let mut changed = false;
        for name in std::iter::once(name).chain(exact) {
            if pulled {
                record.images.insert(name, ImageUse { pulled_at: now, used_at: now });
                changed = true;
            } else if let Some(at) = record.images.get_mut(&name) {
                at.used_at = now;
                changed = true;
            }
        }
        if changed {
            self.save_node();
        }
    }

    /// A task that ends has used its images until now.
    pub(crate) fn note_images_of(&mut self, arn: &TaskArn, now: Timestamp) {
        let Some(record) = self.tasks.get(arn).map(|task| &task.record) else { return };
        let used: Vec<_> = (record.spec.containers.iter().zip(&record.containers))
            .map(|(spec, state)| (spec.image.clone(), state.image_digest.clone()))
            .collect();
        for (name, digest) in used {
            self.note_image(&name, digest.as_deref(), false, now);
        }
    }

    fn image_notice(&mut self, notice: ImageNotice) {
        self.commands.push_back(Command::Notice(Notice::Images(notice)));
    }
}

fn words(failure: OpFailure) -> String {
    match failure {
        OpFailure::Unreachable(text) | OpFailure::Refused { text, .. } => text,
        OpFailure::Missing => "it is gone".to_owned(),
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
