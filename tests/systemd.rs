//! The units under a real systemd: the host of each test boots in a container, with a Docker of its own for the jobs.

use std::path::Path;

use crate::common::host::{CONFIG, Host};
use crate::common::plane::Plane;
use crate::common::{eventually, text};

/// Notes its start in `/work/<code>`, waits for `/work/go`, and ends with `code`.
fn waiting(code: u8) -> String {
    format!("echo start >>/work/{code}; while [ ! -e /work/go ]; do sleep 0.05; done; exit {code}")
}

#[test]
fn the_units_are_sound_and_close_what_they_can() {
    let host = Host::boot();
    let verified = host.try_run("systemd-analyze verify --man=no /usr/lib/systemd/system/batch-node-agent*");
    // It succeeds whatever it finds.
    let said = String::from_utf8_lossy(&verified.stderr);
    assert_eq!((verified.status.code(), &*said), (Some(0), ""));
    for (unit, most) in [("batch-node-agent", 20), ("batch-node-agent-poweroff", 15)] {
        host.run(&format!("systemd-analyze security --no-pager --threshold={most} {unit}.service"));
    }
    let after = host.property("After");
    assert!(after.contains("docker.service") && !after.contains("cloud-final.service"), "{after}");

    // The order to power off, as the agent gives it.
    let plane = Plane::for_hosts();
    host.configure(&plane, &plane.run_instance(), &[]);
    host.systemctl("enable --now");
    host.run("runuser --user batch-node-agent -- touch /run/batch-node-agent/poweroff");
    host.is_down();
}

#[test]
fn systemd_starts_watches_reloads_and_stops_the_agent() {
    let plane = Plane::for_hosts();
    let host = Host::boot();
    host.configure(&plane, &plane.run_instance(), &[]);
    host.write(
        "/run/systemd/system/batch-node-agent.service.d/impatient.conf",
        "[Service]\nWatchdogSec=2s\nRestartSec=100ms",
    );
    host.systemctl("daemon-reload && systemctl start");
    let pid = has_started(&plane, &host);
    let pid = is_watched(&host, &pid);
    is_reloaded(&host, &pid);

    host.systemctl("stop");
    assert_eq!((host.property("ActiveState"), host.property("Result")), ("inactive".into(), "success".into()));
    host.line(&["The system is not going down"]);
    assert!(!host.run("ip address show lo").contains("169.254.170.2"), "nothing of it is left on the host");

    let restarts = host.property("NRestarts");
    host.run(&format!("echo max_jobs = '\"many\"' >>{CONFIG}"));
    assert!(!host.try_run("systemctl start batch-node-agent").status.success());
    host.line(&["config.toml:", "`max_jobs` is"]);
    // Not `activating`, which it would be until the next try.
    let state = ["ActiveState", "Result", "ExecMainStatus", "NRestarts"].map(|name| host.property(name));
    assert_eq!(state, ["failed", "exit-code", "5", restarts.as_str()]);
}

/// As its own user, with few rights and all that it needs.
fn has_started(plane: &Plane, host: &Host) -> String {
    // `systemctl start` has returned: the operator can ask.
    assert!(host.status().is_some());
    host.joined();
    host.property_with("StatusText", |text| text.starts_with("ACTIVE: ") && text.ends_with("; 0 jobs"));
    let pid = host.property("MainPID");
    assert_eq!(host.run(&format!("ps -o user:32= -p {pid}")), "batch-node-agent");
    // NET_BIND_SERVICE is 10, NET_ADMIN is 12.
    assert!(host.run(&format!("grep CapBnd /proc/{pid}/status")).ends_with("0000000000001400"));
    assert!(host.run("ip address show lo").contains("169.254.170.2"));

    plane.define_with_work("work", Path::new("/srv/work"));
    let job = plane.shell("work", &waiting(0));
    plane.job_in(&job, "RUNNING");
    eventually("what the container uses, out of its control groups", || {
        let container = host.status()?["tasks"][0]["containers"][0].take();
        (container["cpu_percent"].is_number() && container["memory_mib"].is_number()).then_some(())
    });
    host.property_with("StatusText", |text| text.ends_with("; 1 job"));
    host.run("touch /srv/work/go");
    plane.job_in(&job, "SUCCEEDED");
    host.line(&["reported STOPPED"]);
    let journal = host.journal();
    assert!(!journal.contains(" WARN ") && !journal.contains(" ERROR "), "{journal}");
    pid
}

/// It pings, and one that hangs is killed and comes back.
fn is_watched(host: &Host, pid: &str) -> String {
    let mut last = String::new();
    for _ in 0..3 {
        last = host.property_with("WatchdogTimestampMonotonic", |at| at != last);
    }
    assert_eq!(host.property("MainPID"), pid, "an agent with nothing to do is not killed");
    host.run(&format!("kill -STOP {pid}"));
    host.line(&["Watchdog timeout"]);
    let other = host.property_with("MainPID", |now| now != pid && now != "0");
    host.property_with("ActiveState", |state| state == "active");
    host.joined();
    assert_eq!(host.property("NRestarts"), "1");
    other
}

