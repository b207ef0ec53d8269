//! Ctrl-C, SIGTERM and a closed terminal, as one token.

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio_util::sync::CancellationToken;

/// A token that the first of the signals cancels. Later ones change nothing: the way down is bounded anyway.
pub(crate) fn stop_token() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("listening for signals")?;
    let cancelled = token.clone();
    std::thread::spawn(move || {
        for _signal in signals.forever() {
            cancelled.cancel();
        }
    });
    Ok(token)
}
