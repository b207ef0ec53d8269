//! What a job asks for reaches its container, and each way to end is told apart.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::agent::{Agent, Setup};
use crate::common::ecs::FakeEcs;
use crate::common::plane::Plane;
use crate::common::{docker, eventually, text};

fn plane() -> Plane {
    Plane::start(&["--max-nodes", "1", "--node-vcpus", "32", "--node-memory", "8192"])
}

#[test]
fn what_a_job_asks_for_reaches_its_container() {
    let plane = plane();
    let shared = tempfile::tempdir().unwrap();
    std::fs::write(shared.path().join("input"), "from the host").unwrap();
    let script = "echo args $0 $1; echo user $(id -u):$(id -g); echo nofile $(ulimit -n) $(ulimit -Hn); \
        echo read $(cat /in/input); echo written >/out/output; \
        touch /in/x 2>/dev/null || echo in is read-only; touch /x 2>/dev/null || echo root is read-only; \
        echo net $(cat /proc/self/net/dev | md5sum >/dev/null && readlink /proc/self/ns/net); \
        env | grep -e ^AWS_BATCH -e ^COLOUR | sort; echo end; while [ ! -e /out/go ]; do sleep 0.05; done";
    let out = tempfile::tempdir().unwrap();
    plane.define(
        "all",
        &json!({
            "command": ["sh", "-c", script, "Ref::first", "second"], "vcpus": 2, "memory": 48, "user": "65534:65534",
            "readonlyRootFilesystem": true, "environment": [{"name": "COLOUR", "value": "deep blue"}],
            "ulimits": [{"name": "nofile", "softLimit": 123, "hardLimit": 456}],
            "volumes": [{"name": "in", "host": {"sourcePath": shared.path()}}, {"name": "out", "host": {"sourcePath": out.path()}}],
            "mountPoints": [{"sourceVolume": "in", "containerPath": "/in", "readOnly": true},
                {"sourceVolume": "out", "containerPath": "/out"}]}),
    );
    open(out.path());
    open(shared.path());
    let id = plane.submit(&json!({"jobDefinition": "all", "parameters": {"first": "a b"}}));
    let job = plane.job_in(&id, "RUNNING");
    let lines = eventually("the output's end", || {
        let lines = plane.output(&plane.job(&id));
        lines.contains(&"end".to_owned()).then_some(lines)
    });
    let task = text(&job["container"]["taskArn"]);
    let host_net = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    for expected in [
        "args a b second",
        "user 65534:65534",
        "nofile 123 456",
        "read from the host",
        "in is read-only",
        "root is read-only",
        &format!("net {host_net}"),
        "COLOUR=deep blue",
        &format!("AWS_BATCH_JOB_ID={id}"),
        "AWS_BATCH_JOB_ATTEMPT=1",
        "AWS_BATCH_JQ_NAME=local",
        "AWS_BATCH_CE_NAME=local",
    ] {
        assert!(lines.contains(&expected.to_owned()), "no {expected:?} in {lines:#?}");
    }
    assert_eq!(std::fs::read_to_string(out.path().join("output")).unwrap(), "written\n");

    let seen = docker::inspect(task);
    let host = &seen["HostConfig"];
    assert_eq!((&host["CpuShares"], &host["Memory"]), (&json!(2048), &json!(48 << 20)));
    assert_eq!((text(&host["NetworkMode"]), text(&host["LogConfig"]["Type"])), ("host", "json-file"));
    assert_eq!((&host["ReadonlyRootfs"], text(&seen["Config"]["User"])), (&json!(true), "65534:65534"));
    assert_eq!(seen["Config"]["Labels"]["com.amazonaws.ecs.container-name"], "default");
    assert_eq!(seen["Config"]["Labels"]["com.amazonaws.ecs.task-definition-family"], "all");
    let limit = cgroup(&seen, &["memory/{}/memory.limit_in_bytes", "{}/memory.max"]);
    assert_eq!(limit.as_deref(), Some("50331648"), "the kernel's limit");
    if let Some(shares) = cgroup(&seen, &["cpu/{}/cpu.shares"]) {
        assert_eq!(shares, "2048");
    }
    std::fs::write(out.path().join("go"), "").unwrap();
    plane.job_in(&id, "SUCCEEDED");
}

/// Lets everyone in: jobs of other users work here.
fn open(dir: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777)).unwrap();
}

