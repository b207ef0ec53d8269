use std::collections::BTreeMap;

use node_core::{ContainerName, Protocol, TaskArn};

use super::*;

const HOST: OfHost<'_> = OfHost { gpu_runtime: "nvidia", pids_limit: None, confinement: None };

fn container() -> ContainerSpec {
    ContainerSpec::new("default", "busybox:latest")
}

fn body(container: ContainerSpec) -> Result<ContainerCreateBody, OpFailure> {
    let task = TaskSpec {
        arn: TaskArn::new("arn:aws:ecs:us-east-1:1:task/c/0f1e"),
        family: "myjob".into(),
        version: "3".into(),
        containers: vec![container.clone()],
        roles: node_core::Roles::default(),
        memory: None,
    };
    create_body(&task, &container, "c", &HOST)
}

/// As Docker gets it.
fn sent(container: ContainerSpec) -> Value {
    serde_json::to_value(body(container).unwrap()).unwrap()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn the_runtime_of_gpus_is_for_containers_that_name_devices_in_a_task_that_has_some() {
    let names = |devices: &str| BTreeMap::from([("NVIDIA_VISIBLE_DEVICES".to_owned(), devices.to_owned())]);
    let gpu = ContainerSpec { gpus: vec!["GPU-a".into()], environment: names("GPU-a"), ..container() };
    let shown = sent(gpu.clone());
    assert_eq!(shown["HostConfig"]["Runtime"], "nvidia");
    assert_eq!(shown["Env"], json!(["NVIDIA_VISIBLE_DEVICES=GPU-a"]));
    assert_eq!(shown["HostConfig"]["DeviceRequests"], Value::Null, "those are for ECS Anywhere");
    // The variable alone, as any job may set it, gives nothing.
    let sly = ContainerSpec { environment: names("all"), ..container() };
    assert_eq!(sent(sly)["HostConfig"]["Runtime"], Value::Null);
    let beside = ContainerSpec { name: ContainerName::new("beside"), ..container() };
    let task = TaskSpec {
        arn: TaskArn::new("arn:aws:ecs:us-east-1:1:task/c/0f1e"),
        family: "myjob".into(),
        version: "3".into(),
        containers: vec![gpu, beside.clone()],
        roles: node_core::Roles::default(),
        memory: None,
    };
    let body = create_body(&task, &beside, "c", &HOST).unwrap();
    assert_eq!(body.host_config.unwrap().runtime, None);
}

#[test]
fn a_plain_container_has_its_image_its_shares_and_the_labels_of_ecs() {
    let sent = sent(container());
    assert_eq!(sent["Image"], "busybox:latest");
    assert_eq!((&sent["Cmd"], &sent["Entrypoint"]), (&Value::Null, &Value::Null));
    assert_eq!((&sent["HostConfig"]["CpuShares"], &sent["HostConfig"]["Memory"]), (&json!(2), &json!(0)));
    assert_eq!(
        sent["Labels"],
        json!({
            "com.amazonaws.ecs.task-arn": "arn:aws:ecs:us-east-1:1:task/c/0f1e",
            "com.amazonaws.ecs.container-name": "default",
            "com.amazonaws.ecs.task-definition-family": "myjob",
            "com.amazonaws.ecs.task-definition-version": "3",
            "com.amazonaws.ecs.cluster": "c",
        })
    );
}

#[test]
fn command_entry_point_and_environment() {
    let sent = sent(ContainerSpec {
        command: strings(&["echo", "a b"]),
        entry_point: Some(strings(&["/bin/sh", "-c"])),
        environment: [("B", "x=y"), ("A", "")].map(|(k, v)| (k.into(), v.into())).into(),
        ..container()
    });
    assert_eq!(sent["Cmd"], json!(["echo", "a b"]));
    assert_eq!(sent["Entrypoint"], json!(["/bin/sh", "-c"]));
    assert_eq!(sent["Env"], json!(["A=", "B=x=y"]));
}

#[test]
fn memory_is_sent_in_bytes() {
    let limits = ContainerSpec { memory: Some(Mebibytes(64)), cpu_shares: 2048, ..container() };
    let sent = sent(limits);
    assert_eq!((&sent["HostConfig"]["Memory"], &sent["HostConfig"]["CpuShares"]), (&json!(67_108_864), &json!(2048)));
}

#[test]
fn host_and_bridge_networking_come_with_the_host_config() {
    let host = sent(ContainerSpec { docker_host_config: Some(r#"{"NetworkMode":"host"}"#.into()), ..container() });
    assert_eq!(host["HostConfig"]["NetworkMode"], "host");
    let bridge = sent(ContainerSpec { docker_host_config: Some(r#"{"NetworkMode":"bridge"}"#.into()), ..container() });
    assert_eq!(bridge["HostConfig"]["NetworkMode"], "bridge");
}

#[test]
fn user_working_directory_and_labels_come_with_the_config() {
    let config = r#"{"User":"1000:1000","WorkingDir":"/w","Labels":{"team":"x","com.amazonaws.ecs.cluster":"forged"}}"#;
    let sent = sent(ContainerSpec { docker_config: Some(config.into()), ..container() });
    assert_eq!((&sent["User"], &sent["WorkingDir"]), (&json!("1000:1000"), &json!("/w")));
    assert_eq!((&sent["Labels"]["team"], &sent["Labels"]["com.amazonaws.ecs.cluster"]), (&json!("x"), &json!("c")));
}

#[test]
fn read_only_root_log_driver_ulimits_and_the_rest_come_with_the_host_config() {
    let text = r#"{"ReadonlyRootfs":true,"LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}},"Privileged":false,
        "Ulimits":[{"Name":"nofile","Soft":1024,"Hard":4096}],"Tmpfs":{"/tmp":"size=64m"},"ShmSize":1048576,"Init":true,
        "RestartPolicy":{},"Isolation":"","CapAdd":null,"Memory":134217728}"#;
    let spec = ContainerSpec { docker_host_config: Some(text.into()), memory: Some(Mebibytes(64)), ..container() };
    let host = &sent(spec)["HostConfig"];
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["LogConfig"], json!({ "Type": "json-file", "Config": { "max-size": "1m" } }));
    assert_eq!(host["Ulimits"], json!([{ "Name": "nofile", "Soft": 1024, "Hard": 4096 }]));
    assert_eq!((&host["Tmpfs"]["/tmp"], &host["ShmSize"]), (&json!("size=64m"), &json!(1_048_576)));
    assert_eq!((&host["Init"], &host["Memory"]), (&json!(true), &json!(134_217_728)));
}

#[test]
fn mounts_are_binds_read_only_or_not() {
    let bind = |source: &str, read_only| Bind { source: source.into(), target: "/in".into(), read_only };
    let sent = sent(ContainerSpec { binds: vec![bind("/data", true), bind("named", false)], ..container() });
    assert_eq!(sent["HostConfig"]["Binds"], json!(["/data:/in:ro", "named:/in"]));
}

#[test]
fn ports_are_exposed_and_published() {
    let port = |container, host, protocol| PortMapping { container, host, protocol };
    let ports = vec![port(80, 8080, Protocol::Tcp), port(80, 0, Protocol::Tcp), port(53, 53, Protocol::Udp)];
    let config = r#"{"ExposedPorts":{"90/tcp":{}}}"#;
    let sent = sent(ContainerSpec { ports, docker_config: Some(config.into()), ..container() });
    assert_eq!(sent["ExposedPorts"], json!({ "80/tcp": {}, "53/udp": {}, "90/tcp": {} }));
    assert_eq!(
        sent["HostConfig"]["PortBindings"],
        json!({ "80/tcp": [{ "HostPort": "8080" }, { "HostPort": "0" }], "53/udp": [{ "HostPort": "53" }] })
    );
}

#[test]
fn a_key_replaces_a_map_merges_and_null_empties() {
    let mut base = json!({ "list": [1], "map": { "a": 1, "b": 2 }, "number": 1, "gone": [1] });
    let Value::Object(map) = &mut base else { unreachable!() };
    let over = r#"{"list":[2],"map":{"b":3,"c":4},"number":null,"gone":null,"new":5,"none":null}"#;
    overlay(map, Some(over)).unwrap();
    for nothing in [None, Some(""), Some("null"), Some("{}")] {
        overlay(map, nothing).unwrap();
    }
    assert_eq!(base, json!({ "list": [2], "map": { "a": 1, "b": 3, "c": 4 }, "number": 1, "new": 5 }));
}

#[test]
fn texts_that_docker_cannot_take_are_refused_by_name() {
    let name = |spec| match body(spec) {
        Err(OpFailure::Refused { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    for text in ["{", "[]", "\"x\"", r#"{"User":5}"#] {
        assert_eq!(name(ContainerSpec { docker_config: Some(text.into()), ..container() }), CONFIG_ERROR);
    }
    for text in ["{", "7", r#"{"Memory":"much"}"#] {
        assert_eq!(name(ContainerSpec { docker_host_config: Some(text.into()), ..container() }), HOST_CONFIG_ERROR);
    }
}

#[test]
fn a_health_check_arrives_in_the_config_and_must_be_there_where_it_is_reported() {
    let check =
        r#"{"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Timeout":2000000000,"Retries":3}}"#;
    let checked = ContainerSpec { health_check: true, docker_config: Some(check.into()), ..container() };
    let health = &sent(checked)["Healthcheck"];
    assert_eq!((&health["Test"], &health["Interval"]), (&json!(["CMD-SHELL", "true"]), &json!(5_000_000_000_u64)));
    let without = body(ContainerSpec { health_check: true, ..container() });
    assert!(matches!(without, Err(OpFailure::Refused { name: "DockerClientConfigError", .. })), "{without:?}");
}

#[test]
fn a_host_that_blocks_imds_puts_jobs_into_their_group_and_takes_raw_packets_from_those_on_its_network() {
    let group = Confinement { cgroup_parent: "batchjobs.slice" };
    let host = OfHost { pids_limit: Some(100), confinement: Some(&group), ..HOST };
    let given = |text: &str| {
        let mut config: HostConfig = serde_json::from_str(text).unwrap();
        host.apply(&mut config);
        serde_json::to_value(config).unwrap()
    };
    let on_host = given(r#"{"NetworkMode":"host","CapDrop":["MKNOD"],"CgroupParent":"/mine"}"#);
    assert_eq!(on_host["CgroupParent"], "batchjobs.slice", "a job does not choose its way around the block");
    assert_eq!((&on_host["CapDrop"], &on_host["PidsLimit"]), (&json!(["MKNOD", "NET_RAW"]), &json!(100)));
    let apart = given(r#"{"PidsLimit":7}"#);
    assert_eq!((&apart["CapDrop"], &apart["PidsLimit"]), (&Value::Null, &json!(7)), "the job's own limit counts");
    assert_eq!(given(r#"{"NetworkMode":"host","Privileged":true}"#)["CapDrop"], Value::Null);
}
