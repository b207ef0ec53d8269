use ecs_wire::acs::ToAgent;
use node_core::{Bind, Condition, Mebibytes, PortMapping, Protocol};
use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:ecs:us-east-1:111122223333:task/c1/0f1e2d";

fn container() -> Value {
    json!({"name": "default", "image": "busybox", "essential": true, "cpu": 1024, "memory": 128})
}

fn task(containers: &[Value]) -> Value {
    json!({"arn": ARN, "family": "myjob", "version": "3", "desiredStatus": "RUNNING", "containers": containers})
}

/// `value` with one field put over it.
fn with(mut value: Value, key: &str, field: Value) -> Value {
    value[key] = field;
    value
}

fn payload(tasks: &[Value]) -> Payload {
    let frame = json!({"type": "PayloadMessage", "message": {"messageId": "m-42", "clusterArn": "arn:cluster",
        "containerInstanceArn": "arn:ci", "seqNum": 17, "generatedAt": 1_760_000_000_000_i64, "tasks": tasks}});
    let ToAgent::PayloadMessage(message) = ToAgent::decode(&frame.to_string()).unwrap() else { panic!("a payload") };
    decode(message).0
}

fn one(task: Value) -> Incoming {
    payload(&[task]).tasks.remove(0).work
}

fn spec(task: Value) -> TaskSpec {
    match one(task) {
        Incoming::Run(spec) => spec,
        other => panic!("to be run: {other:?}"),
    }
}

/// Why a task with one container, `field` put over it, is refused.
fn refused(key: &str, field: Value) -> String {
    refused_task(task(&[with(container(), key, field)]))
}

fn refused_task(task: Value) -> String {
    match one(task) {
        Incoming::Invalid(text) => text,
        other => panic!("to be refused: {other:?}"),
    }
}

#[test]
fn the_envelope_is_carried_over() {
    let payload = payload(&[task(&[container()])]);
    assert_eq!(payload.message.as_str(), "m-42");
    assert_eq!(payload.cluster.as_str(), "arn:cluster");
    assert_eq!(payload.container_instance.as_str(), "arn:ci");
    assert_eq!((payload.seq_num, payload.unaddressed), (17, false));
    assert_eq!(payload.tasks[0].arn.as_str(), ARN);
}

