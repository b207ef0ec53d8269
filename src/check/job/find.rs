//! Which job is meant.

use aws_sdk_batch::types::{JobDefinition, JobDetail, JobStatus};
use node_core::ApiFailure;

use super::super::{Context, Outcome};
use super::ask::Ask;
use super::read;
use crate::ecs::classify;

/// Pages of a definition's revisions, 100 each, newest first in Batch's answer.
const PAGES: usize = 5;

pub(super) struct Found {
    pub(super) ask: Ask,
    /// The queue that a job is in: its ARN.
    pub(super) queue: Option<String>,
    /// Of a job.
    pub(super) state: Option<Outcome>,
    pub(super) shown: String,
}

pub(super) async fn find(context: &Context, name: &str) -> Result<Found, Outcome> {
    let client = &context
        .aws()
        .await
        .map_err(|skipped| Outcome::failure(skipped.found).fix("see `batch-node-agent check`"))?
        .batch;
    match job_id(name) {
        Some(id) => job(client, id).await,
        None => definition(client, name).await,
    }
}

/// A job's id is a UUID, with `:index` for a child of an array.
fn job_id(name: &str) -> Option<&str> {
    if name.starts_with("arn:") {
        return name.split_once(":job/").map(|(_, id)| id);
    }
    let id = name.split_once(':').map_or(name, |(id, _)| id);
    uuid::Uuid::try_parse(id).is_ok().then_some(name)
}

async fn job(client: &aws_sdk_batch::Client, id: &str) -> Result<Found, Outcome> {
    let answer = client
        .describe_jobs()
        .jobs(id)
        .send()
        .await
        .map_err(|error| refused("batch:DescribeJobs", &classify(&error)))?;
    let Some(found) = answer.jobs().first() else {
        return Err(Outcome::failure(format!(
            "there is no job {id:?} in this account and region; Batch forgets a job a week after its end"
        )));
    };
    let definition = found.job_definition().map_or("", |arn| arn.rsplit('/').next().unwrap_or(arn));
    Ok(Found {
        ask: read::job(found),
        queue: found.job_queue().map(str::to_owned),
        state: Some(state(found)),
        shown: format!("job {} ({id}), of job definition {definition}", found.job_name().unwrap_or_default()),
    })
}

fn state(job: &JobDetail) -> Outcome {
    let status = job.status().map_or("without a status", JobStatus::as_str);
    let reason =
        job.status_reason().filter(|text| !text.is_empty()).map_or_else(String::new, |text| format!(": {text}"));
    let found = format!("it is {status}{reason}");
    match job.status() {
        Some(JobStatus::Runnable) => Outcome::ok(format!("{found}; Batch looks for a host")),
        Some(JobStatus::Starting | JobStatus::Running) => Outcome::ok(found),
        Some(JobStatus::Succeeded | JobStatus::Failed) => Outcome::warning(found).fix("it is over: submit it again"),
        Some(JobStatus::Pending) if job.array_properties().is_some_and(|array| array.size().is_some()) => {
            Outcome::ok(format!("{found}; its children are placed, one by one"))
        }
        Some(JobStatus::Pending) => Outcome::failure(format!("{found}; it waits for the jobs that it depends on")),
        _ => Outcome::ok(format!("{found}; Batch has not looked for a host yet")),
    }
}

async fn definition(client: &aws_sdk_batch::Client, name: &str) -> Result<Found, Outcome> {
    let short = name.rsplit_once('/').map_or(name, |(_, short)| short);
    let with_revision = short.contains(':');
    let mut newest: Option<JobDefinition> = None;
    let mut next = None;
    for _ in 0..PAGES {
        let call = client.describe_job_definitions().set_next_token(next);
        let call = match with_revision {
            true => call.job_definitions(name),
            false => call.job_definition_name(short).status("ACTIVE"),
        };
        let answer = call.send().await.map_err(|error| refused("batch:DescribeJobDefinitions", &classify(&error)))?;
        next = answer.next_token().map(str::to_owned);
        newest =
            newest.into_iter().chain(answer.job_definitions.unwrap_or_default()).max_by_key(JobDefinition::revision);
        if next.is_none() {
            break;
        }
    }
    let found = newest
        .ok_or_else(|| Outcome::failure(format!("there is no job definition {name:?} in this account and region")))?;
    let shown = format!(
        "job definition {}:{}",
        found.job_definition_name().unwrap_or_default(),
        found.revision().unwrap_or_default()
    );
    match found.status() {
        Some("INACTIVE") => Err(Outcome::failure(format!("{shown} is INACTIVE: no job can be submitted with it"))
            .fix("register it again, or name another revision")),
        _ => Ok(Found { ask: read::definition(&found), queue: None, state: None, shown }),
    }
}

fn refused(action: &str, failure: &ApiFailure) -> Outcome {
    let outcome = Outcome::failure(format!("Batch could not be asked: {}", failure.text()));
    match failure {
        ApiFailure::Denied(_) => outcome
            .fix(format!("allow {action} to the instance's role, or run this with other credentials (AWS_PROFILE)")),
        _ => outcome.fix("see `batch-node-agent check`"),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::ArrayPropertiesDetail;

    use super::super::super::Status;
    use super::*;

    #[test]
    fn a_job_is_told_from_a_definition_by_its_name() {
        let id = "0b1ee7d6-9a0a-4d1c-8f0a-0123456789ab";
        assert_eq!(job_id(id), Some(id));
        assert_eq!(job_id(&format!("{id}:7")), Some(format!("{id}:7").as_str()));
        assert_eq!(job_id(&format!("arn:aws:batch:us-east-1:1:job/{id}")), Some(id));
        for definition in ["train", "train:7", "arn:aws:batch:us-east-1:1:job-definition/train:7"] {
            assert_eq!(job_id(definition), None, "{definition}");
        }
    }

    #[test]
    fn a_waiting_job_says_for_what() {
        let of = |status: JobStatus| state(&JobDetail::builder().status(status).status_reason("why").build());
        assert_eq!(of(JobStatus::Runnable).found, "it is RUNNABLE: why; Batch looks for a host");
        assert_eq!(of(JobStatus::Pending).status, Status::Failure);
        assert_eq!(of(JobStatus::Failed).status, Status::Warning);
        let array = ArrayPropertiesDetail::builder().size(3).build();
        let parent = JobDetail::builder().status(JobStatus::Pending).array_properties(array).build();
        assert_eq!(state(&parent).status, Status::Ok);
    }
}
