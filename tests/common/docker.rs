//! The machine's Docker, through its command line.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {}: {errors}", args.join(" "));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Sees to it that the image `busybox` is there; one test at a time makes it.
pub(crate) fn need_busybox() {
    let lock = File::create(std::env::temp_dir().join("batch-node-agent-tests.lock")).unwrap();
    lock.lock().unwrap();
    let held = Command::new("docker").args(["image", "inspect", "busybox"]).output().unwrap();
    if !held.status.success() {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/image.sh");
        assert!(Command::new(script).arg("busybox").status().unwrap().success(), "scripts/image.sh busybox");
    }
}

/// The ids of all containers, running or not, of tasks whose ARN contains `part`: a cluster's name or a task's id.
pub(crate) fn containers(part: &str) -> Vec<String> {
    let format = "{{.ID}} {{.Label \"com.amazonaws.ecs.task-arn\"}}";
    let listing =
        docker(&["ps", "--all", "--no-trunc", "--filter", "label=com.amazonaws.ecs.task-arn", "--format", format]);
    let of_tasks = listing.lines().filter_map(|line| line.split_once(' '));
    of_tasks.filter(|(_, task)| task.contains(part)).map(|(id, _)| id.to_owned()).collect()
}

/// Docker's inspect of the only container of a task.
pub(crate) fn inspect(task: &str) -> Value {
    let ids = containers(task);
    assert_eq!(ids.len(), 1, "containers of {task}: {ids:?}");
    let text = docker(&["inspect", &ids[0]]);
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// Removes what a failed test left, and says how much it was.
pub(crate) fn remove(part: &str) -> usize {
    let ids = containers(part);
    for id in &ids {
        // The plane may be removing it too.
        drop(Command::new("docker").args(["rm", "--force", "--volumes", id]).output());
    }
    ids.len()
}
