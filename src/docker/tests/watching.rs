//! The event stream.

use std::collections::BTreeSet;
use std::time::Duration;

use node_core::{DockerName, Event, ExitCode, Observation, Running};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Job, SOCKET, docker};
use crate::docker::{Docker, watch};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what `find` finds; events about other tests' containers pass by.
async fn wait_for<T>(events: &mut mpsc::Receiver<Event>, find: impl Fn(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = find(events.recv().await.unwrap()) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

fn seen_of(name: &DockerName) -> impl Fn(Event) -> Option<Observation> {
    let name = name.clone();
    move |event| match event {
        Event::Observed(other, seen) if other == name => Some(seen),
        _ => None,
    }
}

fn up(event: Event) -> Option<Vec<(DockerName, Observation)>> {
    match event {
        Event::DockerUp(containers) => Some(containers),
        _ => None,
    }
}

#[tokio::test]
async fn a_watch_tells_of_what_is_there_and_of_every_end() {
    let before = Job::new("exec sleep 60");
    before.run().await;
    let docker = docker();
    let (sender, mut events) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let watching = tokio::spawn(watch(docker.clone(), sender, stop.clone()));
    let listed = wait_for(&mut events, up).await;
    let found = listed.into_iter().find(|(name, _)| *name == before.name).unwrap();
    assert_eq!(found.1.running, Running::Running);

    let job = Job::new("exit 3");
    let made = docker.create(&job.task, &job.container, &job.name, "c").await.unwrap();
    docker.start(&job.name, &made.id, false).await.unwrap();
    let seen = wait_for(&mut events, seen_of(&job.name)).await;
    assert_eq!(seen.running, Running::Exited(Some(ExitCode(3))), "its own start is no news");

    before.force_remove();
    let seen = wait_for(&mut events, seen_of(&before.name)).await;
    assert_eq!(seen.running, Running::Exited(Some(ExitCode(137))));

    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn many_ends_at_once_are_all_told_through_the_narrowest_channel() {
    let (sender, mut events) = mpsc::channel(1);
    let docker = docker();
    let watching = tokio::spawn(watch(docker.clone(), sender, CancellationToken::new()));
    wait_for(&mut events, up).await;
    let jobs: Vec<Job> = (0..20).map(|_| Job::new("exit 5")).collect();
    for job in &jobs {
        job.run().await;
    }
    let mut missing: BTreeSet<DockerName> = jobs.iter().map(|job| job.name.clone()).collect();
    while !missing.is_empty() {
        let name = wait_for(&mut events, |event| match event {
            Event::Observed(name, Observation { running: Running::Exited(Some(ExitCode(5))), .. }) => Some(name),
            _ => None,
        })
        .await;
        missing.remove(&name);
    }
    watching.abort();
}

/// A way to the real daemon that can be cut.
async fn relay(socket: std::path::PathBuf) {
    drop(std::fs::remove_file(&socket));
    let listener = UnixListener::bind(socket).unwrap();
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        connections.spawn(async move {
            let mut far = UnixStream::connect(SOCKET).await.unwrap();
            drop(copy_bidirectional(&mut near, &mut far).await);
        });
    }
}

#[tokio::test]
async fn a_daemon_that_goes_away_is_told_once_and_its_return_with_what_happened_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let docker = Docker::new(socket.to_str().unwrap()).unwrap();
    let (sender, mut events) = mpsc::channel(64);
    let watching = tokio::spawn(watch(docker, sender, CancellationToken::new()));
    let down = |event| matches!(event, Event::DockerDown(_)).then_some(());
    wait_for(&mut events, down).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(events.try_recv().is_err(), "it is told once");

    let way = tokio::spawn(relay(socket.clone()));
    wait_for(&mut events, up).await;
    let job = Job::new("exec sleep 60");
    let started = job.run().await;
    let seen = wait_for(&mut events, seen_of(&job.name)).await;
    assert_eq!(seen.running, Running::Running, "somebody else's start is news");

    way.abort();
    wait_for(&mut events, down).await;
    super::docker().stop(&started.id, 0).await.unwrap();
    let _way = tokio::spawn(relay(socket));
    let listed = wait_for(&mut events, up).await;
    let found = listed.into_iter().find(|(name, _)| *name == job.name).unwrap();
    assert_eq!(found.1.running, Running::Exited(Some(ExitCode(137))));
    watching.abort();
}
