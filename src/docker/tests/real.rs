//! One container at a time.

use node_core::{ExitCode, Mebibytes, OpFailure, PortMapping, Protocol, PullMode, Running, TaskArn};
use tokio::task::JoinSet;

use super::{Job, docker, pull, refusal};
use crate::docker::Docker;

#[tokio::test]
async fn a_container_from_creation_to_removal() {
    let (docker, job) = (docker(), Job::new("exec sleep 60"));
    let made = job.create().await.unwrap();
    assert_eq!((made.running, made.started_at), (Running::Created, None));
    assert_eq!(job.create().await.unwrap(), made, "it is adopted, not made again");

    let started = docker.start(&job.name, &made.id, false).await.unwrap();
    assert_eq!(started.running, Running::Running);
    let seen = docker.start(&job.name, &made.id, true).await.unwrap();
    assert_eq!((seen.running, seen.finished_at), (Running::Running, None));
    let apart = started.started_at.unwrap().0.abs_diff(seen.started_at.unwrap().0);
    assert!(apart < 5000, "{apart} ms");
    assert_eq!(job.create().await.unwrap().running, Running::Running);
    assert_eq!(refusal(docker.remove(&job.name).await).0, "CannotRemoveContainerError");

    let stopped = docker.stop(&made.id, 0).await.unwrap();
    assert_eq!(stopped.running, Running::Exited(Some(ExitCode(137))));
    assert!(stopped.finished_at >= seen.started_at);
    assert_eq!(docker.stop(&made.id, 0).await.unwrap(), stopped);

    docker.remove(&job.name).await.unwrap();
    docker.remove(&job.name).await.unwrap();
    assert_eq!(docker.inspect(&job.name).await, Err(OpFailure::Missing));
    assert_eq!(docker.start(&job.name, &made.id, false).await, Err(OpFailure::Missing));
    assert_eq!(docker.stop(&made.id, 0).await, Err(OpFailure::Missing));
}

#[tokio::test]
async fn a_name_that_another_task_holds_is_refused() {
    let job = Job::new("true");
    job.create().await.unwrap();
    let mut other = job.task.clone();
    other.arn = TaskArn::new("arn:aws:ecs:us-east-1:1:task/test/other");
    let (name, text) = refusal(docker().create(&other, &job.container, &job.name, "c").await);
    assert_eq!(name, "CannotCreateContainerError");
    assert!(text.starts_with("Error response from daemon: Conflict."), "{text}");
}

#[tokio::test]
async fn a_missing_image_and_a_missing_program_are_told_in_dockers_words() {
    let mut job = Job::new("true");
    job.container.image = "no-such-image:1".into();
    let (name, text) = refusal(job.create().await);
    assert_eq!(name, "CannotCreateContainerError");
    assert_eq!(text, "Error response from daemon: No such image: no-such-image:1");

    let mut job = Job::new("true");
    job.container.command = vec!["/no/such/program".into()];
    let made = job.create().await.unwrap();
    let (name, text) = refusal(docker().start(&job.name, &made.id, false).await);
    assert_eq!(name, "CannotStartContainerError");
    assert!(text.starts_with("Error response from daemon: ") && text.contains("no such file"), "{text}");
    let left = docker().inspect(&job.name).await.unwrap();
    assert_eq!(left.running, Running::Exited(None));
    assert!(!left.error.is_empty());
}

#[tokio::test]
async fn an_exit_code_and_an_oom_kill_are_told_apart() {
    let failing = Job::new("exit 7");
    failing.run().await;
    let seen = failing.exited().await;
    assert_eq!((seen.running, seen.oom_killed), (Running::Exited(Some(ExitCode(7))), false));

    let mut greedy = Job::new("tail /dev/zero");
    greedy.container.memory = Some(Mebibytes(8));
    greedy.run().await;
    let seen = greedy.exited().await;
    assert_eq!((seen.running, seen.oom_killed), (Running::Exited(Some(ExitCode(137))), true));
}

#[tokio::test]
async fn a_port_that_docker_chose_is_told_after_the_start() {
    let mut job = Job::new("exec sleep 60");
    job.container.docker_host_config = None;
    job.container.ports = vec![PortMapping { container: 80, host: 0, protocol: Protocol::Tcp }];
    let made = job.create().await.unwrap();
    let seen = docker().start(&job.name, &made.id, true).await.unwrap();
    let [binding] = &*seen.bindings else { panic!("{:?}", seen.bindings) };
    assert_eq!((binding.container, binding.bind_ip.as_str()), (80, "0.0.0.0"));
    assert!(binding.host > 0);
}

#[tokio::test]
async fn a_held_image_is_not_pulled_and_a_missing_one_is() {
    let held = pull(&docker(), "busybox", PullMode::IfMissing).await.unwrap();
    assert_eq!((held.digest, held.from_registry), (None, false));

    // Nothing listens on port 1; Docker says so, once for all who ask.
    let docker = docker();
    let mut asked = JoinSet::new();
    for _ in 0..20 {
        let docker = docker.clone();
        asked.spawn(async move { pull(&docker, "127.0.0.1:1/none:1", PullMode::Always).await });
    }
    for outcome in asked.join_all().await {
        let (name, text) = refusal(outcome);
        assert_eq!(name, "CannotPullContainerError");
        assert!(text.contains("connection refused"), "{text}");
    }
}

#[tokio::test]
async fn the_version_is_told_and_a_daemon_that_is_not_there_is_unreachable() {
    let version = docker().version().await.unwrap();
    assert!(!version.engine.is_empty() && version.api.starts_with("1."), "{version:?}");

    let job = Job::new("true");
    let nowhere = Docker::new("unix:///nowhere/docker.sock").unwrap();
    let failures = [
        nowhere.version().await.unwrap_err(),
        nowhere.inspect(&job.name).await.unwrap_err(),
        pull(&nowhere, "busybox", PullMode::Always).await.unwrap_err(),
        nowhere.create(&job.task, &job.container, &job.name, "c").await.unwrap_err(),
        nowhere.list().await.unwrap_err(),
    ];
    for failure in failures {
        let OpFailure::Unreachable(text) = failure else { panic!("{failure:?}") };
        assert_eq!(text, "cannot reach Docker at unix:///nowhere/docker.sock: No such file or directory (os error 2)");
    }
}
