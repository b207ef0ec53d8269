use super::*;

pub(super) fn variables(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect::<Vec<_>>().into_iter()
}

fn load(path: &Path, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    explain(Some(path), variables(environment)).map(|(config, _)| config)
}

/// Loads a file of this text; `PATH` stands for its path in what comes back.
fn from(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    load(&path, environment).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "PATH"))
}

#[test]
fn every_default_is_valid() {
    let config = from("cluster = 'c'", &[]).unwrap();
    assert_eq!(config.home, Home::Cluster(ClusterRef::new("c")));
    assert_eq!(config.idle_timeout, Some(Duration::from_secs(600)));
    assert_eq!(config.docker_socket, Path::new("/var/run/docker.sock"));
    assert_eq!(config.reserved_ports, [22, 2375, 2376, 51678, 51679]);
    assert_eq!((config.cpu, config.memory, config.region), (None, None, None));
    assert_eq!(config.log_level, LogFilter::default());
}

#[test]
fn a_file_sets_every_key() {
    let config = from(
        r#"
        compute_environment = "arn:aws:batch:us-east-1:1:compute-environment/ce"
        region = "us-east-1"
        idle_timeout = "never"
        image_pull_behavior = "prefer-cached"
        cpu = 1.5
        reserved_memory = 0x100
        reserved_ports = [22]
        reserved_ports_udp = [53]
        docker_host = "unix:///run/other.sock"
        docker_concurrency = 4
        container_stop_timeout = "2m"
        task_cleanup_wait = "1s"
        data_dir = "/data"
        admin_socket = "/run/a.sock"
        log_format = "json"
        log_level = "warn,node_core=debug"
        [instance_attributes]
        stack = "production"
        "#,
        &[],
    )
    .unwrap();
    assert_eq!(config.cpu.map(Vcpus::cpu_units), Some(1536));
    assert_eq!(config.reserved_memory, Mebibytes(256));
    assert_eq!(config.idle_timeout, None);
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.instance_attributes["stack"], "production");
    assert_eq!(config.image_pull_behavior, PullBehavior::PreferCached);
}

#[test]
fn the_environment_wins_and_nothing_counts_as_not_set() {
    let config = from(
        "cluster = 'c'\nidle_timeout = '1h'\nregion = 'us-east-1'",
        &[
            ("BATCH_NODE_AGENT_IDLE_TIMEOUT", "5s"),
            ("BATCH_NODE_AGENT_REGION", ""),
            ("BATCH_NODE_AGENT_MEMORY", "512"),
            ("PATH", "/bin"),
            ("BATCH_NODE_AGENT_TEST_CRASH", "3:before:/tmp/marker"),
        ],
    )
    .unwrap();
    assert_eq!(config.idle_timeout, Some(Duration::from_secs(5)));
    assert_eq!(config.region.as_deref(), Some("us-east-1"));
    assert_eq!(config.memory, Some(Mebibytes(512)));
}

#[test]
fn the_variables_of_other_programs_come_last() {
    let docker = ("DOCKER_HOST", "unix:///run/docker-host.sock");
    let socket = |file: &str, env: &[(&str, &str)]| from(file, env).unwrap().docker_socket;
    assert_eq!(socket("cluster = 'c'", &[docker]), Path::new("/run/docker-host.sock"));
    let file = "cluster = 'c'\ndocker_host = 'unix:///run/file.sock'";
    assert_eq!(socket(file, &[docker]), Path::new("/run/file.sock"));
    let ours = ("BATCH_NODE_AGENT_DOCKER_HOST", "unix:///run/ours.sock");
    assert_eq!(socket(file, &[docker, ours]), Path::new("/run/ours.sock"));
    let regions = [("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_REGION", "us-east-1")];
    let region = from("cluster = 'c'", &regions).unwrap().region;
    assert_eq!(region.as_deref(), Some("us-east-1"));
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let error = from(
        "compute_environment = 'ce'\nidle_timout = '5m'\nidle_timeout = 10\ncpu = '2'\n[attributes]\na = 'b'\n",
        &[
            ("BATCH_NODE_AGENT_CLUSTR", "c"),
            ("BATCH_NODE_AGENT_CLUSTER", "c"),
            ("BATCH_NODE_AGENT_DOCKER_CONCURRENCY", "0"),
            ("BATCH_NODE_AGENT_XYZZY", "0"),
            ("DOCKER_HOST", "tcp://1.2.3.4:2375"),
        ],
    )
    .unwrap_err();
    let expected = "the configuration has 9 mistakes:
  PATH:2: there is no key `idle_timout`; did you mean `idle_timeout`?
  PATH:5: there is no key `attributes`; did you mean `instance_attributes`?
  BATCH_NODE_AGENT_CLUSTR: there is no key `clustr`; did you mean `BATCH_NODE_AGENT_CLUSTER`?
  BATCH_NODE_AGENT_XYZZY: there is no key `xyzzy`
  PATH:3: `idle_timeout` is `10`, which is not `never` or a duration such as 500ms, 90s, 10m, 3h or 1d
  PATH:4: `cpu` is `\"2\"`, which is not a number of vCPUs from 0.125 to 4096
  DOCKER_HOST: `docker_host` is `tcp://1.2.3.4:2375`, which is not the address of a unix socket, unix:///path
  BATCH_NODE_AGENT_DOCKER_CONCURRENCY: `docker_concurrency` is `0`, which is not a whole number from 1 to 256
  `compute_environment` (PATH:1) and `cluster` (BATCH_NODE_AGENT_CLUSTER) contradict each other: give one of them";
    assert_eq!(error, expected);
}

