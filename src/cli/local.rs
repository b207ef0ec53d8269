//! `batch-node-agent local`: AWS Batch on this machine.

mod control;
mod fault;
mod interrupt;
mod setting;

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use local_batch::{GroupTemplate, JobStatus, NodeTemplate, Plane, PlaneConfig, PlaneEvent};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

/// The region of everything that the plane makes.
const REGION: &str = "us-east-1";
/// The name of the compute environment and of the queue that a new plane has.
const FIRST: &str = "local";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LocalArgs {
    #[command(subcommand)]
    command: Option<LocalCommand>,
    /// Where the AWS APIs listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8700", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// How many nodes may live at once; 0 launches none
    #[arg(long, default_value_t = 2, value_name = "NUMBER")]
    max_nodes: u32,
    /// How many nodes the Auto Scaling group keeps up, work or not
    #[arg(long, default_value_t = 0, value_name = "NUMBER", conflicts_with = "no_group")]
    min_size: u32,
    /// Launch nodes without an Auto Scaling group
    #[arg(long)]
    no_group: bool,
    /// vCPUs that a node offers [default: this machine's]
    #[arg(long, value_name = "NUMBER", value_parser = vcpus)]
    node_vcpus: Option<f64>,
    /// Memory that a node offers, in MiB [default: this machine's]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(4..))]
    node_memory: Option<u64>,
    /// GPUs that the node offers, of this machine's; with --max-nodes 1, for nodes share them
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    node_gpus: u32,
    /// A node without work terminates itself after so long
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    idle_timeout: String,
    /// A setting of the nodes' agents, spot=drain-with-deadline for one; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting::parse)]
    settings: Vec<setting::Setting>,
    /// Keeps the plane's state, the nodes' files and the jobs' output, for the next start to go on from [default: a temporary
    /// directory, removed at the end]
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Docker's socket, as unix:///path [default: Docker's own]
    #[arg(long, value_name = "URL")]
    docker_host: Option<String>,
    /// When nodes pull images: always, once, prefer-cached or default
    #[arg(long, default_value = "prefer-cached", value_name = "BEHAVIOR")]
    image_pull_behavior: String,
    /// Seconds that the credentials of a job's role live
    #[arg(long, value_name = "SECONDS", hide = true, value_parser = clap::value_parser!(u64).range(2..))]
    credentials_lifetime: Option<u64>,
    /// Append every frame of ACS and TCS to this file, credentials and all
    #[arg(long, value_name = "PATH", hide = true)]
    frames: Option<PathBuf>,
    /// Begin without a compute environment, a queue and a job definition
    #[arg(long)]
    empty: bool,
}

#[derive(Debug, clap::Subcommand)]
enum LocalCommand {
    /// Make a running plane misbehave, to rehearse what AWS and networks may do
    Fault(fault::FaultArgs),
    /// Have EC2 or Auto Scaling interrupt a node of a running plane, to rehearse what jobs and hosts make of it
    Interrupt(interrupt::InterruptArgs),
    /// Have IAM deny an action to the nodes and jobs of a running plane
    Deny(interrupt::DenyArgs),
    /// Have IAM allow again what was denied
    Allow(interrupt::AllowArgs),
}

fn vcpus(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() && n > 0.0 => Ok(n),
        _ => Err("a number greater than 0 is needed".to_owned()),
    }
}

/// Serves until `stop`, then takes every node and container down; or speaks to a plane that runs already.
pub(crate) async fn run(args: LocalArgs, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    match args.command {
        Some(LocalCommand::Fault(fault)) => return fault::run(fault).await,
        Some(LocalCommand::Interrupt(order)) => return interrupt::run(order).await,
        Some(LocalCommand::Deny(order)) => return interrupt::deny(order).await,
        Some(LocalCommand::Allow(order)) => return interrupt::allow(order).await,
        None => {}
    }
    anyhow::ensure!(
        args.node_gpus == 0 || args.max_nodes == 1,
        "--node-gpus needs --max-nodes 1: nodes share this machine's GPUs"
    );
    if let Some(warning) = exposure(args.listen) {
        say(&warning);
    }
    let data = DataDir::make(args.data_dir.as_deref())?;
    let config = PlaneConfig {
        listen: args.listen,
        region: REGION.to_owned(),
        max_nodes: args.max_nodes,
        node: NodeTemplate {
            program: std::env::current_exe().context("cannot find the agent's own program")?,
            idle_timeout: Some(args.idle_timeout),
            vcpus: args.node_vcpus,
            memory_mib: args.node_memory,
            gpus: args.node_gpus,
            image_pull_behavior: Some(args.image_pull_behavior),
            log_format: None,
            env: args.settings.into_iter().map(setting::Setting::variable).collect(),
            group: if args.no_group {
                GroupTemplate::Absent
            } else {
                GroupTemplate::Present { min_size: args.min_size }
            },
        },
        data_dir: data.path.clone(),
        docker_host: args.docker_host,
        credentials_lifetime: args.credentials_lifetime.map(Duration::from_secs),
        frames: args.frames,
    };
    // What is in a temporary directory goes with the process.
    let plane = if data.is_ours { Plane::start(config).await } else { Plane::resume(config).await }?;
    let furnished = if args.empty || plane.is_resumed() { Ok(()) } else { furnish(&plane) };
    let result = match furnished {
        Ok(()) => serve(&plane, &data.path, args.empty, stop).await,
        Err(error) => Err(error.context("cannot make the first compute environment")),
    };
    say("stopping: nodes and containers are taken down");
    plane.shutdown().await;
    result
}

