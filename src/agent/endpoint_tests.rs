//! The endpoint in network namespaces of its own: a "host", and behind a veth pair a "container" on a bridge.
//!
//! The tests run themselves again inside the host's namespace. They need root, iproute2, iptables and busybox; nothing of them
//! touches the machine's own network.

use std::process::Command;

use super::*;
use crate::docker::Docker;
use crate::serve::credentials::CredentialStore;
use crate::serve::credentials::tests::delivered;
use crate::serve::task::{Place, Rate};

const INSIDE: &str = "BATCH_NODE_AGENT_TEST_INSIDE";
const OUTSIDE: &str = "BATCH_NODE_AGENT_TEST_OUTSIDE";

fn run(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(args).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn must(program: &str, args: &[&str]) -> String {
    let (done, said) = run(program, args);
    assert!(done, "{program} {}: {said}", args.join(" "));
    said
}

/// Two namespaces and the wire between them.
struct Namespaces {
    host: String,
    container: String,
}

impl Namespaces {
    fn new(name: &str) -> Self {
        let name = format!("bna{}{name}", std::process::id());
        let spaces = Self { host: format!("{name}h"), container: format!("{name}c") };
        let (host, container) = (spaces.host.as_str(), spaces.container.as_str());
        must("ip", &["netns", "add", host]);
        must("ip", &["netns", "add", container]);
        must("ip", &["-n", host, "link", "add", "bridge", "type", "veth", "peer", "name", "eth0", "netns", container]);
        must("ip", &["-n", host, "addr", "add", "172.31.99.1/24", "dev", "bridge"]);
        must("ip", &["-n", container, "addr", "add", "172.31.99.2/24", "dev", "eth0"]);
        for (space, device) in [(host, "lo"), (host, "bridge"), (container, "lo"), (container, "eth0")] {
            must("ip", &["-n", space, "link", "set", device, "up"]);
        }
        must("ip", &["-n", container, "route", "add", "default", "via", "172.31.99.1"]);
        spaces
    }

    /// Runs an ignored test of this program inside the host's namespace.
    fn run_inside(&self, test: &str) {
        let me = std::env::current_exe().unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host]).arg(me).args(["--exact", test, "--ignored", "--nocapture"]);
        let output = command.env(INSIDE, &self.container).env(OUTSIDE, here()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for space in [&self.host, &self.container] {
            let _ = run("ip", &["netns", "delete", space]);
        }
    }
}

/// The network namespace of this process.
fn here() -> String {
    std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string()
}

/// The container's namespace, when this process really is in one that a test made, and not where that test itself runs.
fn inside() -> Option<String> {
    let container = std::env::var(INSIDE).ok()?;
    assert_ne!(here(), std::env::var(OUTSIDE).unwrap(), "the machine's own network is not to be touched");
    Some(container)
}

async fn fetch(container: Option<String>, url: &'static str) -> (bool, String) {
    const WGET: [&str; 9] = ["busybox", "timeout", "5", "busybox", "wget", "-Y", "off", "-q", "-O-"];
    let fetch = move || {
        let space =
            container.map_or_else(Vec::new, |space| vec!["ip".to_owned(), "netns".into(), "exec".into(), space]);
        let words: Vec<&str> = space.iter().map(String::as_str).chain(WGET).chain([url]).collect();
        run(words[0], &words[1..])
    };
    tokio::task::spawn_blocking(fetch).await.unwrap()
}

