//! The host's `iptables` and its sisters, as programs: whichever of the two (`-nft`, `-legacy`) the host's own is, so that rules
//! stand where Docker's do.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// iptables waits for its lock for as long (`-w`), and gets a little more to do its work.
pub(crate) const LOCK_SECONDS: &str = "5";
const LIMIT: Duration = Duration::from_secs(10);

/// Runs it, whatever comes of it.
pub(crate) async fn run(program: &str, args: &[&str]) -> io::Result<Output> {
    feed(program, args, "").await
}

/// The same, with `input` on its standard input.
pub(crate) async fn feed(program: &str, args: &[&str], input: &str) -> io::Result<Output> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let work = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that reads nothing, or no more, says why in its output.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    timeout(LIMIT, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// What it said when it failed.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
