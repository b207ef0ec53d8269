//! 169.254.170.2:80, where SDKs in containers and dockerd's awslogs driver look for credentials.
//!
//! The host itself gets the address, on `lo`: containers on any network reach it through their default route, with no address
//! translation. Where that is not allowed, the agent's own port is put behind it by iptables.

mod iptables;
mod netlink;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
const PORT: u16 = 80;

/// What was done to the host, to be undone when nobody needs it any more.
#[derive(Debug)]
pub(crate) enum Claim {
    /// `lo` has the address. Also when an earlier agent gave it: it had it from us, too.
    Address,
    Rules(iptables::Changed),
}

/// Gives the address to `lo` and listens there. On a failure the host is as it was.
pub(crate) async fn claim() -> io::Result<(Claim, TcpListener)> {
    let added = netlink::add(ADDRESS)?;
    match TcpListener::bind(SocketAddr::from((ADDRESS, PORT))).await {
        Ok(listener) => Ok((Claim::Address, listener)),
        Err(error) => {
            if added {
                netlink::remove(ADDRESS)?;
            }
            Err(error)
        }
    }
}

/// Puts 127.0.0.1:51679 behind the address.
pub(crate) async fn translate() -> io::Result<Claim> {
    iptables::set_up().await.map(Claim::Rules)
}

impl Claim {
    pub(crate) async fn undo(self) {
        match self {
            Self::Address => {
                if let Err(error) = netlink::remove(ADDRESS) {
                    tracing::warn!(%error, "{ADDRESS} stays on lo");
                }
            }
            Self::Rules(rules) => rules.undo().await,
        }
    }
}