fn is_reloaded(host: &Host, pid: &str) {
    host.run(&format!("sed -i 's/never/2h/; s/4096/2048/' {CONFIG}; echo log_level = '\"debug\"' >>{CONFIG}"));
    host.systemctl("reload");
    host.line(&["INFO", "read again", "idle_timeout, log_level"]);
    host.line(&["WARN", "a restart is needed to change memory"]);
    host.property_with("ActiveState", |state| state == "active");

    host.run(&format!("echo idle_timout = 3 >>{CONFIG}"));
    assert!(!host.try_run("systemctl reload batch-node-agent").status.success());
    host.line(&["config.toml:", "there is no key `idle_timout`; did you mean `idle_timeout`?"]);
    // Whoever sends the signal past systemd is told by the agent.
    host.run(&format!("kill -HUP {pid}"));
    host.line(&["ERROR", "the old configuration stays in force", "idle_timout"]);
    host.property_with("StatusText", |text| text.contains("not reloaded: ") && text.contains("idle_timout"));
    assert_eq!((host.property("MainPID").as_str(), host.property("ActiveState").as_str()), (pid, "active"));

    host.run(&format!("sed -i '/idle_timout/d; s/debug/error/' {CONFIG}"));
    host.systemctl("reload");
    host.property_with("StatusText", |text| !text.contains("not reloaded"));
    assert_eq!(host.journal().matches("was read again").count(), 1, "the new level no longer shows it");
    assert_eq!(host.property("MainPID"), pid, "it was one process all the time");
}

#[test]
fn jobs_run_on_through_restarts_a_kill_and_an_upgrade() {
    let plane = Plane::for_hosts();
    let host = Host::boot();
    host.configure(&plane, &plane.run_instance(), &[]);
    host.systemctl("start");
    plane.define_with_work("work", Path::new("/srv/work"));
    let jobs: Vec<(u8, String)> = (3..6).map(|code| (code, plane.shell("work", &waiting(code)))).collect();
    for (code, job) in &jobs {
        plane.job_in(job, "RUNNING");
        eventually("its first words", || {
            host.try_run(&format!("test -s /srv/work/{code}")).status.success().then_some(())
        });
    }
    let containers = || host.run("docker ps --quiet | sort");
    let before = containers();
    assert_eq!(before.lines().count(), 3);

    host.systemctl("restart");
    host.systemctl("kill --signal KILL");
    host.property_with("NRestarts", |restarts| restarts == "1");
    host.property_with("ActiveState", |state| state == "active");
    host.joined();
    let pid = host.property("MainPID");
    // A package replaces the file; the new one here says so.
    host.run(
        "cd /usr/bin && cp batch-node-agent second && \
         printf '#!/bin/sh\necho the second version >&2\nexec /usr/bin/second \"$@\"\n' >new && \
         chmod 755 new && mv new batch-node-agent",
    );
    assert_eq!(host.property("MainPID"), pid, "the first one runs on until it is started anew");
    host.systemctl("restart");
    host.line(&["the second version"]);
    host.joined();
    assert_eq!(containers(), before, "they did not notice");

    host.systemctl("stop");
    host.run("touch /srv/work/go");
    eventually("the end of all containers", || containers().is_empty().then_some(()));
    host.systemctl("start");
    for (code, job) in &jobs {
        let job = plane.job_in(job, "FAILED");
        assert_eq!((&job["container"]["exitCode"], job["attempts"].as_array().unwrap().len()), (&(*code).into(), 1));
        assert_eq!(host.run(&format!("wc -l </srv/work/{code}")), "1", "it was started once");
    }
}

/// Were Docker or the network down first, their ends would be other ones, or unheard of.
#[test]
fn a_host_that_goes_down_lets_its_jobs_end_and_reports_them() {
    let plane = Plane::for_hosts();
    let host = Host::boot();
    host.configure(&plane, &plane.run_instance(), &[]);
    host.systemctl("start");
    plane.define_with_work("work", Path::new("/srv/work"));
    let slow = plane.shell("work", &waiting(0));
    let warned = plane.submit(&serde_json::json!({"jobDefinition": "work", "containerOverrides": {
        "command": ["sh", "-c", "trap 'exit 0' TERM; echo up >/work/warned; while :; do sleep 0.05; done"],
        "environment": [{"name": "BATCH_NODE_AGENT_INTERRUPTION_SIGNAL", "value": "SIGTERM"}]}}));
    for job in [&slow, &warned] {
        plane.job_in(job, "RUNNING");
    }
    eventually("its trap", || host.try_run("test -s /srv/work/warned").status.success().then_some(()));

    host.run("systemctl poweroff --no-block");
    plane.job_in(&warned, "SUCCEEDED");
    host.property_with("StatusText", |text| text.starts_with("DRAINING: "));
    assert_eq!(text(&plane.job(&slow)["status"]), "RUNNING", "the shutdown waits for it");
    host.run("touch /srv/work/go");
    let job = plane.job_in(&slow, "SUCCEEDED");
    assert_eq!(job["attempts"].as_array().unwrap().len(), 1);
    host.is_down();
}
