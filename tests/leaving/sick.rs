//! Hosts that are not fit for work any more, or about to be switched off.

use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use super::stage::{Host, Stage, warned};
use crate::common::{binary, text};

const DOCKER: &str = "/var/run/docker.sock";

/// A way to Docker that can be cut.
struct Wire {
    /// `None` while it is cut.
    open: Arc<Mutex<Option<Vec<UnixStream>>>>,
}

impl Wire {
    fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let open = Arc::new(Mutex::new(Some(Vec::new())));
        let shared = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that is not carried finds its connection closed.
                if let Some(open) = shared.lock().unwrap().as_mut() {
                    open.extend(carry(client).unwrap());
                }
            }
        });
        Self { open }
    }

    fn cut(&self) {
        for end in self.open.lock().unwrap().take().into_iter().flatten() {
            // It may be over already.
            drop(end.shutdown(Shutdown::Both));
        }
    }

    fn mend(&self) {
        *self.open.lock().unwrap() = Some(Vec::new());
    }
}

fn carry(client: UnixStream) -> io::Result<[UnixStream; 2]> {
    let docker = UnixStream::connect(DOCKER)?;
    let ends = [client.try_clone()?, docker.try_clone()?];
    for (mut from, mut to) in [(client.try_clone()?, docker.try_clone()?), (docker, client)] {
        thread::spawn(move || {
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        });
    }
    Ok(ends)
}

#[test]
fn a_host_whose_docker_is_dead_takes_no_work_and_leaves_unless_it_is_well_again() {
    let stage = Stage::new();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let wire = Wire::at(&socket);
    let url = format!("unix://{}", socket.display());
    let host = stage.host(&[("docker_host", &url), ("docker_down_after", "1s")]);
    let job = stage.running("long", "", &json!([]));
    wire.cut();
    let status = host.in_phase("DRAINING");
    assert!(text(&status["state"]["why"]).contains("sick (docker-down): Docker cannot be reached"), "{status}");
    wire.mend();
    host.in_phase("ACTIVE");
    stage.release("long");
    stage.plane.job_in(&job, "SUCCEEDED");
    stage.works();
    wire.cut();
    stage.terminated(&host.id);
    assert_eq!(host.count("ACTIVE -> DRAINING: sick (docker-down)"), 2, "{}", host.log());
}

#[test]
fn a_host_with_a_full_disk_or_without_a_session_leaves_for_that_reason() {
    let stage = Stage::new();
    let full = stage.start(&[("disk_full", "1%")]);
    stage.terminated(&full.id);
    full.line(&[" -> ", "sick (disk-full): the disk of "]);
    let lost = stage.host(&[("acs_gone_after", "1s")]);
    stage.plane.fault(&json!({"fault": "hang", "operation": "Poll"}));
    stage.plane.fault(&json!({"fault": "drop", "how": "fin"}));
    stage.terminated(&lost.id);
    lost.line(&["-> DRAINING: sick (acs-gone): there is no session with ECS"]);
}

/// `drain --host-shutdown --wait` on a machine whose systemd says that it stops.
fn shut_down(host: &Host) -> String {
    let dir = tempfile::tempdir().unwrap();
    let systemctl = dir.path().join("systemctl");
    std::fs::write(&systemctl, "#!/bin/sh\necho stopping\nexit 1\n").unwrap();
    std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let mut command = binary();
    command.env("PATH", path).args(["drain", "--host-shutdown", "--wait", "--socket"]).arg(host.file("agent.sock"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_shutdown_waits_for_jobs_that_heed_their_warning() {
    let stage = Stage::new();
    let host = stage.host(&[("shutdown_wait", "1m")]);
    let job = stage.running("heeds", "trap 'echo >>/work/told; exit 0' TERM", &warned("default", "300"));
    let said = shut_down(&host);
    assert!(said.ends_with("Every job has ended and is reported.\n"), "{said}");
    stage.plane.job_in(&job, "SUCCEEDED");
    assert_eq!(stage.said("told"), 1);
    host.says("the host is being shut down");
}

#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let stage = Stage::new();
    let host = stage.host(&[("shutdown_wait", "1s")]);
    let job = stage.running("long", "", &json!([]));
    let said = shut_down(&host);
    assert!(said.ends_with("1 job(s) still run; the shutdown waits no longer (`shutdown_wait`).\n"), "{said}");
    assert_eq!(stage.plane.job(&job)["status"], "RUNNING", "the agent has not killed it");
    stage.release("long");
    stage.plane.job_in(&job, "SUCCEEDED");
}
