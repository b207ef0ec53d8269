//! SigV4 over the GET that opens a websocket, and over each message to TCS: no SDK client makes those, so they are signed here.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningError, SigningSettings, sign as sigv4};
use aws_sigv4::sign::v4::{SigningParams, signing_params};
use http::Request;
use http::header::{AUTHORIZATION, HOST};

#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("the request has no readable Host header")]
    Host,
    #[error("the signing parameters are incomplete")]
    Parameters(#[from] signing_params::BuildError),
    #[error("the request cannot be signed")]
    Signing(#[from] SigningError),
}

/// Adds `Authorization`, `X-Amz-Date` and, with a session token, `X-Amz-Security-Token`. Signed are the host, the date
/// and the token over an empty body, for the service `ecs` (amazon-ecs-agent, `ecs-agent/utils/sign_http_request.go`).
pub(super) fn sign(
    request: &mut Request<()>,
    credentials: Credentials,
    region: &str,
    at: SystemTime,
) -> Result<(), SignError> {
    sign_over(request, SignableBody::empty(), credentials, region, at)
}

/// The headers that sign one message to TCS: those of a GET of the session's URL with the message as its body, though neither
/// is ever sent that way (amazon-ecs-agent, `ecs-agent/tcs/client/client.go`).
pub(super) fn message_headers(
    url: &http::Uri,
    message: &str,
    credentials: Credentials,
    region: &str,
    at: SystemTime,
) -> Result<Vec<(String, String)>, SignError> {
    let host = url.authority().ok_or(SignError::Host)?.as_str();
    let mut request = Request::get(url.clone()).header(HOST, host).body(()).map_err(|_| SignError::Host)?;
    sign_over(&mut request, SignableBody::Bytes(message.as_bytes()), credentials, region, at)?;
    let text = |value: &http::HeaderValue| value.to_str().map(str::to_owned).map_err(|_| SignError::Host);
    request.headers().iter().map(|(name, value)| Ok((titled(name.as_str()), text(value)?))).collect()
}

/// `x-amz-date` as `X-Amz-Date`.
fn titled(name: &str) -> String {
    let word = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn sign_over(
    request: &mut Request<()>,
    body: SignableBody<'_>,
    credentials: Credentials,
    region: &str,
    at: SystemTime,
) -> Result<(), SignError> {
    let host = request.headers().get(HOST).and_then(|h| h.to_str().ok());
    let host = host.ok_or(SignError::Host)?.to_owned();
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("ecs")
        .time(at)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let uri = request.uri().to_string();
    let headers = std::iter::once(("host", host.as_str()));
    let signable = SignableRequest::new("GET", &uri, headers, body)?;
    let (instructions, _signature) = sigv4(signable, &params)?.into_parts();
    instructions.apply_to_request_http1x(request);
    // The SDK marks the token; with this no `Debug` of the request shows the signature either.
    if let Some(authorization) = request.headers_mut().get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn signed(token: Option<&str>) -> Request<()> {
        let mut request = Request::builder()
            .uri("wss://acs.example.com/ws?agentVersion=1&dockerVersion=DockerVersion%3A%2025.0.8")
            .header(HOST, "acs.example.com")
            .body(())
            .unwrap();
        let credentials = Credentials::new("AKID", "s3cret", token.map(str::to_owned), None, "test");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        sign(&mut request, credentials, "us-east-1", at).unwrap();
        request
    }

    #[test]
    fn the_host_and_the_date_are_signed() {
        let request = signed(None);
        let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap());
        assert_eq!(header("x-amz-date"), Some("20251009T085320Z"));
        let authorization = header("authorization").unwrap();
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKID/20251009/us-east-1/ecs/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature="
            ),
            "{authorization}"
        );
        assert_eq!(header("x-amz-content-sha256"), None);
        assert_eq!(header("x-amz-security-token"), None);
    }

    #[test]
    fn a_session_token_is_sent_signed_and_kept_out_of_debug() {
        let request = signed(Some("t0ken"));
        let authorization = request.headers()["authorization"].to_str().unwrap();
        assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"));
        let shown = format!("{request:?}");
        assert!(!shown.contains("t0ken") && !shown.contains("Signature="), "{shown}");
    }

    #[test]
    fn a_message_is_signed_by_itself() {
        let url = http::Uri::from_static("wss://tcs.example.com/ws?cluster=c1");
        let headers = |message: &str| {
            let credentials = Credentials::new("AKID", "s3cret", Some("t0ken".to_owned()), None, "test");
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
            message_headers(&url, message, credentials, "us-east-1", at).unwrap()
        };
        let (one, other) = (headers("{}"), headers("{ }"));
        let mut names: Vec<_> = one.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["Authorization", "Host", "X-Amz-Date", "X-Amz-Security-Token"]);
        let value = |of: &[(String, String)], name: &str| of.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(value(&one, "Host"), "tcs.example.com");
        assert!(value(&one, "Authorization").contains("SignedHeaders=host;x-amz-date;x-amz-security-token"));
        assert_ne!(value(&one, "Authorization"), value(&other, "Authorization"), "the message is what is signed");
    }

    #[test]
    fn a_request_without_a_host_is_refused() {
        let mut request = Request::builder().uri("/ws").body(()).unwrap();
        let credentials = Credentials::new("AKID", "s3cret", None, None, "test");
        let refused = sign(&mut request, credentials, "r", SystemTime::UNIX_EPOCH);
        assert!(matches!(refused, Err(SignError::Host)));
    }
}
