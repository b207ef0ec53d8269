//! The credentials of jobs' roles: issued with a task, sent in its payload, renewed by message long before they end.

use std::collections::BTreeSet;

use ecs_wire::acs::{IAMRoleCredentialsAckRequest, IAMRoleCredentialsMessage};
use ecs_wire::task::{Credentials, Task as WireTask};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::State;
use super::cluster::{Delivery, Task, TaskStatus};
use super::delivery::REDELIVER_AFTER;
use crate::clock::{self, Millis};
use crate::ids::{Ec2Id, InstanceArn, TaskArn};
use crate::keys::{IssuedKey, KeyRing};

/// The role that an instance's profile carries.
pub(crate) const INSTANCE_ROLE: &str = "local-batch-instance";
/// How long an instance's credentials live, as EC2's: 6 hours.
const INSTANCE_KEY_LIFE: Millis = 6 * 3600 * 1000;

/// ECS's `roleType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RoleKind {
    /// A job's own role: `jobRoleArn`.
    Application,
    /// The agent's, for this task: `executionRoleArn`.
    Execution,
}

/// A task's hold on a role, and how far its latest credentials have come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    kind: RoleKind,
    role: String,
    /// The same for the task's life: containers find their credentials by it.
    id: String,
    /// The latest, once there are some.
    key: Option<IssuedKey>,
    delivery: Delivery,
}

impl RoleKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "TaskApplication",
            Self::Execution => "TaskExecution",
        }
    }
}

impl Grant {
    /// Those that a job definition asks for.
    pub(super) fn of(job_role: Option<&String>, execution_role: Option<&String>) -> Vec<Self> {
        let grant = |kind, role: &String| Self {
            kind,
            role: role.clone(),
            id: Uuid::new_v4().to_string(),
            key: None,
            delivery: Delivery::Acked,
        };
        let application = job_role.map(|role| grant(RoleKind::Application, role));
        let execution = execution_role.map(|role| grant(RoleKind::Execution, role));
        application.into_iter().chain(execution).collect()
    }

    fn wire(&self) -> Option<Credentials> {
        let key = self.key.as_ref()?;
        Some(Credentials {
            credentials_id: self.id.clone(),
            role_arn: self.role.clone(),
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.clone(),
            session_token: key.token.clone(),
            expiration: clock::rfc3339_seconds(key.expires_at),
        })
    }

    /// When half of its credentials' life is over.
    pub(super) fn renewal(&self, lifetime: Millis) -> Option<Millis> {
        Some(self.key.as_ref()?.expires_at - lifetime / 2)
    }

    fn is_acknowledged_by(&self, ack: &IAMRoleCredentialsAckRequest) -> bool {
        self.id == ack.credentials_id
            && matches!(&self.delivery, Delivery::Sent { message_id, .. } if *message_id == ack.message_id)
    }

    /// Whether it is to go out by a message of its own, now or at the time given.
    fn message_due(&self) -> Option<Millis> {
        match self.delivery {
            Delivery::Due => Some(Millis::MIN),
            Delivery::Sent { at, .. } => Some(at + REDELIVER_AFTER),
            Delivery::Acked => None,
        }
    }
}

/// Issues credentials anew and lays them into the task's payload. Gives when to do so again.
fn issue(task: &mut Task, keys: &mut KeyRing, lifetime: Millis, now: Millis) -> Option<Millis> {
    let session = task.arn.id().to_owned();
    for grant in &mut task.grants {
        grant.key = Some(keys.issue(&grant.role, &session, now, now + lifetime));
        set(&mut task.wire, grant.kind, grant.wire());
    }
    // Half their life is left then.
    (!task.grants.is_empty()).then_some(now + (lifetime / 2).max(1))
}

fn set(wire: &mut WireTask, kind: RoleKind, credentials: Option<Credentials>) {
    match kind {
        RoleKind::Application => wire.role_credentials = credentials,
        RoleKind::Execution => wire.execution_role_credentials = credentials,
    }
}

impl State {
    /// A new task's first credentials.
    pub(super) fn issue_first(&mut self, arn: &TaskArn, now: Millis) {
        let Some(task) = self.tasks.get_mut(arn) else { return };
        if let Some(at) = issue(task, &mut self.keys, self.credentials_lifetime, now) {
            self.renewals.insert((at, arn.clone()));
        }
    }

