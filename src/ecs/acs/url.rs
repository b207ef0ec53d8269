//! A websocket's URL: the endpoint, and who is calling.

use std::fmt::Write as _;

/// Our own; ECS shows it in the console and compares it with nothing that is known.
pub(in crate::ecs) const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");
/// The first eight hex digits of this build's commit, as amazon-ecs-agent has them. Whoever builds a release names the commit in
/// `BATCH_NODE_AGENT_COMMIT`: the same source and the same name give the same binary. Without it: zeroes.
pub(in crate::ecs) const AGENT_HASH: &str = short(option_env!("BATCH_NODE_AGENT_COMMIT"));

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the endpoint {0:?} is neither https, http, wss nor ws")]
pub(in crate::ecs) struct EndpointError(String);

/// Who calls. All of it ends up in the URL, so none of it is a secret.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    pub(super) cluster: &'a str,
    pub(super) container_instance: &'a str,
    /// Docker Engine's version, e.g. `25.0.8`; left out if it is not known.
    pub(super) docker_version: Option<&'a str>,
    /// Asks ECS for the credentials of all tasks that run here.
    pub(super) send_credentials: bool,
}

const fn short(commit: Option<&'static str>) -> &'static str {
    if let Some(commit) = commit
        && let Some((short, _)) = commit.split_at_checked(8)
        && is_hex(short.as_bytes())
    {
        return short;
    }
    "00000000"
}

const fn is_hex(digits: &[u8]) -> bool {
    match digits {
        [] => true,
        [digit, rest @ ..] => digit.is_ascii_hexdigit() && is_hex(rest),
    }
}

/// `<endpoint>/ws?agentHash=..&..`, parameters sorted by name (amazon-ecs-agent, `ecs-agent/acs/session/session.go`).
pub(super) fn websocket_url(endpoint: &str, caller: &Caller<'_>) -> Result<String, EndpointError> {
    let docker = caller.docker_version.map(|v| format!("DockerVersion: {v}"));
    let parameters = [
        ("agentHash", Some(AGENT_HASH)),
        ("agentVersion", Some(AGENT_VERSION)),
        ("clusterArn", Some(caller.cluster)),
        ("containerInstanceArn", Some(caller.container_instance)),
        ("dockerVersion", docker.as_deref()),
        // 2: ECS may close a connection whose heartbeats are not acknowledged.
        ("protocolVersion", Some("2")),
        ("sendCredentials", Some(if caller.send_credentials { "true" } else { "false" })),
        ("seqNum", Some("1")),
    ];
    with_query(endpoint, &parameters)
}

/// `<endpoint>/ws?name=value&..`; a parameter without a value is left out.
pub(in crate::ecs) fn with_query(endpoint: &str, parameters: &[(&str, Option<&str>)]) -> Result<String, EndpointError> {
    let query: Vec<String> =
        parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?)))).collect();
    let base = websocket_scheme(endpoint)?;
    let slash = if base.ends_with('/') { "" } else { "/" };
    Ok(format!("{base}{slash}ws?{}", query.join("&")))
}

fn websocket_scheme(endpoint: &str) -> Result<String, EndpointError> {
    let error = || EndpointError(endpoint.to_owned());
    let (scheme, rest) = endpoint.split_once("://").ok_or_else(error)?;
    match scheme {
        "https" | "wss" => Ok(format!("wss://{rest}")),
        "http" | "ws" => Ok(format!("ws://{rest}")),
        _ => Err(error()),
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters, so that the signature and the wire agree on a space.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller<'static> {
        Caller {
            cluster: "my-cluster",
            container_instance: "arn:aws:ecs:us-east-1:1:container-instance/my-cluster/0123",
            docker_version: Some("25.0.8"),
            send_credentials: true,
        }
    }

    #[test]
    fn the_url_says_who_calls() {
        let url = websocket_url("https://ecs-a-3.us-east-1.amazonaws.com", &caller()).unwrap();
        let expected = format!(
            "wss://ecs-a-3.us-east-1.amazonaws.com/ws?agentHash={AGENT_HASH}&agentVersion={AGENT_VERSION}\
             &clusterArn=my-cluster\
             &containerInstanceArn=arn%3Aaws%3Aecs%3Aus-east-1%3A1%3Acontainer-instance%2Fmy-cluster%2F0123\
             &dockerVersion=DockerVersion%3A%2025.0.8&protocolVersion=2&sendCredentials=true&seqNum=1"
        );
        assert_eq!(url, expected);
    }

    #[test]
    fn a_commit_is_cut_to_eight_digits_and_what_is_none_to_zeroes() {
        assert_eq!(short(Some("a8b3e7d3c0ffee")), "a8b3e7d3");
        for none in [None, Some(""), Some("a8b3"), Some("v1.105.1-dirty"), Some("ääääääää")] {
            assert_eq!(short(none), "00000000", "{none:?}");
        }
    }

    #[test]
    fn an_unknown_docker_is_left_out_and_a_slash_kept() {
        let caller = Caller { docker_version: None, send_credentials: false, ..caller() };
        let url = websocket_url("http://127.0.0.1:4510/acs/", &caller).unwrap();
        assert!(url.starts_with("ws://127.0.0.1:4510/acs/ws?agentHash="), "{url}");
        assert!(!url.contains("dockerVersion") && url.contains("sendCredentials=false"));
    }

    #[test]
    fn other_schemes_are_refused() {
        for endpoint in ["ftp://x", "ecs.example.com", ""] {
            assert!(websocket_url(endpoint, &caller()).is_err(), "{endpoint}");
        }
    }
}
