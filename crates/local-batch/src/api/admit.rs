//! What every call passes before it is carried out: faults on order, and its signature.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::call::{Call, Service};
use crate::clock;
use crate::faults::{ErrorKind, Mishap};
use crate::hub::Hub;
use crate::sigv4::{self, Caller, Refusal, Scope};

/// Larger than any request that AWS takes here: 2 MiB.
const BODY_MOST: usize = 2 * 1024 * 1024;
/// Not AWS's: the plane's own control API.
pub(super) const OWN: &str = "/local/";

pub(super) async fn admit(Shared(hub): Shared<Arc<Hub>>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(OWN) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MOST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = Call::of(&parts, &body);
    if let Some(failed) = suffer(&hub, &call).await {
        return failed;
    }
    let signed = sigv4::Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body: &body,
    };
    let scope = Scope { region: &hub.config.region, service: call.service.name() };
    let caller = match hub.read(|state| sigv4::verify(signed, scope, &state.keys, clock::now())) {
        // Who asks for a caller's identity must be one; the rest is open to unsigned calls, as job scripts make them.
        Ok(Caller::Nobody) if call.service == Service::Sts => return call.refuse(&Refusal::Missing),
        Ok(caller) => caller,
        Err(refusal) => return call.refuse(&refusal),
    };
    if let Caller::Known { arn, .. } = &caller
        && hub.read(|state| state.denies(&call.action()))
    {
        return call.deny(arn);
    }
    parts.extensions.insert(caller);
    next.run(Request::from_parts(parts, Body::from(body))).await
}

/// Lets a fault have its way with a call. `Some` is its answer.
async fn suffer(hub: &Hub, call: &Call) -> Option<Response> {
    match hub.faults.on_call(&call.operation)? {
        Mishap::Error(kind) => Some(call.fail(kind)),
        Mishap::Hang(id) => {
            tokio::select! {
                () = hub.faults.unhang(id) => {}
                () = hub.closing.cancelled() => {}
            }
            Some(call.fail(ErrorKind::Server))
        }
        Mishap::Delay(delay) => {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = hub.closing.cancelled() => {}
            }
            None
        }
    }
}
