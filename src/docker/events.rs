//! Docker's event stream: what happened to a task's containers, and whether the daemon is there at all.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use node_core::{DockerId, DockerName, Event, ExitCode, Observation, OpFailure, Running, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::failure::names;
use super::oom::Shortages;
use super::{Docker, labels, observe};

/// Pauses between attempts to open the stream: the first, doubled up to the longest. A daemon restarts within seconds, and an
/// attempt on a local socket costs next to nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Docker replays what happened since this long before the stream was opened (its last 256 events at most), so that nothing
/// falls between the listing and the stream. It is also room for a remote daemon's clock.
const REPLAY: Duration = Duration::from_secs(2);
/// Containers inspected at a time. The stream is read on meanwhile: Docker drops the events of a reader that lags by 1024.
const LOOKS: usize = 16;
/// The exit code of a process that SIGKILL ended.
const KILLED: ExitCode = ExitCode(128 + 9);

/// Tells `events` of every change of a task's container until `stop`: `DockerUp` with all of them whenever the stream has been
/// opened, `Observed` or `Missing` after each start, end and change of health, and `DockerDown` once when the daemon goes away.
pub(crate) async fn watch(docker: Docker, events: mpsc::Sender<Event>, stop: CancellationToken) {
    stop.run_until_cancelled(watch_forever(&docker, &events)).await;
}

