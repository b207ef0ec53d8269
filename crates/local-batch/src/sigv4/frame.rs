//! The signed frames of TCS: a block of headers, an empty line, and the JSON that they sign.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{Caller, Refusal, Request, Scope, verify};
use crate::clock::Millis;
use crate::keys::KeyRing;

/// What came in, and on which websocket.
pub(crate) struct Frame<'a> {
    /// Path and query of the session's URL: every frame signs them again, as of a GET.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) text: &'a str,
}

/// Says who sent a frame, and gives the JSON in it.
///
/// # Errors
/// AWS's exception, when the frame is not signed, or an issued key does not verify.
pub(crate) fn verify_frame<'a>(
    frame: &Frame<'a>,
    scope: Scope<'_>,
    keys: &KeyRing,
    now: Millis,
) -> Result<(Caller, &'a str), Refusal> {
    let (head, body) = frame.text.split_once("\r\n\r\n").ok_or(Refusal::Missing)?;
    let mut headers = HeaderMap::new();
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or(Refusal::Missing)?;
        let bad = |_| Refusal::Incomplete(format!("the frame's header {name:?} cannot be read"));
        let name = name.parse::<HeaderName>().map_err(|_| bad(()))?;
        headers.append(
            name.clone(),
            HeaderValue::from_str(value.trim())
                .map_err(|_| Refusal::Incomplete(format!("the value of the frame's header {name} cannot be read")))?,
        );
    }
    let request =
        Request { method: "GET", path: frame.path, query: frame.query, headers: &headers, body: body.as_bytes() };
    match verify(request, scope, keys, now)? {
        Caller::Nobody => Err(Refusal::Missing),
        caller => Ok((caller, body)),
    }
}
