//! An address given to `lo` and taken back, over rtnetlink: one request and its acknowledgement (rtnetlink(7)).
//!
//! Integers are in the host's byte order, addresses in the network's.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, recv, sendto, socket_with};

const NLMSG_ERROR: u16 = 2;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const AF_INET: u8 = 2;
/// The address is for this host alone: the kernel takes it as the source of no packet that leaves.
const RT_SCOPE_HOST: u8 = 254;
const HEADER: usize = 16;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gives `address`/32 to `lo`. `false`: it was there already.
pub(super) fn add(address: Ipv4Addr) -> io::Result<bool> {
    match ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true),
    }
}

/// Takes `address`/32 from `lo`. One that is not there is fine.
pub(super) fn remove(address: Ipv4Addr) -> io::Result<()> {
    match ask(RTM_DELADDR, 0, address) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
        other => other,
    }
}

fn ask(kind: u16, flags: u16, address: Ipv4Addr) -> io::Result<()> {
    // No protocol is protocol 0, NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    let probe = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let lo = netdevice::name_to_index(&probe, "lo")?;
    let message = request(kind, flags, address, lo);
    let sent = sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    if sent != message.len() {
        return Err(io::Error::other("the kernel took half of a netlink message"));
    }
    let mut answer = [0_u8; 512];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    verdict(answer.get(..length).unwrap_or_default())
}

/// `nlmsghdr`, `ifaddrmsg`, and the address twice: as the local end and as the (same) other end.
fn request(kind: u16, flags: u16, address: Ipv4Addr, interface: u32) -> Vec<u8> {
    const SEQUENCE: u32 = 1;
    const PREFIX: u8 = 32;
    let mut body = vec![AF_INET, PREFIX, 0, RT_SCOPE_HOST];
    body.extend(interface.to_ne_bytes());
    for attribute in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(attribute.to_ne_bytes());
        body.extend(address.octets());
    }
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend(SEQUENCE.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// `NLMSG_ERROR` carries a negative errno; 0 is the acknowledgement.
fn verdict(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let errno = answer.get(HEADER..HEADER + 4).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, errno) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(errno)) => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that is no netlink acknowledgement")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_kernels_layout() {
        let message = request(RTM_NEWADDR, NLM_F_CREATE, Ipv4Addr::new(169, 254, 170, 2), 1);
        assert_eq!(message.len(), 40);
        assert_eq!(message[..4], 40_u32.to_ne_bytes());
        assert_eq!(message[4..6], RTM_NEWADDR.to_ne_bytes());
        assert_eq!(message[16..20], [AF_INET, 32, 0, RT_SCOPE_HOST]);
        assert_eq!(message[28..32], [169, 254, 170, 2]);
        assert_eq!(message[28..32], message[36..40]);
    }

    #[test]
    fn an_errno_is_an_error_and_zero_is_none() {
        let answer = |errno: i32| {
            let mut answer = vec![0_u8; 36];
            answer[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
            answer[16..20].copy_from_slice(&errno.to_ne_bytes());
            verdict(&answer)
        };
        assert!(answer(0).is_ok());
        assert_eq!(answer(-17).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(answer(-1).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(verdict(&[0; 10]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
