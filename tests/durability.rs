//! `kill -9` at any moment: every job is reported once with its true exit code, runs once, and stays under control.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::proxy::Proxy;
use crate::common::{docker, eventually, lines, status, text};

/// Notes its start in `/work/<name>.starts`, waits for `/work/<name>.go`, and ends with `code`.
fn waiting(name: &str, code: u8) -> String {
    format!("echo start >>/work/{name}.starts; while [ ! -e /work/{name}.go ]; do sleep 0.05; done; exit {code}")
}

fn release(work: &Path, name: &str) {
    std::fs::write(work.join(format!("{name}.go")), "").unwrap();
}

fn starts(work: &Path, name: &str) -> usize {
    lines(&work.join(format!("{name}.starts")))
}

#[test]
fn an_agent_killed_while_jobs_run_finds_all_of_them_again() {
    let plane = Plane::without_nodes();
    let wire = Proxy::to(&plane.endpoint);
    let setup = Setup::on(&plane, &plane.run_instance()).through(&wire.endpoint).set("cpu", "4");
    let mut agent = Agent::start(setup);
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path();
    plane.define_with_work("wait", work);
    let submit = |name: &str, code| plane.shell("wait", &waiting(name, code));
    let ends = [("zero", 0), ("three", 3), ("forty-two", 42)].map(|(name, code)| (name, code, submit(name, code)));
    let long = plane.shell("wait", "trap 'exit 9' TERM; echo start >>/work/long.starts; while :; do sleep 0.05; done");
    let task_of = |id: &str| text(&plane.job(id)["container"]["taskArn"]).to_owned();
    for (name, id) in ends.iter().map(|(name, _, id)| (*name, id)).chain([("long", &long)]) {
        plane.job_in(id, "RUNNING");
        eventually("its first words", || (starts(work, name) == 1).then_some(()));
    }
    let queued = submit("queued", 7);
    plane.job_in(&queued, "RUNNABLE");

    agent.process().kill();
    for (name, code, id) in &ends {
        release(work, name);
        let task = task_of(id);
        eventually("the container's end", || {
            let state = docker::inspect(&task)["State"].take();
            (state["Status"] == "exited" && state["ExitCode"] == *code).then_some(())
        });
        assert_eq!(plane.job(id)["status"], "RUNNING", "nobody was there to tell");
    }
    agent.start_again();
    for (name, code, id) in &ends {
        let job = plane.ended(id);
        assert_eq!(job["container"]["exitCode"], *code, "{job:#}");
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(starts(work, name), 1, "it ran once");
        let reports = wire.stopped(&task_of(id));
        assert_eq!(reports.len(), 1, "one end, one report: {reports:?}");
        assert_eq!(reports[0]["containers"][0]["exitCode"], *code);
    }
    // There is room now for the one that waited; the long one goes on, and can be stopped.
    plane.job_in(&queued, "RUNNING");
    release(work, "queued");
    assert_eq!(plane.job_in(&queued, "FAILED")["container"]["exitCode"], 7);
    assert_eq!(plane.job(&long)["status"], "RUNNING");
    plane.batch("terminatejob", &json!({"jobId": long, "reason": "enough"}));
    let job = plane.job_in(&long, "FAILED");
    assert_eq!((text(&job["statusReason"]), &job["container"]["exitCode"]), ("enough", &json!(9)));
    for (name, id) in [("long", &long), ("queued", &queued)] {
        assert_eq!((starts(work, name), wire.stopped(&task_of(id)).len()), (1, 1), "{name}");
    }
    assert_eq!(plane.ecs("ListTasks", &json!({"cluster": plane.cluster("local")}))["taskArns"], json!([]));
}

/// The plane starts a node's agent again, as systemd does.
#[test]
fn a_launched_agent_that_is_killed_comes_back_to_its_jobs() {
    let plane = Plane::start(&["--max-nodes", "1", "--idle-timeout", "2s"]);
    let dir = tempfile::tempdir().unwrap();
    plane.define_with_work("wait", dir.path());
    let id = plane.shell("wait", &waiting("job", 4));
    plane.job_in(&id, "RUNNING");
    let node = plane.instances()[0].id.clone();
    let files = plane.node_dir(&node);
    let pid = || status(&files).and_then(|status| status["agent"]["pid"].as_u64());
    let first = eventually("the agent's process", pid);
    assert!(Command::new("kill").args(["-s", "KILL", &first.to_string()]).status().unwrap().success());
    eventually("another process", || pid().filter(|pid| *pid != first));
    release(dir.path(), "job");
    let job = plane.job_in(&id, "FAILED");
    assert_eq!((&job["container"]["exitCode"], starts(dir.path(), "job")), (&json!(4), 1));
    eventually("the node's own termination", || {
        plane.instances().iter().all(|i| i.state == "terminated").then_some(())
    });
    assert_eq!(plane.instances().len(), 1, "it was the same instance all the time");
}

