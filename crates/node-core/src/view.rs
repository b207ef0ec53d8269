//! What the task metadata endpoint and the introspection may ask of a node.

use crate::ids::{ContainerName, EndpointId, EndpointKey};
use crate::node::Node;
use crate::record::NodeRecord;
use crate::task::TaskRecord;

impl Node {
    /// Who and where this node is; `None` until it knows.
    #[must_use]
    pub fn record(&self) -> Option<&NodeRecord> {
        self.record.as_ref()
    }

    /// The tasks whose containers are still here, over or not, in the order of their acceptance.
    #[must_use]
    pub fn task_records(&self) -> Vec<&TaskRecord> {
        let mut found: Vec<_> = self.tasks.values().map(|t| &t.record).filter(|r| !r.cleaned).collect();
        found.sort_by_key(|record| record.order);
        found
    }

    /// The task of the container that has this endpoint, and the container's name.
    #[must_use]
    pub fn at_endpoint(&self, key: &EndpointKey, endpoint: &EndpointId) -> Option<(&TaskRecord, &ContainerName)> {
        self.tasks.values().map(|t| &t.record).filter(|r| !r.cleaned).find_map(|record| {
            let mut names = record.spec.containers.iter().map(|c| &c.name);
            let name = names.find(|name| EndpointId::derive(key, record.arn(), name) == *endpoint)?;
            Some((record, name))
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::ids::TaskArn;

    use super::*;

    #[test]
    fn an_endpoint_is_a_function_of_task_and_container_in_the_form_of_a_uuid() {
        let key = EndpointKey([7; 32]);
        let id = |task: &str, name: &str| EndpointId::derive(&key, &TaskArn::new(task), &ContainerName::new(name));
        assert_eq!(id("t1", "a"), id("t1", "a"));
        assert!(id("t1", "a") != id("t2", "a") && id("t1", "a") != id("t1", "b"));
        let elsewhere = EndpointId::derive(&EndpointKey([8; 32]), &TaskArn::new("t1"), &ContainerName::new("a"));
        assert_ne!(elsewhere, id("t1", "a"), "the ARN alone, which the introspection tells, is not enough");
        assert_eq!(format!("{key:?}"), "EndpointKey(..)");
        let lengths: Vec<usize> = id("t1", "a").as_str().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
