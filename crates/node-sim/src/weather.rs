//! What kind of world a seed lives in: which faults there are, and how often. Each seed has some of them and not others, so that
//! rare ones meet in many combinations.

use std::time::Duration;

use node_core::{AtMinSize, LeavingPolicy, Policy, PullBehavior, Reaction, Refused, Retries, Signal};

use crate::dice::Dice;
use crate::ec2::{Ec2, Group};
use crate::queue::{Gone, Happening, Queue};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) policy: Policy,
    /// Faults end here, and the run must come to its end.
    pub(crate) calm_at: u64,
    /// The longest usual answer time, in milliseconds.
    pub(crate) latency: u64,
    /// Per mille of calls to AWS that go wrong.
    pub(crate) api_trouble: u64,
    /// Per mille of reports that ECS refuses for good.
    pub(crate) refusals: u64,
    /// Per mille of Docker's answers that are lost though the work is done.
    pub(crate) docker_trouble: u64,
    pub(crate) events_lost: u64,
    pub(crate) events_doubled: u64,
    /// Crashes of the agent per 10,000 boundaries between saves and commands.
    pub(crate) crash: u64,
    pub(crate) disk_full: u64,
    /// The longest an ACS session lasts, in milliseconds.
    pub(crate) session_life: u64,
    /// Containers go on while the daemon restarts.
    pub(crate) live_restore: bool,
    /// How long the host may take to find out who it is.
    pub(crate) identify: u64,
    /// How far the host's clock may jump between two lives of the agent, in milliseconds.
    pub(crate) clock_steps: u64,
    pub(crate) jobs: u64,
    /// Per mille of moments that draw work: just before ECS hears that the host drains.
    pub(crate) late_work: u64,
    /// Until then a job seems to wait for this host, and never comes.
    pub(crate) phantom_until: u64,
    pub(crate) ec2: Ec2,
}

impl Weather {
    pub(crate) fn new(dice: &mut Dice, queue: &mut Queue) -> Self {
        let quiet = dice.one_in(8);
        let rate = |dice: &mut Dice, most: u64| if !quiet && dice.coin() { dice.between(1, most) } else { 0 };
        let weather = Self {
            policy: policy(dice),
            calm_at: dice.between(2 * MINUTE, 15 * MINUTE),
            latency: dice.pick(&[2, 20, 200, 3_000], 20),
            api_trouble: rate(dice, 300),
            refusals: rate(dice, 20),
            docker_trouble: rate(dice, 100),
            events_lost: rate(dice, 500),
            events_doubled: rate(dice, 200),
            crash: rate(dice, 300),
            disk_full: rate(dice, 50),
            session_life: if dice.coin() { dice.skewed(SECOND, 5 * MINUTE) } else { 30 * MINUTE },
            live_restore: dice.coin(),
            identify: dice.skewed(10, MINUTE),
            clock_steps: rate(dice, 10 * MINUTE),
            jobs: dice.between(0, 9),
            late_work: rate(dice, 500),
            phantom_until: if dice.one_in(4) { dice.skewed(MINUTE, 90 * MINUTE) } else { 0 },
            ec2: ec2(dice),
        };
        if !quiet {
            weather.blows(dice, queue);
        }
        queue.push(weather.calm_at, Happening::Calm);
        weather
    }

    /// The single blows of fate and when they fall.
    fn blows(&self, dice: &mut Dice, queue: &mut Queue) {
        let kinds: [(u64, fn() -> Happening); 15] = [
            (3, || Happening::AgentKilled),
            (2, || Happening::DockerStops),
            (2, || Happening::DockerHangs),
            (2, || Happening::OutageBegins),
            (1, || Happening::HostReboots),
            (1, || Happening::DeregisteredByHand),
            (1, || Happening::ContainerVanishes),
            (2, || Happening::SpotNotice),
            (1, || Happening::Rebalance),
            (1, || Happening::Maintenance),
            (1, || Happening::ScaleIn),
            (1, || Happening::ShutdownBegins),
            (4, || Happening::Ordered),
            (2, || Happening::FallsIll),
            (1, || Happening::AcsGone),
        ];
        for (most, blow) in kinds {
            if dice.one_in(4) {
                for _ in 0..dice.between(1, most) {
                    queue.push(dice.below(self.calm_at), blow());
                }
            }
        }
        if dice.one_in(24) {
            queue.push(dice.below(self.calm_at * 2), Happening::HostGone(Gone::Lost));
        }
        // Into the work of a calm day: what a hook is for.
        if dice.one_in(3) {
            let at = self.calm_at + MINUTE + dice.below(self.calm_at);
            for _ in 0..3 {
                queue.push(at - dice.below(MINUTE), Happening::JobArrives);
            }
            queue.push(at, Happening::ScaleIn);
        }
        if dice.one_in(24) && self.policy.leaving.docker_dead_after.is_some() {
            queue.push(dice.below(self.calm_at), Happening::DockerDies);
        }
    }
}

