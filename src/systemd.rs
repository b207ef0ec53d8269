//! What systemd hears of the agent (sd_notify(3)): when it is ready, what it does, and that its loop turns. Elsewhere nobody
//! listens, and nothing happens.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// A pause between two texts for `systemctl status`: it is read by people.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// systemd, and whoever has said `systemctl start`, waits no longer than this for a Docker that does not answer.
const LATE: Duration = Duration::from_secs(30);
/// Longer than an hour is as good as never.
const NEVER: Duration = Duration::from_secs(3600);

pub(crate) struct Systemd {
    listens: bool,
    /// Half of what systemd waits (`WatchdogSec=`).
    ping_every: Option<Duration>,
    pinged: Instant,
    begun: Instant,
    ready: bool,
    status: String,
    status_at: Option<Instant>,
    /// The loop has turned since.
    stale: bool,
}

impl Systemd {
    /// As systemd has set the environment.
    pub(crate) fn new() -> Self {
        Self {
            listens: std::env::var_os("NOTIFY_SOCKET").is_some(),
            ping_every: sd_notify::watchdog_enabled().map(|limit| limit / 2),
            pinged: Instant::now(),
            begun: Instant::now(),
            ready: false,
            status: String::new(),
            status_at: None,
            stale: false,
        }
    }

    /// When the loop has to turn for systemd's sake.
    pub(crate) fn due_in(&self) -> Duration {
        let ping = self.ping_every.map(|every| every.saturating_sub(self.pinged.elapsed()));
        let status = self.stale.then(|| self.status_pause());
        let ready = (self.listens && !self.ready).then(|| LATE.saturating_sub(self.begun.elapsed()));
        [ping, status, ready].into_iter().flatten().min().unwrap_or(NEVER)
    }

    /// To be called by the loop itself and by nothing else: what pings while the loop hangs guards nothing.
    pub(crate) fn alive(&mut self) {
        if self.ping_every.is_some_and(|every| self.pinged.elapsed() >= every) {
            self.pinged = Instant::now();
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    /// It should have been ready by now.
    pub(crate) fn is_late(&self) -> bool {
        !self.ready && self.begun.elapsed() >= LATE
    }

    pub(crate) fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.tell(&[NotifyState::Ready]);
        }
    }

    /// The loop has turned. Whether it should say where it stands now.
    #[must_use]
    pub(crate) fn turned(&mut self) -> bool {
        self.alive();
        self.stale = self.listens && self.status_pause() > Duration::ZERO;
        self.listens && !self.stale
    }

    pub(crate) fn status(&mut self, text: String) {
        self.status_at = Some(Instant::now());
        if text != self.status {
            self.tell(&[NotifyState::Status(&text)]);
            self.status = text;
        }
    }

    fn status_pause(&self) -> Duration {
        self.status_at.map_or(Duration::ZERO, |at| STATUS_PAUSE.saturating_sub(at.elapsed()))
    }

    /// Until [`Systemd::reloaded`].
    pub(crate) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    pub(crate) fn reloaded(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping; containers that run keep running")]);
    }

    fn tell(&self, news: &[NotifyState<'_>]) {
        if self.listens
            && let Err(error) = sd_notify::notify(news)
        {
            tracing::debug!(%error, "systemd cannot be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under_systemd(watchdog: Option<Duration>) -> Systemd {
        Systemd { listens: true, ping_every: watchdog, ready: true, ..Systemd::new() }
    }

    #[test]
    fn without_systemd_the_loop_may_sleep() {
        let mut nobody = Systemd { listens: false, ping_every: None, ..Systemd::new() };
        assert!(!nobody.turned());
        assert_eq!(nobody.due_in(), NEVER);
    }

    #[test]
    fn a_docker_that_says_nothing_does_not_hold_up_the_start() {
        let mut systemd = Systemd { ready: false, ..under_systemd(None) };
        assert!(!systemd.is_late() && systemd.due_in() <= LATE);
        systemd.begun = Instant::now().checked_sub(LATE).unwrap();
        assert!(systemd.is_late());
        systemd.ready();
        assert!(!systemd.is_late());
        assert_eq!(systemd.due_in(), NEVER);
    }

    #[test]
    fn the_loop_is_woken_to_ping() {
        let every = Duration::from_secs(30);
        let mut systemd = under_systemd(Some(every));
        assert!(systemd.due_in() <= every && systemd.due_in() > Duration::ZERO);
        systemd.pinged = Instant::now().checked_sub(every).unwrap();
        assert_eq!(systemd.due_in(), Duration::ZERO);
        let _ = systemd.turned();
        systemd.status(String::new());
        assert!(systemd.due_in() > Duration::ZERO, "it has pinged");
    }

    #[test]
    fn a_status_that_comes_too_soon_is_told_later() {
        let mut systemd = under_systemd(None);
        assert!(systemd.turned());
        systemd.status("first".to_owned());
        assert_eq!(systemd.due_in(), NEVER, "nothing is owed");
        assert!(!systemd.turned(), "too soon");
        assert!(systemd.due_in() <= STATUS_PAUSE, "the loop is woken to tell it");
        systemd.status_at = Instant::now().checked_sub(STATUS_PAUSE);
        assert!(systemd.turned());
        systemd.status("second".to_owned());
        assert_eq!((systemd.status.as_str(), systemd.due_in()), ("second", NEVER));
    }
}
