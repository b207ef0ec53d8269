//! The simulated EC2 and Auto Scaling: what ends the host, and what refuses to.

use std::time::Duration;

use node_core::{ApiFailure, Facts, GroupFacts, Hook, Permission, Waiting};

use crate::ecs::Answer;
use crate::imds::Imds;
use crate::invariants::Rule;
use crate::queue::{Gone, Happening};
use crate::story::Actor;
use crate::world::World;

/// A hook that did not hear a heartbeat for its timeout, and this much more, is over.
const BEAT_SLACK: u64 = 1_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct Ec2 {
    pub(crate) group: Option<Group>,
    /// The host may not terminate itself, ever.
    pub(crate) denied: bool,
    pub(crate) imds: Imds,
    /// Asked by the host itself, and granted.
    pub(crate) granted: bool,
    pub(crate) boots: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) min: u32,
    pub(crate) desired: u32,
    /// The Terminate process.
    pub(crate) suspended: bool,
    pub(crate) protected: bool,
    /// In milliseconds: how long the termination hook waits for a heartbeat, and for everything.
    pub(crate) hook: Option<(u64, u64)>,
    pub(crate) ends: Option<Ends>,
}

/// The group is ending the host.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// Since when, and which heartbeat the hook waits for; `None`: it waits no more.
    pub(crate) waits: Option<(u64, u32)>,
}

impl World {
    /// `TerminateInstances`, asked by the host itself.
    pub(crate) fn terminate(&mut self) -> Answer<()> {
        self.check_termination("TerminateInstances");
        if self.ec2.denied {
            return Err(ApiFailure::Denied("not authorized to perform ec2:TerminateInstances".into()));
        }
        self.tell(Actor::Ec2, || "terminates the host".to_owned());
        self.grant(120_000);
        Ok(())
    }

    fn grant(&mut self, most: u64) {
        if !std::mem::replace(&mut self.ec2.granted, true) {
            let takes = self.dice.skewed(100, most);
            self.at(takes, Happening::HostGone(Gone::Asked));
        }
    }

    pub(crate) fn power_off(&mut self) -> Answer<()> {
        self.check_termination("power off");
        if !self.calm && self.dice.one_in(3) {
            return Err(ApiFailure::Rejected("systemd: a job is in the way".into()));
        }
        self.tell(Actor::Ec2, || "the host powers off".to_owned());
        self.grant(60_000);
        Ok(())
    }

    pub(crate) fn terminate_in_group(&mut self, decrement: bool) -> Answer<()> {
        self.check_termination("TerminateInstanceInAutoScalingGroup");
        let Some(group) = &mut self.ec2.group else { return Err(ApiFailure::Rejected("not in a group".into())) };
        if group.ends.is_some() {
            return Err(ApiFailure::Rejected("a scaling activity is in progress".into()));
        }
        if group.suspended {
            return Err(ApiFailure::Rejected("the Terminate process is suspended".into()));
        }
        if decrement && group.desired <= group.min {
            return Err(ApiFailure::Rejected("would take the group below its MinSize".into()));
        }
        group.desired -= u32::from(decrement);
        self.group_ends("asked by the host");
        Ok(())
    }

    pub(crate) fn mark_unhealthy(&mut self) -> Answer<()> {
        self.check_termination("SetInstanceHealth");
        let Some(group) = &self.ec2.group else { return Err(ApiFailure::Rejected("not in a group".into())) };
        if !group.suspended && group.ends.is_none() {
            let wait = self.dice.skewed(1_000, 180_000);
            self.at(wait, Happening::FoundUnhealthy);
        }
        Ok(())
    }

    /// The group chooses this host for a scale-in, where it may.
    pub(crate) fn scale_in(&mut self) {
        if self.ec2.group.as_ref().is_some_and(|g| !g.protected && !g.suspended) {
            self.group_ends("scale-in");
        }
    }

    pub(crate) fn group_ends(&mut self, why: &str) {
        let Some(group) = self.ec2.group.as_mut().filter(|g| g.ends.is_none()) else { return };
        let hook = group.hook;
        group.ends = Some(Ends { waits: hook.map(|_| (self.now, 0)) });
        self.tell(Actor::Ec2, || format!("the group ends this host: {why}"));
        let told = hook.map(|(beat, global)| Hook {
            group: "g".into(),
            name: "drain".into(),
            heartbeat_timeout: Duration::from_millis(beat),
            global_timeout: Some(Duration::from_millis(global)),
        });
        self.begins_scale_in(told);
        match hook {
            Some((beat, global)) => {
                self.at(beat + BEAT_SLACK, Happening::HookBeatMissed(0));
                self.at(global, Happening::HookTimeOver);
            }
            None => self.taken_soon(),
        }
    }