/// Opens the endpoint, asks it from the host and from the container, and closes it.
async fn credentials_are_served(wanted: TaskEndpoint, container: String) {
    const URL: &str = "http://169.254.170.2/v2/credentials/c-1";
    let dir = tempfile::tempdir().unwrap();
    let credentials = CredentialStore::default();
    credentials.put(delivered("c-1", "s3cret"));
    let (requests, _asked) = mpsc::channel(1);
    let shared = Shared {
        requests,
        credentials,
        docker: Docker::new("unix:///nowhere").unwrap(),
        statistics: Statistics::new(Docker::new("unix:///nowhere").unwrap()),
        limiter: Arc::new(Limiter::new(Rate { steady: 40, burst: 60 })),
        audit: Audit::off(),
        place: tokio::sync::watch::Sender::new(Place::default()).subscribe(),
    };
    let opened = open(wanted, dir.path()).await;
    assert_eq!(opened.reach, Reach::LinkLocal);
    let stop = CancellationToken::new();
    let (mut servers, claim) = opened.serve(&shared, &stop);
    for from in [None, Some(container.clone())] {
        let (done, said) = fetch(from.clone(), URL).await;
        assert!(done && said.contains(r#""SecretAccessKey":"s3cret""#), "from {from:?}: {said}");
    }
    let (done, _) = fetch(Some(container), "http://172.31.99.1:51678/v1/metadata").await;
    assert!(!done, "the introspection is for the host alone");
    let (done, said) = fetch(None, "http://127.0.0.1:51678/v1/metadata").await;
    assert!(done && said.contains("Amazon ECS Agent"), "{said}");
    // A second agent, started while the first one's address is still there, finds it and is content.
    stop.cancel();
    while servers.join_next().await.is_some() {}
    let again = open(wanted, dir.path()).await;
    assert_eq!(again.reach, Reach::LinkLocal);
    let (_, left) = again.serve(&shared, &stop);
    drop(claim);
    left.unwrap().undo().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test, in a network namespace"]
async fn inside_link_local() {
    let Some(container) = inside() else { return };
    credentials_are_served(TaskEndpoint::LinkLocal, container).await;
    assert!(!must("ip", &["addr", "show", "dev", "lo"]).contains("169.254.170.2"), "undone");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test, in a network namespace"]
async fn inside_iptables() {
    let Some(container) = inside() else { return };
    // What the host sends to 169.254.170.2 needs a route before it is translated.
    must("ip", &["route", "add", "default", "via", "172.31.99.2"]);
    credentials_are_served(TaskEndpoint::Iptables, container).await;
    for table in ["nat", "filter"] {
        let rules = must("iptables", &["-t", table, "-S"]);
        assert!(!rules.contains("169.254.170.2") && !rules.contains("127.0.0.0/8"), "undone: {rules}");
    }
}

/// Port 80 is taken on all addresses: the address cannot be served, and iptables can.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test, in a network namespace"]
async fn inside_fallback() {
    let Some(_container) = inside() else { return };
    let web = TcpListener::bind("0.0.0.0:80").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let opened = open(TaskEndpoint::LinkLocal, dir.path()).await;
    assert_eq!(opened.reach, Reach::LinkLocal);
    assert!(must("iptables", &["-t", "nat", "-S"]).contains("169.254.170.2"));
    assert!(!must("ip", &["addr", "show", "dev", "lo"]).contains("169.254.170.2"), "taken back");
    opened.claim.unwrap().undo().await;
    drop(web);
}

#[test]
fn the_host_itself_gets_the_address_and_takes_it_back() {
    Namespaces::new("l").run_inside("agent::endpoint::tests::inside_link_local");
}

#[test]
fn iptables_puts_the_agents_port_behind_the_address() {
    Namespaces::new("i").run_inside("agent::endpoint::tests::inside_iptables");
}

#[test]
fn where_port_80_is_taken_iptables_serves() {
    Namespaces::new("f").run_inside("agent::endpoint::tests::inside_fallback");
}

#[tokio::test]
async fn a_free_port_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(TaskEndpoint::Loopback(0), dir.path()).await;
    let reach = first.reach;
    assert!(matches!(reach, Reach::Loopback(port) if port > 0));
    drop(first);
    assert_eq!(open(TaskEndpoint::Loopback(0), dir.path()).await.reach, reach);
    assert_eq!(open(TaskEndpoint::Off, dir.path()).await.reach, Reach::Nowhere);
}
