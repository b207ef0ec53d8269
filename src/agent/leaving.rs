//! Carrying out what the core asks for when the host leaves. Every question gets an answer, or the core would wait for it.

use node_core::{ApiFailure, Command, Event, OpFailure, Rung};

use super::Agent;

impl Agent {
    pub(super) fn carry_out_leaving(&self, command: Command) {
        let Some(answer) = refusal(command) else { return };
        self.spawn(tracing::Span::current(), async move { Some(answer) });
    }
}

/// What this agent cannot do, it says so: the core goes on to the next way.
fn refusal(command: Command) -> Option<Event> {
    let no = || ApiFailure::Rejected("this agent does not do that".to_owned());
    Some(match command {
        Command::LookForWork => Event::WorkFound(Err(no())),
        Command::Preflight => Event::Preflight(Err(no())),
        Command::TerminateInGroup { .. } => Event::EndTried(Rung::Group, Err(no())),
        Command::MarkUnhealthy => Event::EndTried(Rung::Unhealthy, Err(no())),
        Command::PowerOff => Event::EndTried(Rung::PowerOff, Err(no())),
        Command::CompleteHook(_) => Event::EndTried(Rung::Hook, Err(no())),
        Command::Heartbeat(_) => Event::HeartbeatRecorded(Err(no())),
        Command::Protect(on) => Event::Protected(on, Err(no())),
        Command::Signal { name, .. } => Event::Signalled(name, Err(OpFailure::Missing)),
        _ => return None,
    })
}
