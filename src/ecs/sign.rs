//! SigV4 over the GET that opens a websocket: no SDK client makes that request, so it is signed here.

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
    let signable = SignableRequest::new("GET", &uri, headers, SignableBody::empty())?;
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
    fn a_request_without_a_host_is_refused() {
        let mut request = Request::builder().uri("/ws").body(()).unwrap();
        let credentials = Credentials::new("AKID", "s3cret", None, None, "test");
        let refused = sign(&mut request, credentials, "r", SystemTime::UNIX_EPOCH);
        assert!(matches!(refused, Err(SignError::Host)));
    }
}
