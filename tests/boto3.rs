//! boto3 against `batch-node-agent local`: `boto3_story.py` beside this file asserts, and ends with 0 when all of it holds.

use std::path::PathBuf;

use crate::aws_cli::with_credentials;
use crate::common::plane::Plane;

#[test]
fn the_story_in_python() {
    let plane = Plane::start(&["--max-nodes", "1", "--node-vcpus", "8", "--node-memory", "4096"]);
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/boto3_story.py");
    let output = with_credentials("python3").arg(script).arg(&plane.endpoint).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "6 parts hold");
}
