//! GetJobQueueSnapshot: the jobs at the front of a queue.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Outcome;
use crate::clock;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::name_of;

/// Batch shows so many.
const MOST: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Which {
    job_queue: String,
}

/// Its RUNNABLE jobs in the order in which they will be placed.
pub(super) fn front(hub: &Arc<Hub>, which: &Which) -> Outcome {
    hub.read(|state| {
        let name = name_of(&which.job_queue);
        if !state.queues.contains_key(name) {
            return Err(ApiError::client(format!("JobQueue {} not found", which.job_queue)));
        }
        let mut waiting: Vec<_> =
            state.runnable.get(name).into_iter().flat_map(|shapes| shapes.values().flatten()).collect();
        waiting.sort();
        let now = clock::now();
        let shown = waiting.into_iter().take(MOST).map(|(_, id)| {
            let since = state.jobs.get(id).map_or(now, |job| job.created_at);
            json!({"jobArn": state.arns.batch("job", id.as_str()), "earliestTimeAtPosition": since})
        });
        Ok(json!({"frontOfQueue": {"jobs": shown.collect::<Vec<Value>>(), "lastUpdatedAt": now}}))
    })
}
