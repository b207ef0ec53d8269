//! What a failed AWS call means to the node: the one place where SDK errors become [`ApiFailure`].

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use node_core::ApiFailure;

/// Sorts a failed call by what the node should do about it. The text is the whole story in one line.
#[must_use]
pub(crate) fn classify<E>(error: &SdkError<E, HttpResponse>) -> ApiFailure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let service = match error {
        SdkError::ServiceError(context) => Some(context.err()),
        _ => None,
    };
    let code = service.and_then(ProvideErrorMetadata::code).unwrap_or("");
    let message = service.and_then(ProvideErrorMetadata::message).unwrap_or("");
    let status = error.raw_response().map(|r| r.status().as_u16());
    let text = service
        .filter(|_| !code.is_empty())
        .map(|e| answer(code, message, e.meta().extra("aws_request_id")))
        .unwrap_or_else(|| silence(error, status));
    if find::<CredentialsError>(error) {
        return ApiFailure::Denied(text);
    }
    sort(code, message, status)(text)
}

/// `ClusterNotFoundException: Cluster not found. (request 5f1a..)`
fn answer(code: &str, message: &str, request: Option<&str>) -> String {
    let mut text = code.to_owned();
    if !message.is_empty() {
        text = format!("{text}: {message}");
    }
    if let Some(id) = request {
        text = format!("{text} (request {id})");
    }
    flatten(&text)
}

/// No answer in AWS's own terms: how far the call got, and the HTTP status if there was one.
fn silence(error: &(dyn Error + 'static), status: Option<u16>) -> String {
    let text = one_line(error);
    match status {
        Some(status) if status >= 400 => format!("HTTP {status}: {text}"),
        _ => text,
    }
}

fn sort(code: &str, message: &str, status: Option<u16>) -> fn(String) -> ApiFailure {
    match code {
        "ClusterNotFoundException" | "InvalidInstanceID.NotFound" | "InactiveInstanceException" => ApiFailure::Gone,
        "InvalidParameterException" | "ClientException" if names_what_is_lost(message) => ApiFailure::Gone,
        "InvalidParameterException" | "ClientException" | "InvalidInstanceID.Malformed" => ApiFailure::Rejected,
        _ if is_throttling(code) || status == Some(429) => ApiFailure::Throttled,
        _ if is_denial(code) => ApiFailure::Denied,
        _ => ApiFailure::Unavailable,
    }
}

/// ECS has one error code for "no such container instance", for "that cluster was deleted" and for a bad argument; only the
/// words differ.
fn names_what_is_lost(message: &str) -> bool {
    let message: String =
        message.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_ascii_lowercase();
    ["containerinstance", "cluster"].iter().any(|what| message.contains(what))
        && ["notfound", "inactive", "doesnotexist"].iter().any(|words| message.contains(words))
}

fn is_throttling(code: &str) -> bool {
    code.starts_with("Throttl")
        || matches!(
            code,
            "TooManyRequestsException"
                | "LimitExceededException"
                | "RequestLimitExceeded"
                | "RequestThrottled"
                | "RequestThrottledException"
        )
}

/// Permissions, credentials, clocks and protections: all of them someone can mend without the agent.
fn is_denial(code: &str) -> bool {
    code.starts_with("AccessDenied")
        || code.starts_with("ExpiredToken")
        || matches!(
            code,
            "UnrecognizedClientException"
                | "UnauthorizedOperation"
                | "AuthFailure"
                | "InvalidClientTokenId"
                | "MissingAuthenticationToken"
                | "MissingAuthenticationTokenException"
                | "IncompleteSignature"
                | "IncompleteSignatureException"
                | "InvalidSignatureException"
                | "SignatureDoesNotMatch"
                | "RequestExpired"
                | "OptInRequired"
                | "Blocked"
                | "BlockedException"
                // EC2's termination protection
                | "OperationNotPermitted"
        )
}

/// An error and its causes as `outermost: cause: root cause`; a cause that its parent already quotes is left out.
#[must_use]
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    flatten(&text)
}

fn flatten(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn find<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, message: &str) -> ApiFailure {
        sort(code, message, Some(400))(String::new())
    }

    #[test]
    fn each_code_leads_to_one_reaction() {
        assert!(matches!(of("InvalidParameterException", "bad"), ApiFailure::Rejected(_)));
        assert!(matches!(of("ClientException", "bad"), ApiFailure::Rejected(_)));
        assert!(matches!(of("ThrottlingException", ""), ApiFailure::Throttled(_)));
        assert!(matches!(of("TooManyRequestsException", ""), ApiFailure::Throttled(_)));
        assert!(matches!(of("AccessDeniedException", ""), ApiFailure::Denied(_)));
        assert!(matches!(of("ExpiredTokenException", ""), ApiFailure::Denied(_)));
        assert!(matches!(of("UnauthorizedOperation", ""), ApiFailure::Denied(_)));
        assert!(matches!(of("ClusterNotFoundException", ""), ApiFailure::Gone(_)));
        assert!(matches!(of("InvalidInstanceID.NotFound", ""), ApiFailure::Gone(_)));
        assert!(matches!(of("ServerException", ""), ApiFailure::Unavailable(_)));
        assert!(matches!(of("", ""), ApiFailure::Unavailable(_)));
        assert!(matches!(sort("", "", Some(429))(String::new()), ApiFailure::Throttled(_)));
    }

    #[test]
    fn a_lost_container_instance_or_cluster_is_told_from_a_bad_argument_by_its_words() {
        for message in [
            "Container instance not found.",
            "The referenced container instance was not found",
            "ContainerInstance is INACTIVE",
            "The referenced cluster was inactive.",
            "Cluster not found.",
        ] {
            assert!(matches!(of("InvalidParameterException", message), ApiFailure::Gone(_)), "{message}");
            assert!(matches!(of("ClientException", message), ApiFailure::Gone(_)), "{message}");
        }
        assert!(matches!(of("ClientException", "task not found"), ApiFailure::Rejected(_)));
    }

    #[test]
    fn an_answer_reads_as_one_line() {
        assert_eq!(
            answer("ClientException", "first\n  second", Some("r-1")),
            "ClientException: first second (request r-1)"
        );
        assert_eq!(answer("ServerException", "", None), "ServerException");
    }

    #[test]
    fn a_chain_of_errors_is_one_line_without_repeats() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: inner\nline")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("inner\nline")]
        struct Inner(#[source] std::io::Error);
        let error = Outer(Inner(std::io::Error::other("refused")));
        assert_eq!(one_line(&error), "outer: inner line: refused");
    }
}
