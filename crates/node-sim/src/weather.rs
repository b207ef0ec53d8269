//! What kind of world a seed lives in: which faults there are, and how often. Each seed has some of them and not others, so that
//! rare ones meet in many combinations.

use std::time::Duration;

use node_core::{Policy, PullBehavior};

use crate::dice::Dice;
use crate::queue::{Happening, Queue};

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
        };
        if !quiet {
            weather.blows(dice, queue);
        }
        queue.push(weather.calm_at, Happening::Calm);
        weather
    }

    /// The single blows of fate and when they fall.
    fn blows(&self, dice: &mut Dice, queue: &mut Queue) {
        let kinds: [(u64, fn() -> Happening); 7] = [
            (3, || Happening::AgentKilled),
            (2, || Happening::DockerStops),
            (2, || Happening::DockerHangs),
            (2, || Happening::OutageBegins),
            (1, || Happening::HostReboots),
            (1, || Happening::DeregisteredByHand),
            (1, || Happening::ContainerVanishes),
        ];
        for (most, blow) in kinds {
            if dice.one_in(3) {
                for _ in 0..dice.between(1, most) {
                    queue.push(dice.below(self.calm_at), blow());
                }
            }
        }
        if dice.one_in(24) {
            queue.push(dice.below(self.calm_at * 2), Happening::HostGone);
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
    }
}
