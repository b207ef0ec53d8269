//! The variables of other programs, amazon-ecs-agent's above all.

use super::tests::variables;
use super::*;
use crate::docker::HostRegistries;
use crate::host::gpu::GpuChoice;

/// Loads these two files of amazon-ecs-agent's, the weaker first, and a TOML file.
fn with_ecs(weak: &str, strong: &str, toml: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [("weak", weak), ("strong", strong), ("config.toml", toml)] {
        std::fs::write(path(name), text).unwrap();
    }
    let ecs = [path("weak"), path("strong"), path("absent")];
    let ecs: Vec<&Path> = ecs.iter().map(PathBuf::as_path).collect();
    let places = Places { config: &path("config.toml"), named: true, ecs: &ecs, json: &path("ecs.config.json") };
    let checked = check(source::gather(places, variables(environment)));
    checked.map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), "DIR"))
}

#[test]
fn a_host_of_amazon_ecs_agents_moves_over_with_its_settings() {
    let config = with_ecs(
        "ECS_CLUSTER=weak\nECS_RESERVED_MEMORY=64\n",
        "# what ecs-init reads\n\nECS_CLUSTER=strong\nECS_RESERVED_PORTS=[22, 80]\n\
         ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=1h30m\nECS_CONTAINER_STOP_TIMEOUT=10ms\nECS_IMAGE_PULL_BEHAVIOR=once\n\
         ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER=10m\nECS_TASK_PIDS_LIMIT=100\n\
         ECS_INSTANCE_ATTRIBUTES={\"stack\":\"a=b\"}\nECS_CONTAINER_INSTANCE_TAGS={\"team\":\"red\"}\n\
         ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM=ec2_instance\nECS_DISABLE_PRIVILEGED=1\nECS_LOGLEVEL=crit\n\
         ECS_AVAILABLE_LOGGING_DRIVERS=[\"json-file\",\"awslogs\"]\nECS_IMAGE_PULL_INACTIVITY_TIMEOUT=5s\n\
         HTTPS_PROXY=http://proxy:3128\nECS_ENABLE_GPU_SUPPORT=false\nECS_NVIDIA_RUNTIME=mine\nNO_PROXY=a.example.com, b\nECS_DETAILED_OS_FAMILY=amzn_2\n",
        "",
        &[("ECS_IMAGE_PULL_BEHAVIOR", "always")],
    )
    .unwrap();
    assert_eq!(config.home, Home::Cluster(ClusterRef::new("strong")));
    assert_eq!((config.reserved_memory, &*config.reserved_ports), (Mebibytes(64), &[22, 80][..]));
    assert_eq!(config.task_cleanup_wait, Duration::from_secs(5400));
    assert_eq!((config.task_cleanup_jitter, config.container_pids_limit), (Duration::from_secs(600), Some(100)));
    assert_eq!(config.container_stop_timeout, Duration::from_secs(1), "raised to its floor");
    assert_eq!(config.image_limits.inactivity, Duration::from_secs(60), "likewise");
    assert_eq!(config.image_pull_behavior, PullBehavior::Always, "the environment is stronger");
    assert_eq!(config.instance_attributes["stack"], "a=b");
    assert_eq!(config.container_instance_tags["team"], "red");
    assert!(config.propagate_ec2_tags && config.disable_privileged);
    assert_eq!(config.logging_drivers, Some(vec!["awslogs".to_owned(), "json-file".to_owned()]));
    assert_eq!(config.log_level, "error".parse().unwrap());
    assert!(config.proxies.https.is_some() && config.proxies.http.is_none());
    assert_eq!(config.proxies.exempt, ["a.example.com", "b"]);
    assert_eq!(config.os_type_detailed.as_deref(), Some("amzn_2"));
    assert_eq!((config.gpus, &*config.nvidia_runtime), (GpuChoice::None, "mine"));
    assert!(config.remarks.is_empty(), "{:?}", config.remarks);
}

#[test]
fn our_own_sources_are_stronger_and_what_they_contradict_yields() {
    let ecs = "ECS_CLUSTER=theirs\nECS_RESERVED_MEMORY=64\nECS_CONTAINER_STOP_TIMEOUT=5m\n";
    let toml = "compute_environment = 'ours'\nmemory = 512\ncontainer_stop_timeout = '7s'";
    let config = with_ecs(ecs, "", toml, &[]).unwrap();
    assert_eq!(config.home, Home::ComputeEnvironment("ours".to_owned()));
    assert_eq!((config.memory, config.reserved_memory), (Some(Mebibytes(512)), Mebibytes(0)));
    assert_eq!(config.container_stop_timeout, Duration::from_secs(7));
}

#[test]
fn what_is_not_honoured_is_named_in_one_line_and_what_is_not_known_in_another() {
    let ecs = "ECS_VOLUME_PLUGIN_CAPABILITIES=[]\nECS_CHECKPOINT=true\nECS_IMAGE_PULL_BEHAVOR=once\n";
    let config =
        with_ecs("ECS_VOLUME_PLUGIN_CAPABILITIES=[1]", ecs, "cluster = 'c'", &[("ECS_ENABLE_TASK_IAM_ROLE", "false")])
            .unwrap();
    let [not_honoured, unknown] = &*config.remarks else { panic!("{:?}", config.remarks) };
    let expected = "these settings of amazon-ecs-agent are not honoured: ECS_ENABLE_TASK_IAM_ROLE (it is always \
        true here), ECS_VOLUME_PLUGIN_CAPABILITIES (not supported by this agent yet)";
    assert_eq!(not_honoured, expected);
    assert!(unknown.ends_with("ECS_IMAGE_PULL_BEHAVOR (did you mean ECS_IMAGE_PULL_BEHAVIOR?)"), "{unknown}");
}