#[test]
fn a_file_that_is_no_toml_is_told_line_by_line() {
    let environment = [("BATCH_NODE_AGENT_LOG_FORMAT", "xml")];
    let error = from("cluster = \nregion = 'us'\ncpu = = 2\n", &environment).unwrap_err();
    assert!(error.contains("\n  PATH:1: "), "{error}");
    assert!(error.contains("\n  PATH:3: "), "{error}");
    assert!(error.contains("\n  BATCH_NODE_AGENT_LOG_FORMAT: "), "{error}");
    assert!(!error.contains("neither"), "{error}");
}

#[test]
fn one_of_compute_environment_and_cluster_is_required() {
    let error = from("", &[]).unwrap_err();
    assert!(error.contains("neither `compute_environment` nor `cluster` is set"), "{error}");
    let error = from("cluster = 'not a name'", &[]).unwrap_err();
    assert!(!error.contains("neither"), "{error}");
}

#[test]
fn memory_and_a_reserve_exclude_each_other() {
    assert!(from("cluster = 'c'\nmemory = 512\nreserved_memory = 64", &[]).is_err());
    assert!(from("cluster = 'c'\nmemory = 512", &[]).is_ok());
}

#[test]
fn an_arn_of_another_region_is_a_mistake() {
    let arn = "cluster = 'arn:aws:ecs:us-east-1:1:cluster/c'\n";
    assert!(from(&format!("{arn}region = 'us-east-1'"), &[]).is_ok());
    let error = from(arn, &[("AWS_REGION", "eu-west-1")]).unwrap_err();
    assert!(error.contains("`region` (AWS_REGION) and `cluster` (PATH:1) contradict"), "{error}");
}

#[test]
fn a_missing_file_is_a_mistake_only_when_it_was_named() {
    let environment = [("BATCH_NODE_AGENT_CLUSTER", "c")];
    let error = load(Path::new("/nowhere/c.toml"), &environment).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration has a mistake:\n  /nowhere/c.toml: cannot be read: No such file or directory (os error 2)"
    );
    let found = source::gather(
        Places { config: Path::new("/nowhere/c.toml"), named: false, ecs: &[], json: Path::new("/nowhere") },
        variables(&environment),
    );
    assert!(check(found).is_ok());
}

#[test]
fn the_admin_socket_is_found_in_a_configuration_that_is_wrong() {
    let environment = [("BATCH_NODE_AGENT_ADMIN_SOCKET", "/run/x.sock"), ("DOCKER_HOST", "tcp://")];
    assert_eq!(admin_socket(None, variables(&environment)), Ok("/run/x.sock".into()));
    assert!(admin_socket(Some(Path::new("/nowhere")), variables(&environment)).is_err());
}

#[test]
fn a_configuration_tells_where_each_value_was_set() {
    let (_, effective) =
        explain(None, variables(&[("BATCH_NODE_AGENT_CLUSTER", "c"), ("AWS_REGION", "us-east-1")])).unwrap();
    let origin = |key: &str| {
        let of_key = effective.iter().find(|e| e.key == key).unwrap();
        (of_key.value.as_deref(), of_key.origin.as_str())
    };
    assert_eq!(origin("cluster"), (Some("c"), "BATCH_NODE_AGENT_CLUSTER"));
    assert_eq!(origin("region"), (Some("us-east-1"), "AWS_REGION"));
    assert_eq!(origin("idle_timeout"), (Some("10m"), "default"));
    assert_eq!(origin("memory"), (None, "not set"));
}

fn document(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// To mend it: `batch-node-agent config --docs > docs/configuration.md`.
#[test]
fn the_reference_is_what_the_table_says() {
    assert!(document("docs/configuration.md") == markdown(), "docs/configuration.md is out of date");
}

/// To mend it: `make docs`.
#[test]
fn the_readmes_rows_are_those_of_the_table() {
    let (readme, table) = (document("README.md"), docs::table());
    let (_, shown) = readme.split_once("<!-- config:begin -->\n").unwrap();
    let (shown, _) = shown.split_once("<!-- config:end -->").unwrap();
    assert!(shown.lines().count() > 10, "{shown}");
    for row in shown.lines() {
        assert!(table.lines().any(|line| line == row), "README.md's row is out of date: {row}");
    }
}
