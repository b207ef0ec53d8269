//! The frame in which each message to TCS travels: the headers that sign it, an empty line, and the message's JSON
//! (amazon-ecs-agent, `ecs-agent/tcs/client/client.go`).

use std::fmt;

/// Between the lines of the header block.
const NEWLINE: &str = "\r\n";
/// Between the header block and the message.
const GAP: &str = "\r\n\r\n";
/// Longer than any header block that is meant well: a session token takes about a thousand bytes.
const HEADERS_MAX: usize = 16 * 1024;

/// A signed frame, both ways.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedFrame {
    /// Names and values, in the order of the frame: by name.
    pub headers: Vec<(String, String)>,
    pub json: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignedFrameError {
    #[error("a frame without a header block and an empty line after it")]
    NoHeaders,
    #[error("a header line that is not `Name: value`")]
    Header,
}

impl SignedFrame {
    /// Sorts the headers, as amazon-ecs-agent does.
    #[must_use]
    pub fn new(mut headers: Vec<(String, String)>, json: String) -> Self {
        headers.sort();
        Self { headers, json }
    }

    /// The frame's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let size: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut text = String::with_capacity(size + NEWLINE.len() + self.json.len());
        for (name, value) in &self.headers {
            for part in [name.as_str(), ": ", value, NEWLINE] {
                text.push_str(part);
            }
        }
        text.push_str(NEWLINE);
        text.push_str(&self.json);
        text
    }

    /// Splits a frame's text. Nothing is verified here.
    pub fn decode(text: &str) -> Result<Self, SignedFrameError> {
        let (block, json) = text.split_once(GAP).ok_or(SignedFrameError::NoHeaders)?;
        if block.len() > HEADERS_MAX {
            return Err(SignedFrameError::NoHeaders);
        }
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers: Option<_> = block.split(NEWLINE).map(header).collect();
        Ok(Self { headers: headers.ok_or(SignedFrameError::Header)?, json: json.to_owned() })
    }

    /// The value of a header; names are compared without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The headers hold a signature and a session token.
impl fmt::Debug for SignedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("SignedFrame").field("headers", &names).field("json", &self.json).finish()
    }
}
