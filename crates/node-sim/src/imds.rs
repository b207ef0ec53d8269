//! What the host's metadata service tells, and the agent's watcher of it: what stands is told again and again, and what stands no
//! longer is told once to each process, for the one before may have been told of it.

use std::collections::BTreeSet;

use node_core::{Event, Hook, Interruption, Reaction, Source, SpotAction, Timestamp};

use crate::queue::{Gone, Happening, Life};
use crate::story::Actor;
use crate::world::World;

const POLL_EVERY: u64 = 20_000;
const MINUTE: u64 = 60_000;

#[derive(Debug, Clone, Default)]
struct Editions {
    spot: u32,
    maintenance: u32,
    shutdown: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Imds {
    pub(crate) spot: Option<(SpotAction, Timestamp)>,
    pub(crate) rebalance: bool,
    pub(crate) maintenance: Option<(String, Timestamp)>,
    pub(crate) scale_in: Option<Option<Hook>>,
    pub(crate) shutdown: Option<Option<Timestamp>>,
    /// Which of several: what was planned for an earlier one comes to nothing.
    editions: Editions,
    told: BTreeSet<Source>,
    polls: bool,
}

impl Imds {
    fn standing(&self) -> Vec<Interruption> {
        let spot = self.spot.map(|(action, at)| Interruption::Spot { action, at });
        let rebalance = self.rebalance.then_some(Interruption::Rebalance);
        let maintenance = self.maintenance.clone();
        let maintenance = maintenance.map(|(code, not_before)| Interruption::Maintenance { code, not_before });
        let scale_in = self.scale_in.clone().map(|hook| Interruption::ScaleIn { hook });
        let shutdown = self.shutdown.map(|deadline| Interruption::Shutdown { deadline });
        [spot, rebalance, maintenance, scale_in, shutdown].into_iter().flatten().collect()
    }

    pub(crate) fn sources(&self) -> BTreeSet<Source> {
        self.standing().iter().map(Interruption::source).collect()
    }

    /// A new boot: a shutdown is over, and so is the stop that a spot notice announced.
    pub(crate) fn booted(&mut self) {
        let editions = &mut self.editions;
        (editions.spot, editions.maintenance) = (editions.spot + 1, editions.maintenance + 1);
        editions.shutdown += 1;
        self.shutdown = None;
        self.spot = None;
        self.maintenance = None;
        self.told = BTreeSet::new();
        self.polls = false;
    }
}

impl World {
    pub(crate) fn reaction(&self, source: Source) -> Reaction {
        self.weather.policy.leaving.reaction(source)
    }

    /// The policy is not to ignore it.
    pub(crate) fn minds(&self, source: Source) -> bool {
        self.reaction(source) != Reaction::Ignore
    }

    /// A process of the agent begins to watch: it tells what stands, and what does not.
    pub(crate) fn watch(&mut self, life: Life) {
        let all = [Source::Spot, Source::Rebalance, Source::Maintenance, Source::ScaleIn];
        self.ec2.imds.told = all.into_iter().collect();
        self.ec2.imds.polls = true;
        self.at(50, Happening::Poll(life));
    }

    /// Something has changed: a watcher sees it within its interval.
    fn seen_soon(&mut self) {
        let life = self.agent.life;
        if self.agent.node.is_some() && !std::mem::replace(&mut self.ec2.imds.polls, true) {
            let wait = self.dice.skewed(10, 5_000);
            self.at(wait, Happening::Poll(life));
        }
    }

    pub(crate) fn poll(&mut self, life: Life) {
        if life != self.agent.life {
            return;
        }
        let standing = self.ec2.imds.standing();
        let now: BTreeSet<_> = standing.iter().map(Interruption::source).collect();
        let gone: Vec<_> = self.ec2.imds.told.difference(&now).copied().collect();
        for source in gone {
            self.hand_over(life, Event::InterruptionCancelled(source));
        }
        for interruption in standing {
            self.hand_over(life, Event::Interruption(interruption));
        }
        self.ec2.imds.polls = !now.is_empty();
        self.ec2.imds.told = now;
        if self.ec2.imds.polls {
            self.at(POLL_EVERY, Happening::Poll(life));
        }
    }

    /// A deadline of the world is made known; jobs may be warned of it, and what runs then killed where the policy says so.
    fn deadline_begins(&mut self, source: Source, at: Timestamp) {
        let kills = self.reaction(source) == Reaction::DrainWithDeadline;
        self.truth.deadline(at, kills);
    }

    pub(crate) fn spot_notice(&mut self) {
        if self.ec2.imds.spot.is_some() {
            return;
        }
        let action =
            self.dice.pick(&[SpotAction::Terminate, SpotAction::Stop, SpotAction::Hibernate], SpotAction::Terminate);
        let left = if self.dice.one_in(4) { self.dice.skewed(1, 120_000) } else { 120_000 };
        let at = Timestamp(self.node_now().0 + left);
        self.tell(Actor::Ec2, || format!("spot interruption: {action:?} in {left} ms"));
        self.ec2.imds.editions.spot += 1;
        self.ec2.imds.spot = Some((action, at));
        self.deadline_begins(Source::Spot, at);
        self.seen_soon();
        let late = self.dice.skewed(1, 30_000);
        self.at(left + late, Happening::SpotTakes(self.ec2.imds.editions.spot));
    }

