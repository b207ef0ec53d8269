//! `batch-node-agent run`: the agent of this host.

use rustix::process::{Resource, Rlimit, setrlimit};
use tracing::{error, info, warn};

use super::{Overrides, RunArgs};
use crate::agent::{self, AgentError, Beginning};
use crate::config::{self, Config, Settings};
use crate::docker::DockerError;
use crate::exit::ExitStatus;
use crate::host::signals;
use crate::logging;
use crate::serve::admin::AdminError;
use crate::store::StoreError;

/// Worker threads: the loop, and whatever awaits the world beside it. More would only cost memory.
const WORKERS: usize = 2;
/// Threads for commits and file reads; they end when idle.
const BLOCKING_MAX: usize = 4;

pub(crate) fn run(args: RunArgs, overrides: Overrides) -> ExitStatus {
    let (mut config, settings) = match config::begin(args.config.as_deref(), config::environment()) {
        Ok(begun) => begun,
        Err(error) => {
            eprintln!("batch-node-agent: {error}");
            return ExitStatus::Terminal;
        }
    };
    overrides.clone().apply(&mut config);
    logging::init(config.log_format, &config.log_level);
    config.remarks.iter().for_each(|remark| warn!("{remark}"));
    match start(config, settings, overrides) {
        Ok(status) => status,
        Err(error) => {
            error!("{error:#}");
            verdict(&error)
        }
    }
}

fn start(config: Config, settings: Settings, overrides: Overrides) -> anyhow::Result<ExitStatus> {
    // Chosen by name: rustls guesses its provider only while exactly one is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    no_core_dumps();
    let (stop, reload) = signals::of_service()?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %config.data_dir.display(),
        "batch-node-agent starts"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MAX)
        .enable_all()
        .build()?;
    let status = runtime.block_on(agent::run(Beginning { config, settings, overrides, stop, reload }))?;
    // A name lookup or a commit that hangs must not hold up the exit: nothing is lost by leaving it.
    runtime.shutdown_background();
    info!("batch-node-agent stops; containers that run keep running");
    Ok(status)
}

/// The credentials of jobs are in memory, and a core dump would put them on disk. systemd-coredump minds the limit as well.
fn no_core_dumps() {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, nothing) {
        warn!(%error, "a crash may leave a core dump with credentials in it");
    }
}

/// Whether a restart could mend it.
fn verdict(error: &anyhow::Error) -> ExitStatus {
    match error.downcast_ref::<AgentError>() {
        Some(AgentError::Store(StoreError::Newer { .. } | StoreError::Unreadable { .. })) => ExitStatus::Terminal,
        Some(AgentError::Docker(DockerError::UnsupportedHost(_))) => ExitStatus::Terminal,
        Some(AgentError::Admin(AdminError::NotASocket(_))) => ExitStatus::Terminal,
        _ => ExitStatus::Failed,
    }
}