/// The plane takes any credentials and runs what it is given, with any mount: whoever reaches it is root here.
fn exposure(listen: SocketAddr) -> Option<String> {
    let reached = (!listen.ip().is_loopback()).then_some(listen)?;
    Some(format!("WARNING: whoever reaches {reached} over the network can run anything on this machine, as root"))
}

/// A compute environment, a queue and a job definition to begin with.
fn furnish(plane: &Plane) -> anyhow::Result<()> {
    plane.batch("createcomputeenvironment", &json!({"computeEnvironmentName": FIRST, "type": "UNMANAGED"}))?;
    let order = json!([{"order": 1, "computeEnvironment": FIRST}]);
    plane.batch("createjobqueue", &json!({"jobQueueName": FIRST, "priority": 1, "computeEnvironmentOrder": order}))?;
    let container = json!({"image": "busybox", "command": ["echo", "hello from", "Ref::who"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]});
    let definition = json!({"jobDefinitionName": "hello", "type": "container", "parameters": {"who": "AWS Batch"},
        "containerProperties": container});
    plane.batch("registerjobdefinition", &definition)?;
    Ok(())
}

async fn serve(plane: &Plane, data: &Path, empty: bool, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut events = plane.events();
    greet(&plane.endpoint(), data, empty);
    if plane.is_resumed() {
        say("It goes on where it ended.");
    }
    let started = Instant::now();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            event = events.recv() => match event {
                Ok(event) if is_shown(&event) => say(&format!("{:>8.2}s  {event}", started.elapsed().as_secs_f64())),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => say(&format!("({missed} events were too many to show)")),
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// What a person follows: jobs and nodes. Payloads and task states are for the log and the benchmarks.
fn is_shown(event: &PlaneEvent) -> bool {
    match event {
        // PENDING follows at once.
        PlaneEvent::JobState { status, .. } => *status != JobStatus::Submitted,
        other => matches!(
            other,
            PlaneEvent::NodeLaunched { .. }
                | PlaneEvent::NodeProcessExited { .. }
                | PlaneEvent::NodeInterrupted { .. }
                | PlaneEvent::NodeTerminated { .. }
                | PlaneEvent::InstanceRegistered { .. }
        ),
    }
}

fn greet(endpoint: &str, data: &Path, empty: bool) {
    say(&format!("AWS Batch on this machine: {endpoint}"));
    say(&format!("nodes' logs and jobs' output: {}", data.display()));
    say("");
    say("In another terminal, any credentials will do:");
    say(&format!("  export AWS_ENDPOINT_URL={endpoint} AWS_DEFAULT_REGION={REGION}"));
    say("  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local");
    if empty {
        say("  aws batch create-compute-environment --compute-environment-name local --type UNMANAGED");
    } else {
        say(&format!(
            "  aws batch submit-job --job-name first --job-queue {FIRST} --job-definition hello --parameters who=me"
        ));
        say("  aws batch describe-jobs --jobs <jobId>");
        say("  aws logs get-log-events --log-group-name /aws/batch/job --log-stream-name <its logStreamName>");
    }
    say("");
    say("Ctrl-C ends it, its nodes and their containers.");
    say("");
}

/// A line on standard output, whose reader may be gone.
fn say(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// Where the plane keeps its files: given, and then kept, or made here and removed at the end.
struct DataDir {
    path: PathBuf,
    is_ours: bool,
}

impl DataDir {
    fn make(given: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = given {
            return Ok(Self { path: path.to_path_buf(), is_ours: false });
        }
        let name = format!("batch-local-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let path = std::env::temp_dir().join(name);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make {}; set TMPDIR or give --data-dir", path.display()))?;
        Ok(Self { path, is_ours: true })
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the temporary data directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_that_others_can_reach_says_so() {
        assert_eq!(exposure("127.0.0.1:8700".parse().unwrap()), None);
        assert_eq!(exposure("[::1]:8700".parse().unwrap()), None);
        assert!(exposure("0.0.0.0:8700".parse().unwrap()).unwrap().starts_with("WARNING"));
    }
}
