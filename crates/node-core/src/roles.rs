//! The roles of tasks: which credentials a task may ask for, and for how long. The core knows their ids alone; the secrets
//! stay with the shell, in memory.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::fault::{self, Fault};
use crate::ids::{CredentialsId, MessageId, TaskArn};
use crate::node::Node;

/// Whose credentials: those of the job itself, or those with which its image is pulled and its log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RoleKind {
    Task,
    Execution,
}

/// The ids under which a task's credentials are known. They are saved; what they stand for is not, and comes again from ACS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roles {
    pub task: Option<CredentialsId>,
    pub execution: Option<CredentialsId>,
}

impl Roles {
    /// Each role with its id.
    pub fn iter(&self) -> impl Iterator<Item = (RoleKind, &CredentialsId)> {
        let task = self.task.iter().map(|id| (RoleKind::Task, id));
        task.chain(self.execution.iter().map(|id| (RoleKind::Execution, id)))
    }

    fn slot(&mut self, role: RoleKind) -> &mut Option<CredentialsId> {
        match role {
            RoleKind::Task => &mut self.task,
            RoleKind::Execution => &mut self.execution,
        }
    }
}

/// Credentials that have come for a task; the shell has put the secrets away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub role: RoleKind,
    pub id: CredentialsId,
    /// As the service wrote it: the acknowledgement repeats it.
    pub expiration: String,
}

impl Node {
    /// The credentials that may be asked for, as far as this node knows: after a restart all of them are yet to come.
    pub fn credentials(&self) -> impl Iterator<Item = (&TaskArn, RoleKind, &CredentialsId)> {
        self.tasks.values().flat_map(|task| {
            let over = task.record.stopped_at.is_some();
            let arn = task.record.arn();
            let ids = task.record.spec.roles.iter().filter(move |(role, _)| *role == RoleKind::Execution || !over);
            ids.map(move |(role, id)| (arn, role, id))
        })
    }

    /// `IAMRoleCredentialsMessage`: acknowledged once the task's id is on disk. For a task that is not here nothing would ever
    /// drop them again, so they are dropped at once and, as with amazon-ecs-agent, not acknowledged.
    pub(crate) fn on_credentials(&mut self, message: MessageId, task: &TaskArn, issued: Issued) {
        if self.tasks.contains_key(task) {
            self.adopt_credentials(message, task, issued);
        } else {
            self.commands.push_back(Command::DropCredentials(issued.id));
        }
    }

    /// Gives a task here its credentials and acknowledges them. A task that is over has no more use for them; they are
    /// acknowledged all the same, or ECS would send them for ever.
    pub(crate) fn adopt_credentials(&mut self, message: MessageId, arn: &TaskArn, issued: Issued) {
        let Issued { role, id, expiration } = issued;
        let Some(task) = self.tasks.get_mut(arn) else { return };
        if fault::is(Fault::SavesSecret) {
            task.record.reason.push_str(&expiration);
        }
        let over = match role {
            RoleKind::Task => task.record.stopped_at.is_some(),
            RoleKind::Execution => task.record.cleaned,
        };
        if over {
            self.commands.push_back(Command::DropCredentials(id.clone()));
        } else {
            let before = task.record.spec.roles.slot(role).replace(id.clone());
            if before.as_ref() != Some(&id) {
                self.commands.extend(before.map(Command::DropCredentials));
                self.save_task(arn);
            }
        }
        self.commands.push_back(Command::AckCredentials { message, id, expiration });
    }

    /// Takes back what a task may no longer have: its own role once it is over, the execution role once its containers, whose
    /// logs may still be flushed, are gone.
    pub(crate) fn drop_credentials(&mut self, arn: &TaskArn, role: RoleKind) {
        let id = self.tasks.get_mut(arn).and_then(|task| task.record.spec.roles.slot(role).take());
        self.commands.extend(id.filter(|_| !fault::is(Fault::KeepsCredentials)).map(Command::DropCredentials));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Event, Incoming, Payload, PayloadTask};
    use crate::ids::{ClusterRef, ContainerInstanceArn, InstanceId};
    use crate::leaving::LeavingPolicy;
    use crate::node::tests::spec;
    use crate::node::{Policy, PullBehavior};
    use crate::record::{Save, Saved};
    use crate::time::Timestamp;

