//! SIGTERM, SIGINT and SIGHUP, through signal-hook.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The shell's word for a process ended by SIGINT.
const SECOND_SIGNAL_EXIT: i32 = 130;

/// Returns a token that the first SIGTERM or SIGINT cancels. The second one ends the process at once: an operator who asks twice
/// does not want to wait, and nothing is lost by it, as every step is on disk.
pub(crate) fn shutdown_token() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order, so that the first signal arms the exit and only the second takes it.
        flag::register_conditional_shutdown(signal, SECOND_SIGNAL_EXIT, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let cancel = token.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            cancel.cancel();
        }
    })?;
    Ok(token)
}

/// [`shutdown_token`], and what every SIGHUP notifies; several at once count as one.
pub(crate) fn of_service() -> io::Result<(CancellationToken, Arc<Notify>)> {
    let token = shutdown_token()?;
    let reload = Arc::new(Notify::new());
    let mut signals = Signals::new([SIGHUP])?;
    let notify = Arc::clone(&reload);
    thread::Builder::new().name("sighup".to_owned()).spawn(move || {
        for _ in signals.forever() {
            notify.notify_one();
        }
    })?;
    Ok((token, reload))
}

/// Waits for the first SIGTERM or SIGINT. Without signal handlers it never ends: the signals then end the process themselves.
#[cfg(feature = "local")]
pub(crate) async fn wait() {
    match shutdown_token() {
        Ok(token) => token.cancelled().await,
        Err(error) => {
            tracing::warn!(%error, "signals cannot be caught; a stop will not be orderly");
            std::future::pending().await
        }
    }
}
