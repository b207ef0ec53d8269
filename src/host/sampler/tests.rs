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

/// A `/proc` in which process 12, of container abc, has a network namespace of its own.
fn processes(root: &Path) {
    let group = ("proc/12/cgroup", "4:memory:/docker/abc\n0::/docker/abc\n");
    write(root, &[("proc/12/net/dev", DEV), ("proc/12/ns/net", ""), ("proc/self/ns/net", ""), group]);
}

fn sampler(root: &Path) -> Sampler {
    Sampler::at(Cgroups::at(root.join("cg")), root.join("proc"), 2)
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
    let mut sampler = sampler(root.path());
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
    let mut sampler = sampler(root.path());
    for _ in 0..2 {
        sampler.sample(&wanted(&["abc"]));
    }
    let sets = sampler.take(&DockerId::new("abc")).unwrap();
    assert_eq!((sets.memory.max, sets.network), (2.0, None));
    assert_eq!(sets.storage.unwrap().write_size_bytes.max, 2);
}

/// As kernel 6.1 writes them: a container of 600 MB, most of it files.
const V2_CPU_STAT: &str = "usage_usec 84318214\nuser_usec 73210023\nsystem_usec 11108191\ncore_sched.force_idle_usec 0\n\
nr_periods 0\nnr_throttled 0\nthrottled_usec 0\nnr_bursts 0\nburst_usec 0\n";
const V2_MEMORY_STAT: &str = "anon 104189952\nfile 498130944\nkernel 9883648\nkernel_stack 311296\npagetables 1331200\n\
sec_pagetables 0\npercpu 7296\nsock 0\nvmalloc 0\nshmem 4096\nzswap 0\nzswapped 0\nfile_mapped 73867264\nfile_dirty 0\n\
file_writeback 0\nswapcached 0\nanon_thp 0\nfile_thp 0\nshmem_thp 0\ninactive_anon 104157184\nactive_anon 36864\n\
inactive_file 356515840\nactive_file 141611008\nunevictable 0\nslab_reclaimable 7654824\nslab_unreclaimable 401240\n\
slab 8056064\nworkingset_refault_anon 0\nworkingset_refault_file 0\npgscan 0\npgsteal 0\npgfault 117741\npgmajfault 398\n";
const V2_IO_STAT: &str = "7:0 rbytes=8192 wbytes=0 rios=2 wios=0 dbytes=0 dios=0\n\
259:0 rbytes=498130944 wbytes=20480 rios=4331 wios=5 dbytes=0 dios=0\n259:1 \n";

fn v2_group(root: &Path, place: &str) {
    let files = [
        ("cpu.stat", V2_CPU_STAT),
        ("memory.current", "612372480\n"),
        ("memory.stat", V2_MEMORY_STAT),
        ("io.stat", V2_IO_STAT),
        ("cgroup.procs", "12\n40\n"),
    ];
    write(root, &[("cg/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n")]);
    for (name, text) in files {
        write(root, &[(format!("cg/{place}/{name}").as_str(), text)]);
    }
}

#[test]
fn version_2_is_read_as_the_kernel_writes_it_under_either_driver() {
    for place in ["docker/abc", "system.slice/docker-abc.scope"] {
        let root = tempfile::tempdir().unwrap();
        processes(root.path());
        v2_group(root.path(), place);
        let mut sampler = sampler(root.path());
        sampler.sample(&wanted(&["abc"]));
        write(root.path(), &[(format!("cg/{place}/cpu.stat").as_str(), "usage_usec 84318214\nuser_usec 1\n")]);
        sampler.sample(&wanted(&["abc"]));
        let sets = sampler.take(&DockerId::new("abc")).unwrap();
        // 612372480 - 356515840 bytes.
        assert_eq!((sets.memory.min, sets.memory.max, sets.cpu.sum), (244.0, 244.0, 0.0), "{place}");
        let storage = sets.storage.unwrap();
        assert_eq!((storage.read_size_bytes.max, storage.write_size_bytes.max), (498_139_136, 20_480), "{place}");
        assert_eq!(sets.network.unwrap().rx_bytes.max, 7, "{place}");
    }
}

