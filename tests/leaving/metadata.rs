//! A metadata service with words of its own, before the plane's.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// A metadata service that says what the test puts into it, and otherwise what the plane's says.
pub(super) struct Metadata {
    pub(super) url: String,
    items: Arc<Mutex<Vec<(String, String)>>>,
}

impl Metadata {
    pub(super) fn before(behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let items: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (served, behind) = (Arc::clone(&items), behind.trim_start_matches("http://").to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (served, behind) = (Arc::clone(&served), behind.clone());
                std::thread::spawn(move || answer(stream.unwrap(), &served, &behind));
            }
        });
        Self { url, items }
    }

    pub(super) fn say(&self, path: &str, text: &str) {
        self.items.lock().unwrap().push((path.to_owned(), text.to_owned()));
    }

    pub(super) fn forget(&self) {
        self.items.lock().unwrap().clear();
    }
}

/// One request on a connection; the rest of what the client wants comes on others.
fn answer(mut client: std::net::TcpStream, items: &Mutex<Vec<(String, String)>>, behind: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let said = items.lock().unwrap().iter().rev().find(|(at, _)| *at == path).map(|(_, text)| text.clone());
    if let Some(text) = said {
        let length = text.len();
        let _ = write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
        return;
    }
    let mut plane = std::net::TcpStream::connect(behind).unwrap();
    let closing: String = head.lines().filter(|line| !line.to_lowercase().starts_with("connection:")).fold(
        String::new(),
        |mut text, line| {
            if line.is_empty() {
                text.push_str("connection: close\r\n");
            }
            text.push_str(line);
            text.push_str("\r\n");
            text
        },
    );
    plane.write_all(closing.as_bytes()).unwrap();
    let mut answered = Vec::new();
    let _ = plane.read_to_end(&mut answered);
    let _ = client.write_all(&answered);
}
