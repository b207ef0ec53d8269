//! What happened in a run, readable; kept only when someone is to read it.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    Agent,
    Disk,
    Docker,
    Ecs,
    Ec2,
    Fate,
    Check,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agent => "agent",
            Self::Disk => "disk",
            Self::Docker => "docker",
            Self::Ecs => "ecs",
            Self::Ec2 => "ec2",
            Self::Fate => "fate",
            Self::Check => "check",
        })
    }
}

/// The lines of a run, and a sum over all of them that two runs of the same seed share.
#[derive(Debug, Default)]
pub struct Story {
    lines: Option<Vec<String>>,
    sum: u64,
    told: u64,
}

impl Story {
    pub(crate) fn new(recorded: bool) -> Self {
        Self { lines: recorded.then(Vec::new), sum: 0xcbf2_9ce4_8422_2325, told: 0 }
    }

    /// `at` is milliseconds since the run began. The words are only made when they are kept.
    pub(crate) fn tell(&mut self, at: u64, actor: Actor, words: impl FnOnce() -> String) {
        self.mix(at);
        self.mix(actor as u64);
        self.told += 1;
        if let Some(lines) = &mut self.lines {
            let (secs, ms) = (at / 1_000, at % 1_000);
            lines.push(format!("{:>3}:{:02}.{ms:03}  {actor:<6}  {}", secs / 60, secs % 60, words()));
        }
    }

    pub(crate) fn mix(&mut self, number: u64) {
        self.sum = (self.sum ^ number).wrapping_mul(0x0100_0000_01b3);
    }

    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How much happened.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told
    }
}
