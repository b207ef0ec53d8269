use std::fs;
use std::path::Path;

use super::*;

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn wanted(ids: &[&str]) -> BTreeSet<DockerId> {
    ids.iter().copied().map(DockerId::new).collect()
}

const DEV: &str = "a\nb\n  lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\neth0: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n";

/// A `/proc` in which process 12 has a network namespace of its own.
fn processes(root: &Path) {
    write(root, &[("proc/12/net/dev", DEV), ("proc/12/ns/net", ""), ("proc/self/ns/net", "")]);
}

#[test]
fn version_1_is_read_whole_and_again() {
    let root = tempfile::tempdir().unwrap();
    processes(root.path());
    let cpu = |usage| write(root.path(), &[("cg/cpuacct/docker/abc/cpuacct.usage", usage)]);
    cpu("1000\n");
    write(
        root.path(),
        &[
            ("cg/memory/docker/abc/memory.usage_in_bytes", "5242880\n"),
            ("cg/memory/docker/abc/memory.stat", "cache 1048576\nrss 4194304\n"),
            ("cg/memory/docker/abc/cgroup.procs", "12\n13\n"),
            ("cg/blkio/docker/abc/blkio.throttle.io_service_bytes_recursive", "8:0 Read 4096\nTotal 4096\n"),
        ],
    );
    let mut sampler = Sampler::at(Cgroups::at(root.path().join("cg")), root.path().join("proc"), 2);
    sampler.sample(&wanted(&["abc"]));
    cpu("1000\n");
    sampler.sample(&wanted(&["abc", "not there"]));
    let sets = sampler.take(&DockerId::new("abc")).unwrap();
    assert_eq!((sets.memory.max, sets.memory.sample_count, sets.cpu.sum), (4.0, 2, 0.0));
    assert_eq!(sets.storage.unwrap().read_size_bytes.max, 4096);
    let network = sets.network.unwrap();
    assert_eq!((network.rx_bytes.max, network.tx_bytes.max), (7, 8));
    assert_eq!(sampler.take(&DockerId::new("not there")), None);
    sampler.sample(&wanted(&[]));
    assert!(sampler.containers.is_empty(), "and its files are closed");
}

#[test]
fn version_2_is_read_and_the_hosts_network_is_not_the_containers() {
    let root = tempfile::tempdir().unwrap();
    processes(root.path());
    // The same file is the same namespace.
    fs::remove_file(root.path().join("proc/12/ns/net")).unwrap();
    fs::hard_link(root.path().join("proc/self/ns/net"), root.path().join("proc/12/ns/net")).unwrap();
    let group = "cg/system.slice/docker-abc.scope";
    let at = |name: &str| format!("{group}/{name}");
    write(
        root.path(),
        &[
            ("cg/cgroup.controllers", "cpu memory\n"),
            (&at("cpu.stat"), "usage_usec 5\nuser_usec 4\n"),
            (&at("memory.current"), "3145728\n"),
            (&at("memory.stat"), "anon 1\ninactive_file 1048576\n"),
            (&at("io.stat"), "8:0 rbytes=1 wbytes=2 rios=1 wios=1\n"),
            (&at("cgroup.procs"), "12\n"),
        ],
    );
    let mut sampler = Sampler::at(Cgroups::at(root.path().join("cg")), root.path().join("proc"), 2);
    for _ in 0..2 {
        sampler.sample(&wanted(&["abc"]));
    }
    let sets = sampler.take(&DockerId::new("abc")).unwrap();
    assert_eq!((sets.memory.max, sets.network), (2.0, None));
    assert_eq!(sets.storage.unwrap().write_size_bytes.max, 2);
}

#[test]
fn cpus_are_counted() {
    assert_eq!(count("0-3,8\n"), Some(5));
    assert_eq!(count("0\n"), Some(1));
    assert_eq!(count("x"), None);
    assert!(cpus() > 0);
}

fn docker(words: &[&str]) -> String {
    let output = std::process::Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A container that is removed in the end, whatever happens.
struct Running(String);

impl Running {
    fn on(network: &str) -> Self {
        Self(docker(&["run", "-d", "--rm", "--network", network, "busybox", "sleep", "60"]))
    }

    fn id(&self) -> DockerId {
        DockerId::new(&self.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.0]);
    }
}

#[test]
fn a_container_on_a_bridge_has_the_counters_that_it_sees_itself_and_others_have_none() {
    let (bridged, hosted, lonely) = (Running::on("bridge"), Running::on("host"), Running::on("none"));
    let mut sampler = Sampler::new();
    let all = [&bridged, &hosted, &lonely].map(|running| running.id()).into_iter().collect();
    // Some traffic, so that there is something to count: the bridge's gateway answers.
    let gateway = docker(&["inspect", "-f", "{{.NetworkSettings.Gateway}}", &bridged.0]);
    docker(&["exec", &bridged.0, "ping", "-c", "3", "-i", "0.1", &gateway]);
    let counter = |name: &str| -> i64 {
        let path = format!("/sys/class/net/eth0/statistics/{name}");
        docker(&["exec", &bridged.0, "cat", &path]).parse().unwrap()
    };
    let before = (counter("tx_bytes"), counter("rx_packets"));
    sampler.sample(&all);
    sampler.sample(&all);
    let after = (counter("tx_bytes"), counter("rx_packets"));
    let sets = sampler.take(&bridged.id()).unwrap();
    let network = sets.network.unwrap();
    assert!(before.0 > 0 && before.1 >= 3, "{before:?}");
    // The network may chatter between two looks, so ours lie between those before and after.
    assert!((before.0..=after.0).contains(&network.tx_bytes.min), "{before:?} {after:?} {network:?}");
    assert!((before.1..=after.1).contains(&network.rx_packets.max), "{before:?} {after:?} {network:?}");
    assert!(sets.storage.is_some());
    for other in [&hosted, &lonely] {
        let sets = sampler.take(&other.id()).unwrap();
        assert_eq!(sets.network, None);
    }
}