    fn taken_soon(&mut self) {
        let wait = self.dice.skewed(500, 60_000);
        self.at(wait, Happening::HostGone(Gone::Taken));
    }

    fn waits(&mut self) -> Option<&mut Ends> {
        self.ec2.group.as_mut()?.ends.as_mut().filter(|e| e.waits.is_some())
    }

    pub(crate) fn heartbeat(&mut self, _hook: &Hook) -> Answer<()> {
        let beat = self.ec2.group.as_ref().and_then(|g| g.hook).map_or(0, |(beat, _)| beat);
        let none = || ApiFailure::Rejected("No active Lifecycle Action found".into());
        let waits = self.waits().and_then(|e| e.waits.as_mut()).ok_or_else(none)?;
        waits.1 += 1;
        let n = waits.1;
        self.tell(Actor::Ec2, || format!("heartbeat {n}"));
        self.at(beat + BEAT_SLACK, Happening::HookBeatMissed(n));
        Ok(())
    }

    pub(crate) fn complete_hook(&mut self, _hook: &Hook) -> Answer<()> {
        self.check_termination("CompleteLifecycleAction");
        let none = || ApiFailure::Rejected("No active Lifecycle Action found".into());
        self.waits().ok_or_else(none)?.waits = None;
        self.tell(Actor::Ec2, || "the hook is completed".to_owned());
        self.taken_soon();
        Ok(())
    }

    /// No heartbeat came in time: the group waits no longer.
    pub(crate) fn hook_beat_missed(&mut self, n: u32) {
        let Some((since, waited)) = self.waits().and_then(|e| e.waits).filter(|(_, waited)| *waited == n) else {
            return;
        };
        self.hook_ends("no heartbeat");
        let beat = self.ec2.group.as_ref().and_then(|g| g.hook).map_or(0, |(beat, _)| beat);
        if self.minds(node_core::Source::ScaleIn) && self.well_for() > beat + 120_000 && self.now - since > beat {
            self.broken(Rule::Hook, || format!("the hook heard no heartbeat after {waited}"));
        }
    }

    /// The hook's own limit: no heartbeat puts it off.
    pub(crate) fn hook_time_over(&mut self) {
        if self.waits().is_none() {
            return;
        }
        self.hook_ends("its whole time is over");
        let idle = self.idle_for();
        if self.minds(node_core::Source::ScaleIn) && self.well_for().min(idle) > 900_000 {
            self.broken(Rule::Hook, || format!("the host was empty for {idle} ms and did not complete the hook"));
        }
    }

    fn hook_ends(&mut self, why: &str) {
        if let Some(ends) = self.waits() {
            ends.waits = None;
        }
        self.tell(Actor::Ec2, || format!("the hook ends: {why}"));
        self.taken_soon();
    }

    pub(crate) fn set_protection(&mut self, on: bool) -> Answer<()> {
        let Some(group) = &mut self.ec2.group else { return Err(ApiFailure::Rejected("not in a group".into())) };
        group.protected = on;
        self.tell(Actor::Ec2, || format!("protected from scale-in: {on}"));
        Ok(())
    }

    pub(crate) fn facts(&self) -> Facts {
        let denied = || Permission::Denied("not authorized to perform ec2:TerminateInstances".into());
        Facts {
            group: self.ec2.group.as_ref().map(|g| GroupFacts {
                name: "g".into(),
                min_size: g.min,
                desired: g.desired,
                terminate_suspended: g.suspended,
                protected: g.protected,
                terminating: g.ends.is_some(),
            }),
            may_terminate: if self.ec2.denied { denied() } else { Permission::Ok },
        }
    }

    /// Jobs in the queues that fit this host; those that do not fit are not counted.
    pub(crate) fn waiting_work(&self) -> Waiting {
        let phantom = u32::from(self.now < self.weather.phantom_until);
        let runnable = self.ecs.waiting.len() as u32 + phantom;
        Waiting { runnable, starting: 0, example: None }
    }
}