fn policy(dice: &mut Dice) -> Policy {
    use PullBehavior as Pull;
    let idle = dice.pick(&[20, 60, 300, 600], 60);
    Policy {
        pull_behavior: dice.pick(&[Pull::Default, Pull::Always, Pull::Once, Pull::PreferCached], Pull::Default),
        idle_timeout: (!dice.one_in(24)).then_some(Duration::from_secs(idle)),
        cleanup_wait: Duration::from_secs(dice.pick(&[1, 10, 60, 180], 10)),
        stop_timeout_secs: dice.pick(&[2, 30, 60], 30),
        docker_concurrency: dice.pick(&[1, 2, 10], 2) as usize,
        leaving: leaving(dice),
    }
}

/// A quarter of all hosts is alone, outside AWS; the others have drawn their policies one by one.
fn leaving(dice: &mut Dice) -> LeavingPolicy {
    use Reaction::{Drain, DrainWithDeadline, Ignore};
    if dice.one_in(4) {
        return LeavingPolicy::alone();
    }
    let reaction = |dice: &mut Dice| dice.pick(&[Ignore, Drain, Drain, DrainWithDeadline, DrainWithDeadline], Drain);
    let secs = |dice: &mut Dice, of: &[u64]| Duration::from_secs(dice.pick(of, 60));
    LeavingPolicy {
        look_for_work: dice.coin(),
        look_every: secs(dice, &[20, 45]),
        waiting_patience: secs(dice, &[120, 1_800]),
        unanswered_patience: secs(dice, &[60, 600]),
        max_jobs: dice.one_in(6).then(|| dice.between(1, 5) as u32),
        max_age: dice.one_in(6).then(|| secs(dice, &[60, 600, 3_600])),
        spot: reaction(dice),
        rebalance: reaction(dice),
        maintenance: reaction(dice),
        scale_in: reaction(dice),
        shutdown: reaction(dice),
        maintenance_lead: secs(dice, &[60, 600, 3_600]),
        check_first: !dice.one_in(4),
        at_min_size: dice.pick(&[AtMinSize::Stay, AtMinSize::Replace], AtMinSize::Stay),
        refused: dice.pick(&[Refused::PowerOff, Refused::Rejoin, Refused::KeepAsking], Refused::PowerOff),
        rung_patience: secs(dice, &[30, 300]),
        protect_while_busy: dice.coin(),
        warn_signal: Signal::Term,
        warn_lead: dice.coin().then(|| secs(dice, &[10, 120])),
        retries: if dice.one_in(4) { Retries::Report } else { Retries::Withhold },
        survived_after: secs(dice, &[120, 600]),
        docker_down_after: Some(secs(dice, &[30, 120, 300])),
        docker_dead_after: Some(secs(dice, &[600, 3_600])),
        acs_gone_after: dice.coin().then(|| secs(dice, &[60, 300, 1_800])),
        recovers: !dice.one_in(4),
    }
}

fn ec2(dice: &mut Dice) -> Ec2 {
    let group = dice.coin().then(|| {
        let min = dice.below(3) as u32;
        let beat = dice.pick(&[30, 60, 300], 60) * SECOND;
        Group {
            min,
            desired: min + dice.below(3) as u32,
            suspended: dice.one_in(8),
            protected: false,
            hook: dice.coin().then(|| (beat, beat * dice.between(2, 40))),
            ends: None,
        }
    });
    Ec2 { group, denied: dice.one_in(8), ..Ec2::default() }
}