async fn watch_forever(docker: &Docker, events: &mpsc::Sender<Event>) {
    let mut pause = FIRST_PAUSE;
    let mut down = false;
    loop {
        let mut up = false;
        let lost = follow(docker, events, &mut up).await;
        if up {
            (pause, down) = (FIRST_PAUSE, false);
        }
        if !down && events.send(Event::DockerDown(lost)).await.is_err() {
            return;
        }
        down = true;
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Follows one stream to its end, and says why it ended. `up` becomes true once `DockerUp` has been sent.
async fn follow(docker: &Docker, events: &mpsc::Sender<Event>, up: &mut bool) -> String {
    docker.own_starts().clear();
    let mut stream = std::pin::pin!(docker.api.events(Some(options())));
    let mut listing = std::pin::pin!(list(docker, events));
    let shortages = Shortages::default();
    let mut desk = Desk::new(docker, events, &shortages);
    loop {
        // bollard opens the stream at its first poll: in order, so that it is asked for before the list is.
        tokio::select! {
            biased;
            message = stream.next() => match message {
                Some(Ok(message)) => desk.note(&message),
                Some(Err(error)) => return text(docker.failed(names::LIST, &error)),
                None => return format!("Docker at {} closed its event stream", docker.host),
            },
            listed = &mut listing, if !*up => match listed {
                Ok(()) => *up = true,
                Err(failure) => return text(failure),
            },
            Some(looked) = desk.looks.next() => match looked {
                Ok(name) => drop(desk.busy.remove(&name)),
                Err(failure) => return text(failure),
            },
        }
        if *up {
            desk.begin();
        }
    }
}

fn options() -> EventsOptions {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(REPLAY);
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let filters = [
        ("type".to_owned(), words(&["container"])),
        ("event".to_owned(), words(&["start", "oom", "die", "health_status"])),
        ("label".to_owned(), words(&[labels::TASK_ARN])),
    ];
    EventsOptions {
        since: Some(format!("{}.{:09}", since.as_secs(), since.subsec_nanos())),
        until: None,
        filters: Some(filters.into()),
    }
}

async fn list(docker: &Docker, events: &mpsc::Sender<Event>) -> Result<(), OpFailure> {
    let containers = docker.list().await?;
    tell(events, Event::DockerUp(containers)).await;
    Ok(())
}

/// A closed channel means that the agent is ending; `stop` ends the watch.
async fn tell(events: &mpsc::Sender<Event>, event: Event) {
    drop(events.send(event).await);
}

fn text(failure: OpFailure) -> String {
    match failure {
        OpFailure::Unreachable(text) => text,
        OpFailure::Refused { name, text } => format!("{name}: {text}"),
        OpFailure::Missing => "no such container".to_owned(),
    }
}

/// What an event says about a container, should Docker have forgotten it by the time it is asked.
struct Note {
    name: DockerName,
    id: DockerId,
    exit_code: Option<ExitCode>,
    at: Option<Timestamp>,
}

impl Note {
    /// An end with exit code 0 has nothing more to tell. To inspect it all the same would wait for Docker to tidy up behind the
    /// container, which holds its lock for tens of milliseconds; every other end is inspected for what Docker says of it.
    fn speaks_for_itself(&self) -> bool {
        self.exit_code == Some(ExitCode(0))
    }
}

/// The containers to look at. One container is looked at once at a time, so what is said about it keeps its order; an event
/// about one that already waits adds nothing but its exit code.
struct Desk<'a> {
    docker: &'a Docker,
    events: &'a mpsc::Sender<Event>,
    shortages: &'a Shortages,
    waiting: VecDeque<Note>,
    busy: BTreeSet<DockerName>,
    looks: FuturesUnordered<BoxFuture<'a, Result<DockerName, OpFailure>>>,
}

impl<'a> Desk<'a> {
    fn new(docker: &'a Docker, events: &'a mpsc::Sender<Event>, shortages: &'a Shortages) -> Self {
        Self {
            docker,
            events,
            shortages,
            waiting: VecDeque::new(),
            busy: BTreeSet::new(),
            looks: FuturesUnordered::new(),
        }
    }

    fn note(&mut self, message: &EventMessage) {
        let Some(note) = note(message) else { return };
        if message.action.as_deref() == Some("oom") {
            self.shortages.note(note.name);
            return;
        }
        // Its value follows the name: `health_status: healthy`.
        if message.action.as_deref().is_some_and(|action| action.starts_with("health_status")) {
            // A look is due; one that is due already, perhaps for an end, will do.
            if !self.waiting.iter().any(|waiting| waiting.name == note.name) {
                self.waiting.push_back(note);
            }
            return;
        }
        let own = self.docker.own_starts().remove(&note.name);
        if own && message.action.as_deref() == Some("start") {
            return;
        }
        match self.waiting.iter_mut().find(|waiting| waiting.name == note.name) {
            Some(waiting) => *waiting = note,
            None => self.waiting.push_back(note),
        }
    }

    fn begin(&mut self) {
        while self.looks.len() < LOOKS {
            let next = self.waiting.iter().position(|note| !self.busy.contains(&note.name));
            let Some(note) = next.and_then(|at| self.waiting.remove(at)) else { return };
            self.busy.insert(note.name.clone());
            let short = note.exit_code.is_some() && self.shortages.take(&note.name);
            let look = if note.speaks_for_itself() && !short {
                tell_end(self.events, note).boxed()
            } else {
                look(self.docker, self.events, self.shortages, note, short).boxed()
            };
            self.looks.push(look);
        }
    }
}

/// Tells an end that needs no inspecting.
async fn tell_end(events: &mpsc::Sender<Event>, note: Note) -> Result<DockerName, OpFailure> {
    let name = note.name.clone();
    if let Some(seen) = told(None, note) {
        tell(events, Event::Observed(name.clone(), seen)).await;
    }
    Ok(name)
}

/// Inspects and tells. A daemon that does not answer ends the stream, and the next one begins with the whole list.
async fn look(
    docker: &Docker,
    events: &mpsc::Sender<Event>,
    shortages: &Shortages,
    note: Note,
    short: bool,
) -> Result<DockerName, OpFailure> {
    let name = note.name.clone();
    let (seen, gone) = match docker.inspect(&name).await {
        Ok(seen) => (Some(seen), false),
        Err(OpFailure::Missing) => (None, true),
        Err(OpFailure::Refused { text, .. }) => {
            tracing::warn!(container = %name, error = text, "cannot inspect a container that has changed");
            (None, false)
        }
        Err(failure @ OpFailure::Unreachable(_)) => return Err(failure),
    };
    match told(seen, note) {
        Some(mut seen) => {
            let killed = seen.running == Running::Exited(Some(KILLED));
            seen.oom_killed |= short || (killed && !seen.oom_killed && shortages.take_late(&name).await);
            tell(events, Event::Observed(name.clone(), seen)).await;
        }
        None if gone => tell(events, Event::Missing(name.clone())).await,
        None => {}
    }
    Ok(name)
}

/// What the inspect and the event say together. As ECS does, the event's exit code counts only where the inspect has none.
fn told(seen: Option<Observation>, note: Note) -> Option<Observation> {
    match seen {
        Some(mut seen) => {
            if seen.running == Running::Exited(None) {
                seen.running = Running::Exited(note.exit_code);
            }
            Some(seen)
        }
        None => note.exit_code.map(|code| {
            let mut seen = observe::bare(note.id, Running::Exited(Some(code)));
            seen.finished_at = note.at;
            seen
        }),
    }
}

fn note(message: &EventMessage) -> Option<Note> {
    let actor = message.actor.as_ref()?;
    let attributes = actor.attributes.as_ref()?;
    Some(Note {
        name: DockerName::new(attributes.get("name")?),
        id: DockerId::new(actor.id.clone()?),
        exit_code: attributes.get("exitCode").and_then(|code| code.parse().ok()).map(ExitCode),
        at: message.time_nano.and_then(|nanos| u64::try_from(nanos / 1_000_000).ok()).map(Timestamp),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn die(exit_code: &str) -> Note {
        let message = json!({ "Type": "container", "Action": "die", "timeNano": 1_795_341_600_123_456_789_i64,
            "Actor": { "ID": "abc", "Attributes": { "name": "n", "exitCode": exit_code } } });
        note(&serde_json::from_value(message).unwrap()).unwrap()
    }

    #[test]
    fn an_event_alone_tells_the_exit_of_a_container_that_is_gone() {
        let seen = told(None, die("137")).unwrap();
        assert_eq!((seen.id, seen.running), (DockerId::new("abc"), Running::Exited(Some(ExitCode(137)))));
        assert_eq!(seen.finished_at, Some(Timestamp(1_795_341_600_123)));
        assert_eq!(told(None, die("")), None);
    }

    #[test]
    fn only_an_end_with_code_0_speaks_for_itself() {
        assert!(die("0").speaks_for_itself());
        assert!(!die("137").speaks_for_itself() && !die("").speaks_for_itself());
    }

    #[test]
    fn an_events_exit_code_only_fills_a_gap_of_the_inspect() {
        let with =
            |running| told(Some(observe::bare(DockerId::new("abc"), running)), die("9")).map(|seen| seen.running);
        assert_eq!(with(Running::Exited(None)), Some(Running::Exited(Some(ExitCode(9)))));
        let own = Running::Exited(Some(ExitCode(0)));
        assert_eq!(with(own), Some(own));
        assert_eq!(with(Running::Running), Some(Running::Running), "it has been started again");
    }
}
