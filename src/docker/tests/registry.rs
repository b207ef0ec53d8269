//! Against a real registry with logins (Debian's docker-registry), which `scripts/setup.sh test` installs.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use node_core::{ImagePulled, OpFailure, PullMode, PullNews};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{docker, refusal};
use crate::docker::Wanted;

/// It holds what the two alphabets of base64 write differently.
const PASSWORD: &str = "p~?>p~?>p~?>s3cret";

/// A registry of this test's own, with one login, `me`, and one repository, `app`.
struct Registry {
    process: Child,
    address: String,
    folder: TempDir,
}

impl Registry {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let users = run(Command::new("htpasswd").args(["-Bbn", "me", PASSWORD]));
        std::fs::write(path("users"), users).unwrap();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n\
             auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            path("data"),
            path("users")
        );
        std::fs::write(path("config.yml"), config).unwrap();
        let log = File::create(path("log")).unwrap();
        let mut command = Command::new("docker-registry");
        command.args(["serve", &path("config.yml")]).stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
        let process = command.spawn().expect("docker-registry is missing: run scripts/setup.sh test");
        let registry = Self { process, address, folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < deadline, "{}", registry.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    fn image(&self) -> String {
        format!("{}/app:1", self.address)
    }

    /// Pushes an image that holds `text` as `app:1`, and leaves nothing of it in Docker.
    fn push(&self, text: &str) {
        let content = self.folder.path().join("content");
        std::fs::create_dir_all(&content).unwrap();
        std::fs::write(content.join("text"), text).unwrap();
        let tar = self.folder.path().join("content.tar");
        run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&content).arg("text"));
        let image = self.image();
        run(Command::new("docker").arg("import").arg(&tar).arg(&image));
        let auths = serde_json::json!({"auths": {&self.address: {"auth": encoded(&format!("me:{PASSWORD}"))}}});
        std::fs::write(self.folder.path().join("config.json"), auths.to_string()).unwrap();
        run(Command::new("docker").arg("--config").arg(self.folder.path()).args(["push", "--quiet", &image]));
        self.forget();
    }

    /// Takes the image out of Docker.
    fn forget(&self) {
        let images =
            run(Command::new("docker").args(["images", "--quiet", "--no-trunc", &format!("{}/app", self.address)]));
        for image in String::from_utf8(images).unwrap().lines() {
            drop(Command::new("docker").args(["rmi", "--force", image]).output());
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// How often the registry was asked what `app:1` is.
    fn questions(&self) -> usize {
        self.log().lines().filter(|line| line.contains("\"HEAD /v2/app/manifests/1 ") && line.contains(" 200 ")).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.forget();
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn encoded(text: &str) -> String {
    aws_smithy_types::base64::encode(text)
}

fn me(password: &str) -> Result<Option<DockerCredentials>, OpFailure> {
    let login = DockerCredentials {
        username: Some("me".into()),
        password: Some(password.into()),
        ..DockerCredentials::default()
    };
    Ok(Some(login))
}

async fn pull(
    image: &str,
    mode: PullMode,
    login: Result<Option<DockerCredentials>, OpFailure>,
) -> Result<ImagePulled, OpFailure> {
    let wanted = Wanted { image, mode, by_tag: false, identity: "me".into() };
    docker().pull(wanted, async { login }, |_| {}).await
}

fn text_of(image: &str) -> String {
    let name = format!("ecs-registry-test-{}", std::process::id());
    run(Command::new("docker").args(["create", "--name", &name, image, "/none"]));
    let file = run(Command::new("docker").args(["cp", &format!("{name}:/text"), "-"]));
    run(Command::new("docker").args(["rm", &name]));
    String::from_utf8_lossy(&file).into_owned()
}

#[tokio::test]
async fn a_login_gets_the_image_by_its_digest_and_under_its_name() {
    let registry = Registry::new();
    registry.push("first");
    let told = Arc::<Mutex<Vec<PullNews>>>::default();
    let image = registry.image();
    let wanted = Wanted { image: &image, mode: PullMode::Always, by_tag: false, identity: String::new() };
    let tell = |news| told.lock().unwrap().push(news);
    let first = docker().pull(wanted, async { me(PASSWORD) }, tell).await.unwrap();
    let digest = first.digest.clone().unwrap();
    assert!(digest.starts_with("sha256:") && first.from_registry, "{first:?}");
    assert_eq!(told.lock().unwrap()[0].digest, Some(digest.clone()));
    assert!(text_of(&image).contains("first"));

    // What is held is not asked for, what is wanted fresh is, and a new image takes over the name.
    let asked = registry.questions();
    let held = pull(&image, PullMode::IfMissing, Err(OpFailure::Missing)).await.unwrap();
    assert_eq!(held, ImagePulled { digest: Some(digest.clone()), from_registry: false });
    assert_eq!(registry.questions(), asked);
    registry.push("second");
    let second = pull(&image, PullMode::Always, me(PASSWORD)).await.unwrap();
    assert!(second.digest.is_some() && second.digest != Some(digest));
    assert!(text_of(&image).contains("second"));
    let missing = {
        registry.forget();
        pull(&image, PullMode::IfMissing, me(PASSWORD)).await.unwrap()
    };
    assert_eq!(missing, second);
}

#[tokio::test]
async fn who_may_not_pull_is_told_so_in_the_registrys_words() {
    let registry = Registry::new();
    registry.push("private");
    let image = registry.image();
    let (name, text) = refusal(pull(&image, PullMode::Always, Ok(None)).await);
    assert_eq!(name, "CannotPullImageManifestError");
    assert!(text.contains("no basic auth credentials"), "{text}");
    let (name, text) = refusal(pull(&image, PullMode::Always, me("wr0ng")).await);
    assert_eq!(name, "CannotPullImageManifestError");
    assert!(text.contains("unauthorized") && !text.contains("wr0ng"), "{text}");
    let other = format!("{}/app:2", registry.address);
    let (_, text) = refusal(pull(&other, PullMode::Always, me(PASSWORD)).await);
    assert!(text.contains("manifest unknown"), "{text}");
    // A login that cannot be had is the answer, and nobody is asked.
    let denied = OpFailure::Refused { name: "CannotPullECRContainerError", text: "no".into() };
    assert_eq!(pull(&image, PullMode::Always, Err(denied.clone())).await, Err(denied));
}

#[tokio::test]
async fn many_tasks_that_ask_at_once_cause_one_pull() {
    let registry = Registry::new();
    registry.push("shared");
    let docker = docker();
    let logins = Arc::<AtomicU32>::default();
    let mut asked = JoinSet::new();
    for _ in 0..30 {
        let (docker, image, logins) = (docker.clone(), registry.image(), Arc::clone(&logins));
        asked.spawn(async move {
            let wanted = Wanted { image: &image, mode: PullMode::Always, by_tag: false, identity: "me".into() };
            let login = async {
                logins.fetch_add(1, Ordering::Relaxed);
                me(PASSWORD)
            };
            docker.pull(wanted, login, |_| {}).await.unwrap()
        });
    }
    let pulled = asked.join_all().await;
    assert!(pulled[0].digest.is_some() && pulled.iter().all(|one| *one == pulled[0]), "{pulled:?}");
    // Those who came while the first was under way share one more question, whose answer is here already.
    assert!((1..=2).contains(&logins.load(Ordering::Relaxed)));
    assert!((1..=2).contains(&registry.questions()), "{}", registry.log());
    assert_eq!(docker_pulls(registry.folder.path(), &registry.address), 1);
}

/// How many pulls from this registry Docker's own events tell of.
fn docker_pulls(started: &Path, address: &str) -> usize {
    let since = std::fs::metadata(started.join("users")).unwrap().modified().unwrap();
    let since = since.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let until = (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1).to_string();
    let events = run(Command::new("docker").args(["events", "--since", &since, "--until", &until]).args([
        "--filter",
        "type=image",
        "--filter",
        "event=pull",
    ]));
    String::from_utf8(events).unwrap().lines().filter(|line| line.contains(address)).count()
}
