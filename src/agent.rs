//! The agent's loop: gather events, hand them to the core, make what it wants saved durable, carry out its commands.
//!
//! The loop owns the core and decides nothing; it never waits for the outside world except for the disk. In each turn, by
//! priority: 1 the order to stop, 2 the order to read the configuration again, 3 an operator's question, 4 events (at most
//! [`BUDGET`] of them), 5 the core's timer. Then one commit makes the whole turn durable, and only after it the turn's
//! commands go out.

mod carry;
mod endpoint;
mod environment;
mod identify;
mod images;
mod leaving;
mod notice;
mod orders;
mod pull;
mod registration;
mod reload;
mod roles;
mod status;
mod telemetry;
mod tell;
mod warm_pool;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use node_core::{Command, Deadline, EndpointKey, Event, Node, Policy, Save, Timestamp};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::Overrides;
use crate::config::{Config, Settings};
use crate::docker::Docker;
use crate::docker::registry::Registries;
use crate::exit::ExitStatus;
use crate::guard::{Duties, Guard, other_agent};
use crate::host::gpu::GpuFinder;
use crate::serve::admin::{Admin, AdminError, AdminRequest};
use crate::serve::credentials::CredentialStore;
use crate::serve::endpoint::Reach;
use crate::serve::task::Place;
use crate::store::{self, Store, StoreError};
use crate::systemd::Systemd;
use identify::Cloud;
pub(crate) use registration::offer;

/// Events taken in one turn: enough that a burst shares a commit, few enough that an operator's question is not kept waiting.
const BUDGET: usize = 256;
/// Events under way to the loop. A producer that finds it full waits; none of them holds anything the loop waits for.
const EVENTS_MAX: usize = 1_024;
/// Questions under way to the loop: people ask them.
const QUESTIONS_MAX: usize = 8;
/// How long to wait before a failed commit is tried again: a full disk does not empty faster.
const COMMIT_RETRY: Duration = Duration::from_secs(2);
/// What is under way at a stop gets this long to end by itself; a stop must take less than two seconds in all.
const STOP_GRACE: Duration = Duration::from_millis(300);

/// So long a stop waits for those who are being told of the last steps.
const STOP_TELLS: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Docker(#[from] crate::docker::DockerError),
    #[error("{0}")]
    InTheWay(String),
}

/// Wall-clock time that never runs backwards within a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall: Timestamp,
    since: Instant,
}

impl Clock {
    fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: Timestamp(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)), since: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        self.wall.after(self.since.elapsed())
    }
}

/// What the agent begins with.
pub(crate) struct Beginning {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) overrides: Overrides,
    pub(crate) stop: CancellationToken,
    /// The order to read the configuration again.
    pub(crate) reload: Arc<Notify>,
}

pub(crate) struct Agent {
    config: Arc<Config>,
    settings: Settings,
    overrides: Overrides,
    /// For what goes on beside the loop.
    newest: watch::Sender<Arc<Config>>,
    /// Why the configuration as it is written now is not in force.
    unread: Option<String>,
    systemd: Systemd,
    node: Node,
    clock: Clock,
    store: Arc<Store>,
    docker: Docker,
    /// `None` until the host knows who it is.
    cloud: Option<Arc<Cloud>>,
    /// Where frames for the present ACS session go.
    acs: Option<mpsc::Sender<ecs_wire::FromAgent>>,
    /// Ends that session.
    hang_up: CancellationToken,
    credentials: CredentialStore,
    /// How containers reach the task endpoint.
    reach: Reach,
    endpoint_key: EndpointKey,
    place: watch::Sender<Place>,
    registries: Arc<Registries>,
    gpus: Arc<GpuFinder>,
    /// Keeps jobs from the instance metadata service.
    guard: Guard,
    telemetry: telemetry::Telemetry,
    events: mpsc::Sender<Event>,
    /// For questions that take another turn.
    questions: mpsc::Sender<AdminRequest>,
    work: TaskTracker,
    stop: CancellationToken,
    exit: Option<ExitStatus>,
    /// What was ordered in this turn, and who waits to hear that it is durable.
    ordered: Vec<orders::Answered>,
    /// Who is told of each step of leaving.
    listeners: tell::Listeners,
    /// When the host will be gone, for the jobs that ask.
    deadline: Option<Deadline>,
}

