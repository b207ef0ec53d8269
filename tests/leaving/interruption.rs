//! Spot interruptions, rebalance recommendations and scheduled events.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::metadata::Metadata;
use super::stage::{Host, Stage, host_gone, retry, warned};
use crate::common::agent::Setup;
use crate::common::{docker, text};

/// Long enough for the agent to hear of it and warn two seconds before, on a loaded machine too.
const NOTICE: Duration = Duration::from_secs(6);

/// A whole second from now on: in seconds since the Unix epoch, and as EC2 writes it.
fn after(notice: Duration) -> (u64, String) {
    let at = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + notice).as_secs() + 1;
    let written = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &format!("@{at}")]).output().unwrap();
    (at, String::from_utf8(written.stdout).unwrap().trim().to_owned())
}

fn deadline(host: &Host) -> Value {
    host.status()["leaving"]["deadline"].take()
}

#[test]
fn a_spot_deadline_warns_who_asked_kills_the_rest_and_batch_tries_again_elsewhere() {
    let stage = Stage::new();
    let (id, setup) = stage.setup(&[("spot", "drain-with-deadline")]);
    let metadata = Metadata::before(&setup.imds);
    let mut host = Host::start(id, Setup { imds: metadata.url.clone(), ..setup });
    host.joined();
    // Two live on whatever they are told, and end well at the second attempt.
    let stays = |name: &str, traps: &str| {
        format!("{traps}\necho >>/work/{name}; [ $AWS_BATCH_JOB_ATTEMPT = 1 ] || exit 0; while :; do sleep 0.05; done")
    };
    let asked = stays("asked", "trap 'date +%s >>/work/usr1' USR1; trap 'echo >>/work/wrong' TERM INT HUP");
    let asked = stage.submit(&asked, &warned("SIGUSR1", "2"), &retry());
    let deaf = stays("deaf", "trap 'echo >>/work/wrong' TERM INT HUP QUIT USR1 USR2 CONT");
    let deaf = stage.submit(&deaf, &json!([]), &retry());
    let good = stage.begin("good", "trap 'exit 0' TERM", &warned("default", "3600"));
    let poor = stage.begin("poor", "trap 'exit 3' TERM", &warned("SIGTERM", "3600"));
    for (job, name) in [(&asked, "asked"), (&deaf, "deaf"), (&good, "good"), (&poor, "poor")] {
        stage.runs(job, name);
    }
    let next = stage.host(&[]);

    let (at, written) = after(NOTICE);
    let notice = json!({"action": "terminate", "time": written});
    metadata.say("/latest/meta-data/spot/instance-action", &notice.to_string());
    stage.plane.job_in(&good, "SUCCEEDED");
    let known = deadline(&host);
    assert_eq!((&known["at"], &known["kills"]), (&json!(at * 1000), &json!(true)));
    host.status_with("a host that waits to be taken", |status| {
        status["leaving"]["withheld"] == 3 && status["state"]["phase"] == "TERMINATING"
    });
    for job in [&asked, &deaf] {
        let state = docker::inspect(text(&stage.plane.job(job)["container"]["taskArn"]))["State"].take();
        assert_eq!(state["ExitCode"], 137);
        // Both are UTC, with the largest unit first.
        assert!(text(&state["FinishedAt"]) >= written.trim_end_matches('Z'), "{state}, before {written}");
    }
    assert_eq!(stage.said("wrong"), 0, "no signal but the one that was asked for");
    let told: Vec<u64> =
        std::fs::read_to_string(stage.file("usr1")).unwrap().lines().map(|s| s.parse().unwrap()).collect();
    assert!(told.len() == 1 && told[0] >= at - 2, "once, at most two seconds before {at}: {told:?}");
    assert_eq!(host.happened("warned"), 3);
    for job in [&asked, &deaf, &poor] {
        assert_eq!(stage.plane.job(job)["status"], "RUNNING", "its end is not for the host to report");
    }

    host.process().kill();
    stage.take(&host.id);
    let place = next.status()["instance"]["container_instance"].take();
    for job in [&asked, &deaf] {
        let job = stage.plane.job_in(job, "SUCCEEDED");
        assert_eq!(job["attempts"][0]["statusReason"], host_gone(&host.id).as_str(), "{job:#}");
        assert_eq!((job["attempts"].as_array().unwrap().len(), &job["container"]["containerInstanceArn"]), (2, &place));
    }
    assert_eq!(stage.plane.job_in(&poor, "FAILED")["statusReason"], host_gone(&host.id).as_str());
}

