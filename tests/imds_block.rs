//! Jobs kept from the instance metadata service, in network and mount namespaces of this test's own: a "host" with a Docker of its
//! own, and behind a wire the stand-in for the service. Nothing of it touches the machine's own network. It needs root,
//! iproute2, iptables and busybox.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::process::Process;
use crate::common::{eventually, text};
use crate::docker_daemon::Dockerd;

const SERVICE: &str = "http://169.254.169.254/";
const SERVICE_V6: &str = "http://[fd00:ec2::254]/";
/// Another address of the same server.
const ELSEWHERE: &str = "http://10.99.0.2/";

/// Version 2 of control groups, whatever the machine has, without the machine's other mounts of them.
const VERSION_2: &str = "{ umount --recursive /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; }";

#[test]
fn jobs_do_not_reach_the_metadata_service_and_all_else_goes_on() {
    inside(VERSION_2, "imds_block::the_block_inside_a_namespace");
}

#[test]
fn a_host_that_cannot_block_says_why_and_takes_no_jobs_if_it_must_not() {
    inside(VERSION_2, "imds_block::no_rights_inside_a_namespace");
}

/// Runs an ignored test of this program in network and mount namespaces of its own, after `setup`.
pub(crate) fn inside(setup: &str, test: &str) {
    let script = format!("mount --make-rprivate / && ip link set lo up && {setup} && exec \"$0\" \"$@\"");
    let me = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &script]).arg(me).args(["--exact", test, "--ignored", "--nocapture"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn must(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {}: {said}", args.join(" "));
    said
}

/// The service's machine: a namespace that ends with its process.
struct Service {
    _server: Process,
    _dir: tempfile::TempDir,
}

impl Service {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.html"), "here I am\n").unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "busybox", "httpd", "-f", "-p", "80", "-h"]).arg(dir.path());
        let server = Process::spawn(command, &dir.path().join("log"));
        let pid = server.pid().to_string();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        eventually("the service's namespace", || {
            let now = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
            (now != own).then_some(())
        });
        must("ip", &["link", "add", "wire", "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        let there = |args: &[&str]| must("nsenter", &[&["--target", &pid, "--net", "ip"], args].concat());
        must("ip", &["addr", "add", "10.99.0.1/30", "dev", "wire"]);
        must("ip", &["addr", "add", "fd00:99::1/64", "dev", "wire", "nodad"]);
        must("ip", &["link", "set", "wire", "up"]);
        for (address, device) in [
            ("10.99.0.2/30", "eth0"),
            ("fd00:99::2/64", "eth0"),
            ("169.254.169.254/32", "lo"),
            ("fd00:ec2::254/128", "lo"),
        ] {
            let nodad: &[&str] = if address.contains("::") { &["nodad"] } else { &[] };
            there(&[&["addr", "add", address, "dev", device], nodad].concat());
        }
        there(&["link", "set", "lo", "up"]);
        there(&["link", "set", "eth0", "up"]);
        there(&["route", "add", "default", "via", "10.99.0.1"]);
        must("ip", &["route", "add", "169.254.169.254/32", "via", "10.99.0.2"]);
        must("ip", &["-6", "route", "add", "fd00:ec2::254/128", "via", "fd00:99::2"]);
        for url in [SERVICE, SERVICE_V6, ELSEWHERE] {
            eventually(url, || host_reaches(url).then_some(()));
        }
        Self { _server: server, _dir: dir }
    }
}

fn host_reaches(url: &str) -> bool {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let address: SocketAddr = format!("{host}:80").parse().unwrap();
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok()
}

/// Whether a container on Docker's bridge gets an answer within so many seconds.
fn bridge_hears(dockerd: &Dockerd, url: &str, seconds: u32) -> bool {
    let script = format!("timeout {seconds} wget -qO- {url} || echo nothing");
    dockerd.docker(&["run", "--rm", "busybox", "sh", "-c", &script]).contains("here I am")
}

/// An answer may be slow on a busy machine.
fn bridge_reaches(dockerd: &Dockerd, url: &str) -> bool {
    bridge_hears(dockerd, url, 30)
}

/// What is dropped never answers.
fn bridge_misses(dockerd: &Dockerd, url: &str) -> bool {
    !bridge_hears(dockerd, url, 1)
}

/// What a job, on the host's network as Batch's are, gets of each address.
const JOB: &str = "for url in http://169.254.169.254/ http://[fd00:ec2::254]/ http://10.99.0.2/; do
    timeout 30 wget -qO- $url >/dev/null 2>&1 && echo yes $url || echo no $url
done
grep CapBnd /proc/self/status";

fn job_reaches(plane: &Plane) -> Vec<String> {
    let id = plane.shell("hello", JOB);
    plane.output(&plane.job_in(&id, "SUCCEEDED"))
}

/// `iptables` and its kin, as links to one of the two.
fn path_with(dir: &Path, kind: &str) -> String {
    std::fs::create_dir(dir.join(kind)).unwrap();
    for name in ["iptables", "ip6tables", "iptables-restore", "ip6tables-restore"] {
        let real = name.replacen("tables", &format!("tables-{kind}"), 1);
        symlink(PathBuf::from("/usr/sbin").join(real), dir.join(kind).join(name)).unwrap();
    }
    format!("{}:/usr/bin:/bin", dir.join(kind).display())
}

#[test]
#[ignore = "runs inside a namespace, by another test"]
fn the_block_inside_a_namespace() {
    let _service = Service::start();
    let mut dockerd = Dockerd::start_with_bridge();
    let url = dockerd.url();
    let plane = Plane::start(&["--max-nodes", "0", "--docker-host", &url]);
    assert!(bridge_reaches(&dockerd, SERVICE) && bridge_reaches(&dockerd, ELSEWHERE), "without the block");
    let (instance, dir) = (plane.run_instance(), tempfile::tempdir().unwrap());
    for kind in ["nft", "legacy"] {
        let path = path_with(dir.path(), kind);
        let setup = Setup::on(&plane, &instance).set("docker_host", &format!("{url:?}"));
        let mut agent = Agent::start(setup.set("block_imds", "\"require\"").env("PATH", &path));
        let joined = agent.joined();
        assert_eq!(text(&joined["state"]["imds_for_jobs"]), "blocked for jobs");
        assert!(bridge_misses(&dockerd, SERVICE), "a container on a bridge reaches the service, {kind}");
        assert!(bridge_reaches(&dockerd, ELSEWHERE) && host_reaches(SERVICE) && host_reaches(SERVICE_V6));
        blocked_for_jobs(&plane);
        // Somebody reloads the firewall, and Docker starts again: that is when the agent looks.
        must(&dir.path().join(kind).join("iptables").display().to_string(), &["-t", "raw", "-F", "PREROUTING"]);
        dockerd.end("TERM");
        agent.status_with("an agent that misses Docker", |status| status["state"]["docker"] == "down");
        dockerd.start_again();
        eventually("the block, after a restart of Docker", || bridge_misses(&dockerd, SERVICE).then_some(()));
        blocked_for_jobs(&plane);

        agent.process().signal("TERM");
        assert!(agent.process().ends_within(Duration::from_secs(10)).is_some());
        assert!(bridge_misses(&dockerd, SERVICE), "the rules outlive the agent, as containers do");
        let config = std::fs::read_to_string(agent.file("config.toml")).unwrap();
        std::fs::write(agent.file("config.toml"), config.replace("\"require\"", "\"off\"")).unwrap();
        agent.start_again();
        agent.line(&["jobs are no longer kept from the instance metadata service"]);
        assert!(bridge_reaches(&dockerd, SERVICE), "nothing is left, {kind}");
        agent.joined();
        assert!(job_reaches(&plane).iter().take(3).all(|line| line.starts_with("yes ")), "nor for jobs, {kind}");
    }
}

fn blocked_for_jobs(plane: &Plane) {
    let said = job_reaches(plane);
    let [v4, v6, other, caps] = &said[..] else { panic!("four lines: {said:?}") };
    assert_eq!([&v4[..3], &v6[..3], &other[..4]], ["no ", "no ", "yes "], "{said:?}");
    let caps = u64::from_str_radix(caps.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(caps & 1 << 13, 0, "CAP_NET_RAW would lead around the block");
}

#[test]
#[ignore = "runs inside a namespace, by another test"]
fn no_rights_inside_a_namespace() {
    let dockerd = Dockerd::start_with_bridge();
    let url = dockerd.url();
    let plane = Plane::start(&["--max-nodes", "0", "--docker-host", &url]);
    let bare = tempfile::tempdir().unwrap();
    let start = |block: &str| {
        let setup = Setup::on(&plane, &plane.run_instance()).set("docker_host", &format!("{url:?}"));
        Agent::start(setup.set("block_imds", block).env("PATH", &bare.path().display().to_string()))
    };
    let strict = start("\"require\"");
    strict.line(&["ERROR", "this host takes none", "there is no iptables-restore: install the package iptables"]);
    strict.line(&["WARN", "RegisterContainerInstance", "block_imds is \"require\""]);
    assert_eq!(strict.status()["state"]["acs_connected"], false);
    assert_eq!(strict.count("this host takes none"), 1);
    let lenient = start("\"try\"");
    lenient.line(&["WARN", "all jobs can reach it", "install the package iptables"]);
    let joined = lenient.joined();
    assert!(text(&joined["state"]["imds_for_jobs"]).starts_with("all jobs can reach it"), "{joined}");
    plane.job_in(&plane.shell("hello", "true"), "SUCCEEDED");
}
