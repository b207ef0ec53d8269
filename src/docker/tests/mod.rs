//! Against this machine's own Docker, with the image that `scripts/image.sh busybox` makes, and against daemons that are
//! played. No registry is asked but one that is not there.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use node_core::{ContainerSpec, DockerName, ImagePulled, Observation, OpFailure, PullMode, Running, TaskArn, TaskSpec};

use super::{Docker, Wanted};

mod played;
mod real;
pub(super) mod registry;
mod watching;

const SOCKET: &str = "/var/run/docker.sock";

/// As a task whose job definition says nothing of a registry, and without asking for a digest.
async fn pull(docker: &Docker, image: &str, mode: PullMode) -> Result<ImagePulled, OpFailure> {
    let wanted = Wanted { image, mode, by_tag: true, identity: String::new() };
    docker.pull(wanted, async { Ok(None) }, |_| {}).await
}

fn docker() -> Docker {
    Docker::new(SOCKET).unwrap()
}

/// A task of one container, and its end: whatever a test does, no container is left.
struct Job {
    task: TaskSpec,
    container: ContainerSpec,
    name: DockerName,
}

impl Job {
    fn new(script: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let container = ContainerSpec {
            command: ["sh", "-c", script].map(str::to_owned).into(),
            docker_host_config: Some(r#"{"NetworkMode":"none"}"#.into()),
            ..ContainerSpec::new("default", "busybox:latest")
        };
        let task = TaskSpec {
            arn: TaskArn::new(format!("arn:aws:ecs:us-east-1:1:task/test/{}-{count}", std::process::id())),
            family: "unit".into(),
            version: "1".into(),
            containers: vec![container.clone()],
            roles: node_core::Roles::default(),
            memory: None,
        };
        let name = task.docker_name(&container);
        Self { task, container, name }
    }

    async fn create(&self) -> Result<Observation, OpFailure> {
        docker().create(&self.task, &self.container, &self.name, "c").await
    }

    async fn run(&self) -> Observation {
        let made = self.create().await.unwrap();
        docker().start(&self.name, &made.id, false).await.unwrap()
    }

    /// As somebody else would do it, behind the agent's back.
    fn force_remove(&self) {
        let mut command = Command::new("docker");
        command.args(["rm", "-fv", self.name.as_str()]).stdout(Stdio::null()).stderr(Stdio::null());
        drop(command.status());
    }

    async fn exited(&self) -> Observation {
        loop {
            let seen = docker().inspect(&self.name).await.unwrap();
            if matches!(seen.running, Running::Exited(_)) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.force_remove();
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, OpFailure>) -> (&'static str, String) {
    match result {
        Err(OpFailure::Refused { name, text }) => (name, text),
        other => panic!("{other:?}"),
    }
}
