//! GPUs that ECS has assigned to a task's containers (`associations` of type `gpu`, agent/api/task/task.go).

use ecs_wire::task::Task;
use node_core::{ContainerSpec, TaskArn};

const GPU: &str = "gpu";
/// What NVIDIA's container runtime goes by.
pub(super) const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";

/// Gives each container its GPUs, and tells it and the runtime which.
pub(super) fn assign(arn: &TaskArn, task: &Task, containers: &mut [ContainerSpec]) -> Result<(), String> {
    let wrong = |text: String| format!("resource cannot be initialized for task {arn}: {text}");
    for association in &task.associations {
        if association.kind != GPU {
            return Err(format!("associations of type {:?}: not supported by this agent yet", association.kind));
        }
        let gpu = &association.name;
        let [owner] = association.containers.as_slice() else {
            return Err(wrong(format!(
                "GPU {gpu:?} is associated with {} containers, and must be with one",
                association.containers.len()
            )));
        };
        let owner = containers.iter_mut().find(|container| container.name.as_str() == owner);
        owner
            .ok_or_else(|| wrong(format!("GPU {gpu:?} is associated with a container that the task does not have")))?
            .gpus
            .push(gpu.clone());
    }
    for container in containers.iter_mut().filter(|container| !container.gpus.is_empty()) {
        container.environment.insert(VISIBLE_DEVICES.to_owned(), container.gpus.join(","));
    }
    Ok(())
}
