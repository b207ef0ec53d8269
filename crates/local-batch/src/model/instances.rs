//! Container instances and the EC2 instances under them: registering, draining, leaving, dying.

use super::State;
use super::cluster::{Attribute, ContainerInstance, InstanceStatus, Resource, Tag};
use super::container::Shape;
use super::node::{NewNode, Node, NodeState};
use crate::clock::Millis;
use crate::error::ApiError;
use crate::events::PlaneEvent;
use crate::ids::{Ec2Id, InstanceArn, hex32, name_of};

/// RegisterContainerInstance, with the identity document already read.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    pub(crate) cluster: String,
    pub(crate) arn: Option<InstanceArn>,
    pub(crate) ec2_id: Option<Ec2Id>,
    pub(crate) client_token: Option<String>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) gpus: Vec<String>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) tags: Vec<Tag>,
}

impl State {
    /// Registers a new instance, or renews one that names its ARN.
    pub(crate) fn register_instance(&mut self, new: Registration, now: Millis) -> Result<InstanceArn, ApiError> {
        let cluster = self.cluster(&new.cluster)?.name.clone();
        if let Some(node) = new.ec2_id.as_ref().and_then(|id| self.nodes.get(id))
            && !node.state.is_live()
        {
            return Err(ApiError::invalid_parameter(format!("EC2 instance {} is {}", node.id, node.state.ec2().1)));
        }
        let arn = match &new.arn {
            Some(arn) => self.renew(arn, &new, &cluster)?,
            None => self.enrol(&new, cluster, now),
        };
        self.learn_from(&arn, &new);
        self.emit(PlaneEvent::InstanceRegistered {
            instance_id: new.ec2_id.map(|id| id.0).unwrap_or_default(),
            container_instance_arn: arn.to_string(),
        });
        Ok(arn)
    }

    fn renew(&mut self, arn: &InstanceArn, new: &Registration, cluster: &str) -> Result<InstanceArn, ApiError> {
        let known =
            self.instances.get_mut(arn).filter(|i| i.cluster == cluster && i.status != InstanceStatus::Inactive);
        let instance = known.ok_or_else(|| {
            ApiError::invalid_parameter("The referenced container instance was not found, or is INACTIVE; register without containerInstanceArn")
        })?;
        instance.resources.clone_from(&new.resources);
        instance.gpus.clone_from(&new.gpus);
        instance.tags.clone_from(&new.tags);
        for attribute in &new.attributes {
            instance.attributes.retain(|a| a.name != attribute.name);
            instance.attributes.push(attribute.clone());
        }
        Ok(arn.clone())
    }

    fn enrol(&mut self, new: &Registration, cluster: String, now: Millis) -> InstanceArn {
        let same_host = |i: &&ContainerInstance| {
            i.ec2_id.is_some() && i.ec2_id == new.ec2_id && i.status != InstanceStatus::Inactive
        };
        if let Some(earlier) = self.instances.values().find(same_host) {
            let arn = earlier.arn.clone();
            if earlier.client_token.is_some() && earlier.client_token == new.client_token {
                return arn;
            }
            self.deactivate(&arn, "Container instance was registered anew", "TerminationNotice", now);
        }
        let arn = InstanceArn(self.arns.ecs("container-instance", &format!("{cluster}/{}", hex32())));
        let mut attributes = new.attributes.clone();
        attributes.push(Attribute { name: "ecs.availability-zone".into(), value: Some(self.arns.zone()) });
        if let Some(node) = new.ec2_id.as_ref().and_then(|id| self.nodes.get(id)) {
            attributes.push(Attribute { name: "ecs.instance-type".into(), value: Some(node.instance_type.clone()) });
            attributes.push(Attribute { name: "ecs.ami-id".into(), value: Some(node.image_id.clone()) });
        }
        let instance = ContainerInstance {
            arn: arn.clone(),
            cluster,
            ec2_id: new.ec2_id.clone(),
            status: InstanceStatus::Active,
            resources: new.resources.clone(),
            gpus: new.gpus.clone(),
            attributes,
            tags: new.tags.clone(),
            client_token: new.client_token.clone(),
            registered_at: now,
            seq: self.next_ordinal(),
            session: None,
            tasks: std::collections::BTreeSet::new(),
            used: Shape::default(),
            gpus_used: std::collections::BTreeSet::new(),
        };
        self.instances.insert(arn.clone(), instance);
        arn
    }

