//! What every scenario stands on: a plane without nodes of its own, jobs that note what befalls them, and hosts.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::{binary, eventually, http, lines, text};

pub(super) struct Stage {
    pub(super) plane: Plane,
    /// What jobs of definition `work` find at `/work`.
    work: TempDir,
}

/// An instance of the plane's, and its agent. Dropped before its stage.
pub(super) struct Host {
    pub(super) id: String,
    agent: Agent,
}

impl Deref for Host {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl DerefMut for Host {
    fn deref_mut(&mut self) -> &mut Agent {
        &mut self.agent
    }
}

impl Host {
    pub(super) fn start(id: String, setup: Setup) -> Self {
        Self { id, agent: Agent::start(setup) }
    }

    /// Runs a command of the operator's against this agent, and gives what it prints.
    pub(super) fn order(&self, args: &[&str]) -> String {
        order(&self.agent, args)
    }

    pub(super) fn in_phase(&self, phase: &str) -> Value {
        self.status_with(&format!("a host that is {phase}"), |status| status["state"]["phase"] == phase)
    }

    /// Waits until it says this of why it is alive.
    pub(super) fn says(&self, part: &str) -> Value {
        self.status_with(&format!("a host that says {part:?}"), |status| text(&status["state"]["why"]).contains(part))
    }

