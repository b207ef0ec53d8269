//! The instance: its region, its metadata service, and the credentials of its role.

use std::time::SystemTime;

use aws_sdk_ec2::types::{HttpTokensState, InstanceMetadataOptionsResponse};
use node_core::ApiFailure;

use super::super::{Context, Outcome};
use crate::ecs::classify;

/// Answers of the metadata service may pass so many hosts: a container on a bridge is one further away.
const HOPS: i32 = 2;

pub(in crate::check) async fn region(context: &Context) -> Result<Outcome, Outcome> {
    context.config()?;
    if let Some(why) = context.no_clients().await {
        return Ok(Outcome::failure(why.to_owned()));
    }
    Ok(Outcome::ok(context.clients().await?.region.to_string()))
}

pub(in crate::check) async fn reachable(context: &Context) -> Result<Outcome, Outcome> {
    Ok(match context.instance_id().await? {
        Ok(id) => Outcome::ok(format!("IMDSv2 answers: this is {id}")),
        Err(why) => Outcome::failure(why.clone()),
    })
}

/// ECS ties the registration to the instance by it.
pub(in crate::check) async fn identity(context: &Context) -> Result<Outcome, Outcome> {
    context.instance().await?;
    let identity = context.imds().await?.identity().await;
    Ok(match (identity.document.is_empty(), identity.signature.is_empty()) {
        (false, false) => Outcome::ok("the identity document and its signature are there"),
        (true, _) => Outcome::failure("the metadata service has no identity document"),
        (false, true) => Outcome::failure("the metadata service has no signature of the identity document"),
    })
}

pub(in crate::check) async fn options(context: &Context) -> Result<Outcome, Outcome> {
    let instance = context.instance().await?;
    let call = context.aws().await?.ec2.describe_instances().instance_ids(instance.as_str()).send().await;
    Ok(match call.map_err(|error| classify(&error)) {
        Ok(answer) => {
            let instances = answer.reservations().iter().flat_map(|reservation| reservation.instances());
            judge(instances.into_iter().find_map(|instance| instance.metadata_options()))
        }
        Err(ApiFailure::Denied(_)) => {
            Outcome::skipped("the role may not ask (ec2:DescribeInstances); nothing else needs that permission")
        }
        Err(failure) => Outcome::skipped(format!("EC2 does not say: {}", failure.text())),
    })
}

fn judge(options: Option<&InstanceMetadataOptionsResponse>) -> Outcome {
    let Some(options) = options else { return Outcome::skipped("EC2 does not say") };
    let optional = options.http_tokens() == Some(&HttpTokensState::Optional);
    match options.http_put_response_hop_limit() {
        _ if optional => Outcome::warning("IMDSv1 is still answered: whatever makes a job fetch an address can read the role's credentials")
            .fix("aws ec2 modify-instance-metadata-options --instance-id <id> --http-tokens required, and HttpTokens: required in the launch template"),
        Some(hops) if hops < HOPS => Outcome::warning(format!(
            "hop limit {hops}: jobs on a bridge network get no answer of the metadata service; those on the host's network, as Batch's own are, do"
        )),
        Some(hops) => Outcome::ok(format!("IMDSv2 is required, hop limit {hops}")),
        None => Outcome::ok("IMDSv2 is required"),
    }
}

pub(in crate::check) async fn credentials(context: &Context) -> Result<Outcome, Outcome> {
    Ok(match context.credentials().await? {
        Ok(Some(end)) => match end.duration_since(SystemTime::now()) {
            Ok(left) => Outcome::ok(format!("found; they end in {} min, and are renewed before", left.as_secs() / 60)),
            Err(_) => Outcome::failure("found, and expired"),
        },
        Ok(None) => Outcome::ok("found; they do not end, so they are not those of an instance's role"),
        Err(why) => Outcome::failure(format!("none: {why}")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    #[test]
    fn old_metadata_and_short_ways_are_warned_of() {
        let of = |tokens: HttpTokensState, hops: i32| {
            let options =
                InstanceMetadataOptionsResponse::builder().http_tokens(tokens).http_put_response_hop_limit(hops);
            judge(Some(&options.build()))
        };
        assert_eq!(of(HttpTokensState::Required, 2).status, Status::Ok);
        assert!(of(HttpTokensState::Required, 1).found.starts_with("hop limit 1"));
        assert!(of(HttpTokensState::Optional, 2).found.starts_with("IMDSv1"));
        assert_eq!(judge(None).status, Status::Skipped);
    }
}
