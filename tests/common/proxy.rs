//! A wire between an agent and its AWS endpoint: it can be cut, and it remembers what was said to ECS.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    wire: Arc<Wire>,
}

struct Wire {
    plane: String,
    is_cut: AtomicBool,
    /// The operations that ECS answered, in order.
    calls: Mutex<Vec<(String, Value)>>,
}

impl Proxy {
    pub(crate) fn to(plane: &str) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), plane)
    }

    /// A proxy that listens where nothing listened before.
    pub(crate) fn at(listener: TcpListener, plane: &str) -> Self {
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let plane = plane.trim_start_matches("http://").to_owned();
        let wire = Arc::new(Wire { plane, is_cut: AtomicBool::new(false), calls: Mutex::default() });
        let shared = Arc::clone(&wire);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let wire = Arc::clone(&shared);
                // A broken connection is the client's to notice.
                thread::spawn(move || drop(wire.carry(client)));
            }
        });
        Self { endpoint, wire }
    }

    /// From now on nothing passes.
    pub(crate) fn cut(&self) {
        self.wire.is_cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.wire.is_cut.store(false, Ordering::SeqCst);
    }

    /// The STOPPED reports of a task that ECS took.
    pub(crate) fn stopped(&self, task: &str) -> Vec<Value> {
        let calls = self.wire.calls.lock().unwrap();
        let reports = calls.iter().filter(|(operation, _)| operation == "SubmitTaskStateChange").map(|(_, body)| body);
        reports.filter(|body| body["task"] == task && body["status"] == "STOPPED").cloned().collect()
    }
}

/// An address at which nothing listens, for now.
pub(crate) fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Wire {
    /// One request and its answer; the connection ends with it.
    fn carry(&self, client: TcpStream) -> io::Result<()> {
        let mut client = BufReader::new(client);
        let (mut head, mut length, mut operation) = (Vec::new(), 0, None);
        loop {
            let mut line = String::new();
            if client.read_line(&mut line)? == 0 || self.is_cut.load(Ordering::SeqCst) {
                return Ok(());
            }
            let (name, value) = line.trim().split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "x-amz-target" => operation = value.rsplit_once('.').map(|(_, operation)| operation.to_owned()),
                _ => {}
            }
            if line.trim().is_empty() {
                break;
            }
            head.extend_from_slice(line.as_bytes());
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        let mut plane = TcpStream::connect(&self.plane)?;
        head.extend_from_slice(b"Connection: close\r\n\r\n");
        plane.write_all(&head)?;
        plane.write_all(&body)?;
        let mut answer = Vec::new();
        plane.read_to_end(&mut answer)?;
        if let (Some(operation), true) = (operation, answer.starts_with(b"HTTP/1.1 200")) {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            self.calls.lock().unwrap().push((operation, body));
        }
        client.get_mut().write_all(&answer)
    }
}