    /// A launched node that registers shows what the next one will offer.
    fn learn_from(&mut self, arn: &InstanceArn, new: &Registration) {
        let Some(node) = new.ec2_id.as_ref().and_then(|id| self.nodes.get_mut(id)) else { return };
        node.has_registered = true;
        if node.compute_environment.is_some()
            && let Some(instance) = self.instances.get(arn)
        {
            self.fleet.offers = instance.capacity();
        }
    }

    /// The container instance of a cluster, by ARN or id.
    pub(crate) fn instance_in(&self, cluster: &str, name_or_arn: &str) -> Result<&ContainerInstance, ApiError> {
        let cluster = self.cluster(cluster)?;
        let id = name_of(name_or_arn);
        let found = self.instances.values().find(|i| i.cluster == cluster.name && name_of(i.arn.as_str()) == id);
        found.ok_or_else(|| ApiError::invalid_parameter("The referenced container instance was not found."))
    }

    /// DeregisterContainerInstance.
    pub(crate) fn deregister(&mut self, arn: &InstanceArn, force: bool, now: Millis) -> Result<(), ApiError> {
        if self.instances.get(arn).is_some_and(|i| !i.tasks.is_empty()) && !force {
            return Err(ApiError::invalid_parameter("Found running tasks on the instance."));
        }
        self.deactivate(arn, "Container instance deregistration forced by user", "TerminationNotice", now);
        Ok(())
    }

    /// A cluster goes with its compute environment, and every registration in it.
    pub(crate) fn drop_cluster(&mut self, name: &str, now: Millis) {
        let here = |i: &&ContainerInstance| i.cluster == name && i.status != InstanceStatus::Inactive;
        let instances: Vec<InstanceArn> = self.instances.values().filter(here).map(|i| i.arn.clone()).collect();
        for arn in instances {
            self.deactivate(&arn, "Container instance deregistration forced by user", "TerminationNotice", now);
        }
        self.clusters.remove(name);
    }

    fn deactivate(&mut self, arn: &InstanceArn, reason: &str, stop_code: &'static str, now: Millis) {
        let Some(instance) = self.instances.get_mut(arn) else { return };
        instance.status = InstanceStatus::Inactive;
        if let Some(session) = instance.session.take() {
            session.close.cancel();
        }
        self.lose_tasks(arn, reason, stop_code, now);
    }

    /// An instance made by hand, by RunInstances.
    pub(crate) fn run_instance(&mut self, new: NewNode, imds: String, now: Millis) -> Ec2Id {
        let ordinal = self.next_ordinal();
        let mut node = Node::new(new, ordinal, now);
        let id = node.id.clone();
        node.state = NodeState::Running;
        node.tags.push(Tag { key: "imds-endpoint".into(), value: imds.clone() });
        node.imds = Some(imds);
        self.nodes.insert(id.clone(), node);
        self.emit(PlaneEvent::NodeLaunched { instance_id: id.to_string() });
        id
    }

    /// TerminateInstances: the instance is going; [`State::node_gone`] follows when its process and containers are no more.
    pub(crate) fn terminate_node(&mut self, id: &Ec2Id, reason: &str, now: Millis) -> Result<NodeState, ApiError> {
        let before = self.nodes.get(id).ok_or_else(|| unknown_node(id))?.state;
        if !before.is_present() {
            return Ok(before);
        }
        self.left_by_itself(id);
        if let Some(node) = self.nodes.get_mut(id) {
            node.state = NodeState::ShuttingDown;
            node.reason = reason.to_owned();
            node.stop.cancel();
        }
        if before == NodeState::Stopped {
            // Nothing of it is left to end.
            self.node_gone(id, now);
        }
        Ok(before)
    }

    /// StopInstances: as with a termination, but the instance stays; [`State::node_stopped`] follows.
    pub(crate) fn stop_node(&mut self, id: &Ec2Id, reason: &str, _now: Millis) -> Result<NodeState, ApiError> {
        let node = self.nodes.get_mut(id).ok_or_else(|| unknown_node(id))?;
        let before = node.state;
        match before {
            NodeState::Running => {
                node.state = NodeState::Stopping;
                node.reason = reason.to_owned();
                node.stop.cancel();
            }
            NodeState::Stopping | NodeState::Stopped => {}
            NodeState::Pending | NodeState::ShuttingDown | NodeState::Terminated => {
                let text = format!("This instance '{id}' is not in a state from which it can be stopped.");
                return Err(ApiError::new("IncorrectInstanceState", text));
            }
        }
        Ok(before)
    }