    /// How often this has happened since the agent's start.
    pub(super) fn happened(&self, what: &str) -> u64 {
        self.status()["leaving"]["counters"][what].as_u64().unwrap_or_default()
    }
}

pub(super) fn order(agent: &Agent, args: &[&str]) -> String {
    let output = binary().args(args).arg("--socket").arg(agent.file("agent.sock")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out.into_owned()
}

impl Stage {
    pub(super) fn new() -> Self {
        let stage = Self { plane: Plane::without_nodes(), work: tempfile::tempdir().unwrap() };
        stage.plane.define_with_work("work", stage.work.path());
        stage
    }

    /// A new instance, and an agent for it that hears of notices at once.
    pub(super) fn setup(&self, settings: &[(&str, &str)]) -> (String, Setup) {
        let instance = self.plane.run_instance();
        let quick = Setup::on(&self.plane, &instance).set("notice_interval", r#""100ms""#);
        let setup = settings.iter().fold(quick, |setup, (key, value)| setup.set(key, &toml(value)));
        (instance.id, setup)
    }

    pub(super) fn start(&self, settings: &[(&str, &str)]) -> Host {
        let (id, setup) = self.setup(settings);
        Host::start(id, setup)
    }

    /// One that has joined.
    pub(super) fn host(&self, settings: &[(&str, &str)]) -> Host {
        let host = self.start(settings);
        host.joined();
        host
    }

    /// One in a group of its own, which is as `prepare` makes it before the agent starts.
    pub(super) fn start_in(
        &self,
        (group, min_size): (&str, u32),
        prepare: impl FnOnce(&Self),
        settings: &[(&str, &str)],
    ) -> Host {
        let (id, setup) = self.setup(settings);
        self.group(group, min_size, &id);
        prepare(self);
        Host::start(id, setup)
    }

    /// Submits a shell script of definition `work`, with whatever else the request is to hold.
    pub(super) fn submit(&self, script: &str, environment: &Value, more: &Value) -> String {
        let overrides = json!({"command": ["sh", "-c", script], "environment": environment});
        let mut request = json!({"jobDefinition": "work", "containerOverrides": overrides});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.plane.submit(&request)
    }

    /// Submits a job that runs `prepare`, says so in the file `name`, and ends well once it is released.
    pub(super) fn begin(&self, name: &str, prepare: &str, environment: &Value) -> String {
        self.submit(&waits(name, prepare), environment, &json!({}))
    }

    /// And waits until it runs.
    pub(super) fn running(&self, name: &str, prepare: &str, environment: &Value) -> String {
        let id = self.begin(name, prepare, environment);
        self.runs(&id, name);
        id
    }

    pub(super) fn runs(&self, id: &str, name: &str) {
        self.plane.job_in(id, "RUNNING");
        eventually(&format!("the first words of {name}"), || (self.said(name) > 0).then_some(()));
    }

    pub(super) fn release(&self, name: &str) {
        std::fs::write(self.file(&format!("{name}.go")), "").unwrap();
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// How many lines jobs wrote into this file.
    pub(super) fn said(&self, name: &str) -> usize {
        lines(&self.file(name))
    }

    /// A host that works takes a job and ends it well.
    pub(super) fn works(&self) -> Value {
        let id = self.plane.shell("hello", "true");
        self.plane.job_in(&id, "SUCCEEDED")
    }

    pub(super) fn terminated(&self, id: &str) {
        eventually(&format!("the end of {id}"), || (self.state(id) == "terminated").then_some(()));
    }

    pub(super) fn state(&self, id: &str) -> String {
        self.plane.instances().into_iter().find(|instance| instance.id == id).unwrap().state
    }

    /// EC2 takes the instance, whatever runs there.
    pub(super) fn take(&self, id: &str) {
        self.form(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    }

    pub(super) fn interrupt(&self, id: &str, mut order: Value) {
        order["instance"] = json!(id);
        self.control("interrupts", &order);
    }

    pub(super) fn deny(&self, action: &str) {
        self.control("denials", &json!({"action": action}));
    }

    fn control(&self, what: &str, order: &Value) {
        let answer = http::post(&format!("{}/local/{what}", self.plane.endpoint), &[], &order.to_string());
        assert_eq!(answer.status, 200, "{order}: {}", answer.body);
    }

    pub(super) fn allow_all(&self) {
        assert!(binary().args(["local", "allow", "--endpoint", &self.plane.endpoint]).status().unwrap().success());
    }

    /// A group of this instance and, at first, no others.
    fn group(&self, name: &str, min_size: u32, id: &str) {
        self.autoscaling("CreateAutoScalingGroup", name, "MinSize=0&MaxSize=4");
        self.autoscaling("AttachInstances", name, &format!("InstanceIds.member.1={id}"));
        self.autoscaling("UpdateAutoScalingGroup", name, &format!("MinSize={min_size}"));
    }

    /// A termination life-cycle hook that waits so long for a heartbeat.
    pub(super) fn hook(&self, group: &str, name: &str, timeout: Duration) {
        let transition = "LifecycleTransition=autoscaling%3AEC2_INSTANCE_TERMINATING";
        let more = format!("LifecycleHookName={name}&{transition}&HeartbeatTimeout={}", timeout.as_secs());
        self.autoscaling("PutLifecycleHook", group, &more);
    }

    pub(super) fn autoscaling(&self, action: &str, group: &str, more: &str) -> String {
        self.form(&format!("Action={action}&Version=2011-01-01&AutoScalingGroupName={group}&{more}"))
    }

    /// The desired capacity of a group, and the instances that it has in service.
    pub(super) fn members(&self, group: &str) -> (String, Vec<String>) {
        let shown =
            self.autoscaling("DescribeAutoScalingGroups", group, &format!("AutoScalingGroupNames.member.1={group}"));
        let in_service = shown.split("<InstanceId>").skip(1).filter(|item| item.contains("<LifecycleState>InService<"));
        let ids = in_service.map(|item| item.split_once('<').unwrap().0.to_owned()).collect();
        (between(&shown, "<DesiredCapacity>"), ids)
    }

    /// What an instance is to its group: `LifecycleState`, `ProtectedFromScaleIn` and the like.
    pub(super) fn member(&self, id: &str, what: &str) -> String {
        let form = format!("Action=DescribeAutoScalingInstances&Version=2011-01-01&InstanceIds.member.1={id}");
        between(&self.form(&form), &format!("<{what}>"))
    }

    pub(super) fn protected(&self, id: &str, is: bool) {
        eventually(&format!("{id} protected from scale-in: {is}"), || {
            (self.member(id, "ProtectedFromScaleIn") == is.to_string()).then_some(())
        });
    }

    fn form(&self, form: &str) -> String {
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = http::post(&self.plane.endpoint, &kind, form);
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        answer.body
    }
}

fn between(xml: &str, tag: &str) -> String {
    let (_, rest) = xml.split_once(tag).unwrap_or_else(|| panic!("no {tag} in {xml}"));
    rest.split_once('<').unwrap().0.to_owned()
}

/// A text where it is no number and no truth value.
fn toml(value: &str) -> String {
    let bare = value.parse::<u64>().is_ok() || matches!(value, "true" | "false");
    if bare { value.to_owned() } else { format!("{value:?}") }
}

fn waits(name: &str, prepare: &str) -> String {
    format!("{prepare}\necho >>/work/{name}; while [ ! -e /work/{name}.go ]; do sleep 0.05; done")
}

/// What a job asks for that wants this signal, so long before the end.
pub(super) fn warned(signal: &str, lead: &str) -> Value {
    let variable =
        |name: &str, value: &str| json!({"name": format!("BATCH_NODE_AGENT_INTERRUPTION_{name}"), "value": value});
    json!([variable("SIGNAL", signal), variable("LEAD_SECONDS", lead)])
}

/// The usual rule of those who run on hosts that may be taken.
pub(super) fn retry() -> Value {
    json!({"retryStrategy": {"attempts": 3, "evaluateOnExit": [
        {"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]}})
}

/// ECS's words for a task whose host is gone.
pub(super) fn host_gone(id: &str) -> String {
    format!("Host EC2 (instance {id}) terminated.")
}
