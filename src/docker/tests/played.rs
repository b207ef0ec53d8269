//! What the real daemon here cannot be brought to say.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use node_core::{ImagePulled, OpFailure, PullMode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::{pull, refusal};
use crate::docker::Docker;

const DIGEST: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

/// A daemon that gives each request the status and body that `answer` has for its first line.
struct Played {
    docker: Docker,
    pulls: Arc<AtomicU32>,
    _folder: TempDir,
}

impl Played {
    fn new(answer: fn(&str) -> (u16, String)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let pulls = Arc::<AtomicU32>::default();
        tokio::spawn(serve(UnixListener::bind(&socket).unwrap(), answer, Arc::clone(&pulls)));
        Self { docker: client(&socket), pulls, _folder: folder }
    }
}

fn client(socket: &Path) -> Docker {
    Docker::new(socket.to_str().unwrap()).unwrap()
}

async fn serve(listener: UnixListener, answer: fn(&str) -> (u16, String), pulls: Arc<AtomicU32>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let pulls = Arc::clone(&pulls);
        tokio::spawn(async move {
            let (mut stream, request) = head(stream).await;
            if request.contains("/images/create") {
                pulls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let (status, body) = answer(&request);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
            drop(stream.write_all(answer.as_bytes()).await);
        });
    }
}

async fn head(mut stream: UnixStream) -> (UnixStream, String) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn an_old_docker_is_refused_with_what_to_do() {
    let played = Played::new(|_| (200, r#"{"Version":"19.03.1","ApiVersion":"1.40"}"#.into()));
    let (name, text) = refusal(played.docker.version().await);
    assert_eq!(name, "CannotGetDockerClientVersionError");
    assert!(text.starts_with("Docker 19.03.1 speaks Engine API 1.40"), "{text}");
}

#[tokio::test]
async fn a_docker_without_the_runtime_of_gpus_says_what_to_install() {
    let played = Played::new(|_| {
        (200, r#"{"Runtimes":{"runc":{"path":"runc"},"nvidia":{"path":"nvidia-container-runtime"}}}"#.into())
    });
    assert_eq!(played.docker.lacks_gpu_runtime().await, None);
    let other = played.docker.clone().with_gpu_runtime("mine");
    let text = other.lacks_gpu_runtime().await.unwrap();
    assert!(text.contains("no runtime \"mine\"") && text.contains("Container Toolkit"), "{text}");
}

#[tokio::test]
async fn a_pull_that_fails_midway_says_so_in_its_stream() {
    let played = Played::new(|_| {
        let message = "pull access denied for a: denied: requested access to the resource is denied";
        (
            200,
            format!(
                "{{\"status\":\"Pulling\"}}\r\n{{\"errorDetail\":{{\"message\":\"{message}\"}},\"error\":\"{message}\"}}\r\n"
            ),
        )
    });
    let (name, text) = refusal(pull(&played.docker, "a", PullMode::Always).await);
    assert_eq!(name, "CannotPullContainerError");
    assert!(text.contains("Check whether the image exists. pull access denied for a"), "{text}");
}

#[tokio::test]
async fn many_who_ask_for_an_image_share_two_pulls() {
    let played = Played::new(|request| match request.contains("/images/create") {
        true => (200, "{\"status\":\"Pull complete\"}\r\n".into()),
        false => (200, format!(r#"{{"Id":"sha256:01","RepoDigests":["h:5000/a@{DIGEST}"]}}"#)),
    });
    let mut asked = JoinSet::new();
    for _ in 0..100 {
        let docker = played.docker.clone();
        asked.spawn(async move { pull(&docker, "h:5000/a:1", PullMode::Always).await });
    }
    let pulled = Ok(ImagePulled { digest: Some(DIGEST.into()), from_registry: true });
    assert!(asked.join_all().await.iter().all(|outcome| *outcome == pulled));
    let pulls = played.pulls.load(Ordering::Relaxed);
    assert!((1..=2).contains(&pulls), "{pulls} pulls");
}

#[tokio::test]
async fn an_answer_cut_short_is_a_daemon_that_went_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, _) = head(stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    });
    let failure = client(&socket).version().await.unwrap_err();
    assert!(matches!(failure, OpFailure::Unreachable(_)), "{failure:?}");
}
