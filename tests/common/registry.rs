//! A registry of a test's own: Debian's docker-registry on the loopback, with or without a login, up or down, and images whose
//! jobs end with the code that they hold.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::docker::docker;
use super::process::Process;
use super::proxy::unused_address;
use super::{docker as images, eventually};

pub(crate) const USER: &str = "me";
/// It holds what the two alphabets of base64 write differently.
pub(crate) const PASSWORD: &str = "p~?>p~?>p~?>s3cret";
/// Ends with the code in the image.
pub(crate) const SCRIPT: &str = "exit $(cat /code)";

pub(crate) struct Registry {
    process: Option<Process>,
    port: u16,
    dir: TempDir,
}

impl Registry {
    pub(crate) fn open() -> Self {
        Self::start("")
    }

    /// With one login, [`USER`] and [`PASSWORD`].
    pub(crate) fn with_login() -> Self {
        let users = Command::new("htpasswd").args(["-Bbn", USER, PASSWORD]).output();
        let users = users.expect("htpasswd is missing: run scripts/setup.sh test").stdout;
        Self::start(&String::from_utf8(users).unwrap())
    }

    fn start(users: &str) -> Self {
        images::need_busybox();
        let mut registry = Self { process: None, port: unused_address().port(), dir: tempfile::tempdir().unwrap() };
        let path = |name: &str| registry.file(name).display().to_string();
        let auth = match users {
            "" => String::new(),
            _ => format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path("users")),
        };
        std::fs::write(path("users"), users).unwrap();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{}'}}\n{auth}",
            path("data"),
            registry.host()
        );
        std::fs::write(path("config.yml"), config).unwrap();
        registry.up();
        registry
    }

    pub(crate) fn up(&mut self) {
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.file("config.yml"));
        self.process = Some(Process::spawn(command, &self.file("log")));
        let host = self.host();
        eventually("the registry's port", || TcpStream::connect(&host).ok());
    }

    pub(crate) fn down(&mut self) {
        self.process = None;
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// Puts an image of this name, such as `app:1`, into the registry alone: whatever Docker holds under the name stays as
    /// it is, because it is pushed by another name of the host.
    pub(crate) fn push(&self, name: &str, code: u8) {
        let pushed = format!("localhost:{}/{name}", self.port);
        let made = format!("registry-test-{}-{code}", self.port);
        std::fs::write(self.file("code"), code.to_string()).unwrap();
        docker(&["create", "--name", &made, "busybox"]);
        docker(&["cp", self.file("code").to_str().unwrap(), &format!("{made}:/code")]);
        docker(&["commit", &made, &pushed]);
        docker(&["rm", &made]);
        let login = base64(&format!("{USER}:{PASSWORD}"));
        let auths = serde_json::json!({"auths": {format!("localhost:{}", self.port): {"auth": login}}});
        std::fs::write(self.file("config.json"), auths.to_string()).unwrap();
        docker(&["--config", self.dir.path().to_str().unwrap(), "push", "--quiet", &pushed]);
        docker(&["rmi", &pushed]);
    }

    /// Whether Docker holds an image of this name.
    pub(crate) fn is_held(&self, name: &str) -> bool {
        let mut command = Command::new("docker");
        command.args(["image", "inspect", &self.image(name)]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    }

    /// How many pulls from it Docker's own events tell of.
    pub(crate) fn pulls(&self) -> usize {
        let second = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let since = second(std::fs::metadata(self.file("users")).unwrap().modified().unwrap()).to_string();
        let until = (second(SystemTime::now()) + 1).to_string();
        let filters = ["--filter", "type=image", "--filter", "event=pull"];
        let events = docker(&[&["events", "--since", &since, "--until", &until], &filters[..]].concat());
        events.lines().filter(|line| line.contains(&self.host())).count()
    }

    /// How many lines of its log have all these parts: each request that it answered is one.
    pub(crate) fn requests(&self, parts: &[&str]) -> usize {
        let log = std::fs::read_to_string(self.file("log")).unwrap();
        // One form of two; the other is the log of events.
        let answered = log.lines().filter(|line| line.contains(" HTTP/1.1\" "));
        answered.filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}

/// Takes its images out of Docker.
impl Drop for Registry {
    fn drop(&mut self) {
        for host in ["127.0.0.1", "localhost"] {
            let names = format!("reference={host}:{}/*", self.port);
            let listing = docker(&["images", "--quiet", "--no-trunc", "--filter", &names]);
            for image in listing.lines() {
                // A container that another part of the test has yet to remove may hold it.
                drop(Command::new("docker").args(["rmi", "--force", image]).output());
            }
        }
    }
}

pub(crate) fn base64(text: &str) -> String {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), text).unwrap();
    let output = Command::new("base64").arg("--wrap=0").stdin(File::open(path.path()).unwrap()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
