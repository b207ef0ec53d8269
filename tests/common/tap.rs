//! A tap on everything between an agent and its AWS endpoint: HTTP goes through as it is, but the ACS and TCS endpoints that
//! ECS names are replaced by the tap's own, whose frames it keeps.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::eventually;

pub(crate) struct Tap {
    pub(crate) endpoint: String,
    frames: Arc<Mutex<Vec<String>>>,
}

/// What of a websocket's bytes was read last.
#[derive(Default)]
struct Decoder {
    bytes: Vec<u8>,
}

impl Tap {
    pub(crate) fn on(plane: &str) -> Self {
        let frames: Arc<Mutex<Vec<String>>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let plane = plane.trim_start_matches("http://").to_owned();
        let kept = Arc::clone(&frames);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (plane, kept) = (plane.clone(), Arc::clone(&kept));
                // A broken connection is the client's to notice.
                thread::spawn(move || drop(call(client, &plane, &kept)));
            }
        });
        Self { endpoint, frames }
    }

    /// Every text frame that went either way.
    pub(crate) fn frames(&self) -> Vec<String> {
        self.frames.lock().unwrap().clone()
    }

    /// Waits until a frame of this type has passed.
    pub(crate) fn has_seen(&self, kind: &str) {
        let mark = format!(r#"{{"type":"{kind}""#);
        eventually(&format!("a frame {kind}"), || {
            self.frames().iter().any(|frame| frame.starts_with(&mark)).then_some(())
        });
    }
}

/// One HTTP call; the connection ends with it.
fn call(client: TcpStream, plane: &str, kept: &Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let (mut head, length) = head_of(&mut client)?;
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    head.truncate(head.len() - 2);
    let mut server = TcpStream::connect(plane)?;
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if head.contains("DiscoverPollEndpoint") {
        answer = redirected(&answer, kept);
    }
    client.get_mut().write_all(&answer)
}

/// The head of a request, its empty line included, and the length of the body that follows.
fn head_of(client: &mut BufReader<TcpStream>) -> io::Result<(String, usize)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        head += &line;
        if line == "\r\n" {
            return Ok((head, length));
        }
    }
}

/// An answer of DiscoverPollEndpoint whose endpoints are the tap's.
fn redirected(answer: &[u8], kept: &Arc<Mutex<Vec<String>>>) -> Vec<u8> {
    let text = String::from_utf8(answer.to_vec()).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let endpoint = body["endpoint"].as_str().unwrap();
    let ours = websockets(endpoint.trim_start_matches("http://"), kept);
    let body = body.to_string().replace(endpoint, &ours);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Listens for websockets to `plane`.
fn websockets(plane: &str, kept: &Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (plane, kept) = (plane.to_owned(), Arc::clone(kept));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&plane) else { continue };
            for (from, to) in [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))] {
                let kept = Arc::clone(&kept);
                thread::spawn(move || -> io::Result<()> { pump(from?, to?, &kept) });
            }
        }
    });
    endpoint
}

/// Carries one direction of a websocket, byte by byte as it came.
fn pump(mut from: TcpStream, mut to: TcpStream, kept: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return to.shutdown(std::net::Shutdown::Write);
        }
        to.write_all(&buffer[..read])?;
        // Frames begin after the handshake's empty line.
        if head.ends_with(b"\r\n\r\n") {
            decoder.bytes.extend_from_slice(&buffer[..read]);
        } else {
            head.extend_from_slice(&buffer[..read]);
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                decoder.bytes.extend_from_slice(&head[end + 4..]);
                head.truncate(end + 4);
            }
        }
        while let Some(text) = decoder.next() {
            kept.lock().unwrap().extend(text);
        }
    }
}

impl Decoder {
    /// The next frame, once it is whole; inside, its text if it is one of text. No peer here splits a message.
    fn next(&mut self) -> Option<Option<String>> {
        let [first, second, ..] = self.bytes[..] else { return None };
        let extra = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let start = 2 + extra + mask;
        let header = self.bytes.get(..start)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let length = if extra == 0 { usize::from(second & 0x7f) } else { number(&header[2..2 + extra]) };
        let key = header[2 + extra..].to_vec();
        let mut payload = self.bytes.get(start..start + length)?.to_vec();
        self.bytes.drain(..start + length);
        if !key.is_empty() {
            payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
        Some((first & 0x0f == 1).then(|| String::from_utf8(payload).unwrap()))
    }
}
