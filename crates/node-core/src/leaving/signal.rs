//! Signals, by their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A signal that a job may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Usr1,
    Usr2,
    Term,
    Cont,
}

const ALL: [Signal; 7] =
    [Signal::Hup, Signal::Int, Signal::Quit, Signal::Usr1, Signal::Usr2, Signal::Term, Signal::Cont];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no signal a job can be warned with: use SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 or SIGCONT"
)]
pub struct UnknownSignal(String);

impl Signal {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hup => "SIGHUP",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Term => "SIGTERM",
            Self::Cont => "SIGCONT",
        }
    }
}

impl From<Signal> for &'static str {
    fn from(signal: Signal) -> Self {
        signal.as_str()
    }
}

impl TryFrom<String> for Signal {
    type Error = UnknownSignal;

    fn try_from(name: String) -> Result<Self, UnknownSignal> {
        name.parse()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// With or without `SIG`, in capitals or not.
    fn from_str(name: &str) -> Result<Self, UnknownSignal> {
        let upper = name.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        let found = ALL.into_iter().find(|signal| signal.as_str().strip_prefix("SIG") == Some(bare));
        found.ok_or_else(|| UnknownSignal(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for name in ["SIGUSR1", "usr1", " SigUsr1 "] {
            assert_eq!(name.parse(), Ok(Signal::Usr1), "{name}");
        }
        assert!("SIGKILL".parse::<Signal>().unwrap_err().to_string().contains("use SIGTERM"));
        let text = serde_json::to_string(&Signal::Term).unwrap();
        assert_eq!(text, "\"SIGTERM\"");
        assert_eq!(serde_json::from_str::<Signal>(&text).unwrap(), Signal::Term);
    }
}
