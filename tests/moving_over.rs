//! A host that amazon-ecs-agent has had: its state and its containers are left as they are, its settings are read, and the two never
//! run side by side. In namespaces of the test's own, with stand-ins for the other agent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::text;
use crate::docker_daemon::Dockerd;
use crate::imds_block::inside;

#[test]
fn a_host_moves_from_amazon_ecs_agent_in_place_and_back() {
    inside("true", "moving_over::the_move_inside_a_namespace");
}

/// Answers as amazon-ecs-agent's introspection does, and holds its other port.
struct OtherAgent {
    over: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
    _containers: TcpListener,
}

impl OtherAgent {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 51678)).unwrap();
        let containers = TcpListener::bind((Ipv4Addr::LOCALHOST, 51679)).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let serving = std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept()
                && !ended.load(Ordering::SeqCst)
            {
                let body = r#"{"Cluster":"old","ContainerInstanceArn":null,"Version":"Amazon ECS Agent - v1.99.0 (*0a1b2c3d)"}"#;
                drop(stream.read(&mut [0; 512]));
                drop(write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}"));
            }
        });
        Self { over, serving: Some(serving), _containers: containers }
    }
}

impl Drop for OtherAgent {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, 51678)));
        self.serving.take().unwrap().join().unwrap();
    }
}

/// Writes files over the machine's own for this namespace alone.
fn overlay(folder: &str, top: &Path) {
    let [upper, work] = ["upper", "work"].map(|name| top.join(folder.replace('/', "-")).join(name));
    [&upper, &work].into_iter().for_each(|dir| std::fs::create_dir_all(dir).unwrap());
    let options = format!("lowerdir={folder},upperdir={},workdir={}", upper.display(), work.display());
    let mounted = Command::new("mount").args(["-t", "overlay", "-o", &options, "overlay", folder]).status();
    assert!(mounted.unwrap().success(), "{options}");
}

/// What every file below a folder holds, and when it was last written.
fn fingerprint(folder: &str) -> String {
    let script =
        format!("cd {folder} && find . -printf '%p %m %s %T@\\n' | sort && find . -type f | sort | xargs sha256sum");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "runs inside a namespace, by another test"]
fn the_move_inside_a_namespace() {
    let top = tempfile::tempdir().unwrap();
    assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(top.path()).status().unwrap().success());
    ["/etc", "/var/lib"].into_iter().for_each(|folder| overlay(folder, top.path()));
    let dockerd = Dockerd::start_with_bridge();
    let url = dockerd.url();
    let plane = Plane::start(&["--max-nodes", "0", "--docker-host", &url]);
    std::fs::create_dir_all("/etc/ecs").unwrap();
    std::fs::create_dir_all("/var/lib/ecs/data").unwrap();
    let cluster = plane.cluster("local");
    let theirs =
        format!("ECS_CLUSTER={cluster}\nECS_TASK_PIDS_LIMIT=77\nECS_DATADIR=/data\nECS_AWSVPC_BLOCK_IMDS=true\n");
    std::fs::write("/etc/ecs/ecs.config", theirs).unwrap();
    std::fs::write("/var/lib/ecs/data/agent.db", [7; 4096]).unwrap();
    let before = ["/etc/ecs", "/var/lib/ecs"].map(fingerprint);
    let arn = "com.amazonaws.ecs.task-arn=arn:aws:ecs:us-east-1:123456789012:task/old/0f1e2d";
    let old = |name: &str, script: &str| {
        dockerd.docker(&["run", "--detach", "--name", name, "--label", arn, "busybox", "sh", "-c", script])
    };
    let containers = [old("ecs-web-1-web-aabb", "sleep 1000"), old("ecs-web-1-done-ccdd", "exit 3")];
    dockerd.docker(&["wait", &containers[1]]);
    let shown = || containers.clone().map(|id| dockerd.docker(&["inspect", "--format", "{{json .State}}", &id]));
    let (states, other) = (shown(), OtherAgent::start());

    let mut setup = Setup::on(&plane, &plane.run_instance()).set("docker_host", &format!("{url:?}"));
    setup = setup.set("task_endpoint", "\"link-local\"");
    setup.config.retain(|line| !line.starts_with("compute_environment"));
    let mut agent = Agent::start(setup);
    let code = agent.process().ends_within(Duration::from_secs(30)).and_then(|status| status.code());
    assert_eq!(code, Some(1), "systemd tries again: {}", agent.log());
    let line = agent.line(&["ERROR", "another ECS agent runs on this host (Amazon ECS Agent - v1.99.0", "cluster old"]);
    assert!(line.contains("systemctl mask ecs") && agent.count("ERROR") == 1, "{}", agent.log());
    assert!(!agent.file("data/agent.redb").exists(), "it has not begun");

    drop(other);
    agent.start_again();
    let joined = agent.joined();
    assert_eq!(crate::common::last(text(&joined["instance"]["cluster"])), cluster, "as ECS_CLUSTER says");
    agent.line(&["ECS_AWSVPC_BLOCK_IMDS (it is always false here)"]);
    agent.line(&["WARN", "containers of another ECS agent run on this host", "containers=1"]);
    assert_eq!((&joined["state"]["other_agents_containers"], &joined["tasks"]), (&1.into(), &Value::Array(Vec::new())));
    let job = plane.shell("hello", "cat /sys/fs/cgroup/pids.max 2>/dev/null; exit 4");
    let ended = plane.job_in(&job, "FAILED");
    assert_eq!(ended["container"]["exitCode"], 4);
    let task = format!("label=com.amazonaws.ecs.task-arn={}", text(&ended["container"]["taskArn"]));
    let id = dockerd.docker(&["ps", "--all", "--quiet", "--filter", &task]);
    assert_eq!(dockerd.docker(&["inspect", "--format", "{{.HostConfig.PidsLimit}}", &id]), "77");
    let core = std::fs::read_to_string(format!("/proc/{}/limits", agent.process().pid())).unwrap();
    let core = core.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "no core dumps: {core}");

    // And back: the other agent finds all that is its own.
    agent.process().signal("TERM");
    assert_eq!(agent.process().ends_within(Duration::from_secs(10)).and_then(|status| status.code()), Some(0));
    drop(OtherAgent::start());
    assert_eq!(["/etc/ecs", "/var/lib/ecs"].map(fingerprint), before);
    assert_eq!(shown(), states, "its containers are as they were");
    let addresses = Command::new("ip").args(["addr", "show", "lo"]).output().unwrap().stdout;
    assert!(!String::from_utf8_lossy(&addresses).contains("169.254.170.2"), "its own address is free");
    dockerd.docker(&["rm", "--force", &containers[0]]);
}
