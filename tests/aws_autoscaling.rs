//! Leaving, played by the plane: `aws autoscaling` and `aws ec2`, the metadata service, and `batch-node-agent local interrupt`.

use serde_json::{Value, json};

use crate::aws_cli::Aws;
use crate::common::plane::{Instance, Plane};
use crate::common::{binary, eventually, http, text};

const GROUP: [&str; 2] = ["--auto-scaling-group-name", "local"];

fn autoscaling(aws: &Aws<'_>, operation: &str, args: &[&str]) -> Value {
    aws.ok(&[&["autoscaling", operation], args].concat())
}

/// `null` where it is none.
fn member(aws: &Aws<'_>, id: &str) -> Value {
    let found = autoscaling(aws, "describe-auto-scaling-instances", &["--instance-ids", id]);
    found["AutoScalingInstances"][0].clone()
}

/// The instances that have an agent, once there are so many.
fn working(plane: &Plane, count: usize) -> Vec<Instance> {
    eventually(&format!("{count} running instances"), || {
        let running: Vec<_> = plane.instances().into_iter().filter(|i| i.state == "running").collect();
        (running.len() == count).then_some(running)
    })
}

fn in_state(plane: &Plane, id: &str, state: &str) {
    eventually(&format!("{id} {state}"), || plane.instances().into_iter().find(|i| i.id == id && i.state == state));
}

