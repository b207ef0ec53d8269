//! The agent's part in the roles of tasks: acknowledgements to ACS, and what a restart may be asked for.

use std::sync::Arc;

use ecs_wire::FromAgent;
use ecs_wire::acs::IAMRoleCredentialsAckRequest;
use node_core::{CredentialsId, MessageId};

use super::Agent;
use super::identify::Cloud;
use crate::serve::credentials::Owner;
use crate::serve::task::{Place, Subject, View};

impl Agent {
    /// Ids that restored tasks have stay known: who asks is told to ask again, until ACS has sent the credentials.
    pub(super) fn expect_credentials(&self) {
        for (task, role, id) in self.node.credentials() {
            self.credentials.expect(id, Owner { task: task.clone(), role });
        }
    }

    /// What the task endpoint asked for.
    pub(super) fn tasks_for(&self, subject: &Subject) -> View {
        let (tasks, container) = match subject {
            Subject::All => (self.node.task_records().into_iter().cloned().collect(), None),
            Subject::Endpoint(endpoint) => match self.node.at_endpoint(&self.endpoint_key, endpoint) {
                Some((record, name)) => (vec![record.clone()], Some(name.clone())),
                None => (Vec::new(), None),
            },
        };
        let ecs = self.cloud.as_ref().map(|cloud| cloud.clients.ecs.clone());
        View { place: self.place(), tasks, container, deadline: self.deadline.clone(), ecs }
    }

    fn place(&self) -> Place {
        let record = self.node.record().filter(|_| self.cloud.is_some());
        Place {
            cluster: record.map(|r| r.cluster.to_string()),
            container_instance: record.and_then(|r| r.container_instance.as_ref()).map(ToString::to_string),
            location: self.cloud.as_ref().and_then(|cloud| cloud.location.get()).cloned().unwrap_or_default(),
        }
    }

    /// Finds out where this host is, for those who ask: nothing waits for it.
    pub(super) fn locate(&self, cloud: Arc<Cloud>) {
        self.spawn(tracing::Span::current(), async move {
            drop(cloud.location.set(cloud.imds.location().await));
            None
        });
    }

    /// Tells the audit log where this host stands, if that has changed.
    pub(super) fn note_place(&self) {
        let now = self.place();
        self.place.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }
}

pub(super) fn ack(message: &MessageId, id: &CredentialsId, expiration: String) -> FromAgent {
    FromAgent::from(IAMRoleCredentialsAckRequest {
        message_id: message.as_str().to_owned(),
        expiration,
        credentials_id: id.as_str().to_owned(),
    })
}