/// What the container's control group says, in the first of these files that exists.
fn cgroup(seen: &Value, files: &[&str]) -> Option<String> {
    let pid = seen["State"]["Pid"].as_u64().unwrap();
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let paths: BTreeMap<&str, &str> =
        groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')).collect();
    files.iter().find_map(|file| {
        let controller = file.split('/').next().unwrap();
        let named = paths.iter().find(|(names, _)| names.split(',').any(|name| name == controller));
        let path = named.map_or_else(|| paths.get(""), |(_, path)| Some(path))?;
        let file = format!("/sys/fs/cgroup/{}", file.replace("{}", path.trim_start_matches('/')));
        std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
    })
}

/// Batch never asks for these, ECS may.
#[test]
fn an_entry_point_a_working_directory_and_a_bridge_reach_the_container() {
    let ecs = FakeEcs::start();
    let agent = Agent::start(ecs.setup());
    agent.joined();
    let mut task = ecs.task("bridged", "");
    task["networkMode"] = json!("bridge");
    let container = &mut task["containers"][0];
    container["entryPoint"] = json!(["sh", "-c", "pwd; echo $0 $1; exec sleep 600"]);
    container["command"] = json!(["first", "second"]);
    // Process 1 of a container takes only the signals that it asked for: it is killed after so many seconds.
    container["stopTimeout"] = json!(1);
    container["portMappings"] = json!([{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}]);
    container["dockerConfig"] =
        json!({"config": "{\"WorkingDir\": \"/tmp\"}", "hostConfig": "{\"NetworkMode\": \"bridge\"}"});
    ecs.payload("start", &[task.clone()]);
    let report = ecs.running("bridged");
    let seen = docker::inspect(&ecs.arn("bridged"));
    let id = text(&seen["Id"]);
    eventually("its output", || (docker::docker(&["logs", id]) == "/tmp\nfirst second").then_some(()));
    assert_eq!((text(&seen["HostConfig"]["NetworkMode"]), text(&seen["Config"]["WorkingDir"])), ("bridge", "/tmp"));
    let published = &seen["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"];
    let binding = &report["containers"][0]["networkBindings"][0];
    assert_eq!((&binding["containerPort"], text(&binding["protocol"])), (&json!(80), "tcp"));
    assert_eq!(binding["hostPort"].to_string(), text(published), "ECS knows the port that Docker chose");
    task["desiredStatus"] = json!("STOPPED");
    ecs.payload("stop", &[task]);
    assert_eq!(ecs.stopped("bridged")["containers"][0]["exitCode"], 137);
}

#[test]
fn many_jobs_at_once_all_end_as_they_should() {
    let plane = plane();
    plane.define("index", &json!({"command": ["sh", "-c", "exit $((AWS_BATCH_JOB_ARRAY_INDEX % 2))"]}));
    let parent = plane.submit(&json!({"jobDefinition": "index", "arrayProperties": {"size": 32}}));
    let ended = plane.ended(&parent);
    assert_eq!(ended["status"], "FAILED", "as any of its children");
    let summary = &ended["arrayProperties"]["statusSummary"];
    assert_eq!((&summary["SUCCEEDED"], &summary["FAILED"]), (&json!(16), &json!(16)));
    for index in 0..32 {
        assert_eq!(plane.job(&format!("{parent}:{index}"))["container"]["exitCode"], index % 2);
    }
}

