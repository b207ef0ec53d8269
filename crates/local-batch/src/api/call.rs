//! Which AWS operation a request calls, and how its service words a refusal.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::ec2::xml;
use super::{ECS_TARGET, LOGS_TARGET, SECRETS_TARGET, SSM_TARGET};
use crate::faults::ErrorKind;
use crate::sigv4::Refusal;

/// Told apart as AWS's clients mark them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Batch,
    Ecs,
    Logs,
    Ssm,
    SecretsManager,
    Ec2,
    AutoScaling,
    Sts,
}

/// What a request calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) service: Service,
    /// As the API names it; Batch's as in its path, in lower case.
    pub(super) operation: String,
}

impl Service {
    /// Its name in a signature's scope.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Ecs => "ecs",
            Self::Logs => "logs",
            Self::Ssm => "ssm",
            Self::SecretsManager => "secretsmanager",
            Self::Ec2 => "ec2",
            Self::AutoScaling => "autoscaling",
            Self::Sts => "sts",
        }
    }

    fn refuse(self, status: StatusCode, code: &str, message: &str) -> Response {
        let id = Uuid::new_v4().to_string();
        let json = |body: serde_json::Value, kind: &'static str| {
            let headers = [("content-type", kind), ("x-amzn-errortype", code), ("x-amzn-requestid", &id)];
            (status, headers, body.to_string()).into_response()
        };
        let error = xml::text("Code", code) + &xml::text("Message", message);
        let headers = [("content-type", "text/xml;charset=UTF-8")];
        match self {
            Self::Batch => json(serde_json::json!({"message": message}), "application/json"),
            Self::Ecs | Self::Logs | Self::Ssm | Self::SecretsManager => {
                json(serde_json::json!({"__type": code, "message": message}), "application/x-amz-json-1.1")
            }
            Self::Ec2 => {
                let errors = xml::element("Errors", &xml::element("Error", &error));
                let body = xml::element("Response", &(errors + &xml::text("RequestID", &id)));
                (status, headers, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}")).into_response()
            }
            Self::AutoScaling | Self::Sts => {
                let error = xml::element("Error", &(xml::text("Type", "Sender") + &error));
                let body = xml::element("ErrorResponse", &(error + &xml::text("RequestId", &id)));
                (status, headers, body).into_response()
            }
        }
    }
}

