"""What boto3 sees of the embedded plane. Run by boto3.rs with the plane's endpoint."""

import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

PATIENCE_S = 60
CONFIG = Config(retries={"max_attempts": 1, "mode": "standard"})
batch = boto3.client("batch", endpoint_url=sys.argv[1], config=CONFIG)
logs = boto3.client("logs", endpoint_url=sys.argv[1], config=CONFIG)


def define(name, script, **more):
    container = {
        "image": "busybox",
        "command": ["sh", "-c", script],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    made = batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=container, **more)
    return made["jobDefinitionArn"]


def submit(definition, **more):
    return batch.submit_job(jobName="job", jobQueue="local", jobDefinition=definition, **more)["jobId"]


def ended(job_id):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        job = batch.describe_jobs(jobs=[job_id])["jobs"][0]
        if job["status"] in ("SUCCEEDED", "FAILED"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"job {job_id} is not over: {job}")


def output(job):
    stream = job["container"]["logStreamName"]
    events = logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True)["events"]
    return [event["message"] for event in events]


def the_spine():
    batch.create_compute_environment(computeEnvironmentName="second", type="UNMANAGED")
    order = [{"order": 1, "computeEnvironment": "second"}]
    batch.create_job_queue(jobQueueName="second", priority=1, computeEnvironmentOrder=order)
    found = batch.describe_compute_environments(computeEnvironments=["second"])["computeEnvironments"]
    assert found[0]["ecsClusterArn"].startswith("arn:aws:ecs:"), found
    arn = define("greet", "echo Ref::greeting $NAME", parameters={"greeting": "hi"})
    overrides = {"environment": [{"name": "NAME", "value": "boto3"}]}
    job = ended(submit(arn, parameters={"greeting": "hello"}, containerOverrides=overrides))
    assert job["status"] == "SUCCEEDED", job
    assert job["container"]["exitCode"] == 0, job
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"], job
    assert output(job) == ["hello boto3"], output(job)


def an_array():
    arn = define("child", "echo child $AWS_BATCH_JOB_ARRAY_INDEX")
    parent = submit(arn, arrayProperties={"size": 3})
    job = ended(parent)
    assert job["status"] == "SUCCEEDED", job
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3, job
    pages = batch.get_paginator("list_jobs").paginate(
        arrayJobId=parent, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 2}
    )
    children = [child["jobId"] for page in pages for child in page["jobSummaryList"]]
    assert children == [f"{parent}:{index}" for index in range(3)], children
    described = batch.describe_jobs(jobs=children)["jobs"]
    assert sorted(output(child)[0] for child in described) == ["child 0", "child 1", "child 2"]


def a_dependency():
    first = submit(define("slow", "sleep 1"))
    second = submit(define("quick", "true"), dependsOn=[{"jobId": first}])
    after, before = ended(second), ended(first)
    assert (before["status"], after["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert after["startedAt"] >= before["stoppedAt"], (before, after)
    broken = submit(define("broken", "exit 1"))
    doomed = ended(submit("quick", dependsOn=[{"jobId": broken}]))
    assert doomed["status"] == "FAILED" and doomed["attempts"] == [], doomed


def retries():
    script = "echo attempt $AWS_BATCH_JOB_ATTEMPT; [ $AWS_BATCH_JOB_ATTEMPT = 2 ] || exit 7"
    job = ended(submit(define("again", script), retryStrategy={"attempts": 3}))
    assert job["status"] == "SUCCEEDED", job
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [7, 0], job["attempts"]
    assert len({attempt["container"]["taskArn"] for attempt in job["attempts"]}) == 2, job["attempts"]
    rule = {"onExitCode": "7", "action": "EXIT"}
    given_up = ended(submit("again", retryStrategy={"attempts": 3, "evaluateOnExit": [rule]}))
    assert given_up["status"] == "FAILED" and len(given_up["attempts"]) == 1, given_up


def a_termination():
    job_id = submit(define("long", "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done"))
    deadline = time.monotonic() + PATIENCE_S
    while not output_of_running(job_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    batch.terminate_job(jobId=job_id, reason="enough")
    job = ended(job_id)
    assert (job["status"], job["statusReason"], job["container"]["exitCode"]) == ("FAILED", "enough", 9), job


def output_of_running(job_id):
    job = batch.describe_jobs(jobs=[job_id])["jobs"][0]
    try:
        return job["status"] == "RUNNING" and output(job)
    except ClientError:
        return []


def refusals():
    requests = [
        lambda: submit("nope"),
        lambda: batch.submit_job(jobName="job", jobQueue="nope", jobDefinition="hello"),
        lambda: batch.submit_job(jobName="bad name!", jobQueue="local", jobDefinition="hello"),
        lambda: submit("hello", arrayProperties={"size": 1}),
        lambda: submit("hello", dependsOn=[{"jobId": "nope"}]),
        lambda: batch.create_compute_environment(computeEnvironmentName="x", type="MANAGED"),
        lambda: batch.cancel_job(jobId="nope", reason="x"),
        lambda: batch.list_jobs(jobQueue="nope"),
    ]
    for number, request in enumerate(requests):
        try:
            answer = request()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ClientException", (number, error.response)
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, (number, error.response)
            assert error.response["Error"]["Message"], (number, error.response)
            assert type(error).__name__ == "ClientException", type(error)
        else:
            raise AssertionError(f"request {number} was not refused: {answer}")


parts = [the_spine, an_array, a_dependency, retries, a_termination, refusals]
for part in parts:
    part()
print(f"{len(parts)} parts hold")
