//! Registration and the ACS session: when to register, when to connect, when to wait.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::command::{Command, Notice};
use crate::event::{ApiFailure, CloseCause};
use crate::fault::{self, Fault};
use crate::ids::{ContainerInstanceArn, MessageId};
use crate::leaving::{InstanceState, Phase};
use crate::node::Node;
use crate::reconnect::Pace;
use crate::time::Timestamp;

/// How long to wait when ECS holds this instance to be deregistered while tasks still run (amazon-ecs-agent's own figure).
const INACTIVE_WAIT: Duration = Duration::from_secs(3600);
/// Exit code that tells the supervisor not to restart (amazon-ecs-agent's ExitTerminal).
const EXIT_TERMINAL: u8 = 5;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) open: bool,
    opened_at: Timestamp,
    /// This process has had a session: ECS need not send all credentials again.
    had_one: bool,
    connect_at: Option<Timestamp>,
    connect_pace: Pace,
    register_at: Option<Timestamp>,
    register_backoff: Backoff,
    registering: bool,
    /// Why the last try to register came to nothing.
    pub(crate) register_error: Option<String>,
    /// This process has registered: calls about the container instance make sense.
    pub(crate) registered: bool,
    /// A session was asked for, and its end has not been heard.
    connected: bool,
    /// Register when the session has ended.
    register_next: bool,
    /// ECS does not know this container instance any more.
    inactive: bool,
    newest_sequence: i64,
    verification: Option<MessageId>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            open: false,
            opened_at: Timestamp(0),
            had_one: false,
            connect_at: None,
            connect_pace: Pace::new(Duration::from_millis(250), Duration::from_secs(120)),
            register_at: None,
            register_backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            registering: false,
            register_error: None,
            registered: false,
            connected: false,
            register_next: false,
            inactive: false,
            newest_sequence: 0,
            verification: None,
        }
    }
}

impl Session {
    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        self.connect_at.into_iter().chain(self.register_at).min()
    }

    pub(crate) fn is_registering(&self) -> bool {
        self.registering
    }

    /// The node has left the cluster that this session is of.
    pub(crate) fn is_ending(&self) -> bool {
        self.register_next
    }

    pub(crate) fn note_sequence(&mut self, seq: i64) {
        self.newest_sequence = self.newest_sequence.max(seq);
    }

    pub(crate) fn newest_sequence(&self) -> i64 {
        self.newest_sequence
    }

    pub(crate) fn await_verification(&mut self, message: MessageId) {
        self.verification = Some(message);
    }

    /// Whether `message` answers the question that was asked last; it is then answered.
    pub(crate) fn verified(&mut self, message: &MessageId) -> bool {
        let ours = self.verification.as_ref() == Some(message);
        if ours {
            self.verification = None;
        }
        ours
    }
}

impl Node {
    /// A node that had already deregistered does not come back: it goes on leaving.
    pub(crate) fn start_registering(&mut self) {
        let leaving = match self.phase() {
            Phase::Terminating => true,
            Phase::Idle | Phase::Deregistering => self.session.registered,
            _ => false,
        };
        if leaving || self.session.registering {
            return;
        }
        self.session.registering = true;
        let previous = self.record.as_ref().and_then(|r| r.container_instance.clone());
        self.commands.push_back(Command::Register { previous });
    }

    pub(crate) fn on_registered(&mut self, result: Result<ContainerInstanceArn, ApiFailure>, now: Timestamp) {
        self.session.registering = false;
        match result {
            Ok(arn) => {
                self.session.register_backoff.reset();
                self.session.register_error = None;
                self.session.inactive = false;
                if !std::mem::replace(&mut self.session.registered, true) {
                    // Until now nobody could give the host work: that was no idleness.
                    self.note_idle(now);
                }
                self.adopt_registration(arn, now);
                // Asked for before the host's end began: no work is to come now.
                if self.phase() != Phase::Terminating {
                    self.connect();
                }
            }
            Err(failure) => self.registration_failed(failure, now),
        }
    }

    fn adopt_registration(&mut self, arn: ContainerInstanceArn, now: Timestamp) {
        let Some(record) = &mut self.record else {
            return;
        };
        if record.container_instance.as_ref() != Some(&arn) {
            record.confirmed_state = InstanceState::Active;
            record.leaving.state_unclear = false;
            record.container_instance = Some(arn);
        }
        self.save_node();
        if self.phase() == Phase::Registering {
            self.enter(Phase::Active, "registered", now);
        }
    }

    fn registration_failed(&mut self, failure: ApiFailure, now: Timestamp) {
        let previous = self.record.as_mut().and_then(|r| r.container_instance.take());
        if self.is_moving() && matches!(failure, ApiFailure::Gone(_)) {
            // Nobody is there any more. What runs here ends, and then the node registers elsewhere.
            self.save_node();
            return;
        }
        match (failure, previous) {
            // The old registration is void (deregistered, or another cluster's): begin anew, unless the host itself changed.
            (ApiFailure::Gone(error) | ApiFailure::Rejected(error), Some(_))
                if !error.contains("type changes are not supported") =>
            {
                self.save_node();
                self.retry_registration(error, now);
            }
            (ApiFailure::Rejected(error), _) => self.commands.push_back(Command::Exit {
                code: EXIT_TERMINAL,
                reason: format!("ECS refuses to register this host: {error}"),
            }),
            (failure, previous) => {
                if let Some(record) = &mut self.record {
                    record.container_instance = previous;
                }
                self.retry_registration(failure.text().to_owned(), now);
            }
        }
    }