#[test]
fn a_mistake_in_ecs_config_has_its_line() {
    let error = with_ecs("", "ECS_CLUSTER=c\nECS_RESERVED_MEMORY=much\n", "", &[]).unwrap_err();
    assert!(error.contains("DIR/strong:2: `reserved_memory` is `much`, which is not a whole number of MiB"), "{error}");
}

#[test]
fn secrets_are_shown_nowhere() {
    let auth = r#"{"r.example.com":{"username":"me","password":"hunter2"}}"#;
    let environment = [
        ("BATCH_NODE_AGENT_CLUSTER", "c"),
        ("ECS_ENGINE_AUTH_TYPE", "docker"),
        ("ECS_ENGINE_AUTH_DATA", auth),
        ("HTTP_PROXY", "http://me:hunter2@proxy:3128"),
        ("BATCH_NODE_AGENT_EVENT_WEBHOOK", "https://me:hunter2@hooks.example.com/services/hunter2?sig=hunter2"),
    ];
    let (config, effective) = explain(None, variables(&environment)).unwrap();
    assert_ne!(config.registries, HostRegistries::default());
    assert!(!format!("{config:?} {effective:?}").contains("hunter2"));
    let wrong = [("BATCH_NODE_AGENT_CLUSTER", "c"), ("HTTP_PROXY", "ftp://hunter2"), ("ECS_ENGINE_AUTH_DATA", auth)];
    let error = explain(None, variables(&wrong)).unwrap_err().to_string();
    assert!(error.contains("HTTP_PROXY: `http_proxy` is not the address of a proxy, http://host:port"), "{error}");
    assert!(error.contains("`registry_auth_data` is set without `registry_auth_type`"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn images_are_cleaned_up_as_the_variables_say() {
    let ecs = "ECS_IMAGE_CLEANUP_INTERVAL=1m\nECS_IMAGE_MINIMUM_CLEANUP_AGE=30m\nECS_NUM_IMAGES_DELETE_PER_CYCLE=9\n\
        ECS_EXCLUDE_UNTRACKED_IMAGE=b:1, a\nECS_ENABLE_UNTRACKED_IMAGE_CLEANUP=true\nNON_ECS_IMAGE_MINIMUM_CLEANUP_AGE=2h\n\
        ECS_CONTAINER_START_TIMEOUT=1s\nECS_CONTAINER_CREATE_TIMEOUT=10m\nECS_BACKEND_HOST=ecs.example.com\n\
        ECS_AUDIT_LOGFILE=/log/audit.log\nECS_AUDIT_LOGFILE_DISABLED=true\n";
    let config = with_ecs(ecs, "", "cluster = 'c'", &[]).unwrap();
    let policy = &config.image_cleanup_policy;
    assert!(config.image_cleanup && policy.min_free_percent == 10);
    assert_eq!(policy.interval, Duration::from_secs(600), "raised to its floor");
    assert_eq!((policy.min_age, policy.count), (Duration::from_secs(1800), 9));
    assert_eq!(policy.untracked_min_age, Some(Duration::from_secs(7200)));
    assert!(policy.keep.iter().eq(["a", "b:1"]));
    assert_eq!(config.container_limits.start, Duration::from_secs(45), "raised to its floor");
    assert_eq!(config.container_limits.create, Duration::from_secs(600));
    assert_eq!(config.ecs_endpoint.as_deref(), Some("https://ecs.example.com"));
    assert_eq!(config.audit_log, None);
    let off = with_ecs("ECS_DISABLE_IMAGE_CLEANUP=true\nECS_AUDIT_LOGFILE_DISABLED=false", "", "cluster = 'c'", &[]);
    let off = off.unwrap();
    assert!(!off.image_cleanup && off.image_cleanup_policy.untracked_min_age.is_none());
    assert_eq!(off.audit_log, Some("audit.log".into()));
}

#[test]
fn the_json_file_is_the_weakest_and_may_be_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("other.json");
    std::fs::write(
        &json,
        r#"{"Cluster": "of-json", "ReservedMemory": 64, "DockerStopTimeout": 5000000000, "NoIID": true}"#,
    )
    .unwrap();
    let named = format!("ECS_AGENT_CONFIG_FILE_PATH={}\nECS_CLUSTER=of-variable\n", json.display());
    let config = with_ecs(&named, "", "", &[]).unwrap();
    assert_eq!(config.home, Home::Cluster(ClusterRef::new("of-variable")));
    assert_eq!((config.reserved_memory, config.container_stop_timeout), (Mebibytes(64), Duration::from_secs(5)));
    assert_eq!(config.remarks, [format!("{}: these fields are not honoured: NoIID", json.display())]);
    std::fs::write(&json, r#"{"ReservedMemory": "much"}"#).unwrap();
    let error = with_ecs(&named, "", "", &[]).unwrap_err();
    assert!(
        error.contains("other.json (as ECS_RESERVED_MEMORY): `reserved_memory` is `much`, which is not"),
        "{error}"
    );
    std::fs::write(&json, "{").unwrap();
    let error = with_ecs(&named, "", "", &[]).unwrap_err();
    assert!(error.contains("other.json: line 1 column 1: this is not a JSON object"), "{error}");
}
