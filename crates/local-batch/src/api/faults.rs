//! `/local/faults`: faults on order. POST one, GET those that stand, DELETE one or all.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Outcome, json as wire};
use crate::error::ApiError;
use crate::faults::{Ending, Order};
use crate::hub::Hub;
use crate::model::cluster::{Session, SessionOrder};

/// POST: `{"id", "fault", "left"}` of one that stands for a while, `{"done"}` of one that happened at once.
pub(super) async fn order(Shared(hub): Shared<Arc<Hub>>, body: Bytes) -> Response {
    let order = wire::read::<Order>(&body, "ClientException").and_then(|order| order.check().map(|()| order));
    answer(order.and_then(|order| carry_out(&hub, order)))
}

/// GET: `{"faults": [{"id", "fault", "left"}]}`.
pub(super) async fn list(Shared(hub): Shared<Arc<Hub>>) -> Response {
    answer(Ok(json!({"faults": hub.faults.list()})))
}

/// DELETE of all.
pub(super) async fn clear(Shared(hub): Shared<Arc<Hub>>) -> Response {
    answer(Ok(json!({"cleared": hub.faults.clear(None)})))
}

/// DELETE of one.
pub(super) async fn clear_one(Shared(hub): Shared<Arc<Hub>>, Path(id): Path<u64>) -> Response {
    answer(match hub.faults.clear(Some(id)) {
        0 => Err(ApiError::client(format!("no fault {id} stands; fault list shows those there are"))),
        cleared => Ok(json!({"cleared": cleared})),
    })
}

pub(super) fn answer(outcome: Outcome) -> Response {
    match outcome {
        Ok(body) => axum::Json(body).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, axum::Json(json!({"message": error.message}))).into_response(),
    }
}

fn carry_out(hub: &Arc<Hub>, order: Order) -> Outcome {
    match order {
        Order::Drop { how: Ending::Close, code, instance } => {
            let told = tell(hub, instance.as_deref(), &SessionOrder::Close(code.unwrap_or(1000)))?;
            Ok(done(&format!("Close frame {} sent to {told}", code.unwrap_or(1000))))
        }
        Order::Drop { how, instance, .. } => match hub.faults.cut_agents(how, instance.as_deref()) {
            0 => Err(nobody(instance.as_deref())),
            cut => Ok(done(&format!("websockets dropped: {cut}"))),
        },
        Order::Frame { text, instance } => {
            let told = tell(hub, instance.as_deref(), &SessionOrder::Frame(text))?;
            Ok(done(&format!("frame sent to {told}")))
        }
        Order::Redeliver { instance } => {
            let tasks = hub.update(|state, _| state.redeliver(instance.as_deref()));
            Ok(done(&format!("tasks sent again: {tasks}")))
        }
        Order::ExpireCredentials {} => {
            let keys = hub.update(crate::model::State::expire_keys);
            Ok(done(&format!("keys expired: {keys}")))
        }
        standing => {
            let is_away = matches!(standing, Order::Away { .. });
            let shown = hub.faults.stand(standing)?;
            if is_away {
                let faults = hub.faults.clone();
                hub.tracker.spawn(async move {
                    faults.back().await;
                    faults.thaw();
                });
            }
            Ok(shown)
        }
    }
}

fn done(text: &str) -> Value {
    json!({"done": text})
}

/// Hands an order to the ACS sessions meant, and says to how many.
fn tell(hub: &Hub, instance: Option<&str>, order: &SessionOrder) -> Result<String, ApiError> {
    let sessions: Vec<Session> = hub.read(|state| {
        let meant = state.instances.values().filter(|i| instance.is_none_or(|end| i.arn.as_str().ends_with(end)));
        meant.filter_map(|i| i.session.clone()).collect()
    });
    // One whose orders are all still to be carried out does not hear this one.
    match sessions.iter().filter(|session| session.orders.try_send(order.clone()).is_ok()).count() {
        0 => Err(nobody(instance)),
        1 => Ok("1 agent".to_owned()),
        told => Ok(format!("{told} agents")),
    }
}

fn nobody(instance: Option<&str>) -> ApiError {
    ApiError::client(match instance {
        Some(end) => format!("no connected container instance has an ARN that ends in {end:?}"),
        None => "no agent is connected".to_owned(),
    })
}
