//! What a container is told by its environment, in amazon-ecs-agent's variables (agent/api/task/task.go).

use aws_config::SdkConfig;
use node_core::{ContainerSpec, EndpointId, EndpointKey, OpFailure, TaskSpec};

use crate::docker::Docker;
use crate::secrets;
use crate::serve::credentials::CredentialStore;
use crate::serve::endpoint::Reach;

/// What the agent has to give.
pub(super) struct Given {
    pub(super) reach: Reach,
    pub(super) key: EndpointKey,
    /// `None` until the host knows its region.
    pub(super) sdk: Option<SdkConfig>,
    pub(super) roles: CredentialStore,
}

/// Adds what the agent itself has to say, and the container's secrets. A job that asks for what this host does not serve is
/// refused here.
pub(super) async fn complete(
    docker: &Docker,
    task: &TaskSpec,
    container: &mut ContainerSpec,
    given: &Given,
) -> Result<secrets::Given, OpFailure> {
    check(task, container, given.reach)?;
    container.environment.extend(variables(task, container, given.reach, &given.key));
    let secret = secrets::give(container, task.roles.execution.as_ref(), &given.roles, given.sdk.as_ref()).await?;
    let region = given.sdk.as_ref().and_then(SdkConfig::region).map(ToString::to_string);
    if let Some(region) = region
        && !names_a_region(container.environment.keys().map(String::as_str))
    {
        let of_image = docker.image_environment(&container.image).await;
        if !names_a_region(of_image.iter().filter_map(|pair| pair.split('=').next())) {
            for key in REGIONS {
                container.environment.insert(key.to_owned(), region.clone());
            }
        }
    }
    Ok(secret)
}

const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

fn names_a_region<'a>(mut keys: impl Iterator<Item = &'a str>) -> bool {
    keys.any(|key| REGIONS.contains(&key))
}

fn variables(task: &TaskSpec, container: &ContainerSpec, reach: Reach, key: &EndpointKey) -> Vec<(String, String)> {
    let Some(base) = reach.base() else { return Vec::new() };
    let endpoint = EndpointId::derive(key, &task.arn, &container.name);
    let mut given = vec![
        ("ECS_CONTAINER_METADATA_URI", format!("{base}/v3/{endpoint}")),
        ("ECS_CONTAINER_METADATA_URI_V4", format!("{base}/v4/{endpoint}")),
        ("ECS_AGENT_URI", format!("{base}/api/{endpoint}")),
    ];
    if let Some(id) = &task.roles.task {
        let path = format!("/v2/credentials/{id}");
        given.push(match reach {
            // SDKs take full addresses on the loopback, and put relative ones behind 169.254.170.2.
            Reach::Loopback(_) => ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{base}{path}")),
            Reach::LinkLocal | Reach::Nowhere => ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path),
        });
    }
    given.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A job never runs without the role it asked for.
fn check(task: &TaskSpec, container: &ContainerSpec, reach: Reach) -> Result<(), OpFailure> {
    let refuse = |text: &str| Err(OpFailure::Refused { name: "HostConfigError", text: text.to_owned() });
    if task.roles.task.is_some() && reach == Reach::Nowhere {
        return refuse("the job has a role (jobRoleArn), and this host's task endpoint is off");
    }
    if task.roles.task.is_some() && matches!(reach, Reach::Loopback(_)) && !on_host_network(container) {
        return refuse(
            "a job with a role (jobRoleArn) needs the host's network while task_endpoint is on the loopback",
        );
    }
    let logs_with_role =
        container.docker_host_config.as_deref().is_some_and(|text| text.contains("awslogs-credentials-endpoint"));
    if logs_with_role && reach != Reach::LinkLocal {
        return refuse("logging with the execution role needs task_endpoint to be link-local or iptables");
    }
    Ok(())
}

fn on_host_network(container: &ContainerSpec) -> bool {
    let config = container.docker_host_config.as_deref();
    let config: Option<serde_json::Value> = config.and_then(|text| serde_json::from_str(text).ok());
    config.is_some_and(|config| config.get("NetworkMode").is_some_and(|mode| mode == "host"))
}

#[cfg(test)]
mod tests {
    use node_core::{CredentialsId, Roles, TaskArn};

    use super::*;

    fn container() -> ContainerSpec {
        let spec = serde_json::json!({"name": "default", "image": "busybox", "essential": true, "command": [],
            "environment": {}, "cpu_shares": 2, "binds": [], "ports": [], "depends_on": []});
        serde_json::from_value(spec).unwrap()
    }

    fn task(container: &ContainerSpec, role: Option<&str>) -> TaskSpec {
        TaskSpec {
            arn: TaskArn::new("arn:aws:ecs:us-east-1:1:task/c/t1"),
            family: "f".into(),
            version: "1".into(),
            containers: vec![container.clone()],
            roles: Roles { task: role.map(CredentialsId::new), execution: None },
            memory: None,
        }
    }

    fn value(reach: Reach, key: &str) -> Option<String> {
        let container = container();
        let given = variables(&task(&container, Some("c-1")), &container, reach, &EndpointKey([0; 32]));
        given.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    #[test]
    fn a_role_is_at_the_relative_address_or_at_a_full_one_on_the_loopback() {
        let relative = value(Reach::LinkLocal, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        assert_eq!(relative.as_deref(), Some("/v2/credentials/c-1"));
        assert_eq!(value(Reach::LinkLocal, "AWS_CONTAINER_CREDENTIALS_FULL_URI"), None);
        let full = value(Reach::Loopback(7), "AWS_CONTAINER_CREDENTIALS_FULL_URI");
        assert_eq!(full.as_deref(), Some("http://127.0.0.1:7/v2/credentials/c-1"));
        let metadata = value(Reach::LinkLocal, "ECS_CONTAINER_METADATA_URI_V4").unwrap();
        assert!(metadata.starts_with("http://169.254.170.2/v4/"), "{metadata}");
        assert_eq!(value(Reach::Nowhere, "ECS_CONTAINER_METADATA_URI_V4"), None);
    }

    #[test]
    fn what_is_not_served_is_refused() {
        let mut container = container();
        assert!(check(&task(&container, Some("c-1")), &container, Reach::Nowhere).is_err());
        assert!(check(&task(&container, None), &container, Reach::Nowhere).is_ok());
        assert!(check(&task(&container, Some("c-1")), &container, Reach::Loopback(1)).is_err());
        container.docker_host_config = Some(r#"{"NetworkMode":"host"}"#.into());
        assert!(check(&task(&container, Some("c-1")), &container, Reach::Loopback(1)).is_ok());
        container.docker_host_config = Some(r#"{"LogConfig":{"Config":{"awslogs-credentials-endpoint":"/x"}}}"#.into());
        assert!(check(&task(&container, None), &container, Reach::Loopback(1)).is_err());
        assert!(check(&task(&container, None), &container, Reach::LinkLocal).is_ok());
    }
}
