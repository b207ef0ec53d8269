//! The work of a run: what Batch places on the host, and how its containers behave.

use std::collections::BTreeMap;

use node_core::{
    Condition, ContainerName, ContainerSpec, CredentialsId, Dependency, Issued, LEAD_ENV, PullBehavior, RoleKind,
    Roles, SIGNAL_ENV, TaskArn, TaskSpec,
};

use crate::dice::Dice;

/// Where a secret would stand, were one to reach the core: nothing that is saved or told may hold this.
pub(crate) const SECRET: &str = "secret-";

/// What becomes of an image when it is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    Fine,
    /// The registry fails this many times first.
    Flaky(u32),
    /// It is not there, nor will it be.
    Unknown,
    /// The registry serves the image and not its digest.
    NoDigest,
}

/// How a container's process behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act {
    pub(crate) image: Image,
    /// The host holds the image already.
    pub(crate) cached: bool,
    pub(crate) pull_ms: u64,
    pub(crate) create_fails: bool,
    pub(crate) start_fails: bool,
    /// `None`: it hangs until it is stopped.
    pub(crate) runs_ms: Option<u64>,
    pub(crate) code: i64,
    pub(crate) oom: bool,
    /// What it does about SIGTERM: how long it takes, and its code. `None`: it ignores it.
    pub(crate) on_term: Option<(u64, i64)>,
    /// It asks to be warned of the host's end.
    pub(crate) opted: bool,
    /// What it does about the warning, as for SIGTERM.
    pub(crate) on_warn: Option<(u64, i64)>,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: TaskSpec,
    pub(crate) acts: Vec<Act>,
    pub(crate) credentials: Vec<Issued>,
    /// Its payload cannot be understood.
    pub(crate) unreadable: bool,
}

impl Job {
    pub(crate) fn new(n: usize, dice: &mut Dice, pull: PullBehavior) -> Self {
        let names: &[&str] = if dice.one_in(3) { &["init", "default", "sidecar"] } else { &["default"] };
        let count = if names.len() > 1 { dice.between(2, 3) as usize } else { 1 };
        let containers: Vec<_> =
            names.iter().take(count).enumerate().map(|(i, name)| container(n, name, i, names, dice)).collect();
        let acts = containers.iter().map(|c| act(dice, pull, c.environment.contains_key(SIGNAL_ENV))).collect();
        let spec = TaskSpec {
            arn: TaskArn::new(format!("arn:aws:ecs:us-east-1:1:task/c/{n:04}")),
            family: "job".into(),
            version: "1".into(),
            containers,
            roles: Roles::default(),
            memory: None,
        };
        let kinds = [RoleKind::Task, RoleKind::Execution];
        let credentials = kinds.into_iter().filter(|_| dice.one_in(3)).map(|role| issued(n, role, 0)).collect();
        Self { spec, acts, credentials, unreadable: dice.one_in(40) }
    }
}

/// The credentials of a job's role; a later edition has another expiration.
pub(crate) fn issued(n: usize, role: RoleKind, edition: u64) -> Issued {
    let id = CredentialsId::new(format!("cred-{n:04}-{role:?}"));
    Issued { role, id, expiration: format!("2030-01-01T00:00:00Z {SECRET}{n}-{edition}") }
}

fn container(n: usize, name: &str, i: usize, names: &[&str], dice: &mut Dice) -> ContainerSpec {
    let mut depends_on = Vec::new();
    if i > 0 && dice.coin() {
        let other = names.get(dice.below(i as u64) as usize).copied().unwrap_or("init");
        let condition = dice.pick(&[Condition::Start, Condition::Complete, Condition::Success], Condition::Start);
        depends_on.push(Dependency { container: ContainerName::new(other), condition });
    }
    let mut environment = BTreeMap::from([("AWS_BATCH_JOB_ID".to_owned(), format!("job-{n}"))]);
    if dice.coin() {
        let signal = dice.pick(&["SIGTERM", "SIGUSR1", "default"], "default");
        environment.insert(SIGNAL_ENV.to_owned(), signal.to_owned());
    }
    if dice.coin() {
        environment.insert(LEAD_ENV.to_owned(), dice.skewed(0, 600).to_string());
    }
    let image = format!("image-{}", dice.below(3));
    ContainerSpec {
        essential: name == "default" || dice.one_in(3),
        environment,
        cpu_shares: 128,
        depends_on,
        stop_timeout_secs: dice.one_in(3).then(|| dice.between(1, 90)),
        ..ContainerSpec::new(name, image)
    }
}

fn act(dice: &mut Dice, pull: PullBehavior, opted: bool) -> Act {
    let image = match dice.below(12) {
        0 => Image::Unknown,
        1 => Image::Flaky(dice.between(1, 6) as u32),
        2 => Image::NoDigest,
        _ => Image::Fine,
    };
    let oom = dice.one_in(10);
    Act {
        image,
        cached: dice.one_in(3) || (pull == PullBehavior::PreferCached && dice.coin()),
        pull_ms: dice.skewed(5, 120_000),
        create_fails: dice.one_in(25),
        start_fails: dice.one_in(25),
        runs_ms: (!dice.one_in(10)).then(|| dice.skewed(1, 1_200_000)),
        code: if oom { 137 } else { dice.pick(&[0, 0, 0, 1, 3, 137, 143, 255], 0) },
        oom,
        on_term: (!dice.one_in(4)).then(|| (dice.skewed(1, 100_000), dice.pick(&[143, 0, 1], 143))),
        opted,
        on_warn: (!dice.one_in(3)).then(|| (dice.skewed(1, 150_000), dice.pick(&[0, 1, 143], 0))),
    }
}