    /// Renews the credentials whose half-life is over, and has them sent.
    pub(super) fn renew_credentials(&mut self, now: Millis) {
        while let Some((at, arn)) = self.renewals.first().cloned() {
            if at > now {
                return;
            }
            self.renewals.pop_first();
            let Some(task) = self.tasks.get_mut(&arn).filter(|task| task.status != TaskStatus::Stopped) else {
                continue;
            };
            if let Some(next) = issue(task, &mut self.keys, self.credentials_lifetime, now) {
                self.renewals.insert((next, arn.clone()));
            }
            for grant in &mut task.grants {
                grant.delivery = Delivery::Due;
            }
            if let Some(instance) = self.instances.get(&task.instance) {
                instance.wake();
            }
        }
    }

    /// Every key is over; running tasks get new ones.
    pub(crate) fn expire_keys(&mut self, now: Millis) -> usize {
        let expired = self.keys.expire_all(now);
        let due: BTreeSet<_> = std::mem::take(&mut self.renewals).into_iter().map(|(_, task)| (now, task)).collect();
        self.renewals = due;
        expired
    }

    /// The credentials that an instance's metadata service hands out: the same until half of their life is over.
    pub(crate) fn instance_key(&mut self, id: &Ec2Id, now: Millis) -> Option<IssuedKey> {
        let node = self.nodes.get_mut(id)?;
        let held = node.key.as_ref().and_then(|key| self.keys.find(key));
        if let Some(key) = held.filter(|key| key.expires_at - now > INSTANCE_KEY_LIFE / 2) {
            return Some(key.clone());
        }
        let key = self.keys.issue(INSTANCE_ROLE, id.as_str(), now, now + INSTANCE_KEY_LIFE);
        node.key = Some(key.id.clone());
        Some(key)
    }

    /// A payload has taken a task's credentials along.
    pub(super) fn credentials_sent(task: &mut Task, message_id: &str, now: Millis) {
        for grant in &mut task.grants {
            grant.delivery = Delivery::Sent { message_id: message_id.to_owned(), at: now };
        }
    }

    /// After a reconnect: what was not acknowledged goes out again, and everything if the agent has asked for it.
    pub(crate) fn resend_credentials(&mut self, arn: &InstanceArn, all: bool) {
        for task in self.instances.get(arn).map(|i| &i.tasks).into_iter().flatten() {
            let Some(task) = self.tasks.get_mut(task) else { continue };
            for grant in &mut task.grants {
                if all || grant.delivery != Delivery::Acked {
                    grant.delivery = Delivery::Due;
                }
            }
        }
    }

    /// The next credentials that are due by a message of their own, marked as sent. A task whose payload is still on its
    /// way brings them along.
    pub(crate) fn take_credentials(&mut self, arn: &InstanceArn, now: Millis) -> Option<IAMRoleCredentialsMessage> {
        for task_arn in &self.instances.get(arn)?.tasks {
            let Some(task) = self.tasks.get_mut(task_arn).filter(|task| task.delivery == Delivery::Acked) else {
                continue;
            };
            let due = |grant: &&mut Grant| grant.message_due().is_some_and(|at| at <= now);
            let Some(grant) = task.grants.iter_mut().find(due) else { continue };
            let message_id = Uuid::new_v4().to_string();
            grant.delivery = Delivery::Sent { message_id: message_id.clone(), at: now };
            return Some(IAMRoleCredentialsMessage {
                message_id,
                task_arn: task_arn.to_string(),
                task_cluster_arn: Some(self.arns.ecs("cluster", &task.cluster)),
                role_type: grant.kind.as_str().to_owned(),
                role_credentials: grant.wire(),
            });
        }
        None
    }

    /// When credentials that were sent are to be sent again.
    pub(super) fn credentials_due(&self, arn: &InstanceArn) -> Option<Millis> {
        let tasks = self.instances.get(arn)?.tasks.iter().filter_map(|task| self.tasks.get(task));
        tasks
            .filter(|task| task.delivery == Delivery::Acked)
            .flat_map(|task| &task.grants)
            .filter_map(Grant::message_due)
            .min()
    }

    /// IAMRoleCredentialsAckRequest.
    pub(crate) fn acknowledge_credentials(&mut self, arn: &InstanceArn, ack: &IAMRoleCredentialsAckRequest) {
        for task in self.instances.get(arn).map(|i| &i.tasks).into_iter().flatten() {
            let grants = self.tasks.get_mut(task).map(|task| &mut task.grants);
            for grant in grants.into_iter().flatten().filter(|grant| grant.is_acknowledged_by(ack)) {
                grant.delivery = Delivery::Acked;
            }
        }
    }
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
