//! Carrying out the core's commands: each becomes a task that ends in an event. Nothing is decided here.

use std::future::Future;
use std::sync::Arc;

use ecs_wire::FromAgent;
use ecs_wire::acs::{AckRequest, TaskIdentifier, TaskStopVerificationMessage};
use node_core::{
    ApiFailure, ClusterRef, Command, ContainerInstanceArn, Event, MessageId, Notice, OpFailure, StopCandidate, TaskArn,
};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::identify::find_home;
use super::registration::register;
use super::tell::Origin;
use super::{Agent, environment, notice, roles};
use crate::ecs::acs;
use crate::instance::ec2;
use crate::serve::endpoint::TaskEndpoint;

/// Frames on their way to ACS: acknowledgements, a few a second at the most.
const FRAMES_MAX: usize = 256;

impl Agent {
    pub(super) fn carry_out(&mut self, command: Command) {
        match command {
            Command::Notice(notice) => self.log(&notice),
            Command::Ack { message, cluster, container_instance } => self.send(FromAgent::from(AckRequest {
                cluster: cluster.as_str().to_owned(),
                container_instance: container_instance.as_str().to_owned(),
                message_id: message.as_str().to_owned(),
            })),
            Command::AckCredentials { message, id, expiration } => self.send(roles::ack(&message, &id, expiration)),
            Command::DropCredentials(id) => self.credentials.forget(&id),
            Command::VerifyStops { message, candidates } => self.send(verification(&message, candidates)),
            Command::Pull { .. }
            | Command::Create { .. }
            | Command::Start { .. }
            | Command::Stop { .. }
            | Command::Remove { .. }
            | Command::Inspect { .. }
            | Command::Reconcile => self.ask_docker(command),
            Command::Images(step) => self.clean_images(step),
            Command::Connect { container_instance, send_credentials } => {
                self.connect(container_instance, send_credentials);
            }
            Command::Join { cluster, leave } => self.join(cluster, leave),
            Command::FindHome
            | Command::Register { .. }
            | Command::Submit(_)
            | Command::SetInstanceState(_)
            | Command::Count
            | Command::Deregister
            | Command::Terminate => self.ask_aws(command),
            Command::LookForWork
            | Command::Preflight
            | Command::TerminateInGroup { .. }
            | Command::MarkUnhealthy
            | Command::PowerOff
            | Command::CompleteHook(_)
            | Command::Heartbeat(_)
            | Command::Protect(_)
            | Command::LetGo
            | Command::Signal { .. }
            | Command::PublishDeadline(_) => self.carry_out_leaving(command),
            // Handled by the loop, which ends.
            Command::Exit { .. } => {}
        }
    }

    fn log(&self, notice: &Notice) {
        // Agents that rehearse on one machine share its Docker; `status` tells it.
        let rehearses = matches!(self.config.task_endpoint, TaskEndpoint::Loopback(_));
        if rehearses && matches!(notice, Notice::Strangers { .. }) {
            return;
        }
        let span = notice::subject(notice).map(|task| self.task_span(task));
        match span {
            Some(span) => span.in_scope(|| notice::log(notice)),
            None => notice::log(notice),
        }
        if let Notice::Leaving(news) = notice {
            let record = self.node.record();
            let origin = Origin {
                instance: record.map(|r| r.instance.to_string()),
                region: self.cloud.as_ref().map(|cloud| cloud.clients.region.to_string()),
                cluster: record.map(|r| r.cluster.to_string()),
            };
            self.listeners.tell(news, &origin, self.clock.now().0);
        }
    }

    pub(super) fn task_span(&self, task: &TaskArn) -> tracing::Span {
        notice::task_span(task, self.node.job_of(task).as_ref())
    }