    fn issued(role: RoleKind, id: &str) -> Issued {
        Issued { role, id: CredentialsId::new(id), expiration: "2030-01-01T00:00:00Z".into() }
    }

    /// A node with task `t1`, which came with these.
    fn node(credentials: Vec<Issued>) -> Node {
        let policy = Policy {
            pull_behavior: PullBehavior::Default,
            idle_timeout: None,
            cleanup_wait: Duration::from_secs(10),
            stop_timeout_secs: 30,
            docker_concurrency: 1,
            leaving: LeavingPolicy::alone(),
        };
        let mut node = Node::restore(policy, Saved::default(), 1, Timestamp(0));
        let identified = Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") };
        node.handle(identified, Timestamp(0));
        let spec = spec("t1");
        let task = PayloadTask { arn: spec.arn.clone(), work: Incoming::Run(spec), credentials };
        let payload = Payload {
            message: MessageId::new("m-1"),
            cluster: ClusterRef::new("c"),
            container_instance: ContainerInstanceArn::new("ci"),
            seq_num: 1,
            tasks: vec![task],
            unaddressed: false,
        };
        node.handle(Event::Payload(payload), Timestamp(1));
        node
    }

    /// What a step says about credentials and acknowledgements.
    fn said(node: &mut Node) -> Vec<String> {
        let commands = std::iter::from_fn(|| node.next_command());
        commands
            .filter_map(|command| match command {
                Command::Ack { message, .. } => Some(format!("ack {message}")),
                Command::AckCredentials { message, id, .. } => Some(format!("ack {message} {id}")),
                Command::DropCredentials(id) => Some(format!("drop {id}")),
                _ => None,
            })
            .collect()
    }

    fn refresh(node: &mut Node, task: &str, credentials: Issued) -> Vec<String> {
        let task = spec(task).arn;
        node.handle(Event::Credentials { message: MessageId::new("m-2"), task, issued: credentials }, Timestamp(2));
        said(node)
    }

    #[test]
    fn a_payloads_credentials_are_acknowledged_beside_it_and_their_ids_are_saved() {
        let mut node = node(vec![issued(RoleKind::Task, "c-1"), issued(RoleKind::Execution, "c-2")]);
        let saves = node.take_saves();
        let saved = saves.iter().find_map(|save| if let Save::Task(record) = save { Some(record) } else { None });
        let roles = &saved.unwrap().spec.roles;
        assert_eq!(roles.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), ["c-1", "c-2"]);
        assert_eq!(said(&mut node), ["ack m-1", "ack m-1 c-1", "ack m-1 c-2"]);
        assert_eq!(node.credentials().count(), 2);
    }

    #[test]
    fn a_refresh_is_acknowledged_and_replaces_another_id() {
        let mut node = node(vec![issued(RoleKind::Task, "c-1")]);
        said(&mut node);
        node.take_saves();
        assert_eq!(refresh(&mut node, "t1", issued(RoleKind::Task, "c-1")), ["ack m-2 c-1"]);
        assert_eq!(node.take_saves(), [], "an id that is known needs no commit");
        assert_eq!(refresh(&mut node, "t1", issued(RoleKind::Task, "c-9")), ["drop c-1", "ack m-2 c-9"]);
        assert_eq!(node.take_saves().len(), 1);
        assert_eq!(refresh(&mut node, "t2", issued(RoleKind::Task, "c-3")), ["drop c-3"], "nobody's");
    }

    #[test]
    fn a_tasks_own_role_ends_with_it_and_the_execution_role_with_its_containers() {
        let mut node = node(vec![issued(RoleKind::Task, "c-1"), issued(RoleKind::Execution, "c-2")]);
        said(&mut node);
        let arn = spec("t1").arn;
        node.want_stop(&arn);
        node.handle_timeout(Timestamp(3));
        assert_eq!(said(&mut node), ["drop c-1"]);
        let left: Vec<_> = node.credentials().map(|(_, role, _)| role).collect();
        assert_eq!(left, [RoleKind::Execution]);
        assert_eq!(refresh(&mut node, "t1", issued(RoleKind::Task, "c-1")), ["drop c-1", "ack m-2 c-1"], "too late");
        node.drop_credentials(&arn, RoleKind::Execution);
        assert_eq!(said(&mut node), ["drop c-2"]);
    }
}
