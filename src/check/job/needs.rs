//! The attributes that ECS asks of a host for a job (`requiresAttributes` of its task definition), each with what in the job
//! definition brings it about. Those of Docker's API versions are left out: every Docker that this agent takes has them all.

use super::ask::{Ask, Container, Volume};

/// The names are those of `src/ecs/capabilities.rs`, from amazon-ecs-agent.
const OURS: &str = "ecs.capability.";
const DOCKERS: &str = "com.amazonaws.ecs.capability.";
/// What Batch gives a job that does not choose a log driver.
const DEFAULT_LOG_DRIVER: &str = "awslogs";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) attribute: String,
    /// What asks for it.
    pub(super) because: String,
    /// What to do where it is missing.
    pub(super) fix: &'static str,
}

pub(super) fn needs(ask: &Ask) -> Vec<Need> {
    let mut needs: Vec<Need> = ask.containers.iter().flat_map(|container| of_container(container, ask)).collect();
    if ask.job_role {
        let fix = "set task_endpoint to link-local, iptables or loopback:<port>";
        needs.push(need(DOCKERS, "task-iam-role", "jobRoleArn", fix));
        // Batch's jobs are on the host's network.
        needs.push(need(DOCKERS, "task-iam-role-network-host", "jobRoleArn", fix));
    }
    needs.extend(ask.volumes.iter().flat_map(of_volume));
    if ask.execute_command {
        needs.push(need(
            OURS,
            "execute-command",
            "enableExecuteCommand",
            "leave enableExecuteCommand out: this agent does not serve ECS Exec",
        ));
    }
    if ask.shared_namespaces {
        let fix = "leave pidMode and ipcMode out: this agent does not serve them";
        needs.push(need(OURS, "pid-ipc-namespace-sharing", "pidMode or ipcMode", fix));
    }
    let mut seen = std::collections::BTreeSet::new();
    needs.retain(|need| seen.insert(need.attribute.clone()));
    needs
}

fn need(prefix: &str, name: &str, because: impl Into<String>, fix: &'static str) -> Need {
    Need { attribute: format!("{prefix}{name}"), because: because.into(), fix }
}

fn of_container(container: &Container, ask: &Ask) -> Vec<Need> {
    let mut needs = logging(container, ask.execution_role);
    if container.privileged {
        needs.push(need(DOCKERS, "privileged-container", "privileged", "set disable_privileged = false"));
    }
    needs.extend(secrets(container));
    if container.registry_login {
        let fix = "upgrade the agent";
        needs.push(need(OURS, "private-registry-authentication.secretsmanager", "repositoryCredentials", fix));
    }
    if is_ecr(&container.image) {
        needs.push(need(DOCKERS, "ecr-auth", format!("the image {}", container.image), "upgrade the agent"));
        if ask.execution_role {
            needs.push(need(
                OURS,
                "execution-role-ecr-pull",
                "executionRoleArn and an image of ECR",
                "upgrade the agent",
            ));
        }
    }
    if container.depends_on_others {
        needs.push(need(OURS, "container-ordering", "dependsOn of its containers", "upgrade the agent"));
    }
    if let Some(router) = &container.firelens {
        let name = format!("firelens.{router}");
        needs.push(need(
            OURS,
            &name,
            "firelensConfiguration",
            "use another log driver: this agent does not serve FireLens",
        ));
    }
    needs
}

fn logging(container: &Container, execution_role: bool) -> Vec<Need> {
    let driver = container.log_driver.as_deref().unwrap_or(DEFAULT_LOG_DRIVER);
    let because = match &container.log_driver {
        Some(driver) => format!("logConfiguration's logDriver {driver}"),
        None => format!("no logConfiguration: Batch makes it {DEFAULT_LOG_DRIVER}"),
    };
    let fix = "choose another logDriver, or have Docker and `logging_drivers` offer this one";
    let mut needs = vec![need(DOCKERS, &format!("logging-driver.{driver}"), because, fix)];
    if driver == DEFAULT_LOG_DRIVER && execution_role {
        let fix = "set task_endpoint to link-local or iptables, through which Docker's awslogs gets the execution role";
        needs.push(need(OURS, "execution-role-awslogs", "executionRoleArn, with which awslogs writes", fix));
    }
    needs
}

