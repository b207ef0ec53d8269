//! Where containers find credentials and task metadata: what is configured, and what came of it.

use std::fmt;
use std::str::FromStr;

/// The key `task_endpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskEndpoint {
    /// 169.254.170.2 on `lo`; by iptables where that is not allowed.
    LinkLocal,
    Iptables,
    /// A port of 127.0.0.1; 0 is one that is free, and the same again after a restart. Containers on the host's network reach it.
    Loopback(u16),
    Off,
}

impl FromStr for TaskEndpoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "link-local" => Ok(Self::LinkLocal),
            "iptables" => Ok(Self::Iptables),
            "off" => Ok(Self::Off),
            other => other.strip_prefix("loopback:").and_then(|p| p.parse().ok()).map(Self::Loopback).ok_or(()),
        }
    }
}

/// How containers reach the endpoint, as it really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By 169.254.170.2, port 80.
    LinkLocal,
    /// By this port of 127.0.0.1.
    Loopback(u16),
    /// Not at all.
    Nowhere,
}

impl Reach {
    /// The beginning of the endpoint's addresses; `None` where there is none.
    pub(crate) fn base(self) -> Option<String> {
        match self {
            Self::LinkLocal => Some("http://169.254.170.2".to_owned()),
            Self::Loopback(port) => Some(format!("http://127.0.0.1:{port}")),
            Self::Nowhere => None,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base().as_deref().unwrap_or("nowhere"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_one_of_four() {
        assert_eq!("link-local".parse(), Ok(TaskEndpoint::LinkLocal));
        assert_eq!("loopback:51679".parse(), Ok(TaskEndpoint::Loopback(51679)));
        for bad in ["", "on", "loopback", "loopback:", "loopback:99999", "127.0.0.1:80"] {
            assert_eq!(bad.parse::<TaskEndpoint>(), Err(()), "{bad}");
        }
    }
}