/// Killed again and again while jobs are being started and ended.
#[test]
fn an_agent_killed_again_and_again_loses_nothing() {
    const JOBS: u8 = 12;
    const KILLS: u32 = 8;
    let plane = Plane::without_nodes();
    let mut agent = Agent::on(&plane);
    let dir = tempfile::tempdir().unwrap();
    plane.define_with_work("short", dir.path());
    let script = |n: u8| format!("echo start >>/work/{n}.starts; sleep 0.$(({n} % 7)); exit {n}");
    let jobs: Vec<String> = (0..JOBS).map(|n| plane.shell("short", &script(n))).collect();
    for n in 0..KILLS {
        // Each time at another moment of the agent's life: it registers within the first of these.
        thread::sleep(Duration::from_millis(100 + u64::from(n) * 60));
        agent.process().kill();
        agent.start_again();
    }
    for (n, id) in (0..JOBS).zip(&jobs) {
        let job = plane.ended(id);
        assert_eq!(job["container"]["exitCode"], n, "{job:#}");
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(starts(dir.path(), &n.to_string()), 1, "job {n} ran once");
    }
}

#[test]
fn a_crash_before_any_commit_changes_nothing() {
    crash_everywhere("before");
}

#[test]
fn a_crash_after_any_commit_changes_nothing() {
    crash_everywhere("after");
}

/// Crashes at the first commit, the second, and so on, each in a world of its own, until the story is over before the crash.
fn crash_everywhere(when: &str) {
    /// The story has at least so many: the node, three tasks, what Docker did for them, what was reported, the leaving.
    const FEWEST: u32 = 10;
    const AT_ONCE: usize = 5;
    let plane = Plane::without_nodes();
    // The next commit to crash at, and whether a story was over before.
    let next = Mutex::new((1, false));
    thread::scope(|scope| {
        let worker = || {
            loop {
                let n = {
                    let mut next = next.lock().unwrap();
                    if next.1 {
                        return;
                    }
                    next.0 += 1;
                    next.0 - 1
                };
                if !crash_at(&plane, n, when) {
                    next.lock().unwrap().1 = true;
                }
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    let stories = next.into_inner().unwrap().0 - 1;
    println!("{stories} stories");
    assert!(stories > FEWEST, "only {stories} stories with a crash {when} a commit");
}

/// Three jobs on a host of their own, whose agent crashes at its `n`th commit. The host has done its work when it has
/// terminated itself. `false` if it made fewer commits than that.
fn crash_at(plane: &Plane, n: u32, when: &str) -> bool {
    let at = format!("{when}-{n}");
    plane.environment(&at);
    let dir = tempfile::tempdir().unwrap();
    let (work, marker) = (dir.path(), dir.path().join("crashed"));
    plane.define_with_work(&at, work);
    let jobs = [0, 3, 42].map(|code: u8| {
        let command = json!(["sh", "-c", format!("echo start >>/work/{code}.starts; exit {code}")]);
        let request = json!({"jobDefinition": at, "jobQueue": at, "containerOverrides": {"command": command}});
        (code, plane.submit(&request))
    });
    let instance = plane.run_instance();
    let setup = Setup::on(plane, &instance)
        .set("compute_environment", &format!("{at:?}"))
        .set("idle_timeout", r#""3s""#)
        .env("BATCH_NODE_AGENT_TEST_CRASH", &format!("{n}:{when}:{}", marker.display()));
    let mut agent = Agent::start(setup);
    let mut restarts = 0;
    eventually(&format!("the termination of the host, after a crash {at}"), || {
        if agent.process().exited().is_some() {
            agent.start_again();
            restarts += 1;
        }
        plane.instances().iter().any(|i| i.id == instance.id && i.state == "terminated").then_some(())
    });
    for (code, id) in &jobs {
        let job = plane.job(id);
        assert_eq!(job["container"]["exitCode"], *code, "crash {at}: {job:#}\n{}", agent.log());
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "crash {at}");
        assert_eq!(starts(work, &code.to_string()), 1, "crash {at}: job {code} ran once\n{}", agent.log());
    }
    let crashed = marker.exists();
    assert_eq!(agent.count("batch-node-agent starts") - 1, restarts, "crash {at}: {}", agent.log());
    if restarts < usize::from(crashed) {
        // Only a crash after EC2 was asked to terminate the host may find that there is no host to start again on.
        assert!(agent.log().contains("ending this host: TerminateInstances"), "crash {at}: {}", agent.log());
    } else {
        assert_eq!(restarts, usize::from(crashed), "crash {at}: it died by itself\n{}", agent.log());
    }
    crashed
}
