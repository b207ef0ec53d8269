//! Making a container, or adopting the one that is there already: its name is the lock.

use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptions;
use node_core::{ContainerSpec, DockerId, DockerName, Observation, OpFailure, Running, TaskArn, TaskSpec};

use super::failure::{limited, names, status};
use super::{Docker, body, labels, observe};
use body::OfHost;

/// Docker holds a name from the moment a create begins, but shows the container only when that is done. After a crash the
/// dead process's create may still be under way: it is waited for this often, this long each.
const CONFLICT_LOOKS: u32 = 40;
const CONFLICT_PAUSE: Duration = Duration::from_millis(250);

impl Docker {
    /// Makes `container` of `task` under `name`. If a container of this name exists and carries this task's ARN, it is the
    /// one, in whatever state it is; if it carries another's or none, the create is refused.
    pub(crate) async fn create(
        &self,
        task: &TaskSpec,
        container: &ContainerSpec,
        name: &DockerName,
        cluster: &str,
    ) -> Result<Observation, OpFailure> {
        let body = {
            let (pids_limit, confinement) = (self.pids_limit, self.confinement.as_ref());
            let host = OfHost { gpu_runtime: &self.gpu_runtime, pids_limit, confinement };
            body::create_body(task, container, cluster, &host)?
        };
        limited("created", self.container_limits.create, self.create_or_adopt(&task.arn, name, body)).await
    }

    async fn create_or_adopt(
        &self,
        task: &TaskArn,
        name: &DockerName,
        body: ContainerCreateBody,
    ) -> Result<Observation, OpFailure> {
        let mut looks = 0;
        loop {
            let options = CreateContainerOptions { name: Some(name.as_str().to_owned()), ..Default::default() };
            let refusal = match self.api.create_container(Some(options), body.clone()).await {
                Ok(made) => return Ok(observe::bare(DockerId::new(made.id), Running::Created)),
                Err(refusal) => refusal,
            };
            let conflict = status(&refusal) == Some(409) && looks < CONFLICT_LOOKS;
            let adopted = if conflict { self.adopt(task, name, &refusal).await? } else { None };
            match adopted {
                Some(seen) => return Ok(seen),
                None if conflict => tokio::time::sleep(CONFLICT_PAUSE).await,
                None => return Err(self.failed(names::CREATE, &refusal)),
            }
            looks += 1;
        }
    }

    /// The container that has the name, if it is this task's; `None` if Docker shows none (yet, or any more).
    async fn adopt(
        &self,
        task: &TaskArn,
        name: &DockerName,
        conflict: &Error,
    ) -> Result<Option<Observation>, OpFailure> {
        match self.api.inspect_container(name.as_str(), None).await {
            Ok(inspect) if observe::label(&inspect, labels::TASK_ARN) == Some(task.as_str()) => {
                Ok(Some(observe::observation(&inspect)))
            }
            Ok(_) => Err(self.failed(names::CREATE, conflict)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.failed(names::CREATE, &error)),
        }
    }
}
