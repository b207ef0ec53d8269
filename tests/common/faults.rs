//! Faults on order.

use serde_json::{Value, json};

use super::plane::Plane;
use super::{binary, http};

impl Plane {
    /// Orders a fault through the control API.
    pub(crate) fn fault(&self, order: &Value) -> Value {
        let answer = http::post(&format!("{}/local/faults", self.endpoint), &[], &order.to_string());
        assert_eq!(answer.status, 200, "{order}: {}", answer.body);
        answer.json()
    }

    /// `operation` is answered with `error` for so long.
    pub(crate) fn errors(&self, operation: &str, error: &str, seconds: u32) {
        self.fault(&json!({"fault": "error", "operation": operation, "error": error, "seconds": seconds}));
    }

    /// `batch-node-agent local fault ...`: its standard output, or its standard error if it fails.
    pub(crate) fn fault_command(&self, args: &[&str]) -> Result<String, String> {
        let mut command = binary();
        command.args(["local", "fault", "--endpoint", &self.endpoint]).args(args);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}
