//! Faults on order, and the wires to look at while they last.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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

/// Posts without waiting for more than the order's arrival: the answer may never come.
pub(crate) fn post_unheard(url: &str, body: &str) {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    // A byte, an end or a second: in each case the order has been taken.
    drop(stream.read(&mut [0]));
}
