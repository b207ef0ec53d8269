//! The agent of this host: whether it runs, what it has kept, and what it would offer to ECS.

use std::path::Path;
use std::time::Duration;

use super::context::{Context, Daemon};
use super::host::users;
use super::{Outcome, Status};
use crate::cli::status::{self, StatusError};
use crate::config::Config;
use crate::ecs::Registration;
use crate::host::gpu::GpuFinder;
use crate::serve::endpoint::{Reach, TaskEndpoint};
use crate::store::Store;

/// How containers will reach the task endpoint, if the agent gets what it is configured to take.
pub(super) fn intended(endpoint: TaskEndpoint) -> Reach {
    match endpoint {
        TaskEndpoint::LinkLocal | TaskEndpoint::Iptables => Reach::LinkLocal,
        TaskEndpoint::Loopback(port) => Reach::Loopback(port),
        TaskEndpoint::Off => Reach::Nowhere,
    }
}

pub(super) async fn running(context: &Context) -> Result<Outcome, Outcome> {
    let socket = &context.config()?.admin_socket;
    if let Some(report) = context.running().await {
        let state = &report.state;
        let connected = if state.acs_connected { "connected to ACS" } else { "not connected to ACS" };
        let found =
            format!("version {}, {}, {connected}, {} task(s)", report.agent.version, state.phase, report.tasks.len());
        return Ok(match (state.acs_connected, &state.why) {
            (true, _) if state.phase == "ACTIVE" => Outcome::ok(found),
            (_, Some(why)) => Outcome::warning(format!("{found}: {why}")),
            (_, None) => Outcome::warning(found),
        });
    }
    Ok(match status::fetch(socket).await {
        Err(StatusError::NotRunning { .. }) => Outcome::skipped("no agent runs here"),
        Err(StatusError::Denied { path }) => {
            Outcome::skipped(format!("{} may not be asked by this user: try as root", path.display()))
        }
        Err(error) => Outcome::warning(error.to_string()),
        Ok(_) => Outcome::ok("it has just started"),
    })
}

/// The directory and the record in it.
pub(super) async fn state(context: &Context) -> Result<Outcome, Outcome> {
    let config = context.config()?;
    let runs = context.running().await.is_some();
    let (dir, passwd) = (config.data_dir.clone(), context.text("/etc/passwd"));
    let look = move || match runs {
        true => Outcome::ok(format!("{} is in use by the agent that runs", dir.display())),
        false => judge_state(&dir, &passwd),
    };
    Ok(super::blocking(look).await)
}

