//! Carrying out a pull: the login it needs, the pull itself, and the news of it on the way.

use std::sync::Arc;

use node_core::{Command, Event, OpFailure};

use super::Agent;
use crate::docker::Wanted;
use crate::docker::registry::identity;

impl Agent {
    pub(super) fn pull(&self, command: Command) {
        let Command::Pull { name, task, image, mode, by_tag, auth, execution_role } = command else { return };
        let (docker, registries) = (self.docker.clone(), Arc::clone(&self.registries));
        let (cloud, events) = (self.cloud.clone(), self.events.clone());
        self.spawn(self.task_span(&task), async move {
            let identity = identity(auth.as_ref(), execution_role.as_ref());
            let wanted = Wanted { image: &image, mode, by_tag, identity };
            let login = async {
                // Tasks come from ECS, and so after the cloud is known.
                let unknown = || OpFailure::Unreachable("this host does not know its region yet".to_owned());
                let sdk = &cloud.as_ref().ok_or_else(unknown)?.clients.sdk;
                registries.login(&image, auth.as_ref(), execution_role.as_ref(), sdk).await
            };
            // News that finds the queue full is old when the queue is not: the next is newer.
            let tell = |news| drop(events.try_send(Event::Pulling(name.clone(), news)));
            let result = docker.pull(wanted, login, tell).await;
            Some(Event::Pulled(name, result))
        });
    }
}