/// Runs the agent until it is stopped or has no reason to go on.
pub(crate) async fn run(beginning: Beginning) -> Result<ExitStatus, AgentError> {
    let Beginning { config, settings, overrides, stop, reload } = beginning;
    let config = Arc::new(config);
    let admin = Admin::bind(&config.admin_socket)?;
    if let Some(why) = other_agent::in_the_way(config.task_endpoint).await {
        return Err(AgentError::InTheWay(why));
    }
    let store = Store::open(&config.data_dir)?;
    let saved = store.load()?;
    let docker = Docker::new(&format!("unix://{}", config.docker_socket.display()))?
        .with_limits(config.image_limits, config.container_limits)
        .with_gpu_runtime(&config.nvidia_runtime)
        .with_pids_limit(config.container_pids_limit);
    let credentials = CredentialStore::default();
    let clock = Clock::start();
    let seed = uuid::Uuid::new_v4().as_u64_pair().0;
    let (events, inbox) = mpsc::channel(EVENTS_MAX);
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    let mut node = Node::restore(policy(&config), saved, seed, clock.now());
    node = node.spreading_removals(config.task_cleanup_jitter);
    if let Some(policy) = images::policy(&config) {
        node = node.cleaning_images(policy);
    }
    let mut agent = Agent {
        node,
        clock,
        store: Arc::new(store),
        docker,
        cloud: None,
        acs: None,
        hang_up: stop.child_token(),
        registries: Arc::new(Registries::new(config.registries.clone(), credentials.clone())),
        guard: Guard::new(config.block_imds),
        gpus: Arc::new(GpuFinder::new(config.gpus.clone(), config.gpu_wait)),
        credentials,
        reach: Reach::Nowhere,
        endpoint_key: store::endpoint_key(&config.data_dir)?,
        place: watch::Sender::default(),
        telemetry: telemetry::Telemetry::idle(),
        events,
        questions: questions.clone(),
        work: TaskTracker::new(),
        stop: stop.clone(),
        exit: None,
        ordered: Vec::new(),
        listeners: tell::Listeners::start(&config),
        deadline: None,
        newest: watch::Sender::new(Arc::clone(&config)),
        config,
        settings,
        overrides,
        unread: None,
        systemd: Systemd::new(),
    };
    agent.expect_credentials();
    // What a former process wrote down: the core says it again where it still holds.
    leaving::forget_deadline(&agent.config);
    let (mut endpoint, claim) = agent.open_endpoint(questions.clone()).await;
    let serving = tokio::spawn(admin.serve(questions, stop.clone()));
    let watching = tokio::spawn(crate::docker::watch(agent.docker.clone(), agent.events.clone(), stop.clone()));
    let duties = Duties { docker: agent.docker.clone(), data_dir: agent.config.data_dir.clone(), stop: stop.clone() };
    agent.work.spawn(agent.guard.clone().watch(duties));
    let exit = agent.turn(inbox, asked, &reload).await;
    agent.systemd.stopping();
    stop.cancel();
    agent.work.close();
    endpoint::close(claim, &agent.node).await;
    let rest = async {
        while endpoint.join_next().await.is_some() {}
        agent.work.wait().await;
        let _ = tokio::join!(serving, watching);
    };
    // Whatever does not end in time is dropped: every step that mattered is on disk.
    let _ = tokio::join!(tokio::time::timeout(STOP_GRACE, rest), agent.listeners.settled(STOP_TELLS));
    Ok(exit)
}

fn policy(config: &Config) -> Policy {
    Policy {
        pull_behavior: config.image_pull_behavior,
        idle_timeout: config.idle_timeout,
        cleanup_wait: config.task_cleanup_wait,
        stop_timeout_secs: config.container_stop_timeout.as_secs(),
        docker_concurrency: config.docker_concurrency,
        leaving: config.leaving,
    }
}