#[test]
fn a_spared_host_reports_what_it_kept_back_and_works_on() {
    let stage = Stage::new();
    let spot = || json!({"interrupt": "spot", "seconds": 3600});
    let frank = stage.host(&[("retries", "report")]);
    let job = stage.running("frank", "trap 'exit 3' TERM", &warned("SIGTERM", "7200"));
    stage.interrupt(&frank.id, spot());
    assert_eq!(stage.plane.job_in(&job, "FAILED")["container"]["exitCode"], 3, "`report` keeps nothing back");
    assert_eq!(deadline(&frank)["cause"], "spot");

    let host = stage.host(&[]);
    let poor = stage.running("poor", "trap 'exit 3' TERM", &warned("SIGTERM", "7200"));
    let good = stage.running("good", "trap 'exit 0' TERM", &warned("SIGTERM", "7200"));
    stage.interrupt(&host.id, spot());
    stage.plane.job_in(&good, "SUCCEEDED");
    host.status_with("a failure that is kept back", |status| status["leaving"]["withheld"] == 1);
    assert_eq!(stage.plane.job(&poor)["status"], "RUNNING");
    stage.interrupt(&host.id, json!({"interrupt": "cancel"}));
    let job = stage.plane.job_in(&poor, "FAILED");
    assert_eq!((&job["container"]["exitCode"], job["attempts"].as_array().unwrap().len()), (&json!(3), 1));
    host.in_phase("ACTIVE");
    stage.interrupt(&host.id, json!({"interrupt": "rebalance"}));
    host.status_with("a recommendation that is ignored", |status| status["leaving"]["counters"]["ignored"] == 1);
    // The next interruption warns again.
    let again = stage.running("again", "trap 'exit 0' TERM", &warned("SIGTERM", "7200"));
    stage.interrupt(&host.id, spot());
    stage.plane.job_in(&again, "SUCCEEDED");
}

#[test]
fn rebalance_and_maintenance_drain_in_their_time_and_are_undone() {
    let stage = Stage::new();
    let lead = 3597;
    let host = stage.host(&[("rebalance", "drain"), ("maintenance_lead", &format!("{lead}s"))]);
    let cancel = || {
        stage.interrupt(&host.id, json!({"interrupt": "cancel"}));
        host.status_with("a host without a reason to leave", |status| {
            status["state"]["phase"] == "ACTIVE" && status["leaving"]["reasons"] == json!([])
        });
    };
    let job = stage.running("long", "trap 'echo >>/work/wrong' TERM", &json!([]));
    stage.interrupt(&host.id, json!({"interrupt": "rebalance"}));
    host.in_phase("DRAINING");
    cancel();

    let maintenance = |seconds| json!({"interrupt": "maintenance", "code": "instance-retirement", "seconds": seconds});
    stage.interrupt(&host.id, maintenance(7200));
    let status = host.status_with("maintenance that is far", |s| s["leaving"]["deadline"]["cause"] == "maintenance");
    assert_eq!(status["state"]["phase"], "ACTIVE");
    assert!(text(&status["state"]["why"]).contains("scheduled maintenance (instance-retirement)"), "{status}");
    stage.works();
    cancel();

    stage.interrupt(&host.id, maintenance(3600));
    let status = host.in_phase("DRAINING");
    let at = status["leaving"]["deadline"]["at"].as_u64().unwrap();
    assert!(status["state"]["since_ms"].as_u64().unwrap() >= at - lead * 1000, "{status}");
    cancel();
    stage.works();
    stage.release("long");
    stage.plane.job_in(&job, "SUCCEEDED");
    assert_eq!(stage.said("wrong"), 0);
}