    fn retry_registration(&mut self, error: String, now: Timestamp) {
        let delay = self.session.register_backoff.next(&mut self.rng);
        self.session.register_at = Some(now.after(delay));
        self.session.register_error = Some(error.clone());
        self.commands.push_back(Command::Notice(Notice::ApiRetried {
            call: "RegisterContainerInstance",
            error,
            retry_ms: delay.as_millis() as u64,
        }));
    }

    /// What registration waits for (Docker, as a rule) has just changed: the next try is due now.
    pub(crate) fn register_soon(&mut self, now: Timestamp) {
        if self.session.register_at.is_some() {
            self.session.register_at = Some(now);
        }
    }

    fn connect(&mut self) {
        self.session.connect_at = None;
        if let Some(arn) = self.record.as_ref().and_then(|r| r.container_instance.clone()) {
            self.session.connected = true;
            self.commands
                .push_back(Command::Connect { container_instance: arn, send_credentials: !self.session.had_one });
        }
    }

    pub(crate) fn on_session_opened(&mut self, now: Timestamp) {
        self.session.open = true;
        self.note_session(true, now);
        self.session.had_one = true;
        self.session.opened_at = now;
    }

    pub(crate) fn on_session_closed(&mut self, cause: CloseCause, now: Timestamp) {
        let lived = if self.session.open { now.since(self.session.opened_at) } else { Duration::ZERO };
        self.session.open = false;
        self.session.connected = false;
        self.note_session(false, now);
        if self.phase() == Phase::Terminating {
            return;
        }
        if std::mem::take(&mut self.session.register_next) {
            self.start_registering();
            return;
        }
        let mut after = |clean| self.session.connect_pace.after(clean, lived, &mut self.rng);
        let (delay, cause) = match cause {
            CloseCause::Clean => (after(true), "closed".to_owned()),
            CloseCause::Failed(why) => (after(false), why),
            CloseCause::Inactive(why) => {
                self.session.inactive = true;
                (INACTIVE_WAIT, why)
            }
        };
        self.session.connect_at = Some(now.after(delay));
        // ECS hangs up on an instance that deregisters: as it should be.
        if self.phase() != Phase::Deregistering {
            self.commands.push_back(Command::Notice(Notice::SessionLost { cause, retry_ms: delay.as_millis() as u64 }));
        }
        self.reregister_if_free();
    }

    /// Registers in another cluster: nothing of the old registration holds. Two sessions at once would hear two clusters, so the
    /// old one ends first.
    pub(crate) fn begin_anew(&mut self) {
        let session = &mut self.session;
        session.registered = false;
        session.inactive = false;
        session.newest_sequence = 0;
        session.verification = None;
        session.connect_at = None;
        session.register_at = None;
        session.register_backoff.reset();
        session.connect_pace.reset();
        session.register_next = session.connected;
        if !session.connected {
            self.start_registering();
        }
    }

    /// Back from the last phase, in which the session is neither opened nor kept.
    pub(crate) fn rejoin(&mut self) {
        let known = self.record.as_ref().is_some_and(|r| r.container_instance.is_some());
        if fault::is(Fault::StaysAway) {
            return;
        }
        if !known || !self.session.registered {
            self.start_registering();
        } else if !self.session.connected && self.session.connect_at.is_none() {
            self.connect();
        }
    }

    /// Registers, if nothing of the kind is under way.
    pub(crate) fn resume_registering(&mut self) {
        let unknown = self.record.as_ref().is_some_and(|r| r.container_instance.is_none());
        if unknown && self.session.register_at.is_none() && !self.session.connected {
            self.start_registering();
        }
    }

    /// A host that ECS has deregistered and that runs nothing registers again at once; one with tasks first lets them end.
    fn reregister_if_free(&mut self) {
        // ECS hangs up on an instance that deregisters before it answers the call: the host is leaving, not to join again.
        let leaving = matches!(self.phase(), Phase::Idle | Phase::Deregistering | Phase::Terminating);
        let busy = self.live_tasks() > 0 || self.session.registering || self.is_moving();
        if leaving || !self.session.inactive || busy {
            return;
        }
        self.session.inactive = false;
        self.session.connect_at = None;
        if let Some(record) = &mut self.record {
            record.container_instance = None;
        }
        self.save_node();
        self.start_registering();
    }

    pub(crate) fn session_timeout(&mut self, now: Timestamp) {
        if self.session.register_at.is_some_and(|at| at <= now) {
            self.session.register_at = None;
            self.start_registering();
        }
        if self.session.connect_at.is_some_and(|at| at <= now) {
            self.session.inactive = false;
            self.connect();
        }
        self.reregister_if_free();
    }
}
