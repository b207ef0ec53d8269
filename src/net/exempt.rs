//! What is reached without a proxy: NO_PROXY in the forms that Go, and so amazon-ecs-agent, takes.

use std::net::IpAddr;

/// What no proxy is ever asked for: the metadata and credential services, whose answers are this host's alone, and the
/// host itself. amazon-ecs-agent exempts the first two, and only where NO_PROXY is not set.
const ALWAYS: [&str; 7] =
    ["169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "localhost", "127.0.0.0/8", "::1"];

/// Whether `host` (an IPv6 address with or without brackets) is reached without a proxy at this port.
pub(super) fn is_exempt(entries: &[String], host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let own = entries.iter().map(String::as_str);
    ALWAYS.into_iter().chain(own).any(|entry| covers(&entry.trim().to_ascii_lowercase(), &host, port))
}

/// `*`, an address, a network such as `10.0.0.0/8`, a domain with all below it (`example.com`), or only what is below it
/// (`.example.com`, `*.example.com`); an address and a domain may end in `:port`.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let address = host.parse::<IpAddr>().ok();
    if let Some((network, bits)) = network(entry) {
        return address.is_some_and(|address| is_in(address, network, bits));
    }
    let (name, of_port) = with_port(entry);
    if of_port.is_some_and(|of_port| of_port != port) || name.is_empty() {
        return false;
    }
    if let Ok(wanted) = name.parse::<IpAddr>() {
        return address == Some(wanted);
    }
    let below = |domain: &str| host.strip_suffix(domain).is_some_and(|front| front.ends_with('.') && front.len() > 1);
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        _ if address.is_some() => false,
        Some(domain) => below(domain),
        None => host == name || below(name),
    }
}

fn network(entry: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = entry.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok()?))
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let same = |a: u128, b: u128, width: u32| bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// `name:port` and `[address]:port` taken apart. What has more colons is an IPv6 address.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
        _ => (entry, None),
    };
    (name.trim_matches(['[', ']']), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_entry_is_understood() {
        for (entry, exempt, proxied) in [
            ("*", "anything:1", None),
            ("example.com", "example.com:443", Some("notexample.com:443")),
            ("Example.com", "a.B.example.COM.:443", Some("example.com.evil:443")),
            (".example.com", "a.example.com:443", Some("example.com:443")),
            ("*.example.com", "a.example.com:443", Some("example.com:443")),
            ("example.com:8443", "a.example.com:8443", Some("a.example.com:443")),
            ("10.0.0.0/8", "10.255.0.1:80", Some("11.0.0.1:80")),
            ("0.0.0.0/0", "8.8.8.8:80", Some("a.example.com:80")),
            ("10.1.2.3", "10.1.2.3:80", Some("10.1.2.30:80")),
            ("10.1.2.3:80", "10.1.2.3:80", Some("10.1.2.3:81")),
            ("fd00::/16", "[fd00::1]:80", Some("[fe00::1]:80")),
            ("[fd00::1]:80", "[fd00::1]:80", Some("[fd00::1]:81")),
            ("fd00::1", "[fd00::1]:81", Some("[fd00::2]:81")),
        ] {
            let is = |address: &str| {
                let (host, port) = address.rsplit_once(':').unwrap();
                is_exempt(&["other".to_owned(), entry.to_owned()], host, port.parse().unwrap())
            };
            assert!(is(exempt), "{entry} {exempt}");
            assert!(proxied.is_none_or(|address| !is(address)), "{entry} {proxied:?}");
        }
        for nothing in ["", ".", "10.0.0.0/99", "/", ":80"] {
            assert!(!is_exempt(&[nothing.to_owned()], "a.example.com", 443), "{nothing:?}");
        }
    }

    #[test]
    fn the_hosts_own_services_are_always_exempt() {
        for host in ["169.254.169.254", "169.254.170.2", "[fd00:ec2::254]", "127.0.0.53", "localhost", "::1"] {
            assert!(is_exempt(&[], host, 80), "{host}");
        }
        assert!(!is_exempt(&[], "ecs.us-east-1.amazonaws.com", 443));
    }
}
