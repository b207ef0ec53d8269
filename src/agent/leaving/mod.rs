//! Carrying out what the core asks for when the host leaves. Every question gets an answer, or the core would wait for it.

mod asks;
mod deadline;
mod health;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use node_core::{Command, Event, Rung};
use tracing::Span;

pub(super) use asks::facts;
pub(super) use deadline::forget as forget_deadline;

use super::Agent;
use crate::instance::poweroff::Machine;

/// The host's end waits no longer than this for those who are still being told of the last steps.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Agent {
    pub(super) fn carry_out_leaving(&mut self, command: Command) {
        let here = Span::current();
        match command {
            Command::Signal { name, id, task, signal } => {
                let docker = self.docker.clone();
                self.spawn(self.task_span(&task), async move {
                    let result = docker.signal(&id, signal.as_str()).await;
                    Some(Event::Signalled(name, result))
                });
            }
            Command::PublishDeadline(deadline) => {
                deadline::publish(&self.config, deadline.as_ref());
                self.deadline = deadline;
            }
            // The shutdown is held up by `drain --host-shutdown --wait`, which sees the phase.
            Command::LetGo => {}
            Command::PowerOff => {
                let told = self.last_words();
                self.spawn(here, async move {
                    told.await;
                    Some(Event::EndTried(Rung::PowerOff, Machine::look().power_off()))
                });
            }
            _ => match self.cloud.clone() {
                Some(cloud) => {
                    let (config, gpus) = (Arc::clone(&self.config), Arc::clone(&self.gpus));
                    let told = asks::ends_the_host(&command).then(|| self.last_words());
                    self.spawn(here, async move {
                        if let Some(told) = told {
                            told.await;
                        }
                        asks::ask(&cloud, &config, &gpus, command).await
                    });
                }
                None => self.spawn(here, async move { asks::refusal(&command) }),
            },
        }
    }

    /// What is awaited before the host is ended: that those are told who want to be, within a short time.
    pub(super) fn last_words(&self) -> impl Future<Output = ()> + Send + use<> {
        let listeners = self.listeners.clone();
        async move { listeners.settled(LAST_WORDS).await }
    }
}
