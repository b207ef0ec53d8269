//! What the settings say together: each is right by itself, and still some do not go with others.

use super::draft::Draft;
use super::error::{ConfigError, Origin, Problem};
use super::source::Found;
use super::{Config, Home, typed};
use crate::docker::HostRegistries;

pub(super) fn check(mut found: Found) -> Result<Config, ConfigError> {
    found.yield_to("cluster", "compute_environment");
    found.yield_to("reserved_memory", "memory");
    let mut draft = typed(&mut found);
    draft.config.registries = found.registries(&draft);
    draft.config.image_cleanup_policy.untracked_min_age =
        draft.image_cleanup_untracked.then_some(draft.image_cleanup_untracked_min_age);
    draft.config.remarks = std::mem::take(&mut found.remarks);
    found.contradiction("compute_environment", "cluster", "give one of them");
    if found.is_chosen("reserved_memory") {
        found.contradiction("memory", "reserved_memory", "`memory` is all that is offered");
    }
    found.foreign_region();
    let home = match (draft.compute_environment, draft.cluster) {
        (Some(name), _) => Some(Home::ComputeEnvironment(name)),
        (None, Some(cluster)) => Some(Home::Cluster(cluster)),
        (None, None) => {
            let is_set = |key| found.settings.contains_key(key);
            if found.whole && !is_set("compute_environment") && !is_set("cluster") {
                found.problems.push(Problem::NoHome);
            }
            None
        }
    };
    match home {
        Some(home) if found.problems.is_empty() => Ok(Config { home, ..draft.config }),
        _ => Err(ConfigError { problems: found.problems }),
    }
}

impl Found {
    /// What another program set does not stand against what was set for this one.
    fn yield_to(&mut self, weaker: &'static str, stronger: &str) {
        let yields = self.settings.get(weaker).is_some_and(|s| s.yields && s.origin != Origin::Default);
        if yields && self.settings.get(stronger).is_some_and(|s| !s.yields) {
            self.settings.remove(weaker);
        }
    }

    /// The host's own credentials for registries, read in the notation they are said to have.
    fn registries(&mut self, draft: &Draft) -> HostRegistries {
        let (format, data) = match (draft.registry_auth_type, &draft.registry_auth_data) {
            (Some(format), Some(data)) => (format, data),
            (None, Some(_)) => {
                self.problems.push(Problem::AuthWithoutType);
                return HostRegistries::default();
            }
            // As amazon-ecs-agent has it, a notation of nothing is no mistake.
            (_, None) => return HostRegistries::default(),
        };
        HostRegistries::parse(format, data).unwrap_or_else(|why| {
            self.problems.push(Problem::AuthData { why });
            HostRegistries::default()
        })
    }

    fn is_chosen(&self, key: &str) -> bool {
        self.settings.get(key).is_some_and(|setting| setting.origin != Origin::Default)
    }

    fn contradiction(&mut self, a: &'static str, b: &'static str, why: &'static str) {
        if let (Some(first), Some(second)) = (self.settings.get(a), self.settings.get(b)) {
            let (a_origin, b_origin) = (first.origin.clone(), second.origin.clone());
            self.problems.push(Problem::Contradiction { a, a_origin, b, b_origin, why });
        }
    }

    /// An ARN names its region, `arn:aws:batch:us-east-1:...`.
    fn foreign_region(&mut self) {
        let text = |key| self.settings.get(key).and_then(|setting| setting.value.text());
        let Some(region) = text("region").map(str::to_owned) else { return };
        for key in ["compute_environment", "cluster"] {
            let arn = text(key).filter(|name| name.starts_with("arn:"));
            if arn.and_then(|arn| arn.split(':').nth(3)).is_some_and(|of_arn| of_arn != region) {
                return self.contradiction("region", key, "the ARN is of another region");
            }
        }
    }
}