#[test]
fn each_way_to_end_is_told_apart() {
    let plane = plane();
    plane.define("no-image", &json!({"image": "localhost:1/nobody/nothing"}));
    let ulimit = json!([{"name": "nofile", "softLimit": 20, "hardLimit": 10}]);
    plane.define("refused", &json!({"ulimits": ulimit, "command": ["true"]}));
    plane.define(
        "bad-mount",
        &json!({"command": ["true"],
        "volumes": [{"name": "v", "host": {"sourcePath": "/tmp"}}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "relative"}]}),
    );
    let words = |definition: &str, command: &[&str]| {
        plane.submit(&json!({"jobDefinition": definition, "containerOverrides": {"command": command}}))
    };
    let exited = "Essential container in task exited";
    let not_started = "Task failed to start";
    // Job, exit code, status reason, beginning of the container's reason.
    let expected = [
        (plane.shell("hello", "exit 42"), json!(42), exited, None),
        (plane.shell("hello", "sh -c 'kill -9 $$'; exit $?"), json!(137), exited, None),
        (words("hello", &["no-such-program"]), Value::Null, not_started, Some("CannotStartContainerError: ")),
        (plane.shell("no-image", "true"), Value::Null, not_started, Some("CannotPullImageManifestError: ")),
        (plane.shell("refused", "true"), Value::Null, not_started, Some("CannotStartContainerError: ")),
        (plane.shell("bad-mount", "true"), Value::Null, not_started, Some("CannotCreateContainerError: ")),
    ];
    let mut reasons = Vec::new();
    for (id, code, status_reason, reason) in &expected {
        let job = plane.job_in(id, "FAILED");
        assert_eq!(text(&job["statusReason"]), *status_reason, "{job:#}");
        assert_eq!(job["container"]["exitCode"], *code, "{job:#}");
        let said = job["container"]["reason"].as_str();
        match reason {
            None => assert_eq!(said, None, "{job:#}"),
            Some(start) => assert!(said.is_some_and(|said| said.starts_with(start)), "{start:?}: {job:#}"),
        }
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1);
        reasons.push(said.unwrap_or_default().to_owned());
    }
    for (reason, words) in
        [(&reasons[2], "no-such-program"), (&reasons[4], "rlimit"), (&reasons[5], "mount path must be absolute")]
    {
        assert!(reason.contains(words), "Docker's own words are kept: {reason}");
    }
    // None of it harmed the node.
    let after = plane.shell("hello", "true");
    plane.job_in(&after, "SUCCEEDED");
    assert_eq!(plane.instances().len(), 1);
}

/// Docker 20.10 itself may miss it on a busy machine: its own `oom` event then comes after `die`, and `OOMKilled` stays
/// false for good. So the job is run until Docker has noticed, and each time the agent says what Docker says.
#[test]
fn an_out_of_memory_kill_is_the_reason() {
    let plane = plane();
    plane.define("tight", &json!({"memory": 8}));
    let job = eventually("a kill that Docker noticed", || {
        let job = plane.job_in(&plane.shell("tight", "x=a; while :; do x=$x$x; done"), "FAILED");
        assert_eq!(job["container"]["exitCode"], 137);
        let noticed = docker::inspect(text(&job["container"]["taskArn"]))["State"]["OOMKilled"] == true;
        assert_eq!(job["container"]["reason"].is_string(), noticed, "{job:#}");
        noticed.then_some(job)
    });
    assert_eq!(job["container"]["reason"], "OutOfMemoryError: Container killed due to memory usage");
    assert_eq!(job["statusReason"], "Essential container in task exited");
}

#[test]
fn a_terminated_job_may_end_in_its_own_way() {
    let plane = plane();
    let id = plane.shell("hello", "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done");
    plane.job_in(&id, "RUNNING");
    eventually("the job's first words", || plane.output(&plane.job(&id)).first().cloned());
    plane.batch("terminatejob", &json!({"jobId": id, "reason": "enough"}));
    let job = plane.job_in(&id, "FAILED");
    assert_eq!((text(&job["statusReason"]), &job["container"]["exitCode"]), ("enough", &json!(9)));
    assert_eq!(plane.output(&job), ["up", "bye"]);
}

#[test]
fn a_job_deaf_to_sigterm_is_killed_after_the_grace_period() {
    let plane = Plane::without_nodes();
    let _agent = Agent::start(Setup::on(&plane, &plane.run_instance()).set("container_stop_timeout", r#""1s""#));
    // Process 1 of a container takes only the signals that it asked for.
    let id = plane.shell("hello", "exec sleep 600");
    plane.job_in(&id, "RUNNING");
    plane.batch("terminatejob", &json!({"jobId": id, "reason": "enough"}));
    let job = plane.job_in(&id, "FAILED");
    assert_eq!((text(&job["statusReason"]), &job["container"]["exitCode"]), ("enough", &json!(137)));
}

#[test]
fn a_job_chooses_its_log_driver() {
    let plane = plane();
    plane.define("silent", &json!({"logConfiguration": {"logDriver": "none"}}));
    let id = plane.shell("silent", "echo lost");
    let job = plane.job_in(&id, "SUCCEEDED");
    let seen = docker::inspect(text(&job["container"]["taskArn"]));
    assert_eq!(text(&seen["HostConfig"]["LogConfig"]["Type"]), "none");
}