fn secrets(container: &Container) -> Vec<Need> {
    let of = |from: &str, place: &str, because: &str| {
        let store = if from.contains(":secretsmanager:") { "asm" } else { "ssm" };
        need(OURS, &format!("secrets.{store}.{place}"), because, "upgrade the agent")
    };
    let own = container.secrets.iter().map(|from| of(from, "environment-variables", "secrets"));
    let log =
        container.log_secrets.iter().map(|from| of(from, "bootstrap.log-driver", "secretOptions of logConfiguration"));
    own.chain(log).collect()
}

fn is_ecr(image: &str) -> bool {
    image.split('/').next().is_some_and(|host| host.contains(".dkr.ecr") && host.contains(".amazonaws.com"))
}

fn of_volume(volume: &Volume) -> Vec<Need> {
    const FIX: &str = "mount the file system on the host (amazon-efs-utils, /etc/fstab) and give the job its path as a host volume: this agent mounts none itself";
    match volume {
        Volume::Efs { with_authorization: true } => vec![
            need(OURS, "efs", "efsVolumeConfiguration", FIX),
            need(OURS, "efsAuth", "transitEncryption or authorizationConfig of efsVolumeConfiguration", FIX),
        ],
        Volume::Efs { with_authorization: false } => vec![need(OURS, "efs", "efsVolumeConfiguration", FIX)],
        Volume::S3Files => vec![need(OURS, "storage.s3-files", "s3filesVolumeConfiguration", FIX)],
        Volume::Host(_) | Volume::Empty => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ask: &Ask) -> Vec<String> {
        needs(ask).into_iter().map(|need| need.attribute).collect()
    }

    fn ask(container: Container) -> Ask {
        Ask { containers: vec![container], ..Ask::default() }
    }

    #[test]
    fn a_job_without_a_log_configuration_needs_awslogs() {
        assert_eq!(names(&ask(Container::default())), ["com.amazonaws.ecs.capability.logging-driver.awslogs"]);
        let other = Container { log_driver: Some("json-file".into()), ..Container::default() };
        assert_eq!(names(&ask(other)), ["com.amazonaws.ecs.capability.logging-driver.json-file"]);
    }

    #[test]
    fn an_execution_role_writes_the_logs_and_pulls_from_ecr() {
        let image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1";
        let with_role = Ask { execution_role: true, ..ask(Container { image: image.into(), ..Container::default() }) };
        let expected = [
            "com.amazonaws.ecs.capability.logging-driver.awslogs",
            "ecs.capability.execution-role-awslogs",
            "com.amazonaws.ecs.capability.ecr-auth",
            "ecs.capability.execution-role-ecr-pull",
        ];
        assert_eq!(names(&with_role), expected);
        assert!(!is_ecr("public.ecr.aws/docker/library/busybox") && !is_ecr("busybox"));
    }

    #[test]
    fn secrets_are_told_apart_by_where_they_are() {
        let arn = "arn:aws:secretsmanager:us-east-1:1:secret:db";
        let container = Container {
            log_driver: Some("splunk".into()),
            secrets: vec!["/plain/parameter".into(), arn.into(), arn.into()],
            log_secrets: vec!["arn:aws:ssm:us-east-1:1:parameter/token".into()],
            ..Container::default()
        };
        let expected = [
            "com.amazonaws.ecs.capability.logging-driver.splunk",
            "ecs.capability.secrets.ssm.environment-variables",
            "ecs.capability.secrets.asm.environment-variables",
            "ecs.capability.secrets.ssm.bootstrap.log-driver",
        ];
        assert_eq!(names(&ask(container)), expected);
    }

    #[test]
    fn what_the_whole_task_wants_is_named_once() {
        let all = Ask {
            job_role: true,
            execute_command: true,
            shared_namespaces: true,
            volumes: vec![Volume::Efs { with_authorization: true }, Volume::Efs { with_authorization: false }],
            containers: vec![Container { privileged: true, ..Container::default() }; 2],
            ..Ask::default()
        };
        let expected = [
            "com.amazonaws.ecs.capability.logging-driver.awslogs",
            "com.amazonaws.ecs.capability.privileged-container",
            "com.amazonaws.ecs.capability.task-iam-role",
            "com.amazonaws.ecs.capability.task-iam-role-network-host",
            "ecs.capability.efs",
            "ecs.capability.efsAuth",
            "ecs.capability.execute-command",
            "ecs.capability.pid-ipc-namespace-sharing",
        ];
        assert_eq!(names(&all), expected);
    }
}
