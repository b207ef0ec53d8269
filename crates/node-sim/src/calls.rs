//! Calls to AWS, from the wire to the answer: any may fail, and any answer may be lost.

use node_core::{ApiFailure, ClusterRef, Command, Event, Home, Rung};

use crate::invariants::Rule;
use crate::queue::Happening;
use crate::world::World;

impl World {
    pub(crate) fn ask_aws(&mut self, command: Command) {
        self.ecs.next_call += 1;
        let id = self.ecs.next_call;
        self.ecs.calls.insert(id, (self.agent.life, command));
        let wait = self.latency();
        self.at(wait, Happening::Call(id));
    }

    /// A call reaches AWS, or does not; it is answered, or its answer is lost.
    pub(crate) fn call(&mut self, id: u64) {
        let Some((life, command)) = self.ecs.calls.remove(&id) else { return };
        let local = matches!(command, Command::PowerOff);
        let trouble = !self.calm && !local && self.dice.permille(self.weather.api_trouble);
        let failure = match (self.ecs.outage && !local, trouble, self.dice.below(4)) {
            (true, ..) => Some(ApiFailure::Unavailable("no route".into())),
            (_, true, 0) => Some(ApiFailure::Throttled("slow down".into())),
            (_, true, 1) => Some(ApiFailure::Denied("no permission".into())),
            (_, true, 2) => Some(ApiFailure::Unavailable("HTTP 500".into())),
            _ => None,
        };
        let event = match failure {
            Some(failure) => failed(&command, failure),
            None => {
                let event = self.take_call(command.clone());
                // What is left of trouble: done, and the answer lost.
                if trouble { failed(&command, ApiFailure::Unavailable("timed out".into())) } else { event }
            }
        };
        if let Some(event) = event {
            self.deliver(life, event);
        }
    }

    /// The agent's process died: what was on the wire arrives now or never.
    pub(crate) fn orphan_calls(&mut self) {
        for (_, (_, command)) in std::mem::take(&mut self.ecs.calls) {
            if !self.ecs.outage && self.dice.coin() {
                self.take_call(command);
            }
        }
    }

    fn take_call(&mut self, command: Command) -> Option<Event> {
        Some(match command {
            Command::Register { previous } => Event::Registered(self.register(previous)),
            Command::Submit(change) => {
                let task = change.task.clone();
                Event::Submitted(task, self.take_report(change))
            }
            Command::SetInstanceState(state) => Event::InstanceStateSet(state, self.set_state(state)),
            Command::Count => Event::Counted(self.count()),
            Command::Deregister => Event::Deregistered(self.deregister()),
            Command::FindHome => Event::Home(Ok(Home { cluster: ClusterRef::new("c"), remark: None })),
            Command::Terminate => Event::Terminated(self.terminate()),
            Command::TerminateInGroup { decrement } => Event::EndTried(Rung::Group, self.terminate_in_group(decrement)),
            Command::MarkUnhealthy => Event::EndTried(Rung::Unhealthy, self.mark_unhealthy()),
            Command::PowerOff => Event::EndTried(Rung::PowerOff, self.power_off()),
            Command::CompleteHook(hook) => Event::EndTried(Rung::Hook, self.complete_hook(&hook)),
            Command::Heartbeat(hook) => Event::HeartbeatRecorded(self.heartbeat(&hook)),
            Command::Protect(on) => Event::Protected(on, self.set_protection(on)),
            Command::LookForWork => Event::WorkFound(Ok(self.waiting_work())),
            Command::Preflight => Event::Preflight(Ok(self.facts())),
            other => {
                self.broken(Rule::Panic, || format!("the simulation does not know {other:?}"));
                return None;
            }
        })
    }
}

/// The answer to a call that came to nothing. `None`: no call to AWS.
fn failed(command: &Command, failure: ApiFailure) -> Option<Event> {
    Some(match command {
        Command::Register { .. } => Event::Registered(Err(failure)),
        Command::Submit(change) => Event::Submitted(change.task.clone(), Err(failure)),
        Command::SetInstanceState(state) => Event::InstanceStateSet(*state, Err(failure)),
        Command::Count => Event::Counted(Err(failure)),
        Command::Deregister => Event::Deregistered(Err(failure)),
        Command::FindHome => Event::Home(Err(failure.text().to_owned())),
        Command::Terminate => Event::Terminated(Err(failure)),
        Command::TerminateInGroup { .. } => Event::EndTried(Rung::Group, Err(failure)),
        Command::MarkUnhealthy => Event::EndTried(Rung::Unhealthy, Err(failure)),
        Command::PowerOff => Event::EndTried(Rung::PowerOff, Err(failure)),
        Command::CompleteHook(_) => Event::EndTried(Rung::Hook, Err(failure)),
        Command::Heartbeat(_) => Event::HeartbeatRecorded(Err(failure)),
        Command::Protect(on) => Event::Protected(*on, Err(failure)),
        Command::LookForWork => Event::WorkFound(Err(failure)),
        Command::Preflight => Event::Preflight(Err(failure)),
        _ => return None,
    })
}
