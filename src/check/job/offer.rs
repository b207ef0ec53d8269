//! What this host offers: a registration, as far as placement looks at it.

use std::collections::BTreeSet;

use crate::ecs::Registration;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) cpu_shares: i64,
    pub(super) memory_mib: i64,
    pub(super) gpus: i64,
    pub(super) gpu_trouble: Option<String>,
    pub(super) attributes: BTreeSet<String>,
    /// `X86_64` or `ARM64`: ECS knows it from the instance's type.
    pub(super) architecture: &'static str,
}

impl Offer {
    pub(super) fn of(registration: &Registration) -> Self {
        Self {
            cpu_shares: registration.resources.cpu_shares.into(),
            memory_mib: registration.resources.memory_mib.into(),
            gpus: i64::try_from(registration.gpus.devices.len()).unwrap_or(i64::MAX),
            gpu_trouble: registration.gpus.trouble.clone(),
            attributes: registration.attributes(None).iter().map(|attribute| attribute.name().to_owned()).collect(),
            architecture: if cfg!(target_arch = "aarch64") { "ARM64" } else { "X86_64" },
        }
    }
}