#[test]
fn a_full_container_is_decoded() {
    let wire = json!({"name": "default", "image": "app:1", "essential": true, "cpu": 512, "memory": 2,
        "command": ["run.sh"], "entryPoint": ["/bin/sh"], "environment": {"AWS_BATCH_JOB_ID": "j"},
        "overrides": "{\"command\":[\"run.sh\",\"--x\"]}", "stopTimeout": 45,
        "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/s", "readOnly": true},
                        {"sourceVolume": "own", "containerPath": "/o"}],
        "portMappings": [{"containerPort": 80}, {"containerPort": 53, "hostPort": 53, "protocol": "udp"}],
        "dockerConfig": {"config": "{}", "hostConfig": "{\"NetworkMode\":\"host\"}"}});
    let task = with(
        task(&[wire]),
        "volumes",
        json!([{"name": "scratch", "host": {"sourcePath": "/mnt/scratch"}}, {"name": "own", "type": "host", "host": {}}]),
    );
    let spec = spec(task);
    let c = &spec.containers[0];
    assert_eq!((spec.family.as_str(), spec.version.as_str()), ("myjob", "3"));
    assert_eq!(c.command, ["run.sh", "--x"]);
    assert_eq!(c.entry_point.as_deref(), Some(&["/bin/sh".to_owned()][..]));
    assert_eq!((c.cpu_shares, c.memory, c.stop_timeout_secs), (512, Some(Mebibytes(4)), Some(45)));
    let scratch = Bind { source: "/mnt/scratch".into(), target: "/s".into(), read_only: true };
    assert_eq!(c.binds[0], scratch);
    let own = &c.binds[1].source;
    assert!(own.starts_with("ecs-myjob-3-own-") && own.len() == "ecs-myjob-3-own-".len() + 20, "{own}");
    let ports = [
        PortMapping { container: 80, host: 0, protocol: Protocol::Tcp },
        PortMapping { container: 53, host: 53, protocol: Protocol::Udp },
    ];
    assert_eq!(c.ports, ports);
    assert_eq!(c.docker_host_config.as_deref(), Some(r#"{"NetworkMode":"host"}"#));
}

#[test]
fn numbers_are_brought_into_dockers_range() {
    let shares = |cpu: i64| spec(task(&[with(container(), "cpu", json!(cpu))])).containers[0].cpu_shares;
    assert_eq!([shares(-1), shares(0), shares(1), shares(300_000)], [2, 2, 2, 262_144]);
    let memory = |mib: i64| spec(task(&[with(container(), "memory", json!(mib))])).containers[0].memory;
    assert_eq!([memory(0), memory(5)], [None, Some(Mebibytes(5))]);
    assert!(refused("memory", json!(-1)).contains("memory of -1 MiB"));
}

#[test]
fn an_override_may_hold_a_command_and_nothing_else() {
    let command = |overrides: Value| {
        let wire = with(with(container(), "command", json!(["own"])), "overrides", overrides);
        spec(task(&[wire])).containers[0].command.clone()
    };
    assert_eq!(command(json!({"command": ["a"]})), ["a"]);
    assert_eq!(command(json!("{\"command\":null}")), ["own"]);
    for nothing in [json!(null), json!(""), json!("{}"), json!({})] {
        assert_eq!(command(nothing), ["own"]);
    }
    assert!(refused("overrides", json!("{\"memory\":5}")).contains("\"memory\""));
    assert!(refused("overrides", json!("{")).contains("not JSON"));
    assert!(refused("overrides", json!("[]")).contains("not a JSON object"));
    assert!(refused("overrides", json!({"command": "ls"})).contains("list of strings"));
}

#[test]
fn bad_tasks_stay_alone() {
    let good = task(&[container()]);
    let other = |n: u32| format!("{ARN}{n}");
    let payload = payload(&[
        json!(null),
        json!({"arn": ""}),
        json!({"arn": 7}),
        json!("task"),
        with(with(good.clone(), "containers", json!(3)), "arn", json!(other(1))),
        good,
    ]);
    assert!(payload.unaddressed);
    assert_eq!(payload.tasks.len(), 2);
    assert!(matches!(&payload.tasks[0].work, Incoming::Invalid(text) if text.contains("invalid type")));
    assert!(matches!(payload.tasks[1].work, Incoming::Run(_)));
}

#[test]
fn a_desired_status_is_run_or_stop() {
    let with_status = |status: Value| one(with(task(&[container()]), "desiredStatus", status));
    assert!(matches!(with_status(json!("STOPPED")), Incoming::Stop(_)));
    assert!(matches!(with_status(json!("DEAD")), Incoming::Stop(_)));
    for bad in [json!("running"), json!("NONE"), json!(null), json!(7), json!("PAUSED")] {
        assert!(matches!(with_status(bad), Incoming::Invalid(text) if text.contains("desiredStatus")));
    }
}

#[test]
fn a_stop_needs_no_sense_in_the_rest() {
    let stop = |task: Value| match one(with(task, "desiredStatus", json!("STOPPED"))) {
        Incoming::Stop(spec) => spec,
        other => panic!("a stop: {other:?}"),
    };
    let odd = with(container(), "portMappings", json!("all"));
    let spec = stop(task(&[odd, json!({"image": "nameless"}), json!(4)]));
    assert_eq!(spec.family, "myjob");
    assert_eq!(spec.containers.len(), 1);
    assert_eq!(spec.containers[0].name.as_str(), "default");
    assert!(stop(json!({"arn": ARN, "containers": 3})).containers.is_empty());
}

#[test]
fn what_is_missing_is_named() {
    assert!(refused_task(task(&[])).contains("without containers"));
    assert!(refused("name", json!("")).contains("without a name"));
    assert!(refused("image", json!("")).contains("no image"));
    assert!(refused("portMappings", json!([{"hostPort": 80}])).contains("without containerPort"));
    assert!(refused("portMappings", json!([{"containerPort": 70_000}])).contains("invalid value"));
    assert!(refused("portMappings", json!([{"containerPort": 80, "protocol": "sctp"}])).contains("sctp"));
    assert!(refused("mountPoints", json!([{"sourceVolume": "v", "containerPath": "/v"}])).contains("does not declare"));
}

#[test]
fn volumes_are_checked() {
    let volumes = |volumes: Value| refused_task(with(task(&[container()]), "volumes", volumes));
    assert!(volumes(json!([{"host": {}}])).contains("without a name"));
    assert!(volumes(json!([{"name": "v"}])).contains("empty volume configuration"));
    assert!(volumes(json!([{"name": "v", "host": {"sourcePath": "data"}}])).contains("not absolute"));
    assert!(volumes(json!([{"name": "v", "host": {}}, {"name": "v", "host": {}}])).contains("twice"));
    assert!(volumes(json!([{"name": "v", "type": "efs"}])).contains("not supported yet"));
    assert!(volumes(json!([{"name": "v", "type": "tape"}])).contains("unrecognized volume type: \"tape\""));
}

#[test]
fn a_tasks_own_volume_has_one_name_for_good() {
    let task = with(
        task(&[with(container(), "mountPoints", json!([{"sourceVolume": "v", "containerPath": "/v"}]))]),
        "volumes",
        json!([{"name": "v", "host": {"sourcePath": ""}}]),
    );
    let name = |task: &Value| spec(task.clone()).containers[0].binds[0].source.clone();
    assert_eq!(name(&task), name(&task));
    assert_ne!(name(&task), name(&with(task.clone(), "arn", json!("arn:other/task"))));
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let cases = [
        ("environmentFiles", json!([{"value": "arn", "type": "s3"}]), "environment files"),
        ("links", json!(["db"]), "links"),
        ("volumesFrom", json!([{"sourceContainer": "db"}]), "volumesFrom"),
        ("firelensConfiguration", json!({"type": "fluentd"}), "FireLens"),
        ("portMappings", json!([{"containerPortRange": "80-90"}]), "containerPortRange"),
    ];
    for (key, field, said) in cases {
        let text = refused(key, field);
        assert!(text.contains(said) && text.contains("\"default\"") && text.contains("yet"), "{text}");
    }
    let of_task = [
        (
            "associations",
            json!([{"type": "elastic-inference", "name": "eia", "containers": ["default"]}]),
            "elastic-inference",
        ),
        ("networkMode", json!("awsvpc"), "awsvpc"),
        ("pidMode", json!("host"), "pidMode"),
        ("cpu", json!(0.5), "CPU limit"),
        ("memory", json!(64), "memory limit"),
    ];
    for (key, field, said) in of_task {
        let text = refused_task(with(task(&[container()]), key, field));
        assert!(text.contains(said) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn gpus_go_to_their_containers_by_uuid() {
    let named = |name: &str| with(container(), "name", json!(name));
    let gpu = |uuid: &str, containers: Value| json!({"type": "gpu", "name": uuid, "containers": containers});
    let two = task(&[named("train"), named("log")]);
    let associations = json!([gpu("GPU-a", json!(["train"])), gpu("GPU-b", json!(["train"]))]);
    let spec = spec(with(two.clone(), "associations", associations));
    let visible = |i: usize| spec.containers[i].environment.get("NVIDIA_VISIBLE_DEVICES").cloned();
    assert_eq!((visible(0).as_deref(), visible(1)), (Some("GPU-a,GPU-b"), None));
    assert_eq!((spec.containers[0].gpus.len(), spec.containers[1].gpus.len()), (2, 0));
    for (containers, said) in
        [(json!([]), "with 0 containers"), (json!(["train", "log"]), "with 2"), (json!(["x"]), "not have")]
    {
        let text = refused_task(with(two.clone(), "associations", json!([gpu("GPU-a", containers)])));
        assert!(text.starts_with(&format!("resource cannot be initialized for task {ARN}: GPU \"GPU-a\"")), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn fields_that_ask_for_nothing_refuse_nothing() {
    let wire = json!({"name": "default", "image": "i", "secrets": null, "links": [], "volumesFrom": [],
        "restartPolicy": {"enabled": false}, "logsAuthStrategy": "", "startTimeout": 0, "somethingNew": {"x": 1}});
    let odd = with(with(with(task(&[wire]), "cpu", json!(0.0)), "pidMode", json!("")), "networkMode", json!("bridge"));
    spec(odd);
    // A task limit that the containers' own limits keep already.
    spec(with(task(&[container()]), "memory", json!(128)));
    // An execution role is refused only where a container would use it.
    let role = json!({"credentialsId": "c-9", "roleArn": "arn"});
    spec(with(task(&[container()]), "executionRoleCredentials", role));
}

#[test]
fn health_checks_and_restart_policies_are_taken_over() {
    let policy = json!({"enabled": true, "ignoredExitCodes": [0, 143], "restartAttemptPeriod": 120});
    let wire = with(with(container(), "restartPolicy", policy), "healthCheckType", json!("docker"));
    let checked = spec(task(&[wire])).containers.remove(0);
    assert!(checked.health_check);
    let policy = checked.restart_policy.unwrap();
    let codes = [0, 143].map(node_core::ExitCode).to_vec();
    assert_eq!((policy.ignored_exit_codes, policy.attempt_period_secs), (codes, 120));
    let off = with(container(), "restartPolicy", json!({"enabled": false, "ignoredExitCodes": null}));
    let plain = spec(task(&[off])).containers.remove(0);
    assert_eq!((plain.health_check, plain.restart_policy), (false, None));
}

#[test]
fn dependencies_must_resolve() {
    let named = |name: &str, on: Value| with(with(container(), "name", json!(name)), "dependsOn", on);
    let on = |name: &str, condition: &str| json!({"containerName": name, "condition": condition});
    let good = spec(task(&[
        named("a", json!([on("b", "COMPLETE"), on("c", "START")])),
        named("b", json!([on("c", "HEALTHY")])),
        named("c", json!(null)),
    ]));
    assert_eq!(good.containers[0].depends_on[0].condition, Condition::Complete);
    let unresolved = format!("Task dependencies cannot be resolved, taskArn: {ARN}");
    let cycle = task(&[named("a", json!([on("b", "START")])), named("b", json!([on("a", "START")]))]);
    let own = task(&[named("a", json!([on("a", "START")]))]);
    let stranger = task(&[named("a", json!([on("z", "START")]))]);
    let twice = task(&[named("a", json!([on("b", "START"), on("b", "SUCCESS")])), named("b", json!([]))]);
    let same_name = task(&[named("a", json!([])), named("a", json!([]))]);
    for bad in [cycle, own, stranger, twice, same_name] {
        assert_eq!(one(bad), Incoming::Refused(unresolved.clone()));
    }
    assert!(refused("dependsOn", json!([on("b", "LATER")])).contains("LATER"));
}