impl Call {
    pub(super) fn of(parts: &Parts, body: &[u8]) -> Self {
        let path = parts.uri.path();
        if let Some(operation) = path.strip_prefix("/v1/") {
            let operation = match (operation.starts_with("tags/"), &parts.method) {
                (false, _) => operation.to_owned(),
                (true, &Method::POST) => "TagResource".to_owned(),
                (true, &Method::DELETE) => "UntagResource".to_owned(),
                (true, _) => "ListTagsForResource".to_owned(),
            };
            return Self { service: Service::Batch, operation };
        }
        if let Some(target) = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()) {
            for (prefix, service) in [
                (ECS_TARGET, Service::Ecs),
                (LOGS_TARGET, Service::Logs),
                (SSM_TARGET, Service::Ssm),
                (SECRETS_TARGET, Service::SecretsManager),
            ] {
                if let Some(operation) = target.strip_prefix(prefix) {
                    return Self { service, operation: operation.to_owned() };
                }
            }
        }
        let find = |wanted: &str| {
            form_urlencoded::parse(body).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
        };
        let operation = find("Action").unwrap_or_default();
        let service = match find("Version").as_deref() {
            Some(super::autoscaling::VERSION) => Service::AutoScaling,
            _ if operation == super::sts::GET_CALLER_IDENTITY => Service::Sts,
            _ => Service::Ec2,
        };
        Self { service, operation }
    }

    /// A bad signature, in the service's words.
    pub(super) fn refuse(&self, refusal: &Refusal) -> Response {
        let code = match (self.service, refusal) {
            (Service::Ec2 | Service::AutoScaling | Service::Sts, Refusal::Missing) => "MissingAuthenticationToken",
            (Service::Ec2 | Service::AutoScaling | Service::Sts, Refusal::Incomplete(_)) => "IncompleteSignature",
            (Service::Ec2, Refusal::Invalid(_) | Refusal::Unrecognized) => "AuthFailure",
            (Service::Ec2, Refusal::Expired) => "RequestExpired",
            (Service::AutoScaling | Service::Sts, Refusal::Invalid(_)) => "SignatureDoesNotMatch",
            (Service::AutoScaling | Service::Sts, Refusal::Unrecognized) => "InvalidClientTokenId",
            (Service::AutoScaling | Service::Sts, Refusal::Expired) => "ExpiredToken",
            (_, refusal) => refusal.code(),
        };
        let status = match self.service {
            Service::Ecs | Service::Logs | Service::Ssm | Service::SecretsManager => StatusCode::BAD_REQUEST,
            Service::Ec2 => StatusCode::UNAUTHORIZED,
            Service::Batch | Service::AutoScaling | Service::Sts => StatusCode::FORBIDDEN,
        };
        self.service.refuse(status, code, &refusal.to_string())
    }

    /// A fault's error, in the service's words.
    pub(super) fn fail(&self, kind: ErrorKind) -> Response {
        let (status, code) = match (kind, self.service) {
            (ErrorKind::Server, Service::Ec2 | Service::Sts) => (500, "InternalError"),
            (ErrorKind::Server, Service::AutoScaling) => (500, "InternalFailure"),
            (ErrorKind::Server, Service::Ssm) => (500, "InternalServerError"),
            (ErrorKind::Server, Service::SecretsManager) => (500, "InternalServiceError"),
            (ErrorKind::Server, Service::Logs) => (500, "ServiceUnavailableException"),
            (ErrorKind::Server, _) => (500, "ServerException"),
            (ErrorKind::Throttle, Service::Ec2) => (503, "RequestLimitExceeded"),
            (ErrorKind::Throttle, Service::AutoScaling | Service::Sts) => (400, "Throttling"),
            (ErrorKind::Throttle, Service::Batch) => (429, "TooManyRequestsException"),
            (ErrorKind::Throttle, _) => (400, "ThrottlingException"),
            (ErrorKind::AccessDenied, Service::Ec2) => (403, "UnauthorizedOperation"),
            (ErrorKind::AccessDenied, Service::AutoScaling | Service::Sts) => (403, "AccessDenied"),
            (ErrorKind::AccessDenied, Service::Batch) => (403, "AccessDeniedException"),
            (ErrorKind::AccessDenied, _) => (400, "AccessDeniedException"),
        };
        let message = match kind {
            ErrorKind::Server => "A fault on order: the service failed".to_owned(),
            ErrorKind::Throttle => "Rate exceeded".to_owned(),
            ErrorKind::AccessDenied => {
                format!("A fault on order: not authorized to perform: {}:{}", self.service.name(), self.operation)
            }
        };
        self.service.refuse(StatusCode::from_u16(status).unwrap_or_default(), code, &message)
    }

    /// The action as IAM names it, in lower case.
    pub(super) fn action(&self) -> String {
        format!("{}:{}", self.service.name(), self.operation).to_ascii_lowercase()
    }

    /// IAM does not let `caller` do this, in the service's words.
    pub(super) fn deny(&self, caller: &str) -> Response {
        let action = format!("{}:{}", self.service.name(), self.operation);
        let words = format!("User: {caller} is not authorized to perform: {action} on resource: *");
        let (status, code, message) = match self.service {
            Service::Ec2 => {
                let words = format!("You are not authorized to perform this operation. {words}");
                (StatusCode::FORBIDDEN, "UnauthorizedOperation", words)
            }
            Service::AutoScaling | Service::Sts => (StatusCode::FORBIDDEN, "AccessDenied", words),
            Service::Batch => (StatusCode::FORBIDDEN, "AccessDeniedException", words),
            _ => (StatusCode::BAD_REQUEST, "AccessDeniedException", words),
        };
        let message = format!("{message} because no identity-based policy allows the {action} action");
        self.service.refuse(status, code, &message)
    }
}
