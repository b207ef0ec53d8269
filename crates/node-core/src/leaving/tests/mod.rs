//! Leaving as a whole, a file per capability, driven by hand.

mod interruptions;
mod ladder;
mod operator;
mod reconfigured;
mod retries;
mod sick;
mod warnings;
mod wishes;

use std::time::Duration;

use crate::node::tests::{Hand, has, policy, seen, spec, submitted};
use crate::*;

const MINUTE: Duration = Duration::from_secs(60);

/// The policy of a fleet: everything is asked first.
fn fleet() -> Policy {
    Policy { leaving: LeavingPolicy::default(), ..policy() }
}

fn with(change: impl FnOnce(&mut LeavingPolicy)) -> Policy {
    let mut policy = fleet();
    change(&mut policy.leaving);
    policy
}

fn group(min_size: u32, desired: u32) -> Facts {
    let group = GroupFacts { name: "g".into(), min_size, desired, ..GroupFacts::default() };
    Facts { group: Some(group), may_terminate: Permission::Ok }
}

fn down() -> ApiFailure {
    ApiFailure::Unavailable("down".into())
}

fn denied() -> ApiFailure {
    ApiFailure::Denied("not allowed".into())
}

impl Hand {
    fn why(&self) -> String {
        self.node.status(self.now).why
    }

    fn leaving(&self) -> LeavingStatus {
        self.node.status(self.now).leaving
    }

    fn count(&self, what: Happening) -> u64 {
        self.leaving().counters.get(what.as_str()).copied().unwrap_or(0)
    }

    fn zero(&mut self) -> Vec<Command> {
        self.on(Event::Counted(Ok(TaskCounts { running: 0, pending: 0 })))
    }

    /// From DRAINING, with nothing here, to the first command that ends the host.
    fn deregister(&mut self) -> Vec<Command> {
        self.on(Event::InstanceStateSet(InstanceState::Draining, Ok(())));
        assert_eq!(self.phase(), Phase::Idle, "{}", self.why());
        self.zero();
        self.pass(Duration::from_secs(3));
        assert_eq!(self.zero(), [Command::Deregister]);
        self.on(Event::Deregistered(Ok(())))
    }

    /// Until the node asks for a thing, with no answers meanwhile.
    fn until(&mut self, wanted: impl Fn(&Command) -> bool) -> Command {
        for _ in 0..1_000 {
            if let Some(found) = self.next_due().into_iter().find(|c| wanted(c)) {
                return found;
            }
        }
        panic!("it was never asked for: {}", self.why());
    }

    /// An idle node that has asked everything and drains.
    fn drains_idle(&mut self, facts: Facts) -> Vec<Command> {
        self.until(|c| *c == Command::LookForWork);
        let asked = self.on(Event::WorkFound(Ok(Waiting::default())));
        assert_eq!(asked, [Command::Preflight]);
        self.on(Event::Preflight(Ok(facts)))
    }

    fn spot_in(&mut self, secs: u64) -> Vec<Command> {
        let at = self.now.after(Duration::from_secs(secs));
        self.on(Event::Interruption(Interruption::Spot { action: SpotAction::Terminate, at }))
    }

    /// What the next process would start with.
    fn crashes(self, policy: Policy) -> Self {
        let record = self.node.record.clone().map(|r| {
            let text = serde_json::to_string(&r).unwrap();
            serde_json::from_str(&text).unwrap()
        });
        let tasks = self.node.tasks.values().map(|t| {
            let text = serde_json::to_string(&t.record).unwrap();
            serde_json::from_str(&text).unwrap()
        });
        let saved = Saved { node: record, tasks: tasks.collect() };
        Self { node: Node::restore(policy, saved, 2, self.now), now: self.now }
    }

    fn identified(&mut self) -> Vec<Command> {
        self.on(Event::Identified { instance: InstanceId::new("i-1"), cluster: ClusterRef::new("c") })
    }

    /// A running job whose container asks for a warning.
    fn running_with(&mut self, id: &str, env: &[(&str, &str)]) -> (TaskSpec, DockerName) {
        let mut spec = spec(id);
        let set = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        spec.containers[0].environment.extend(set);
        let name = spec.docker_name(&spec.containers[0]);
        self.run(&spec);
        self.on(Event::Pulled(name.clone(), Ok(ImagePulled::default())));
        self.on(Event::Created(name.clone(), Ok(seen(Running::Created))));
        self.on(Event::Started(name.clone(), Ok(seen(Running::Running))));
        self.on(Event::Submitted(spec.arn.clone(), Ok(())));
        (spec, name)
    }
}

fn signal(commands: &[Command]) -> Option<Signal> {
    commands.iter().find_map(|c| match c {
        Command::Signal { signal, .. } => Some(*signal),
        _ => None,
    })
}
