//! Verification of AWS Signature Version 4: what the plane has issued keys for is checked exactly, and refused in AWS's words.
//!
//! Keys that it did not issue (a user's dummy ones, an agent's that runs by hand) are taken as they are, if the request
//! is well-formed: nobody could check them.

mod canonical;
mod frame;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(crate) use self::frame::{Frame, verify_frame};
use crate::clock::{self, Millis};
use crate::keys::{IssuedKey, KeyRing};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
/// How far a client's clock may be off, as AWS allows: 15 minutes.
const SKEW: Millis = 15 * 60 * 1000;

/// What of a request a signature covers.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// As on the wire, percent-encoding and all.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Where the request came in: a signature is good for one service of one region.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// Why a request is refused: AWS's exceptions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Missing Authentication Token")]
    Missing,
    #[error("{0}")]
    Incomplete(String),
    #[error("{0}")]
    Invalid(String),
    #[error("The security token included in the request is invalid.")]
    Unrecognized,
    #[error("The security token included in the request is expired")]
    Expired,
}

impl Refusal {
    /// The exception's name in the JSON protocols.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::Invalid(_) => "InvalidSignatureException",
            Self::Unrecognized => "UnrecognizedClientException",
            Self::Expired => "ExpiredTokenException",
        }
    }
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Not signed at all.
    Nobody,
    /// Signed with a key that the plane did not issue, and not verified.
    Unknown { access_key_id: String },
    /// Verified: the ARN and the user id that STS would name.
    Known { arn: String, user_id: String },
}

/// Says who sent the request.
///
/// # Errors
/// AWS's exception, when it is signed badly or with an issued key and wrongly.
pub(crate) fn verify(request: Request<'_>, scope: Scope<'_>, keys: &KeyRing, now: Millis) -> Result<Caller, Refusal> {
    let Some(header) = header(request.headers, "authorization") else { return Ok(Caller::Nobody) };
    let signature = Signature::parse(header)?;
    let date = header_of_date(request.headers)?;
    match keys.find(signature.key) {
        None => Ok(Caller::Unknown { access_key_id: signature.key.to_owned() }),
        Some(key) => {
            signature.check_scope(scope, date)?;
            check_clock(date, now)?;
            check_key(key, request.headers, now)?;
            signature.check(request, date, key)?;
            Ok(Caller::Known { arn: key.arn.clone(), user_id: key.user_id.clone() })
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn header_of_date(headers: &HeaderMap) -> Result<&str, Refusal> {
    header(headers, DATE).ok_or_else(|| {
        Refusal::Incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".into(),
        )
    })
}

fn check_clock(date: &str, now: Millis) -> Result<(), Refusal> {
    let at = parse_date(date).ok_or_else(|| {
        Refusal::Incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ))
    })?;
    let (early, late) = (now - SKEW, now + SKEW);
    // As amazon's clocks, to the second.
    if at + 999 < early {
        let (now, early) = (basic(now), basic(early));
        return Err(Refusal::Invalid(format!(
            "Signature expired: {date} is now earlier than {early} ({now} - 15 min.)"
        )));
    }
    if at > late {
        let (now, late) = (basic(now), basic(late));
        return Err(Refusal::Invalid(format!(
            "Signature not yet current: {date} is still later than {late} ({now} + 15 min.)"
        )));
    }
    Ok(())
}

/// A temporary key counts only together with its own session token, and for its time.
fn check_key(key: &IssuedKey, headers: &HeaderMap, now: Millis) -> Result<(), Refusal> {
    if header(headers, TOKEN) != Some(key.token.0.as_str()) {
        return Err(Refusal::Unrecognized);
    }
    if key.expires_at <= now { Err(Refusal::Expired) } else { Ok(()) }
}

/// `20260102T030405Z`.
fn basic(at: Millis) -> String {
    clock::rfc3339_seconds(at).replace(['-', ':'], "")
}

fn parse_date(date: &str) -> Option<Millis> {
    let digits = |from: usize, to: usize| date.get(from..to).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    if date.len() != 16 || date.get(8..9) != Some("T") || !date.ends_with('Z') {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
    let (hour, minute, second) = (digits(9, 11)?, digits(11, 13)?, digits(13, 15)?);
    clock::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// The parts of an `Authorization` header.
struct Signature<'a> {
    key: &'a str,
    /// Date, region, service and terminator.
    scope: [&'a str; 4],
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Signature<'a> {
    fn parse(header: &'a str) -> Result<Self, Refusal> {
        let incomplete = |text: &str| Refusal::Incomplete(text.to_owned());
        let parts = header.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(|| {
            incomplete("Unsupported AWS 'algorithm': the Authorization header must begin with AWS4-HMAC-SHA256.")
        })?;
        let part = |name: &str| {
            let mut parts = parts.split(',').filter_map(|part| part.trim().split_once('='));
            let found = parts.find(|(key, _)| *key == name).map(|(_, value)| value.trim()).filter(|v| !v.is_empty());
            found.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let credential: Vec<&str> = part("Credential")?.split('/').collect();
        let [key, scope @ ..] = credential.as_slice() else {
            return Err(incomplete("Authorization header requires 'Credential' parameter."));
        };
        let scope = <[&str; 4]>::try_from(scope).map_err(|_| {
            incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
        })?;
        let signed_headers = part("SignedHeaders")?.split(';').collect();
        Ok(Self { key, scope, signed_headers, signature: part("Signature")? })
    }

    fn check_scope(&self, right: Scope<'_>, date: &str) -> Result<(), Refusal> {
        let [day, region, service, terminator] = self.scope;
        let text = if terminator != TERMINATOR {
            format!("Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.")
        } else if service != right.service {
            format!("Credential should be scoped to correct service: '{}'.", right.service)
        } else if region != right.region {
            format!("Credential should be scoped to a valid region, not '{region}'.")
        } else if !date.starts_with(day) || day.len() != 8 {
            format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day}' != '{date}'."
            )
        } else if !self.signed_headers.contains(&"host") {
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned()
        } else {
            return Ok(());
        };
        Err(Refusal::Invalid(text))
    }

    /// Computes the signature anew and compares, in constant time.
    fn check(&self, request: Request<'_>, date: &str, key: &IssuedKey) -> Result<(), Refusal> {
        let differs = || {
            Refusal::Invalid(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
                    .into(),
            )
        };
        let canonical = canonical::request(&request, &self.signed_headers).ok_or_else(differs)?;
        let to_sign = [ALGORITHM, date, &self.scope.join("/"), &canonical::hash(canonical.as_bytes())].join("\n");
        let secret = format!("AWS4{}", key.secret.0);
        let signing_key = self.scope.iter().try_fold(secret.into_bytes(), |key, part| sign(&key, part));
        let given = canonical::unhex(self.signature).ok_or_else(differs)?;
        let mac = signing_key.and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok()).ok_or_else(differs)?;
        mac.chain_update(to_sign.as_bytes()).verify_slice(&given).map_err(|_| differs())
    }
}

fn sign(key: &[u8], text: &str) -> Option<Vec<u8>> {
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    Some(mac.chain_update(text.as_bytes()).finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests;
