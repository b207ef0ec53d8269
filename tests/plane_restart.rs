//! A plane that is killed under running jobs and started again: it goes on where it was, and its agents find it by themselves.

use serde_json::json;

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::tap::Tap;
use crate::common::{eventually, lines, status, text};

/// Notes its start in `/work/<code>`, waits for `/work/go`, and ends with `code`.
fn waiting(code: u8) -> String {
    format!("echo start >>/work/{code}; while [ ! -e /work/go ]; do sleep 0.05; done; echo over; exit {code}")
}

#[test]
fn jobs_go_on_without_the_plane_and_end_with_the_next() {
    let mut plane = Plane::without_nodes();
    let tap = Tap::on(&plane.endpoint);
    let instance = plane.run_instance();
    let mut agent = Agent::start(Setup::on(&plane, &instance).set("cpu", "3").through(&tap.endpoint));
    let work = tempfile::tempdir().unwrap();
    plane.define_with_work("waiting", work.path());
    let jobs = [3, 4, 5].map(|code| (code, plane.shell("waiting", &waiting(code))));
    for (code, id) in &jobs {
        plane.job_in(id, "RUNNING");
        eventually("its first words", || (lines(&work.path().join(code.to_string())) == 1).then_some(()));
    }
    // What the answer promised holds: the plane is killed in the very moment.
    let queued = plane.shell("waiting", &waiting(6));
    let dependent = plane.submit(&json!({"dependsOn": [{"jobId": queued}, {"jobId": jobs[0].1}]}));
    plane.kill();
    std::fs::write(work.path().join("go"), "").unwrap();
    plane.start_again();
    for (code, id) in &jobs {
        let job = plane.ended(id);
        assert_eq!(job["container"]["exitCode"], *code, "{job:#}");
        assert_eq!(job["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(lines(&work.path().join(code.to_string())), 1, "it ran once");
        eventually("its output", || (plane.output(&plane.job(id)) == ["over"]).then_some(()));
    }
    assert_eq!(plane.job_in(&queued, "FAILED")["container"]["exitCode"], 6);
    assert_eq!(plane.job_in(&dependent, "FAILED")["statusReason"], "Dependent Job failed");
    let known = plane.instances();
    assert_eq!((known.len(), &known[0]), (1, &instance), "the same instance, its metadata service where it was");
    // Sequence numbers go on, or the agent would take what comes for old.
    let next = plane.shell("hello", "true");
    plane.job_in(&next, "SUCCEEDED");
    tap.has_seen("TaskManifestMessage");
    assert!(agent.process().exited().is_none(), "it was one process all the time");
    assert_eq!(agent.count("registered"), 1, "{}", agent.log());
}

#[test]
fn nodes_that_outlive_the_plane_are_run_by_the_next() {
    let mut plane = Plane::start(&["--max-nodes", "1", "--idle-timeout", "2s"]);
    let work = tempfile::tempdir().unwrap();
    plane.define_with_work("waiting", work.path());
    let id = plane.shell("waiting", &waiting(7));
    plane.job_in(&id, "RUNNING");
    let node = plane.instances()[0].id.clone();
    let files = plane.node_dir(&node);
    let pid = || status(&files).and_then(|status| status["agent"]["pid"].as_u64());
    let orphan = eventually("the agent's process", pid);
    plane.kill();
    assert!(std::path::Path::new(&format!("/proc/{orphan}")).exists(), "nobody has ended it");
    plane.start_again();
    eventually("another process", || pid().filter(|pid| *pid != orphan));
    std::fs::write(work.path().join("go"), "").unwrap();
    let job = plane.job_in(&id, "FAILED");
    assert_eq!((&job["container"]["exitCode"], lines(&work.path().join("7"))), (&json!(7), 1));
    eventually("the node's own termination", || {
        plane.instances().iter().all(|i| i.state == "terminated").then_some(())
    });
    assert_eq!(plane.instances().len(), 1, "it was the same instance all the time");
}

#[test]
fn a_plane_that_was_stopped_remembers_its_jobs() {
    let mut plane = Plane::start(&["--max-nodes", "1"]);
    let done = plane.shell("hello", "exit 2");
    let ended = plane.job_in(&done, "FAILED");
    plane.stop();
    plane.start_again();
    let job = plane.job(&done);
    assert_eq!((&job["container"], &job["stoppedAt"]), (&ended["container"], &ended["stoppedAt"]));
    assert!(plane.instances().iter().all(|i| i.state == "terminated"), "its nodes went with it");
    let again = plane.shell("hello", "exit 3");
    assert_eq!(plane.job_in(&again, "FAILED")["container"]["exitCode"], 3);
    let refused = plane.second();
    assert!(refused.contains("another plane is using this data directory"), "{refused}");
    assert_eq!(text(&plane.job(&done)["status"]), "FAILED");
}