#[test]
fn a_process_number_that_is_anothers_by_now_tells_no_network() {
    let root = tempfile::tempdir().unwrap();
    processes(root.path());
    v2_group(root.path(), "docker/abc");
    write(root.path(), &[("proc/12/cgroup", "0::/docker/other\n")]);
    let mut sampler = sampler(root.path());
    sampler.sample(&wanted(&["abc"]));
    sampler.sample(&wanted(&["abc"]));
    assert_eq!(sampler.take(&DockerId::new("abc")).unwrap().network, None);
    // The container's own process, once it is there.
    processes(root.path());
    sampler.sample(&wanted(&["abc"]));
    assert_eq!(sampler.take(&DockerId::new("abc")).unwrap().network, None, "one sample makes no rate");
    sampler.sample(&wanted(&["abc"]));
    assert_eq!(sampler.take(&DockerId::new("abc")).unwrap().network.unwrap().tx_bytes.max, 8);
}

#[test]
fn who_has_not_moved_is_not_read_whole_each_time_and_who_has_is() {
    let root = tempfile::tempdir().unwrap();
    processes(root.path());
    v2_group(root.path(), "docker/abc");
    let mut sampler = sampler(root.path());
    let mut memory = |changed: &[(&str, &str)]| {
        for (file, text) in changed {
            write(root.path(), &[(format!("cg/docker/abc/{file}").as_str(), text)]);
        }
        sampler.sample(&wanted(&["abc"]));
        sampler.take(&DockerId::new("abc")).map(|sets| sets.memory.max)
    };
    assert_eq!(memory(&[]), None, "the first sample has no CPU use");
    // The kernel reclaims on its own account; it is seen within five looks.
    let seen: Vec<_> = (0..5).map(|_| memory(&[("memory.stat", "inactive_file 0\n")]).unwrap()).collect();
    assert_eq!(seen, [244.0, 244.0, 244.0, 244.0, 584.0]);
    assert_eq!(
        memory(&[("memory.stat", "inactive_file 1048576\n"), ("cpu.stat", "usage_usec 84318215\n")]),
        Some(583.0)
    );
    assert_eq!(memory(&[("memory.stat", "inactive_file 0\n"), ("memory.current", "1048576\n")]), Some(1.0));
}

#[test]
fn a_container_that_vanishes_has_no_sample_and_one_that_comes_again_goes_on_counting() {
    let root = tempfile::tempdir().unwrap();
    processes(root.path());
    v2_group(root.path(), "docker/abc");
    let mut sampler = sampler(root.path());
    let abc = DockerId::new("abc");
    sampler.sample(&wanted(&["abc"]));
    sampler.sample(&wanted(&["abc"]));
    // The kernel answers for a group that is gone with an error; a file that is cut short stands for it here.
    let group = root.path().join("cg/docker/abc");
    fs::write(group.join("cpu.stat"), "").unwrap();
    fs::rename(&group, root.path().join("gone")).unwrap();
    sampler.sample(&wanted(&["abc"]));
    assert!(sampler.containers[&abc].files.is_none());
    assert_eq!(sampler.take(&abc).unwrap().memory.sample_count, 2, "what was seen is still told");
    v2_group(root.path(), "docker/abc");
    write(root.path(), &[("cg/docker/abc/io.stat", "259:0 rbytes=100 wbytes=1\n")]);
    sampler.sample(&wanted(&["abc"]));
    let read = sampler.take(&abc).unwrap().storage.unwrap().read_size_bytes;
    assert_eq!(read.max, 498_139_136 + 100);
}

/// Where the hybrid layout has version 2 beside version 1, its groups have no controllers, but they count CPU time.
#[test]
fn version_2_counts_the_cpu_time_that_version_1_does() {
    let hybrid = Path::new("/sys/fs/cgroup/unified/docker");
    if !hybrid.exists() {
        eprintln!("skipped: no hybrid control groups here");
        return;
    }
    let running = Running::on("none");
    let path = |root: &str, file: &str| format!("{root}/docker/{}/{file}", running.0);
    let read = |path: String| fs::read_to_string(path).unwrap();
    docker(&["exec", &running.0, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]);
    let v1 = || parse::number(&read(path("/sys/fs/cgroup/cpuacct", "cpuacct.usage"))).unwrap() / 1000;
    let before = v1();
    let v2 = parse::entry(&read(path("/sys/fs/cgroup/unified", "cpu.stat")), "usage_usec").unwrap();
    let after = v1();
    assert!(before > 10_000 && v2.abs_diff(before.midpoint(after)) < 5_000 + after - before, "{before} {v2} {after}");
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
