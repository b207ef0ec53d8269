//! The plane's faces over real sockets, with a fake agent.

#[cfg(test)]
mod support;

use std::time::Duration;

use ecs_wire::ToAgent;
use ecs_wire::acs::{IAMRoleCredentialsAckRequest, TaskIdentifier, TaskStopVerificationMessage};
use local_batch::NodeTemplate;
use serde_json::{Value, json};
use support::{World, between, http, program, starts, world};
use tokio_tungstenite::tungstenite::Error;

async fn plain() -> World {
    world(0, NodeTemplate::default()).await
}

#[tokio::test]
async fn a_job_goes_all_the_way() {
    let w = plain().await;
    let id = w
        .submit(json!({"tags": {"team": "a"}, "containerOverrides": {"environment": [{"name": "A", "value": "b"}]}}))
        .await;
    assert_eq!(w.job(&id).await["status"], "RUNNABLE");
    let (instance, _) = w.instance().await;
    let mut agent = w.agent(&instance).await;
    let task = agent.task().await;
    assert_eq!(w.job(&id).await["status"], "STARTING");
    assert_eq!(task["containers"][0]["environment"]["AWS_BATCH_JOB_ID"], id.as_str());
    assert_eq!(task["containers"][0]["environment"]["A"], "b");
    let arn = task["arn"].as_str().unwrap();
    w.report(arn, "RUNNING", None).await;
    let job = w.job(&id).await;
    assert_eq!(job["status"], "RUNNING");
    let cluster = w.cluster().await;
    let shown =
        w.ecs("DescribeContainerInstances", json!({"cluster": cluster, "containerInstances": [agent.arn]})).await;
    let shown = &shown["containerInstances"][0];
    assert_eq!((&shown["agentConnected"], &shown["runningTasksCount"]), (&json!(true), &json!(1)));
    assert_eq!(shown["remainingResources"][0]["integerValue"], 1024);
    let ack = w.report(arn, "STOPPED", Some(0)).await;
    assert!(ack["acknowledgment"].is_string());
    let job = w.job(&id).await;
    assert_eq!(
        (&job["status"], &job["statusReason"]),
        (&json!("SUCCEEDED"), &json!("Essential container in task exited"))
    );
    assert_eq!((&job["container"]["exitCode"], &job["container"]["taskArn"]), (&json!(0), &json!(arn)));
    assert_eq!(job["container"]["containerInstanceArn"], agent.arn.as_str());
    let stream = format!("d/default/{}", arn.rsplit('/').next().unwrap());
    assert_eq!(job["attempts"][0]["container"]["logStreamName"], stream);
    assert!(
        job["createdAt"].as_i64() <= job["startedAt"].as_i64()
            && job["startedAt"].as_i64() <= job["stoppedAt"].as_i64()
    );
    let tasks = w.ecs("DescribeTasks", json!({"cluster": cluster, "tasks": [arn, "nope"]})).await;
    assert_eq!(tasks["tasks"][0]["stopCode"], "EssentialContainerExited");
    assert_eq!(tasks["failures"][0]["reason"], "MISSING");
    w.plane.shutdown().await;
}

#[tokio::test]
async fn terminating_a_job_stops_its_task() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let mut agent = w.agent(&instance).await;
    let id = w.submit(json!({})).await;
    let task = agent.task().await;
    let arn = task["arn"].as_str().unwrap();
    w.report(arn, "RUNNING", None).await;
    // Too late to cancel; that is no error.
    w.batch("canceljob", json!({"jobId": id, "reason": "late"})).await;
    w.batch("terminatejob", json!({"jobId": id, "reason": "enough"})).await;
    let stop = agent.task().await;
    assert_eq!((&stop["arn"], &stop["desiredStatus"]), (&json!(arn), &json!("STOPPED")));
    w.report(arn, "STOPPED", Some(143)).await;
    let job = w.job(&id).await;
    assert_eq!((&job["status"], &job["statusReason"]), (&json!("FAILED"), &json!("enough")));
    assert_eq!(job["isTerminated"], true);
    w.plane.shutdown().await;
}