    /// Its process and containers are no more; its registration is still there.
    pub(crate) fn node_stopped(&mut self, id: &Ec2Id, now: Millis) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.state = NodeState::Stopped;
        let on_it = |i: &&ContainerInstance| i.ec2_id.as_ref() == Some(id) && i.status != InstanceStatus::Inactive;
        let instances: Vec<InstanceArn> = self.instances.values().filter(on_it).map(|i| i.arn.clone()).collect();
        for arn in instances {
            if let Some(session) = self.instances.get_mut(&arn).and_then(|instance| instance.session.take()) {
                session.close.cancel();
            }
            self.lose_tasks(&arn, &format!("Host EC2 (instance {id}) stopped."), "TerminationNotice", now);
        }
    }

    /// The instance is gone, and with it whatever ran there.
    pub(crate) fn node_gone(&mut self, id: &Ec2Id, now: Millis) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.state = NodeState::Terminated;
        node.imds = None;
        let event = PlaneEvent::NodeTerminated { instance_id: id.to_string(), reason: node.reason.clone() };
        self.emit(event);
        let on_it = |i: &&ContainerInstance| i.ec2_id.as_ref() == Some(id) && i.status != InstanceStatus::Inactive;
        let instances: Vec<InstanceArn> = self.instances.values().filter(on_it).map(|i| i.arn.clone()).collect();
        for arn in instances {
            self.deactivate(&arn, &format!("Host EC2 (instance {id}) terminated."), "TerminationNotice", now);
        }
    }
}

pub(crate) fn unknown_node(id: &Ec2Id) -> ApiError {
    ApiError::new("InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::JobStatus;
    use crate::model::testing::{World, status};

    #[test]
    fn a_terminated_host_ends_its_tasks_and_retries_follow_the_rules() {
        let mut w = World::new();
        let id = w.state.run_instance(NewNode::default(), "http://127.0.0.1:1".into(), 0);
        w.instance_on(Some(id.clone()), 2048, 1024);
        let rules = serde_json::json!({"attempts": 3, "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]});
        let again = w.submit(serde_json::json!({"retryStrategy": rules}));
        let once = w.submit(serde_json::json!({}));
        w.state.terminate_node(&id, "User initiated", 5).unwrap();
        w.state.node_gone(&id, 6);
        w.state.settle(6);
        assert_eq!((status(&w.state, &again), status(&w.state, &once)), (JobStatus::Runnable, JobStatus::Failed));
        let reason = format!("Host EC2 (instance {id}) terminated.");
        assert_eq!(w.state.job(&once).unwrap().status_reason.as_deref(), Some(reason.as_str()));
    }

    #[test]
    fn deregistering_with_tasks_needs_force() {
        let mut w = World::new();
        let arn = w.instance(2048, 1024);
        let job = w.submit(serde_json::json!({}));
        assert_eq!(w.state.deregister(&arn, false, 2).unwrap_err().message, "Found running tasks on the instance.");
        w.state.deregister(&arn, true, 3).unwrap();
        assert_eq!(status(&w.state, &job), JobStatus::Failed);
        assert_eq!(w.state.may_connect(&arn), Err("InactiveInstanceException"));
    }

    #[test]
    fn a_cluster_takes_its_instances_and_their_tasks_with_it() {
        let mut w = World::new();
        let arn = w.instance(2048, 1024);
        let job = w.submit(serde_json::json!({}));
        w.state.drop_cluster("c", 2);
        assert_eq!(status(&w.state, &job), JobStatus::Failed);
        assert_eq!(w.state.may_connect(&arn), Err("InactiveInstanceException"));
        let again = Registration { cluster: "c".into(), arn: Some(arn), ..Registration::default() };
        assert_eq!(w.state.register_instance(again, 3).unwrap_err().code, "ClusterNotFoundException");
    }

    #[test]
    fn registering_again_keeps_or_replaces() {
        let mut w = World::new();
        let node = Some(Ec2Id::fresh());
        let first = w.instance_on(node.clone(), 2048, 1024);
        let renewed = w.state.register_instance(
            Registration {
                cluster: "c".into(),
                arn: Some(first.clone()),
                ec2_id: node.clone(),
                ..Registration::default()
            },
            2,
        );
        assert_eq!(renewed.unwrap(), first);
        let second = w.instance_on(node, 2048, 1024);
        assert_ne!(first, second);
        assert_eq!(w.state.instances[&first].status, InstanceStatus::Inactive);
    }
}