fn judge_state(dir: &Path, passwd: &str) -> Outcome {
    let shown = dir.display();
    let Some((owner, _, mode)) = users::owner(dir) else {
        return Outcome::ok(format!("{shown} is not there yet: the agent makes it"));
    };
    if let Some(agent) = users::user(passwd, users::AGENT).filter(|agent| agent.id != owner) {
        return Outcome::failure(format!("{shown} belongs to user {owner}, and the agent runs as user {}", agent.id))
            .fix(format!("chown -R {0}:{0} {shown}", users::AGENT));
    }
    let outcome = match Store::examine(dir) {
        Ok(None) => Outcome::ok(format!("{shown}: no agent has run here yet")),
        Ok(Some(saved)) => Outcome::ok(format!("{shown}: a record of {} task(s) that can be read", saved.tasks.len())),
        Err(error) => Outcome::failure(format!("{error}{}", cause(&error))),
    };
    match mode & 0o077 {
        0 => outcome,
        _ if outcome.status == Status::Failure => outcome,
        _ => Outcome::warning(format!(
            "{shown} has mode {mode:o}: others may look into it, and environments of jobs stand there"
        ))
        .fix(format!("chmod 700 {shown}")),
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}

/// From the settings alone: taking the address is the agent's own business.
pub(super) fn task_endpoint(context: &Context) -> Outcome {
    let config = match context.config() {
        Ok(config) => config,
        Err(skipped) => return skipped,
    };
    let iptables =
        ["/usr/sbin/iptables", "/sbin/iptables", "/usr/bin/iptables"].iter().any(|p| context.path(p).exists());
    let lo = context.path("/sys/class/net/lo").exists();
    judge_endpoint(config.task_endpoint, lo, iptables)
}

fn judge_endpoint(endpoint: TaskEndpoint, lo: bool, iptables: bool) -> Outcome {
    match endpoint {
        TaskEndpoint::LinkLocal if lo => Outcome::ok("169.254.170.2 goes to lo; jobs with a role are offered"),
        TaskEndpoint::LinkLocal | TaskEndpoint::Iptables if iptables => {
            Outcome::ok("169.254.170.2 is translated by iptables; jobs with a role are offered")
        }
        TaskEndpoint::LinkLocal => {
            Outcome::failure("there is neither an interface lo nor iptables to serve 169.254.170.2 with")
        }
        TaskEndpoint::Iptables => Outcome::failure("task_endpoint is iptables, and there is no iptables here")
            .fix("install iptables, or set task_endpoint = \"link-local\""),
        TaskEndpoint::Loopback(_) => Outcome::ok(
            "on the loopback: jobs on the host's network get roles; logging with an execution role does not work",
        ),
        TaskEndpoint::Off => {
            Outcome::warning("task_endpoint is off: jobs with a role (jobRoleArn) are not placed here")
        }
    }
}

pub(super) async fn gpus(context: &Context) -> Result<Outcome, Outcome> {
    let config = context.config()?;
    let Daemon { docker, .. } = context.daemon().await?;
    let offered = finder(config).offer(docker.lacks_gpu_runtime()).await;
    Ok(match offered {
        Ok(found) => match (found.devices.len(), found.trouble, found.driver) {
            (_, Some(trouble), _) => Outcome::failure(trouble),
            (0, None, _) => Outcome::ok("this host has none, or offers none"),
            (count, None, driver) => {
                Outcome::ok(format!("{count} offered, driver {}", driver.as_deref().unwrap_or("unknown")))
            }
        },
        Err(not_yet) => Outcome::failure(not_yet.to_string()),
    })
}

/// It does not wait for a driver.
fn finder(config: &Config) -> GpuFinder {
    GpuFinder::new(config.gpus.clone(), Duration::ZERO)
}

/// What the agent would register, made by the very function that registers.
pub(super) async fn offered(context: &Context) -> Result<Registration, Outcome> {
    let config = context.config()?;
    let Daemon { docker, .. } = context.daemon().await?;
    let offer = crate::agent::offer(config, docker, &finder(config), intended(config.task_endpoint)).await;
    offer.map_err(|failure| Outcome::failure(failure.text().to_owned()))
}

pub(super) async fn offer(context: &Context) -> Result<Outcome, Outcome> {
    let offer = offered(context).await?;
    Ok(Outcome::ok(format!(
        "{} vCPU, {} MiB, {} GPU(s), {} attributes",
        f64::from(offer.resources.cpu_shares) / 1024.0,
        offer.resources.memory_mib,
        offer.gpus.devices.len(),
        offer.attributes(None).len()
    )))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn the_record_must_be_the_agents_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        assert_eq!(judge_state(&dir, "").status, Status::Ok);
        drop(Store::open(&dir).unwrap());
        let owner = std::fs::metadata(&dir).unwrap().uid();
        let passwd = |id: u32| format!("batch-node-agent:x:{id}:1::/:/x\n");
        assert!(judge_state(&dir, &passwd(owner)).found.contains("0 task(s)"));
        assert_eq!(judge_state(&dir, &passwd(owner + 7)).status, Status::Failure);
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(judge_state(&dir, "").status, Status::Warning);
        std::fs::write(dir.join("agent.redb"), "no database").unwrap();
        assert_eq!(judge_state(&dir, "").status, Status::Failure);
    }

    #[test]
    fn the_endpoint_needs_one_of_two_ways() {
        let of = |endpoint, lo, iptables| judge_endpoint(endpoint, lo, iptables).status;
        assert_eq!(of(TaskEndpoint::LinkLocal, true, false), Status::Ok);
        assert_eq!(of(TaskEndpoint::LinkLocal, false, true), Status::Ok);
        assert_eq!(of(TaskEndpoint::LinkLocal, false, false), Status::Failure);
        assert_eq!(of(TaskEndpoint::Iptables, true, false), Status::Failure);
        assert_eq!(of(TaskEndpoint::Loopback(0), true, false), Status::Ok);
        assert_eq!(of(TaskEndpoint::Off, true, true), Status::Warning);
    }
}
