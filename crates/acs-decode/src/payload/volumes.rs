//! A task's volumes, as what Docker mounts: a host path, or a named volume of the task's own.

use std::collections::BTreeMap;

use ecs_wire::task::{Task, Volume};
use node_core::{ContainerName, DockerName, TaskArn};

/// What each declared volume is mounted from.
pub(super) struct Volumes(BTreeMap<String, String>);

impl Volumes {
    pub(super) fn source(&self, volume: &str) -> Option<&str> {
        self.0.get(volume).map(String::as_str)
    }
}

pub(super) fn resolve(arn: &TaskArn, task: &Task) -> Result<Volumes, String> {
    let mut volumes = BTreeMap::new();
    for volume in &task.volumes {
        let name = &volume.name;
        if name.is_empty() {
            return Err("a volume without a name".to_owned());
        }
        let source = source(arn, task, volume).map_err(|text| format!("volume {name:?}: {text}"))?;
        if volumes.insert(name.clone(), source).is_some() {
            return Err(format!("volume {name:?} is declared twice"));
        }
    }
    Ok(Volumes(volumes))
}

fn source(arn: &TaskArn, task: &Task, volume: &Volume) -> Result<String, String> {
    match volume.kind.as_deref().unwrap_or("host") {
        "host" => {}
        known @ ("docker" | "efs" | "amazonebs" | "s3files" | "attachment" | "fsxWindowsFileServer") => {
            return Err(format!("volumes of type {known:?} are not supported yet"));
        }
        other => return Err(format!("unrecognized volume type: {other:?}")),
    }
    let host = volume.host.as_ref();
    let host = host.ok_or("invalid volume: empty volume configuration")?;
    match host.source_path.as_deref().unwrap_or("") {
        "" => Ok(scoped_name(arn, task, &volume.name)),
        path if path.starts_with('/') => Ok(path.to_owned()),
        path => Err(format!("sourcePath {path:?} is not absolute")),
    }
}

/// `ecs-<family>-<version>-<volume>-<20 hex digits>`: a local Docker volume of this task alone, the same after a restart.
fn scoped_name(arn: &TaskArn, task: &Task, volume: &str) -> String {
    let name = DockerName::derive(&task.family, &task.version, &ContainerName::new(volume), arn);
    name.as_str().to_owned()
}
