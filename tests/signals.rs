//! A stop of the service is no drain: the agent goes at once, containers run on, and the next start takes them over.

use std::time::Duration;

use crate::common::agent::Agent;
use crate::common::plane::Plane;
use crate::common::{docker, eventually, lines, text};

/// What the product promises.
const STOP: Duration = Duration::from_secs(2);

fn stops_and_adopts(signal: &str) {
    let plane = Plane::without_nodes();
    let mut agent = Agent::on(&plane);
    let work = tempfile::tempdir().unwrap();
    plane.define_with_work("wait", work.path());
    let script = |n: u8| format!("echo start >>/work/{n}; while [ ! -e /work/go ]; do sleep 0.05; done; exit {n}");
    let jobs: Vec<String> = (0..3).map(|n| plane.shell("wait", &script(n))).collect();
    let tasks: Vec<String> =
        jobs.iter().map(|id| text(&plane.job_in(id, "RUNNING")["container"]["taskArn"]).to_owned()).collect();
    let before: Vec<_> = tasks.iter().map(|task| docker::inspect(task)["State"].clone()).collect();

    agent.process().signal(signal);
    let ended = agent.process().ends_within(STOP);
    let ended = ended.unwrap_or_else(|| panic!("the agent runs on 2 s after SIG{signal}"));
    assert_eq!(ended.code(), Some(0));
    let after: Vec<_> = tasks.iter().map(|task| docker::inspect(task)["State"].clone()).collect();
    assert_eq!(before, after, "the containers did not notice");

    agent.start_again();
    agent.status_with("three running tasks", |status| {
        let tasks = status["tasks"].as_array().unwrap();
        status["state"]["acs_connected"] == true && tasks.iter().filter(|t| t["known"] == "RUNNING").count() == 3
    });
    std::fs::write(work.path().join("go"), "").unwrap();
    for (n, id) in jobs.iter().enumerate() {
        let job = plane.job_in(id, if n == 0 { "SUCCEEDED" } else { "FAILED" });
        assert_eq!(job["container"]["exitCode"], n);
        assert_eq!(lines(&work.path().join(n.to_string())), 1, "it was started once");
    }
    eventually("three reports", || (agent.count("reported STOPPED") == 3).then_some(()));
    assert_eq!(agent.count("-> DRAINING"), 0);
}

#[test]
fn sigterm_stops_the_agent_and_leaves_its_containers_running() {
    stops_and_adopts("TERM");
}

#[test]
fn sigint_does_the_same() {
    stops_and_adopts("INT");
}

/// A stop has to be quick in every state, not only in the best one.
#[test]
fn an_agent_that_could_not_join_stops_as_quickly() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let nowhere = format!("http://{}", crate::common::proxy::unused_address());
    let mut agent = Agent::start(crate::common::agent::Setup::on(&plane, &instance).through(&nowhere));
    agent.line(&["this host cannot join yet"]);
    agent.process().signal("TERM");
    let ended = agent.process().ends_within(STOP);
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}
