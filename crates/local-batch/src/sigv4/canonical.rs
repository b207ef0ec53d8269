//! The canonical request: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::Request;

const CONTENT_HASH: &str = "x-amz-content-sha256";

/// `None` when a signed header is not there, or the body is not what its hash says.
pub(super) fn request(request: &Request<'_>, signed_headers: &[&str]) -> Option<String> {
    let mut headers = String::new();
    for name in signed_headers {
        let values: Vec<String> = request
            .headers
            .get_all(*name)
            .iter()
            .map(|value| value.to_str().ok().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")))
            .collect::<Option<_>>()?;
        if values.is_empty() {
            return None;
        }
        let _ = writeln!(headers, "{name}:{}", values.join(","));
    }
    let body = hash(request.body);
    if request.headers.get(CONTENT_HASH).is_some_and(|given| given.as_bytes() != body.as_bytes()) {
        return None;
    }
    Some(
        [request.method, &path(request.path), &query(request.query), &headers, &signed_headers.join(";"), &body]
            .join("\n"),
    )
}

/// Encoded once more than on the wire, as for every service but S3.
fn path(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { encode(path.as_bytes(), true) }
}

/// Sorted by name, then value. A plus stands for a space, which Go's clients rely on.
fn query(query: &str) -> String {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut pairs: Vec<_> = pairs.map(|(k, v)| (encode(k.as_bytes(), false), encode(v.as_bytes(), false))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encode(bytes: &[u8], keep_slash: bool) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(*byte)),
            b'/' if keep_slash => encoded.push('/'),
            // Writing to a string cannot fail.
            other => drop(write!(encoded, "%{other:02X}")),
        }
    }
    encoded
}

/// SHA-256 in lower-case hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2)).collect()
}