#[tokio::test]
async fn an_unacknowledged_payload_comes_again_after_a_reconnect() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let mut agent = w.agent(&instance).await;
    w.submit(json!({})).await;
    let first = agent.payload().await;
    let mut again = w.connect(&agent.arn).await;
    let ToAgent::TaskManifestMessage(manifest) = again.next().await else { panic!("a manifest comes first") };
    assert_eq!((manifest.tasks.len(), manifest.tasks[0].desired_status.as_str()), (1, "RUNNING"));
    assert!(manifest.timeline > first.seq_num);
    assert_eq!(again.payload().await.tasks, first.tasks);
    agent.closed().await;

    let stranger = TaskIdentifier {
        task_arn: "stranger".into(),
        task_cluster_arn: manifest.cluster_arn,
        desired_status: "STOPPED".into(),
    };
    let asked =
        TaskStopVerificationMessage { message_id: manifest.message_id, stop_candidates: vec![stranger.clone()] };
    again.send(asked.into()).await;
    let ToAgent::TaskStopVerificationAck(ack) = again.next().await else { panic!("an answer") };
    assert_eq!(ack.stop_tasks, [stranger]);
    w.plane.shutdown().await;
}

#[tokio::test]
async fn websockets_need_a_signature_and_a_known_active_instance() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let agent = w.agent(&instance).await;
    let refused = async |arn: &str, authorization| match w.dial(arn, authorization).await {
        Err(Error::Http(response)) => {
            assert!([400, 403].contains(&response.status().as_u16()));
            String::from_utf8(response.body().clone().unwrap()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    let signed = Some(support::STRANGER);
    assert!(refused(&agent.arn, None).await.contains("MissingAuthenticationTokenException"));
    let half = Some("AWS4-HMAC-SHA256 Credential=x");
    assert!(refused(&agent.arn, half).await.contains("IncompleteSignatureException"));
    assert!(refused("arn:nobody", signed).await.contains("InvalidInstanceException"));
    let cluster = w.cluster().await;
    let arn = agent.arn.clone();
    w.ecs("DeregisterContainerInstance", json!({"cluster": cluster, "containerInstance": arn})).await;
    agent.closed().await;
    assert!(refused(&arn, signed).await.contains("InactiveInstanceException"));
    w.plane.shutdown().await;
}

#[tokio::test]
async fn bad_requests_get_the_error_shape_of_their_api() {
    let w = plain().await;
    for (operation, body, says) in [
        ("submitjob", "{", "not valid JSON"),
        ("submitjob", "{}", "jobName"),
        ("submitjob", r#"{"jobName": 1, "jobQueue": "q", "jobDefinition": "d"}"#, "jobName: invalid type"),
        ("submitjob", r#"{"jobName": "j", "jobQueue": "q", "jobDefinition": "nope"}"#, "nope not found"),
        ("createcomputeenvironment", r#"{"computeEnvironmentName": "x", "type": "MANAGED"}"#, "only UNMANAGED"),
        ("createcomputeenvironment", r#"{"computeEnvironmentName": "ce", "type": "UNMANAGED"}"#, "already exists"),
        ("registerjobdefinition", r#"{"jobDefinitionName": "m", "type": "multinode"}"#, "multi-node"),
        ("deletejobqueue", r#"{"jobQueue": "q"}"#, "DISABLED"),
        ("terminatejob", r#"{"jobId": "x", "reason": "y"}"#, "Job x not found"),
        ("listjobs", r#"{"jobQueue": "q", "jobStatus": "ODD"}"#, "jobStatus"),
        ("listjobs", "{}", "jobQueue"),
    ] {
        let answer = w.try_batch(operation, body).await;
        assert_eq!(answer.status, 400, "{operation} {body}");
        assert!(answer.head.contains("x-amzn-errortype: clientexception"), "{}", answer.head);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(says), "{operation} {body}: {message}");
    }
    let unknown = w.try_batch("createschedulingpolicy", "{}").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("createschedulingpolicy"));
    let ecs = w.try_ecs("SubmitTaskStateChange", json!({"task": "nope", "status": "RUNNING"})).await;
    assert_eq!((ecs.status, &ecs.json()["__type"]), (400, &json!("InvalidParameterException")));
    let ecs = w.try_ecs("ListContainerInstances", json!({"cluster": "nope"})).await;
    assert_eq!(ecs.json()["__type"], "ClusterNotFoundException");
    assert!(w.try_ecs("Dance", json!({})).await.body.contains("Dance"));
    let ec2 = w.ec2("Action=TerminateInstances&InstanceId.1=i-0").await;
    assert_eq!((ec2.status, between(&ec2.body, "<Code>", "<").as_str()), (400, "InvalidInstanceID.NotFound"));
    w.plane.shutdown().await;
}

#[tokio::test]
async fn a_terminated_instance_takes_its_tasks_with_it() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let mut agent = w.agent(&instance).await;
    let id = w.submit(json!({})).await;
    let task = agent.task().await;
    w.report(task["arn"].as_str().unwrap(), "RUNNING", None).await;
    let cluster = w.cluster().await;
    let refused =
        w.try_ecs("DeregisterContainerInstance", json!({"cluster": cluster, "containerInstance": agent.arn})).await;
    assert_eq!(refused.json()["message"], "Found running tasks on the instance.");
    let answer = w.ec2(&format!("Action=TerminateInstances&InstanceId.1={instance}")).await;
    assert!(answer.body.contains("shutting-down"), "{}", answer.body);
    let job = w.job_in(&id, "FAILED").await;
    assert_eq!(job["statusReason"], format!("Host EC2 (instance {instance}) terminated."));
    let shown = w.ec2("Action=DescribeInstances&Filter.1.Name=instance-state-name&Filter.1.Value.1=terminated").await;
    assert!(shown.body.contains(&instance) && shown.body.contains("User initiated"), "{}", shown.body);
    agent.closed().await;
    w.plane.shutdown().await;
}

#[tokio::test]
async fn the_metadata_service_wants_a_token() {
    let w = plain().await;
    let (instance, imds) = w.instance().await;
    assert_eq!(http(&imds, "GET /latest/meta-data/instance-id", &[], "").await.status, 401);
    assert_eq!(http(&imds, "PUT /latest/api/token", &[], "").await.status, 400);
    let ttl = [("X-aws-ec2-metadata-token-ttl-seconds", "60")];
    let token = http(&imds, "PUT /latest/api/token", &ttl, "").await.body;
    let header = [("X-aws-ec2-metadata-token", token.as_str())];
    let get = async |path: &str| http(&imds, &format!("GET /latest/{path}"), &header, "").await;
    assert_eq!(get("meta-data/instance-id").await.body, instance);
    assert_eq!(get("meta-data/placement/region").await.body, "us-east-1");
    assert_eq!(get("meta-data/spot/instance-action").await.status, 404);
    // amazon-ecs-agent ends without these two.
    let mac = get("meta-data/mac").await.body;
    assert_eq!(get("meta-data/network/interfaces/macs/").await.body, format!("{mac}/"));
    for (name, begins) in [("vpc-id", "vpc-"), ("subnet-id", "subnet-")] {
        let found = get(&format!("meta-data/network/interfaces/macs/{mac}/{name}")).await.body;
        assert!(found.starts_with(begins), "{name}: {found}");
    }
    assert_eq!(get("meta-data/network/interfaces/macs/06:00/vpc-id").await.status, 404);
    assert_eq!(get("dynamic/instance-identity/document").await.json()["instanceId"], instance.as_str());
    let role = get("meta-data/iam/security-credentials/").await.body;
    let credentials = get(&format!("meta-data/iam/security-credentials/{role}")).await.json();
    assert_eq!(credentials["Code"], "Success");
    assert!(credentials["Expiration"].as_str().unwrap().ends_with('Z'));
    w.plane.shutdown().await;
}

#[tokio::test]
async fn nodes_are_launched_for_waiting_jobs_and_restarted_when_they_fail() {
    let dir = tempfile::tempdir().unwrap();
    let w = world(1, program(dir.path(), "exit 1")).await;
    w.submit(json!({})).await;
    let starts = starts(dir.path(), 2).await;
    assert_eq!(starts[0], starts[1], "the same instance again");
    let config = std::fs::read_to_string(starts[0].split(' ').nth(1).unwrap()).unwrap();
    assert!(config.contains("compute_environment = \"ce\""), "{config}");
    let nodes = w.ec2("Action=DescribeInstances").await.body;
    assert_eq!(nodes.matches("<instanceId>").count(), 1);
    assert!(w.dir.path().join("nodes").is_dir());
    w.plane.shutdown().await;
}

#[tokio::test]
async fn a_node_that_ends_well_stays_down() {
    let dir = tempfile::tempdir().unwrap();
    let w = world(1, program(dir.path(), "exit 0")).await;
    let mut events = w.plane.events();
    w.submit(json!({})).await;
    starts(dir.path(), 1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(starts(dir.path(), 1).await.len(), 1);
    w.plane.shutdown().await;
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        seen.push(event.to_string());
    }
    assert!(seen.iter().any(|line| line.contains("stays down")), "{seen:?}");
    assert!(seen.iter().any(|line| line.contains("terminated")), "{seen:?}");
}

#[tokio::test]
async fn a_terminated_node_loses_its_process_and_is_replaced_while_jobs_wait() {
    let dir = tempfile::tempdir().unwrap();
    let w = world(1, program(dir.path(), &format!("echo $$ >> {}/pids; exec sleep 600", dir.path().display()))).await;
    w.submit(json!({})).await;
    starts(dir.path(), 1).await;
    let nodes = w.ec2("Action=DescribeInstances").await.body;
    let node = between(&nodes, "<instanceId>", "<");
    w.ec2(&format!("Action=TerminateInstances&InstanceId.1={node}")).await;
    starts(dir.path(), 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let pids = std::fs::read_to_string(dir.path().join("pids")).unwrap();
    let alive = |pid: &str| std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert_eq!(pids.lines().map(alive).collect::<Vec<_>>(), [false, true]);
    let begun = std::time::Instant::now();
    w.plane.shutdown().await;
    assert!(!pids.lines().any(alive));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn lists_have_pages_and_arrays_have_children() {
    let w = plain().await;
    let id = w.submit(json!({"arrayProperties": {"size": 5}})).await;
    let parent = w.job(&id).await;
    assert_eq!(
        (&parent["status"], &parent["arrayProperties"]["statusSummary"]["RUNNABLE"]),
        (&json!("PENDING"), &json!(5))
    );
    let first = w.batch("listjobs", json!({"arrayJobId": id, "jobStatus": "RUNNABLE", "maxResults": 3})).await;
    assert_eq!(first["jobSummaryList"].as_array().unwrap().len(), 3);
    let next = json!({"arrayJobId": id, "jobStatus": "RUNNABLE", "maxResults": 3, "nextToken": first["nextToken"]});
    let rest = w.batch("listjobs", next).await;
    assert_eq!(rest["jobSummaryList"][1]["jobId"], format!("{id}:4"));
    assert!(rest.get("nextToken").is_none());
    let named = json!({"jobQueue": "q", "filters": [{"name": "JOB_NAME", "values": ["J*"]}]});
    assert_eq!(w.batch("listjobs", named).await["jobSummaryList"].as_array().unwrap().len(), 1);
    let running = w.batch("listjobs", json!({"jobQueue": "q"})).await;
    assert_eq!(running["jobSummaryList"], json!([]));
    w.plane.shutdown().await;
}

#[tokio::test]
async fn an_instances_state_is_changed_as_ecs_would() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let agent = w.agent(&instance).await;
    let cluster = w.cluster().await;
    let update = async |instances: Value, status: &str| {
        let request = json!({"cluster": cluster, "containerInstances": instances, "status": status});
        w.try_ecs("UpdateContainerInstancesState", request).await
    };
    let drained = update(json!([agent.arn, "nobody"]), "DRAINING").await.json();
    assert_eq!(drained["containerInstances"][0]["status"], "DRAINING");
    assert_eq!(drained["failures"], json!([{"arn": "nobody", "reason": "MISSING"}]));
    assert!(update(json!([agent.arn]), "INACTIVE").await.body.contains("must be ACTIVE or DRAINING"));
    assert!(update(json!([]), "ACTIVE").await.body.contains("InvalidParameterException"));
    let arn = agent.arn.clone();
    w.ecs("DeregisterContainerInstance", json!({"cluster": cluster, "containerInstance": arn})).await;
    agent.closed().await;
    let late = update(json!([arn]), "ACTIVE").await.json();
    assert_eq!(late["failures"], json!([{"arn": arn, "reason": "INACTIVE"}]));
    w.plane.shutdown().await;
}

#[tokio::test]
async fn a_role_comes_with_its_job_and_again_for_an_agent_that_asks() {
    let w = plain().await;
    let role = "arn:aws:iam::123456789012:role/reader";
    let container = json!({"image": "busybox", "vcpus": 1, "memory": 64, "jobRoleArn": role});
    let definition = json!({"jobDefinitionName": "r", "type": "container", "containerProperties": container});
    w.batch("registerjobdefinition", definition).await;
    let (instance, _) = w.instance().await;
    let mut agent = w.agent(&instance).await;
    w.submit(json!({"jobDefinition": "r"})).await;
    let task = agent.task().await;
    let sent = task["roleCredentials"].clone();
    assert_eq!((sent["roleArn"].as_str(), task.get("executionRoleCredentials")), (Some(role), None));
    // Its payload was acknowledged, its credentials were not: they come again by themselves.
    let ToAgent::IAMRoleCredentialsMessage(again) = agent.next().await else { panic!("credentials") };
    assert_eq!((again.role_type.as_str(), Some(again.task_arn.as_str())), ("TaskApplication", task["arn"].as_str()));
    let credentials = again.role_credentials.unwrap();
    assert_eq!(Some(credentials.credentials_id.as_str()), sent["credentialsId"].as_str());
    let ack = IAMRoleCredentialsAckRequest {
        message_id: again.message_id,
        expiration: credentials.expiration,
        credentials_id: credentials.credentials_id,
    };
    agent.send(ack.into()).await;
    // Sent once more, the task brings along what it has.
    let order = json!({"fault": "redeliver"}).to_string();
    let done = http(&w.endpoint(), "POST /local/faults", &[], &order).await.json();
    assert_eq!(done["done"], "tasks sent again: 1");
    assert_eq!(agent.task().await["roleCredentials"], sent);
    w.plane.shutdown().await;
}

#[tokio::test]
async fn faults_meet_the_upgrades_of_websockets() {
    let w = plain().await;
    let (instance, _) = w.instance().await;
    let agent = w.agent(&instance).await;
    let order = async |order: Value| {
        let answer = http(&w.endpoint(), "POST /local/faults", &[], &order.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["id"].as_u64()
    };
    let status = async || match w.dial(&agent.arn, Some(support::STRANGER)).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        Ok(_) => 101,
        Err(error) => panic!("{error}"),
    };
    order(json!({"fault": "error", "operation": "Poll", "error": "throttle", "times": 1})).await;
    assert_eq!((status().await, status().await), (400, 101));
    // One that is late is served; one that hangs is refused when the fault is over, and the next is served.
    order(json!({"fault": "delay", "operation": "Poll", "delaySeconds": 0.1, "times": 1})).await;
    let begun = std::time::Instant::now();
    assert_eq!(status().await, 101);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    order(json!({"fault": "hang", "operation": "Poll", "seconds": 0.2})).await;
    assert_eq!((status().await, status().await), (500, 101));
    // Telemetry's is another operation.
    order(json!({"fault": "error", "operation": "StartTelemetrySession", "error": "server"})).await;
    assert_eq!(status().await, 101);
    w.plane.shutdown().await;
}
