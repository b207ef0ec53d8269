//! Work coming in: payloads, manifests, and stops that ECS confirmed.

use crate::command::{Command, Notice};
use crate::event::{Incoming, Payload, PayloadTask, StopCandidate};
use crate::fault::{self, Fault};
use crate::ids::{ClusterRef, ContainerInstanceArn, MessageId, TaskArn};
use crate::node::Node;
use crate::roles::Roles;
use crate::spec::TaskSpec;
use crate::task::{Task, TaskRecord};
use crate::time::Timestamp;

impl Node {
    /// Takes in every task it can, and acknowledges the message once all of them are on disk. Unlike amazon-ecs-agent, which
    /// never acknowledges a payload with an unreadable task, this node records that task as stopped with its reason: the record is as
    /// durable as any other, so ECS need not send it again.
    pub(crate) fn on_payload(&mut self, payload: Payload, now: Timestamp) {
        let turned_away = self.turns_away(&payload);
        self.session.note_sequence(payload.seq_num);
        let mut issued = Vec::new();
        for mut task in payload.tasks {
            if turned_away && self.turns_task_away(&task) {
                continue;
            }
            let arn = task.arn.clone();
            issued.extend(std::mem::take(&mut task.credentials).into_iter().map(|of_task| (arn.clone(), of_task)));
            self.take_in(task, now);
        }
        if !payload.unaddressed && !turned_away {
            self.commands.push_back(Command::Ack {
                message: payload.message.clone(),
                cluster: payload.cluster,
                container_instance: payload.container_instance,
            });
        }
        for (arn, issued) in issued {
            self.adopt_credentials(payload.message.clone(), &arn, issued);
        }
    }

    fn take_in(&mut self, incoming: PayloadTask, now: Timestamp) {
        let arn = incoming.arn;
        if self.tasks.contains_key(&arn) {
            match incoming.work {
                Incoming::Stop(_) => self.want_stop(&arn),
                Incoming::Run(_) | Incoming::Invalid(_) | Incoming::Refused(_) => {
                    self.commands.push_back(Command::Notice(Notice::Repeated(arn)));
                }
            }
            return;
        }
        let order = self.next_order;
        self.next_order += 1;
        let (record, notice) = match incoming.work {
            Incoming::Run(spec) => {
                self.note_job_taken();
                (TaskRecord::new(spec, order, now), Notice::Accepted(arn.clone()))
            }
            Incoming::Stop(spec) => {
                (TaskRecord::stillborn(spec, String::new(), order, now), Notice::StopRequested(arn.clone()))
            }
            // The misspelling is on ECS's wire (agent/acs/session/payload_responder.go).
            Incoming::Invalid(error) => {
                let reason = format!("UnrecogniedTaskError: Error loading task - {error}");
                (TaskRecord::stillborn(nameless(&arn), reason, order, now), Notice::Rejected(arn.clone(), error))
            }
            Incoming::Refused(reason) => {
                let record = TaskRecord::stillborn(nameless(&arn), reason.clone(), order, now);
                (record, Notice::Rejected(arn.clone(), reason))
            }
        };
        self.insert(Task::new(record));
        self.commands.push_back(Command::Notice(notice));
        if !fault::is(Fault::SavesNothing) {
            self.save_task(&arn);
        }
        self.touch(&arn);
        self.work_arrived(now);
    }

    pub(crate) fn want_stop(&mut self, arn: &TaskArn) {
        let Some(task) = self.tasks.get_mut(arn) else {
            return;
        };
        if task.record.stop_wanted || task.record.stopped_at.is_some() {
            return;
        }
        task.record.stop_wanted = true;
        self.commands.push_back(Command::Notice(Notice::StopRequested(arn.clone())));
        self.save_task(arn);
        self.touch(arn);
    }

    /// Compares what ECS believes with what runs, and asks about the difference. A manifest no newer than what this node has
    /// already seen is passed over without an acknowledgement, as the protocol has it.
    pub(crate) fn on_manifest(
        &mut self,
        message: MessageId,
        cluster: ClusterRef,
        container_instance: ContainerInstanceArn,
        timeline: i64,
        running: &[TaskArn],
    ) {
        let Some(record) = &mut self.record else {
            return;
        };
        if timeline <= record.manifest_seq.max(self.session.newest_sequence()) {
            return;
        }
        record.manifest_seq = timeline;
        self.save_node();
        self.session.await_verification(message.clone());
        let candidates: Vec<_> = self
            .tasks
            .values()
            .map(|t| &t.record)
            .filter(|r| !r.winding_down() && r.stopped_at.is_none() && !running.contains(r.arn()))
            .map(|r| StopCandidate { task: r.arn().clone(), cluster: cluster.clone() })
            .collect();
        self.commands.push_back(Command::Ack { message: message.clone(), cluster, container_instance });
        if !candidates.is_empty() {
            self.commands.push_back(Command::VerifyStops { message, candidates });
        }
    }

    pub(crate) fn on_stops_verified(&mut self, message: &MessageId, tasks: &[TaskArn]) {
        if self.session.verified(message) {
            for arn in tasks {
                self.want_stop(arn);
            }
        }
    }
}

/// A task of which nothing but its ARN is used.
fn nameless(arn: &TaskArn) -> TaskSpec {
    TaskSpec {
        arn: arn.clone(),
        family: String::new(),
        version: String::new(),
        containers: Vec::new(),
        roles: Roles::default(),
        memory: None,
    }
}
