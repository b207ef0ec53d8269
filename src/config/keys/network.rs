//! The way out of the host.

use super::Default::Unset;
use super::Key;
use crate::config::draft::set;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "ecs_endpoint",
        default: Unset("AWS_ENDPOINT_URL_ECS, else the region's"),
        expects: "the address of a server, https://host",
        help: "Where the API of ECS is",
        apply: |d, v| set(&mut d.config.ecs_endpoint, v.endpoint().map(Some)),
    },
    Key {
        name: "http_proxy",
        default: Unset("no proxy"),
        expects: "the address of a proxy, http://host:port or https://host:port",
        help: "The proxy for http addresses. It may hold a password, so it is shown nowhere",
        apply: |d, v| set(&mut d.config.proxies.http, v.proxy().map(Some)),
    },
    Key {
        name: "https_proxy",
        default: Unset("no proxy"),
        expects: "the address of a proxy, http://host:port or https://host:port",
        help: "The proxy for https addresses and the websockets of ECS. It may hold a password, so it is shown nowhere. \
            Docker has a proxy setting of its own",
        apply: |d, v| set(&mut d.config.proxies.https, v.proxy().map(Some)),
    },
    Key {
        name: "no_proxy",
        default: Unset(
            "the addresses of the instance metadata and credential services and the loopback, \
            which no proxy is ever asked for",
        ),
        expects: "a comma-separated list of host names, domains, addresses and networks",
        help: "What is reached without a proxy, as Go reads it: `*`; `10.1.2.3`; `10.0.0.0/8`; `example.com`, with all below it; \
            `.example.com`, what is below it; addresses and names also with `:port`",
        apply: |d, v| set(&mut d.config.proxies.exempt, v.comma_separated()),
    },
    Key {
        name: "ca_bundle",
        default: Unset("the system's certificate authorities alone"),
        expects: "an absolute path",
        help: "A PEM file of certificate authorities to trust besides the system's, for AWS's APIs and the websockets",
        apply: |d, v| set(&mut d.config.ca_bundle, v.absolute_path().map(Some)),
    },
];
