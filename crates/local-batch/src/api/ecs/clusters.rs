//! Clusters: Batch makes one for each compute environment.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Paging, missing, shown};
use crate::api::Outcome;
use crate::hub::Hub;
use crate::model::cluster::Cluster;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    cluster_name: Option<String>,
}

pub(super) fn create(hub: &Arc<Hub>, new: Create) -> Outcome {
    let name = new.cluster_name.unwrap_or_else(|| "default".to_owned());
    hub.update(|state, _| {
        let arn = state.arns.ecs("cluster", &name);
        state.clusters.get_or_insert_with(name.clone(), || Cluster { name: name.clone(), arn });
        Ok(json!({"cluster": shown::cluster(state, state.cluster(&name)?)}))
    })
}

#[derive(Deserialize)]
pub(super) struct Describe {
    #[serde(default)]
    clusters: Vec<String>,
}

pub(super) fn describe(hub: &Arc<Hub>, which: &Describe) -> Outcome {
    let default = ["default".to_owned()];
    let names = if which.clusters.is_empty() { &default[..] } else { &which.clusters };
    Ok(hub.read(|state| {
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for name in names {
            match state.cluster(name) {
                Ok(cluster) => found.push(shown::cluster(state, cluster)),
                Err(_) => failures.push(missing(&state.arns.ecs("cluster", crate::ids::name_of(name)))),
            }
        }
        json!({"clusters": found, "failures": failures})
    }))
}

pub(super) fn list(hub: &Arc<Hub>, paging: &Paging) -> Outcome {
    let arns: Vec<Value> = hub.read(|state| state.clusters.values().map(|c| json!(c.arn)).collect());
    paging.answer(arns, "clusterArns")
}
