//! What goes down an agent's ACS websocket, and what its answers mean.

use ecs_wire::acs::{
    PayloadMessage, TaskIdentifier, TaskManifestMessage, TaskStopVerificationAck, TaskStopVerificationMessage,
};
use uuid::Uuid;

use super::State;
use super::cluster::{Delivery, InstanceStatus, Session};
use crate::clock::Millis;
use crate::events::PlaneEvent;
use crate::ids::{InstanceArn, TaskArn};

/// A payload that was not acknowledged for so long is sent again, in milliseconds.
pub(super) const REDELIVER_AFTER: Millis = 5_000;
/// Tasks in one payload: an agent that cannot read one of them acknowledges none.
const TASKS_PER_PAYLOAD: usize = 10;

/// A payload and the tasks that it starts.
pub(crate) struct Outgoing {
    pub(crate) payload: PayloadMessage,
    pub(crate) starts: Vec<TaskArn>,
}

impl State {
    /// A websocket stands: it replaces an earlier one, and everything unacknowledged goes out again.
    pub(crate) fn connect(&mut self, arn: &InstanceArn, session: Session) {
        let Some(instance) = self.instances.get_mut(arn) else { return };
        if let Some(old) = instance.session.replace(session) {
            old.close.cancel();
        }
        for task in &instance.tasks {
            if let Some(task) = self.tasks.get_mut(task).filter(|task| task.delivery != Delivery::Acked) {
                task.delivery = Delivery::Due;
            }
        }
        self.emit(PlaneEvent::AgentConnected { container_instance_arn: arn.to_string() });
    }

    /// The websocket of this session is gone.
    pub(crate) fn disconnect(&mut self, arn: &InstanceArn, session_id: u64) {
        let Some(instance) = self.instances.get_mut(arn) else { return };
        if instance.session.as_ref().is_some_and(|session| session.id == session_id) {
            instance.session = None;
            self.emit(PlaneEvent::AgentDisconnected { container_instance_arn: arn.to_string() });
        }
    }

    /// The next payload that is due, marked as sent.
    pub(crate) fn take_payload(&mut self, arn: &InstanceArn, now: Millis) -> Option<Outgoing> {
        let instance = self.instances.get(arn)?;
        let is_due = |task: &TaskArn| match self.tasks.get(task).map(|task| &task.delivery) {
            Some(Delivery::Due) => true,
            Some(Delivery::Sent { at, .. }) => now - at >= REDELIVER_AFTER,
            _ => false,
        };
        let due: Vec<TaskArn> =
            instance.tasks.iter().filter(|task| is_due(task)).take(TASKS_PER_PAYLOAD).cloned().collect();
        if due.is_empty() {
            return None;
        }
        let cluster_arn = self.arns.ecs("cluster", &instance.cluster);
        let message_id = Uuid::new_v4().to_string();
        let seq_num = Some(self.next_sequence());
        let mut tasks = Vec::new();
        let mut starts = Vec::new();
        for task in due {
            let Some(found) = self.tasks.get_mut(&task) else { continue };
            found.delivery = Delivery::Sent { message_id: message_id.clone(), at: now };
            found.was_sent = true;
            Self::credentials_sent(found, &message_id, now);
            tasks.push(serde_json::to_value(&found.wire).unwrap_or_default());
            if !found.stop_wanted {
                starts.push(task);
            }
        }
        let payload = PayloadMessage {
            message_id,
            cluster_arn,
            container_instance_arn: arn.to_string(),
            generated_at: Some(now),
            seq_num,
            timeline: None,
            tasks,
        };
        Some(Outgoing { payload, starts })
    }

    /// Tasks that are not over go out once more, acknowledged or not: of all instances, or those whose ARN ends so.
    pub(crate) fn redeliver(&mut self, instance: Option<&str>) -> usize {
        let mut count = 0;
        let meant = self.instances.values().filter(|i| instance.is_none_or(|end| i.arn.as_str().ends_with(end)));
        for host in meant {
            for task in &host.tasks {
                if let Some(task) = self.tasks.get_mut(task).filter(|task| task.was_sent) {
                    task.delivery = Delivery::Due;
                    count += 1;
                }
            }
            host.wake();
        }
        count
    }

    /// When the oldest unacknowledged message is to be sent again.
    pub(crate) fn redelivery_due(&self, arn: &InstanceArn) -> Option<Millis> {
        let sent = self.instances.get(arn)?.tasks.iter().filter_map(|task| match self.tasks.get(task)?.delivery {
            Delivery::Sent { at, .. } => Some(at + REDELIVER_AFTER),
            _ => None,
        });
        sent.chain(self.credentials_due(arn)).min()
    }