impl Agent {
    /// The loop. Ends with the exit status once it is told to stop, or the core says so.
    async fn turn(
        &mut self,
        mut inbox: mpsc::Receiver<Event>,
        mut asked: mpsc::Receiver<AdminRequest>,
        reload: &Notify,
    ) -> ExitStatus {
        let mut batch = Vec::with_capacity(BUDGET);
        let stop = self.stop.clone();
        let (identified, mut identity) = mpsc::channel(1);
        let known = self.node.record().map(|r| identify::Known {
            instance: r.instance.clone(),
            cluster: r.cluster.clone(),
            registered: r.container_instance.is_some(),
        });
        let config = Arc::clone(&self.config);
        self.work.spawn(identify::run(config, known, identified, self.events.clone(), stop.clone()));
        loop {
            let due = self.due_in().min(self.systemd.due_in());
            tokio::select! {
                biased;
                () = stop.cancelled() => return ExitStatus::Clean,
                () = reload.notified() => self.reload(),
                Some(question) = asked.recv() => self.answer(question),
                Some(cloud) = identity.recv() => self.identified(cloud),
                _ = inbox.recv_many(&mut batch, BUDGET) => {}
                () = tokio::time::sleep(due) => {}
            }
            let now = self.clock.now();
            let knows_docker = batch.iter().any(|event| matches!(event, Event::DockerUp(_) | Event::DockerDown(_)));
            for event in batch.drain(..) {
                // A Docker that starts writes rules of its own.
                if matches!(event, Event::DockerUp(_)) {
                    self.guard.look_again();
                }
                self.node.handle(event, now);
            }
            self.node.handle_timeout(now);
            self.note_place();
            self.flush().await;
            if let Some(exit) = self.exit {
                return exit;
            }
            self.tell_systemd(knows_docker);
        }
    }

    /// It is ready when its record is open, the operator can ask, and Docker has been asked, whatever it said, or says nothing:
    /// that AWS or Docker is slow is no failure of this process.
    fn tell_systemd(&mut self, knows_docker: bool) {
        if knows_docker || self.systemd.is_late() {
            self.systemd.ready();
        }
        if self.systemd.turned() {
            let text = self.in_short();
            self.systemd.status(text);
        }
    }

    /// How long the core has nothing to do by the clock alone.
    fn due_in(&self) -> Duration {
        const FOREVER: Duration = Duration::from_secs(3600);
        self.node.poll_timeout().map_or(FOREVER, |at| at.since(self.clock.now()))
    }

    /// Makes the turn durable, then carries out what follows from it.
    async fn flush(&mut self) {
        let saves = self.node.take_saves();
        if !saves.is_empty() {
            if !self.commit(Arc::from(saves)).await {
                return;
            }
            self.tell_telemetry();
        }
        self.orders_are_durable();
        while let Some(command) = self.node.next_command() {
            if let Command::Exit { code, reason } = command {
                tracing::error!("{reason}");
                self.exit = Some(match code {
                    0 => ExitStatus::Clean,
                    5 => ExitStatus::Terminal,
                    _ => ExitStatus::Failed,
                });
                return;
            }
            self.carry_out(command);
        }
    }

    /// Tries until it is done, for without it nothing may be acknowledged or reported. `false`: stopped meanwhile.
    async fn commit(&mut self, saves: Arc<[Save]>) -> bool {
        loop {
            // A restart does not mend a disk.
            self.systemd.alive();
            let (store, batch) = (Arc::clone(&self.store), Arc::clone(&saves));
            match tokio::task::spawn_blocking(move || store.commit(&batch)).await {
                Ok(Ok(())) => return true,
                Ok(Err(error)) => {
                    let error = anyhow::Error::new(error);
                    tracing::error!(
                        "{error:#}; nothing is acknowledged or reported until it works, next try in {COMMIT_RETRY:?}"
                    );
                }
                Err(error) => tracing::error!(%error, "the commit was lost; trying again"),
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(COMMIT_RETRY) => {}
            }
        }
    }

    fn identified(&mut self, cloud: Cloud) {
        let now = self.clock.now();
        let event = Event::Identified { instance: cloud.instance.clone(), cluster: cloud.cluster.clone() };
        let cloud = Arc::new(cloud);
        self.locate(Arc::clone(&cloud));
        self.watch_host(Arc::clone(&cloud));
        if let Some((id, at)) = crate::host::boot() {
            self.node.handle(Event::HostBooted { id, at }, now);
        }
        self.cloud = Some(cloud);
        self.node.handle(event, now);
    }
}
