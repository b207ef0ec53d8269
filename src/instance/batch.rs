//! The ECS cluster behind a Batch compute environment.

use aws_sdk_batch::types::{CeState, CeStatus, CeType, ComputeEnvironmentDetail};
use node_core::{ApiFailure, ClusterRef, Home};

use crate::ecs::classify;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ClusterError {
    #[error(
        "there is no compute environment {0:?} in this account and region: check `compute_environment` and `region`"
    )]
    NotFound(String),
    #[error(
        "compute environment {0:?} is MANAGED: Batch runs its own hosts there; name an UNMANAGED one, or give `cluster` instead"
    )]
    Managed(String),
    #[error("compute environment {name:?} is {status} ({reason}): mend it, or create it again")]
    Unusable { name: String, status: String, reason: String },
    #[error("compute environment {0:?} has no ECS cluster yet: Batch is still creating it")]
    NotReady(String),
    #[error("Batch could not be asked about compute environment {name:?}: {text}", text = failure.text())]
    Api { name: String, failure: ApiFailure },
}

/// Asks Batch (`DescribeComputeEnvironments`) for the cluster of the UNMANAGED compute environment `name`, a name or an ARN.
pub(crate) async fn cluster_of(client: &aws_sdk_batch::Client, name: &str) -> Result<Home, ClusterError> {
    let answer = client
        .describe_compute_environments()
        .compute_environments(name)
        .send()
        .await
        .map_err(|error| ClusterError::Api { name: name.to_owned(), failure: classify(&error) })?;
    let found = answer.compute_environments().first();
    let found = found.ok_or_else(|| ClusterError::NotFound(name.to_owned()))?;
    read(name, found)
}

fn read(name: &str, found: &ComputeEnvironmentDetail) -> Result<Home, ClusterError> {
    if found.r#type() == Some(&CeType::Managed) {
        return Err(ClusterError::Managed(name.to_owned()));
    }
    if let Some(status @ (CeStatus::Invalid | CeStatus::Deleting | CeStatus::Deleted)) = found.status() {
        return Err(ClusterError::Unusable {
            name: name.to_owned(),
            status: status.as_str().to_owned(),
            reason: found.status_reason().unwrap_or("no reason given").to_owned(),
        });
    }
    let disabled = found.state() == Some(&CeState::Disabled);
    let remark =
        disabled.then(|| format!("compute environment {name:?} is DISABLED: it gets no new jobs until it is enabled"));
    match found.ecs_cluster_arn() {
        Some(arn) if !arn.is_empty() => Ok(Home { cluster: ClusterRef::new(arn), remark }),
        _ => Err(ClusterError::NotReady(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail() -> aws_sdk_batch::types::builders::ComputeEnvironmentDetailBuilder {
        ComputeEnvironmentDetail::builder()
            .r#type(CeType::Unmanaged)
            .status(CeStatus::Valid)
            .state(CeState::Enabled)
            .ecs_cluster_arn("arn:aws:ecs:us-east-1:1:cluster/ce_Batch_1")
    }

    #[test]
    fn a_valid_one_gives_its_cluster_even_when_disabled() {
        for state in [CeState::Enabled, CeState::Disabled] {
            let disabled = state == CeState::Disabled;
            let home = read("ce", &detail().state(state).build()).unwrap();
            assert_eq!(home.cluster.as_str(), "arn:aws:ecs:us-east-1:1:cluster/ce_Batch_1");
            assert_eq!(home.remark.is_some_and(|text| text.contains("is DISABLED")), disabled);
        }
    }

    #[test]
    fn each_obstacle_has_its_own_error() {
        let managed = read("ce", &detail().r#type(CeType::Managed).build()).unwrap_err();
        assert_eq!(managed, ClusterError::Managed("ce".into()));
        let invalid = detail().status(CeStatus::Invalid).status_reason("CLIENT_ERROR - no role").build();
        let invalid = read("ce", &invalid).unwrap_err();
        assert!(invalid.to_string().contains("INVALID (CLIENT_ERROR - no role)"));
        let deleting = read("ce", &detail().status(CeStatus::Deleting).build()).unwrap_err();
        assert!(deleting.to_string().contains("is DELETING"));
        let creating = detail().status(CeStatus::Creating).set_ecs_cluster_arn(None).build();
        let creating = read("ce", &creating).unwrap_err();
        assert_eq!(creating, ClusterError::NotReady("ce".into()));
    }
}