fn local(plane: &Plane, command: &str, args: &[&str]) -> Result<String, String> {
    let output = binary().args(["local", command, "--endpoint", &plane.endpoint]).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Of the metadata service of an instance made by hand.
fn imds(instance: &Instance, path: &str) -> Option<String> {
    let imds = instance.imds.as_deref().unwrap();
    let ttl = ("X-aws-ec2-metadata-token-ttl-seconds", "60");
    let token = http::put(&format!("{imds}/latest/api/token"), ttl).body;
    let header = ("X-aws-ec2-metadata-token", token.as_str());
    let answer = http::get(&format!("{imds}/latest/meta-data/{path}"), header);
    assert!([200, 404].contains(&answer.status), "{path}: {}", answer.status);
    (answer.status == 200).then_some(answer.body)
}

#[test]
fn a_group_keeps_its_size_and_says_why_it_refuses() {
    let plane = Plane::start(&["--max-nodes", "2", "--min-size", "1", "--idle-timeout", "10m"]);
    let aws = Aws(&plane);
    let first = working(&plane, 1).remove(0);
    let shown = autoscaling(&aws, "describe-auto-scaling-groups", &["--auto-scaling-group-names", "local"]);
    let group = &shown["AutoScalingGroups"][0];
    assert_eq!((&group["MinSize"], &group["MaxSize"], &group["DesiredCapacity"]), (&json!(1), &json!(2), &json!(1)));
    assert_eq!((&group["Instances"][0]["InstanceId"], &group["SuspendedProcesses"]), (&json!(first.id), &json!([])));
    let shown = member(&aws, &first.id);
    assert_eq!((text(&shown["LifecycleState"]), text(&shown["HealthStatus"])), ("InService", "HEALTHY"));
    assert_eq!((text(&shown["AutoScalingGroupName"]), &shown["ProtectedFromScaleIn"]), ("local", &json!(false)));

    let end = ["autoscaling", "terminate-instance-in-auto-scaling-group", "--instance-id", &first.id];
    let said = aws.refused(&[&end[..], &["--should-decrement-desired-capacity"]].concat());
    assert!(said.contains("An error occurred (ValidationError)"), "{said}");
    let words = "Currently, desiredSize equals minSize (1). Terminating instance without replacement will violate group's min \
                 size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.";
    assert!(said.contains(words), "{said}");
    let said = aws.refused(&[&["autoscaling", "set-desired-capacity", "--desired-capacity", "3"], &GROUP[..]].concat());
    assert!(said.contains("New SetDesiredCapacity value 3 is above max value 2"), "{said}");

    let begun = aws.ok(&[&end[..], &["--no-should-decrement-desired-capacity"]].concat());
    assert_eq!(begun["Activity"]["StatusCode"], "InProgress");
    in_state(&plane, &first.id, "terminated");
    let second = working(&plane, 1).remove(0);
    assert_ne!(second.id, first.id);
    assert_eq!(member(&aws, &first.id), Value::Null);
    autoscaling(&aws, "set-instance-health", &["--instance-id", &second.id, "--health-status", "Unhealthy"]);
    in_state(&plane, &second.id, "terminated");
    working(&plane, 1);
}

#[test]
fn a_hook_holds_an_instance_until_it_is_completed() {
    let plane = Plane::start(&["--max-nodes", "0"]);
    let aws = Aws(&plane);
    let host = plane.run_instance();
    let name = ["--auto-scaling-group-name", "hand"];
    autoscaling(
        &aws,
        "create-auto-scaling-group",
        &[&name[..], &["--min-size", "0", "--max-size", "2", "--launch-template", "LaunchTemplateName=any"]].concat(),
    );
    autoscaling(&aws, "attach-instances", &[&name[..], &["--instance-ids", &host.id]].concat());
    assert_eq!(imds(&host, "autoscaling/target-lifecycle-state").as_deref(), Some("InService"));
    let hook = [&name[..], &["--lifecycle-hook-name", "drain"]].concat();
    let put = ["--lifecycle-transition", "autoscaling:EC2_INSTANCE_TERMINATING", "--heartbeat-timeout", "600"];
    autoscaling(&aws, "put-lifecycle-hook", &[&hook[..], &put, &["--default-result", "CONTINUE"]].concat());
    let hooks = autoscaling(&aws, "describe-lifecycle-hooks", &name)["LifecycleHooks"].take();
    assert_eq!((&hooks[0]["HeartbeatTimeout"], &hooks[0]["GlobalTimeout"]), (&json!(600), &json!(60_000)));

    let protect = [&name[..], &["--instance-ids", &host.id, "--protected-from-scale-in"]].concat();
    autoscaling(&aws, "set-instance-protection", &protect);
    autoscaling(&aws, "set-desired-capacity", &[&name[..], &["--desired-capacity", "0"]].concat());
    assert_eq!(text(&member(&aws, &host.id)["LifecycleState"]), "InService", "it is protected");
    let open = [&name[..], &["--instance-ids", &host.id, "--no-protected-from-scale-in"]].concat();
    autoscaling(&aws, "set-instance-protection", &open);
    assert_eq!(text(&member(&aws, &host.id)["LifecycleState"]), "Terminating:Wait");
    assert_eq!(imds(&host, "autoscaling/target-lifecycle-state").as_deref(), Some("Terminated"));
    let said = aws.refused(&[&["autoscaling", "set-instance-protection"], &protect[..]].concat());
    assert!(said.contains("is not in InService or EnteringStandby or Standby."), "{said}");

    let of = [&hook[..], &["--instance-id", &host.id]].concat();
    autoscaling(&aws, "record-lifecycle-action-heartbeat", &of);
    let done = [&of[..], &["--lifecycle-action-result", "CONTINUE"]].concat();
    autoscaling(&aws, "complete-lifecycle-action", &done);
    in_state(&plane, &host.id, "terminated");
    let said = aws.refused(&[&["autoscaling", "complete-lifecycle-action"], &done[..]].concat());
    assert!(said.contains(&format!("No active Lifecycle Action found with instance ID {}", host.id)), "{said}");
}

#[test]
fn suspended_processes_are_shown_and_obeyed() {
    let plane = Plane::start(&["--max-nodes", "1", "--min-size", "1", "--idle-timeout", "10m"]);
    let aws = Aws(&plane);
    let host = working(&plane, 1).remove(0);
    autoscaling(&aws, "suspend-processes", &[&GROUP[..], &["--scaling-processes", "Terminate", "Launch"]].concat());
    let shown = autoscaling(&aws, "describe-auto-scaling-groups", &[]);
    let suspended = &shown["AutoScalingGroups"][0]["SuspendedProcesses"];
    assert_eq!((text(&suspended[0]["ProcessName"]), text(&suspended[1]["ProcessName"])), ("Launch", "Terminate"));
    autoscaling(
        &aws,
        "update-auto-scaling-group",
        &[&GROUP[..], &["--min-size", "0", "--desired-capacity", "0"]].concat(),
    );
    assert_eq!(text(&member(&aws, &host.id)["LifecycleState"]), "InService");
    autoscaling(&aws, "resume-processes", &GROUP);
    in_state(&plane, &host.id, "terminated");
}

#[test]
fn spot_takes_a_host_and_its_job_is_tried_again() {
    let plane = Plane::start(&["--max-nodes", "2", "--idle-timeout", "10m"]);
    let rules = json!({"attempts": 3, "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"}]});
    let command = json!(["sh", "-c", "[ $AWS_BATCH_JOB_ATTEMPT = 2 ] || sleep 600"]);
    let job = plane.submit(&json!({"retryStrategy": rules, "containerOverrides": {"command": command}}));
    plane.job_in(&job, "RUNNING");
    let host = working(&plane, 1).remove(0);
    let said = local(&plane, "interrupt", &["--spot", "1s"]).unwrap();
    assert!(said.starts_with(&format!("{}: Spot will terminate it in 1 s\n", host.id)), "{said}");
    let socket = plane.node_dir(&host.id).join("agent.sock");
    assert!(said.contains(&format!("status --socket {}\n", socket.display())), "{said}");
    in_state(&plane, &host.id, "terminated");
    let job = plane.job_in(&job, "SUCCEEDED");
    let reason = format!("Host EC2 (instance {}) terminated.", host.id);
    assert_eq!(job["attempts"][0]["statusReason"], reason.as_str(), "{job:#}");
    assert_eq!(job["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_host_hears_what_is_to_come_and_that_it_does_not() {
    let plane = Plane::without_nodes();
    let host = plane.run_instance();
    let paths = ["spot/instance-action", "events/recommendations/rebalance", "autoscaling/target-lifecycle-state"];
    assert!(paths.iter().all(|path| imds(&host, path).is_none()));
    assert_eq!(imds(&host, "events/maintenance/scheduled").as_deref(), Some("[]"));
    for order in [&["--spot", "1h"][..], &["--rebalance"], &["--maintenance", "system-reboot", "--in", "2h"]] {
        local(&plane, "interrupt", order).unwrap();
    }
    let json = |path| serde_json::from_str::<Value>(&imds(&host, path).unwrap()).unwrap();
    let notice = json("spot/instance-action");
    assert_eq!(
        (text(&notice["action"]), Some(text(&notice["time"]))),
        ("terminate", imds(&host, "spot/termination-time").as_deref())
    );
    assert!(text(&json("events/recommendations/rebalance")["noticeTime"]).ends_with('Z'));
    let event = json("events/maintenance/scheduled")[0].take();
    assert_eq!((text(&event["Code"]), text(&event["State"])), ("system-reboot", "active"));
    assert!(text(&event["NotBefore"]).ends_with(" GMT"), "{event}");
    local(&plane, "interrupt", &["--cancel"]).unwrap();
    assert_eq!(imds(&host, "spot/instance-action"), None);
    assert_eq!(text(&json("events/maintenance/history")[0]["Description"]), "[Canceled] scheduled reboot");
    let second = plane.run_instance();
    let said = local(&plane, "interrupt", &["--rebalance"]).unwrap_err();
    assert!(said.contains("which instance?") && said.contains(&second.id), "{said}");
    assert!(local(&plane, "interrupt", &["--scale-in", "--instance", &second.id]).unwrap_err().contains("No managed"));
    let said = local(&plane, "interrupt", &["--stop", "--instance", &second.id]).unwrap();
    let follows = format!("then the jobs that still run there end with \"Host EC2 (instance {}) stopped.\"", second.id);
    assert_eq!(said, format!("{}: stopping\n{follows}", second.id));
    in_state(&plane, &second.id, "stopped");
}

#[test]
fn what_a_host_may_not_do_is_denied_as_iam_denies_it() {
    let plane = Plane::without_nodes();
    let host = plane.run_instance();
    let role = imds(&host, "iam/security-credentials/").unwrap();
    let keys: Value = serde_json::from_str(&imds(&host, &format!("iam/security-credentials/{role}")).unwrap()).unwrap();
    let as_host = |args: &[&str]| {
        let mut command = crate::aws_cli::with_credentials("aws");
        command.env("AWS_ACCESS_KEY_ID", text(&keys["AccessKeyId"]));
        command.env("AWS_SECRET_ACCESS_KEY", text(&keys["SecretAccessKey"]));
        command.env("AWS_SESSION_TOKEN", text(&keys["Token"]));
        let output = command.args(["--endpoint-url", &plane.endpoint]).args(args).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let dry = ["ec2", "terminate-instances", "--dry-run", "--instance-ids", &host.id];
    assert!(as_host(&dry).contains("(DryRunOperation)"), "{}", as_host(&dry));
    local(&plane, "deny", &["ec2:TerminateInstances"]).unwrap();
    local(&plane, "deny", &["autoscaling:*"]).unwrap();
    let said = as_host(&dry);
    assert!(said.contains("(UnauthorizedOperation)") && said.contains("ec2:TerminateInstances"), "{said}");
    let said = as_host(&["autoscaling", "describe-auto-scaling-instances"]);
    assert!(said.contains("(AccessDenied)") && said.contains("is not authorized to perform"), "{said}");
    // The user is no host.
    assert!(Aws(&plane).refused(&dry).contains("(DryRunOperation)"));
    assert_eq!(local(&plane, "deny", &[]).unwrap(), "autoscaling:*\nec2:terminateinstances");
    local(&plane, "allow", &[]).unwrap();
    assert!(as_host(&dry).contains("(DryRunOperation)"));
}

#[test]
fn jobs_that_wait_are_shown_to_a_host_that_would_go() {
    let plane = Plane::without_nodes();
    let aws = Aws(&plane);
    let small = plane.shell("hello", "true");
    let large =
        plane.submit(&json!({"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "4096"}]}}));
    let front = aws.ok(&["batch", "get-job-queue-snapshot", "--job-queue", "local"])["frontOfQueue"]["jobs"].take();
    let arns: Vec<&str> = front.as_array().unwrap().iter().map(|job| text(&job["jobArn"])).collect();
    assert!(arns[0].ends_with(&small) && arns[1].ends_with(&large), "{arns:?}");
    let listed = aws.ok(&["batch", "list-jobs", "--job-queue", "local", "--job-status", "RUNNABLE"]);
    assert_eq!(listed["jobSummaryList"].as_array().unwrap().len(), 2);
    let job = aws.ok(&["batch", "describe-jobs", "--jobs", &large])["jobs"][0].take();
    let needs = job["container"]["resourceRequirements"].as_array().unwrap();
    assert!(needs.contains(&json!({"type": "VCPU", "value": "4096"})), "{job:#}");
    let queues = aws.ok(&["batch", "describe-job-queues"]);
    let order = &queues["jobQueues"][0]["computeEnvironmentOrder"][0];
    assert!(text(&order["computeEnvironment"]).ends_with("compute-environment/local"));
}
