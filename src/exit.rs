//! The exit codes of every command, which the systemd unit honours (`Restart=on-failure`, `RestartPreventExitStatus=2 5`).
//!
//! 1 and 5 mean what they mean to amazon-ecs-agent's supervisor (agent/sighandlers/exitcodes), so that tooling written for
//! it reads this agent's codes right.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitStatus {
    /// The command did its work, or was asked to stop and stopped.
    Clean = 0,
    /// It failed in a way that another try may mend: the supervisor should restart it.
    Failed = 1,
    /// The command line is wrong (clap's own code).
    Usage = 2,
    /// It failed in a way that a restart cannot mend, such as a wrong configuration: do not restart it.
    Terminal = 5,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
