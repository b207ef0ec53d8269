//! What the checks share: the settings, and answers that several of them need and none should ask for twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use node_core::OpFailure;
use tokio::sync::OnceCell;

use super::Outcome;
use super::cloud::Cloud;
use crate::cli::status;
use crate::config::{self, Config, Home};
use crate::docker::{About, Docker, DockerVersion};
use crate::serve::report::StatusReport;

/// Variables that the unit reads; who examines the host by hand has them not.
pub(crate) const ENVIRONMENT_FILE: &str = "/etc/batch-node-agent/environment";
const HOME: &str = "BATCH_NODE_AGENT_COMPUTE_ENVIRONMENT";

/// The settings as far as they can be read.
pub(crate) struct Settings {
    /// What is wrong with them, a mistake each line.
    pub(crate) mistakes: Option<String>,
    /// With a made-up compute environment where none is set. `None` where the rest is wrong as well.
    pub(crate) config: Option<Config>,
    pub(crate) home: Option<Home>,
}

pub(crate) struct Context {
    pub(crate) bake: bool,
    /// Images that an image must hold.
    pub(crate) images: Vec<String>,
    /// Where the file system begins that is looked at: `/`.
    root: PathBuf,
    pub(crate) settings: Settings,
    docker: OnceCell<Result<Daemon, String>>,
    running: OnceCell<Option<StatusReport>>,
    pub(super) cloud: Cloud,
}

/// A daemon that answered.
#[derive(Clone)]
pub(crate) struct Daemon {
    pub(crate) docker: Docker,
    pub(crate) version: DockerVersion,
    pub(crate) about: About,
}

impl Settings {
    /// Reads the file and the environment, and before them the unit's environment file: a variable that is set here wins.
    pub(crate) fn read(file: Option<&Path>) -> Self {
        let unit = std::fs::read_to_string(ENVIRONMENT_FILE).unwrap_or_default();
        let variables: BTreeMap<String, String> = variables(&unit).into_iter().chain(config::environment()).collect();
        match config::load(file, variables.clone().into_iter()) {
            Ok(config) => Self { mistakes: None, home: Some(config.home.clone()), config: Some(config) },
            Err(error) => {
                let made_up = (HOME.to_owned(), "none-is-set".to_owned());
                let config = config::load(file, variables.into_iter().chain([made_up])).ok();
                Self { mistakes: Some(error.to_string()), config, home: None }
            }
        }
    }
}

/// `NAME=value` lines as systemd's EnvironmentFile= has them, as far as people write them: comments, quotes.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), unquoted(value.trim()).to_owned())).collect()
}

fn unquoted(value: &str) -> &str {
    let quoted = |mark: char| value.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

impl Context {
    pub(crate) fn new(settings: Settings, bake: bool, images: Vec<String>) -> Self {
        Self {
            bake,
            images,
            root: "/".into(),
            settings,
            docker: OnceCell::new(),
            running: OnceCell::new(),
            cloud: Cloud::default(),
        }
    }

    /// A path of the file system that is looked at.
    pub(crate) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The text of a file; empty if there is none.
    pub(crate) fn text(&self, absolute: &str) -> String {
        std::fs::read_to_string(self.path(absolute)).unwrap_or_default()
    }

    /// The settings, or why a check that needs them is skipped.
    pub(crate) fn config(&self) -> Result<&Config, Outcome> {
        self.settings.config.as_ref().ok_or_else(|| Outcome::skipped("the configuration cannot be read"))
    }

    /// Docker's answers, asked for once.
    pub(crate) async fn docker(&self) -> Result<&Daemon, &str> {
        self.docker.get_or_init(|| ask(self.settings.config.as_ref())).await.as_ref().map_err(String::as_str)
    }

    /// What the agent that runs here says of itself; `None`: none runs, or it may not be asked.
    pub(crate) async fn running(&self) -> Option<&StatusReport> {
        let ask = async || match &self.settings.config {
            Some(config) => status::fetch(&config.admin_socket).await.ok(),
            None => None,
        };
        self.running.get_or_init(ask).await.as_ref()
    }

    /// Docker's answers, or why a check that needs them is skipped.
    pub(crate) async fn daemon(&self) -> Result<&Daemon, Outcome> {
        self.docker().await.map_err(|_| Outcome::skipped("Docker does not answer: see docker.reachable"))
    }
}

async fn ask(config: Option<&Config>) -> Result<Daemon, String> {
    let socket = config.map_or_else(|| PathBuf::from("/var/run/docker.sock"), |config| config.docker_socket.clone());
    let docker = Docker::new(&format!("unix://{}", socket.display())).map_err(|error| error.to_string())?;
    let docker = match config {
        Some(config) => docker.with_gpu_runtime(&config.nvidia_runtime),
        None => docker,
    };
    let version = docker.version().await.map_err(|failure| text(&failure))?;
    let about = docker.about().await.map_err(|failure| text(&failure))?;
    Ok(Daemon { docker, version, about })
}

/// A failure of Docker's in words.
pub(crate) fn text(failure: &OpFailure) -> String {
    match failure {
        OpFailure::Unreachable(text) | OpFailure::Refused { text, .. } => text.clone(),
        OpFailure::Missing => "there is no such thing".to_owned(),
    }
}

#[cfg(test)]
impl Context {
    /// One that looks at the tree below `root`, with the settings' defaults.
    pub(crate) fn below(root: &Path) -> Self {
        let home = [(HOME.to_owned(), "ce".to_owned())];
        let config = config::load(Some(Path::new("/dev/null")), home.into_iter()).ok();
        let settings = Settings { mistakes: None, config, home: None };
        Self { root: root.to_owned(), ..Self::new(settings, true, Vec::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_environment_is_read_as_systemd_reads_it() {
        let text = "# where this host belongs\nA=one\n ; no\nB=\"two words\"\nC='x=y'\n\nnonsense\n";
        let expected = [("A", "one"), ("B", "two words"), ("C", "x=y")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(variables(text), expected);
    }
}