    /// EC2 does what it has announced; now and then the host is spared.
    pub(crate) fn spot_takes(&mut self, edition: u32) {
        let Some((action, _)) = self.ec2.imds.spot.filter(|_| edition == self.ec2.imds.editions.spot) else { return };
        let spared = self.dice.one_in(4) || action == SpotAction::Hibernate;
        match action {
            _ if spared => {
                self.tell(Actor::Ec2, || "the host is spared".to_owned());
                if self.dice.coin() {
                    self.ec2.imds.spot = None;
                }
            }
            SpotAction::Terminate => self.host_gone(Gone::Taken),
            _ => self.reboot(),
        }
    }

    pub(crate) fn rebalance(&mut self) {
        self.tell(Actor::Ec2, || "recommends a rebalance".to_owned());
        self.ec2.imds.rebalance = true;
        self.seen_soon();
    }

    pub(crate) fn maintenance(&mut self) {
        let codes = ["system-reboot", "instance-reboot", "instance-retirement", "instance-stop", "system-maintenance"];
        let code = self.dice.pick(&codes, "instance-stop");
        let left = self.dice.skewed(MINUTE, 90 * MINUTE);
        let at = Timestamp(self.node_now().0 + left);
        self.tell(Actor::Ec2, || format!("scheduled event {code} in {left} ms"));
        self.ec2.imds.editions.maintenance += 1;
        let edition = self.ec2.imds.editions.maintenance;
        self.ec2.imds.maintenance = Some((code.to_owned(), at));
        self.deadline_begins(Source::Maintenance, at);
        self.seen_soon();
        match self.dice.below(4) {
            0 => {
                let wait = self.dice.below(left);
                self.at(wait, Happening::MaintenanceChanges(edition));
            }
            _ => self.at(left, Happening::MaintenanceComes(edition)),
        }
    }

    /// The event is cancelled, or moved to another time.
    pub(crate) fn maintenance_changes(&mut self, edition: u32) {
        if edition != self.ec2.imds.editions.maintenance || self.ec2.imds.maintenance.is_none() {
            return;
        }
        self.tell(Actor::Ec2, || "the scheduled event is cancelled or moved".to_owned());
        self.ec2.imds.maintenance = None;
        if self.dice.coin() {
            self.maintenance();
        }
    }

    pub(crate) fn maintenance_comes(&mut self, edition: u32) {
        if edition != self.ec2.imds.editions.maintenance {
            return;
        }
        let Some((code, _)) = self.ec2.imds.maintenance.take() else { return };
        self.tell(Actor::Ec2, || format!("{code}, as scheduled"));
        match code.as_str() {
            "instance-retirement" | "instance-stop" => self.host_gone(Gone::Taken),
            "system-maintenance" => {}
            _ => self.reboot(),
        }
    }

    pub(crate) fn begins_scale_in(&mut self, hook: Option<Hook>) {
        let wait = hook.as_ref().map_or(60_000, |h| h.longest_wait().as_millis() as u64);
        let at = Timestamp(self.node_now().0 + wait);
        self.ec2.imds.scale_in = Some(hook);
        self.deadline_begins(Source::ScaleIn, at);
        self.seen_soon();
    }

    /// Someone shuts the host down; the agent may hold that up until the deadline.
    pub(crate) fn shutdown_begins(&mut self) {
        if self.ec2.imds.shutdown.is_some() {
            return;
        }
        let left = self.dice.skewed(5_000, 10 * MINUTE);
        let at = Timestamp(self.node_now().0 + left);
        self.tell(Actor::Fate, || format!("the host is shut down, at the latest in {left} ms"));
        self.ec2.imds.editions.shutdown += 1;
        self.ec2.imds.shutdown = Some(Some(at));
        self.deadline_begins(Source::Shutdown, at);
        self.seen_soon();
        let held = if self.minds(Source::Shutdown) { left } else { left.min(2_000) };
        self.at(held, Happening::ShutDown(self.ec2.imds.editions.shutdown));
    }

    /// The agent does not hold the shutdown up any longer.
    pub(crate) fn let_go(&mut self) {
        self.check_termination("letting the shutdown go on");
        if self.ec2.imds.shutdown.is_some() {
            self.at(1_000, Happening::ShutDown(self.ec2.imds.editions.shutdown));
        }
    }

    pub(crate) fn shut_down(&mut self, edition: u32) {
        if edition != self.ec2.imds.editions.shutdown || self.ec2.imds.shutdown.is_none() {
            return;
        }
        if self.dice.coin() { self.host_gone(Gone::Taken) } else { self.reboot() }
    }
}
