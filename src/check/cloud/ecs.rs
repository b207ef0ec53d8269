//! The cluster, and the endpoints that the agent's websockets go to.

use std::io;

use aws_sdk_ecs::operation::discover_poll_endpoint::DiscoverPollEndpointOutput;
use http::Uri;
use node_core::ApiFailure;

use super::super::{Context, Outcome};
use crate::aws::Clients;
use crate::ecs::classify;

pub(in crate::check) async fn cluster(context: &Context) -> Result<Outcome, Outcome> {
    let cluster = context.cluster().await?;
    let clients = context.aws().await?;
    let answer = clients.ecs.describe_clusters().clusters(cluster.as_str()).send().await;
    Ok(match answer.map_err(|error| classify(&error)) {
        Ok(answer) => match answer.clusters().first() {
            Some(found) => judge(found.cluster_name().unwrap_or(cluster.as_str()), found.status().unwrap_or("without a status")),
            None => Outcome::failure(format!("there is no ECS cluster {cluster}")),
        },
        Err(ApiFailure::Denied(_)) => {
            Outcome::skipped("the role may not ask (ecs:DescribeClusters); nothing else needs that permission")
        }
        Err(failure) => Outcome::failure(format!("ECS does not answer: {}", failure.text()))
            .fix("see that this host reaches ECS: route, security group, VPC endpoint com.amazonaws.<region>.ecs, https_proxy"),
    })
}

fn judge(cluster: &str, status: &str) -> Outcome {
    match status {
        "ACTIVE" => Outcome::ok(format!("{cluster} is ACTIVE")),
        other => Outcome::failure(format!("{cluster} is {other}: Batch makes it anew with its compute environment")),
    }
}

/// Where ACS and TCS are.
async fn discover(context: &Context) -> Result<Result<DiscoverPollEndpointOutput, ApiFailure>, Outcome> {
    let cluster = context.cluster().await?;
    let Clients { ecs, .. } = context.aws().await?;
    let instance = context.running().await.and_then(|report| report.instance.container_instance.clone());
    let call = ecs.discover_poll_endpoint().cluster(cluster.as_str()).set_container_instance(instance);
    Ok(call.send().await.map_err(|error| classify(&error)))
}

pub(in crate::check) async fn poll_endpoint(context: &Context) -> Result<Outcome, Outcome> {
    Ok(match discover(context).await? {
        Ok(answer) => Outcome::ok(format!(
            "ECS says: ACS at {}, TCS at {}",
            host(answer.endpoint()),
            host(answer.telemetry_endpoint())
        )),
        Err(failure @ ApiFailure::Denied(_)) => {
            Outcome::failure(failure.text().to_owned()).fix("allow ecs:DiscoverPollEndpoint to the instance's role")
        }
        Err(failure) => Outcome::failure(format!("ECS does not say where ACS is: {}", failure.text())),
    })
}

/// Without the scheme and the path.
fn host(url: Option<&str>) -> &str {
    let rest = url.map(|url| url.split_once("://").map_or(url, |(_, rest)| rest));
    rest.and_then(|rest| rest.split('/').next()).filter(|host| !host.is_empty()).unwrap_or("nowhere")
}

pub(in crate::check) async fn acs(context: &Context) -> Result<Outcome, Outcome> {
    connects(context, DiscoverPollEndpointOutput::endpoint).await
}

pub(in crate::check) async fn tcs(context: &Context) -> Result<Outcome, Outcome> {
    connects(context, DiscoverPollEndpointOutput::telemetry_endpoint).await
}

type Which = fn(&DiscoverPollEndpointOutput) -> Option<&str>;

/// Opens a connection, TLS and all, through the proxy that is set for it, and no websocket.
async fn connects(context: &Context, which: Which) -> Result<Outcome, Outcome> {
    let unknown = || Outcome::skipped("ECS does not say where it is: see ecs.poll-endpoint");
    let answer = discover(context).await?.map_err(|_| unknown())?;
    let uri: Uri = which(&answer).and_then(|url| url.parse().ok()).ok_or_else(unknown)?;
    let network = &context.clients().await?.network;
    let shown = uri.authority().map_or_else(String::new, ToString::to_string);
    Ok(match network.reach(&uri).await {
        Ok(way) => Outcome::ok(format!("{shown} is reached {way}")),
        Err(error) => Outcome::failure(format!("{shown} cannot be reached: {}", causes(&error))),
    })
}

fn causes(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => format!("{error} (is its certificate one that this host trusts? see ca_bundle)"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Status;
    use super::*;

    #[test]
    fn only_an_active_cluster_takes_hosts() {
        assert_eq!(judge("c", "ACTIVE").status, Status::Ok);
        assert_eq!(judge("c", "INACTIVE").status, Status::Failure);
    }

    #[test]
    fn an_endpoint_is_shown_by_its_host() {
        assert_eq!(host(Some("https://ecs-a-1.us-east-1.amazonaws.com/")), "ecs-a-1.us-east-1.amazonaws.com");
        assert_eq!(host(Some("http://127.0.0.1:7/tcs")), "127.0.0.1:7");
        assert_eq!((host(None), host(Some(""))), ("nowhere", "nowhere"));
    }
}