    /// Runs `work` beside the loop and hands its event to the loop.
    pub(super) fn spawn(&self, span: tracing::Span, work: impl Future<Output = Option<Event>> + Send + 'static) {
        let events = self.events.clone();
        let work = async move {
            if let Some(event) = work.await {
                // The loop is gone only when the agent stops.
                let _ = events.send(event).await;
            }
        };
        let stop = self.stop.clone();
        self.work.spawn(
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = work => {}
                }
            }
            .instrument(span),
        );
    }

    /// An acknowledgement that finds no session is not needed: ECS sends what was not acknowledged again.
    fn send(&self, frame: FromAgent) {
        if let Some(Err(error)) = self.acs.as_ref().map(|acs| acs.try_send(frame)) {
            tracing::debug!(%error, "a frame for ACS was not sent");
        }
    }

    /// Speaks for another cluster from now on. The registration in the one before is given back if it is still there.
    fn join(&mut self, cluster: ClusterRef, leave: Option<ContainerInstanceArn>) {
        let Some(cloud) = self.cloud.take() else { return };
        self.hang_up.cancel();
        self.acs = None;
        self.stop_telemetry();
        self.cloud = Some(Arc::new(cloud.in_cluster(cluster)));
        if leave.is_some() {
            self.spawn(tracing::Span::current(), async move {
                if let Err(failure) = cloud.ecs.deregister().await {
                    tracing::info!("the registration in the former cluster is left as it is: {}", failure.text());
                }
                None
            });
        }
    }

    fn connect(&mut self, container_instance: ContainerInstanceArn, send_credentials: bool) {
        self.start_telemetry(&container_instance);
        let Some(cloud) = self.cloud.clone() else { return };
        let (frames, outbound) = mpsc::channel(FRAMES_MAX);
        self.acs = Some(frames);
        self.hang_up = self.stop.child_token();
        let (events, stop, docker) = (self.events.clone(), self.hang_up.clone(), self.docker.clone());
        let (store, heartbeats) = (self.credentials.clone(), self.telemetry.heartbeats());
        self.spawn(tracing::Span::current(), async move {
            let docker_version = docker.version().await.ok().map(|v| v.engine);
            let params = acs::SessionParams {
                ecs: &cloud.ecs,
                credentials: &cloud.clients.credentials,
                region: cloud.clients.region.as_ref(),
                container_instance: &container_instance,
                docker_version: docker_version.as_deref(),
                send_credentials,
                store: &store,
                heartbeats: &heartbeats,
            };
            Some(Event::SessionClosed(acs::session(params, outbound, events, stop).await))
        });
    }

    fn ask_docker(&self, command: Command) {
        let docker = self.docker.clone();
        match command {
            Command::Pull { .. } => self.pull(command),
            Command::Create { name, task, container } => {
                let cluster = self.cloud.as_ref().map_or("", |c| c.cluster.as_str()).to_owned();
                let given = environment::Given {
                    reach: self.reach,
                    key: self.endpoint_key.clone(),
                    sdk: self.cloud.as_ref().map(|c| c.clients.sdk.clone()),
                    roles: self.credentials.clone(),
                };
                let (gpus, guard) = (Arc::clone(&self.gpus), self.guard.clone());
                self.spawn(self.task_span(&task.arn), async move {
                    let mut container = container;
                    let confinement = match guard.admit().await {
                        Ok(confinement) => confinement,
                        // Not the job's fault: it waits, as it waits for Docker.
                        Err(text) => {
                            guard.look_again();
                            return Some(Event::Created(name, Err(OpFailure::Unreachable(text))));
                        }
                    };
                    if let Some(gpu) = gpus.missing(&container.gpus).await {
                        let text = format!("the job is assigned {gpu}, which this host does not offer");
                        let refusal = OpFailure::Refused { name: "HostConfigError", text };
                        return Some(Event::Created(name, Err(refusal)));
                    }
                    let result = match environment::complete(&docker, &task, &mut container, &given).await {
                        Ok(secrets) => {
                            let made = docker.confining(confinement).create(&task, &container, &name, &cluster).await;
                            made.map_err(|failure| secrets.redact(failure))
                        }
                        Err(refusal) => Err(refusal),
                    };
                    Some(Event::Created(name, result))
                });
            }
            Command::Start { name, id, task, published } => self.spawn(self.task_span(&task), async move {
                let result = docker.start(&name, &id, published).await;
                Some(Event::Started(name, result))
            }),
            Command::Stop { name, id, task, grace_secs } => self.spawn(self.task_span(&task), async move {
                let result = docker.stop(&id, grace_secs).await;
                Some(Event::Stopped(name, result))
            }),
            Command::Remove { name, task } => self.spawn(self.task_span(&task), async move {
                let result = docker.remove(&name).await;
                Some(Event::Removed(name, result))
            }),
            Command::Inspect { name } => self.spawn(tracing::Span::current(), async move {
                match docker.inspect(&name).await {
                    Ok(seen) => Some(Event::Observed(name, seen)),
                    Err(OpFailure::Missing) => Some(Event::Missing(name)),
                    // The next listing asks again.
                    Err(_) => None,
                }
            }),
            Command::Reconcile => {
                self.spawn(tracing::Span::current(), async move { docker.list().await.ok().map(Event::DockerUp) })
            }
            _ => {}
        }
    }

    fn ask_aws(&self, command: Command) {
        let Some(cloud) = self.cloud.clone() else { return };
        let here = tracing::Span::current();
        match command {
            Command::Register { previous } => {
                let (config, docker, reach) = (Arc::clone(&self.config), self.docker.clone(), self.reach);
                let (gpus, guard) = (Arc::clone(&self.gpus), self.guard.clone());
                self.spawn(here, async move {
                    guard.look_again();
                    if let Err(why) = guard.admit().await {
                        return Some(Event::Registered(Err(ApiFailure::Unavailable(why))));
                    }
                    let result = register(&cloud, &config, &docker, &gpus, reach, previous.as_ref()).await;
                    Some(Event::Registered(result))
                });
            }
            Command::FindHome => {
                let config = Arc::clone(&self.config);
                self.spawn(here, async move {
                    let found = find_home(&config, &cloud.clients).await;
                    Some(Event::Home(found.map_err(|error| error.to_string())))
                });
            }
            Command::Submit(change) => self.spawn(self.task_span(&change.task), async move {
                let result = cloud.ecs.submit(&change).await;
                Some(Event::Submitted(change.task, result))
            }),
            Command::SetInstanceState(state) => {
                self.spawn(here, async move { Some(Event::InstanceStateSet(state, cloud.ecs.set_state(state).await)) })
            }
            Command::Count => self.spawn(here, async move { Some(Event::Counted(cloud.ecs.counts().await)) }),
            Command::Deregister => {
                self.spawn(here, async move { Some(Event::Deregistered(cloud.ecs.deregister().await)) });
            }
            Command::Terminate => {
                let told = self.last_words();
                self.spawn(here, async move {
                    told.await;
                    let result = ec2::terminate(&cloud.clients.ec2, &cloud.instance).await;
                    Some(Event::Terminated(result))
                });
            }
            _ => {}
        }
    }
}

fn verification(message: &MessageId, candidates: Vec<StopCandidate>) -> FromAgent {
    let stop_candidates = candidates
        .into_iter()
        .map(|c| TaskIdentifier {
            task_arn: c.task.as_str().to_owned(),
            task_cluster_arn: c.cluster.as_str().to_owned(),
            desired_status: "STOPPED".to_owned(),
        })
        .collect();
    FromAgent::from(TaskStopVerificationMessage { message_id: message.as_str().to_owned(), stop_candidates })
}
