//! Whether a task's containers can be started in some order.

use std::collections::{BTreeMap, BTreeSet};

use node_core::{ContainerName, ContainerSpec};

/// Fails on a container that depends twice on another, on a stranger, or (however indirectly) on itself; and on two containers
/// of one name, between which a dependency could not choose.
pub(super) fn check(containers: &[ContainerSpec]) -> Result<(), ()> {
    let mut waiting: BTreeMap<&ContainerName, BTreeSet<&ContainerName>> = BTreeMap::new();
    for container in containers {
        let on: BTreeSet<_> = container.depends_on.iter().map(|d| &d.container).collect();
        let distinct = on.len() == container.depends_on.len();
        if !distinct || waiting.insert(&container.name, on).is_some() {
            return Err(());
        }
    }
    // Take out what waits for nobody, again and again; what is left waits in a circle or for a stranger.
    while !waiting.is_empty() {
        let ready: BTreeSet<_> = waiting.iter().filter(|(_, on)| on.is_empty()).map(|(name, _)| *name).collect();
        if ready.is_empty() {
            return Err(());
        }
        waiting.retain(|name, _| !ready.contains(name));
        for on in waiting.values_mut() {
            on.retain(|name| !ready.contains(name));
        }
    }
    Ok(())
}
