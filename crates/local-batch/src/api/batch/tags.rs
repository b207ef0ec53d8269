//! Tags of compute environments, queues and job definitions.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::api::Outcome;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::ids::{JobId, name_of};
use crate::model::State;
use crate::model::batch::Tags;

#[derive(Deserialize)]
pub(super) struct Add {
    tags: Tags,
}

fn find<'a>(state: &'a mut State, arn: &str) -> Result<&'a mut Tags, ApiError> {
    let kind = arn.split(':').nth(5).and_then(|part| part.split('/').next()).unwrap_or_default();
    let name = name_of(arn);
    let found = match kind {
        "compute-environment" => state.environments.get_mut(name).map(|ce| &mut ce.tags),
        "job-queue" => state.queues.get_mut(name).map(|q| &mut q.tags),
        "job-definition" => {
            let mut all = state.definitions.values_mut().flatten();
            all.find(|d| d.job_definition_arn == arn).map(|d| &mut d.tags)
        }
        _ => None,
    };
    found.ok_or_else(|| ApiError::client(format!("no resource {arn} whose tags could be changed here")))
}

pub(super) fn list(hub: &Arc<Hub>, arn: &str) -> Outcome {
    hub.update(|state, _| {
        if let Some(job) = state.jobs.get(&JobId(name_of(arn).to_owned())) {
            return Ok(json!({"tags": job.spec.tags}));
        }
        find(state, arn).map(|tags| json!({"tags": tags}))
    })
}

pub(super) fn add(hub: &Arc<Hub>, arn: &str, new: Add) -> Outcome {
    hub.update(|state, _| find(state, arn).map(|tags| tags.extend(new.tags))).map(|()| json!({}))
}

/// The keys come as `tagKeys` in the query.
pub(super) fn remove(hub: &Arc<Hub>, arn: &str, query: &str) -> Outcome {
    let keys: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "tagKeys")
        .map(|(_, key)| key.into_owned())
        .collect();
    hub.update(|state, _| find(state, arn).map(|tags| tags.retain(|key, _| !keys.contains(key)))).map(|()| json!({}))
}