    pub(crate) fn acknowledge(&mut self, arn: &InstanceArn, message: &str) {
        let Some(instance) = self.instances.get(arn) else { return };
        for task in &instance.tasks {
            if let Some(task) = self.tasks.get_mut(task)
                && matches!(&task.delivery, Delivery::Sent { message_id, .. } if message_id == message)
            {
                task.delivery = Delivery::Acked;
            }
        }
    }

    /// What ECS believes to run here, for an agent that has just connected.
    pub(crate) fn manifest(&mut self, arn: &InstanceArn, now: Millis) -> Option<TaskManifestMessage> {
        let timeline = Some(self.next_sequence());
        let instance = self.instances.get(arn)?;
        let cluster_arn = self.arns.ecs("cluster", &instance.cluster);
        let tasks = instance.tasks.iter().filter_map(|task| self.tasks.get(task)).map(|task| TaskIdentifier {
            task_arn: task.arn.to_string(),
            task_cluster_arn: cluster_arn.clone(),
            desired_status: if task.stop_wanted { "STOPPED" } else { "RUNNING" }.to_owned(),
        });
        Some(TaskManifestMessage {
            message_id: Uuid::new_v4().to_string(),
            tasks: tasks.collect(),
            cluster_arn,
            container_instance_arn: arn.to_string(),
            generated_at: Some(now),
            timeline,
        })
    }

    /// Confirms the stops of tasks that are not wanted on this instance.
    pub(crate) fn verify_stops(
        &self,
        arn: &InstanceArn,
        asked: TaskStopVerificationMessage,
        now: Millis,
    ) -> TaskStopVerificationAck {
        let wanted = |task: &TaskIdentifier| {
            let found = self.tasks.get(&TaskArn(task.task_arn.clone()));
            found.is_some_and(|t| {
                t.instance == *arn && t.status != super::cluster::TaskStatus::Stopped && !t.stop_wanted
            })
        };
        TaskStopVerificationAck {
            message_id: asked.message_id,
            generated_at: Some(now),
            stop_tasks: asked.stop_candidates.into_iter().filter(|task| !wanted(task)).collect(),
        }
    }

    /// Whether an agent may hold a websocket for this instance; ECS's exception otherwise.
    pub(crate) fn may_connect(&self, arn: &InstanceArn) -> Result<(), &'static str> {
        match self.instances.get(arn).map(|i| i.status) {
            None => Err("InvalidInstanceException"),
            Some(InstanceStatus::Inactive) => Err("InactiveInstanceException"),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    #[test]
    fn a_payload_is_sent_until_it_is_acknowledged() {
        let mut w = World::new();
        let arn = w.instance(2048, 1024);
        w.submit(serde_json::json!({}));
        let first = w.state.take_payload(&arn, 100).unwrap();
        assert_eq!((first.payload.tasks.len(), first.starts.len()), (1, 1));
        assert!(w.state.take_payload(&arn, 101).is_none());
        assert_eq!(w.state.redelivery_due(&arn), Some(100 + REDELIVER_AFTER));
        let again = w.state.take_payload(&arn, 100 + REDELIVER_AFTER).unwrap();
        assert!(again.payload.seq_num > first.payload.seq_num);
        w.state.acknowledge(&arn, &first.payload.message_id);
        assert!(w.state.redelivery_due(&arn).is_some(), "that message was superseded");
        w.state.acknowledge(&arn, &again.payload.message_id);
        assert_eq!(w.state.redelivery_due(&arn), None);
    }

    #[test]
    fn only_unwanted_tasks_are_confirmed_for_a_stop() {
        let mut w = World::new();
        let arn = w.instance(2048, 1024);
        let job = w.submit(serde_json::json!({}));
        let known = w.task_of(&job);
        let candidate = |arn: &str| TaskIdentifier {
            task_arn: arn.into(),
            task_cluster_arn: String::new(),
            desired_status: "STOPPED".into(),
        };
        let asked = TaskStopVerificationMessage {
            message_id: "m".into(),
            stop_candidates: vec![candidate(known.as_str()), candidate("stranger")],
        };
        let ack = w.state.verify_stops(&arn, asked, 5);
        assert_eq!(ack.stop_tasks, [candidate("stranger")]);
    }
}
