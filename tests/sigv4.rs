//! Signatures by the real AWS CLI, with the keys that an instance of the plane finds in its metadata service.

use serde_json::{Value, json};

use crate::aws_cli::with_credentials;
use crate::common::agent::{Agent, Setup};
use crate::common::plane::Plane;
use crate::common::{eventually, http, last, text};

/// A key, its secret and its session token.
struct Key {
    id: String,
    secret: String,
    token: String,
}

impl Key {
    fn of_instance(imds: &str) -> Self {
        let token = http::put(&format!("{imds}/latest/api/token"), ("x-aws-ec2-metadata-token-ttl-seconds", "60")).body;
        let role = "latest/meta-data/iam/security-credentials/local-batch-instance";
        let found = http::get(&format!("{imds}/{role}"), ("x-aws-ec2-metadata-token", &token)).json();
        Self::read(&found)
    }

    fn read(found: &Value) -> Self {
        let of = |name: &str| text(&found[name]).to_owned();
        Self { id: of("AccessKeyId"), secret: of("SecretAccessKey"), token: of("Token") }
    }

    /// What the CLI prints, or what it complains about.
    fn aws(&self, plane: &Plane, args: &[&str]) -> Result<Value, String> {
        let mut command = with_credentials("aws");
        command.env("AWS_ACCESS_KEY_ID", &self.id).env("AWS_SECRET_ACCESS_KEY", &self.secret);
        command.env("AWS_SESSION_TOKEN", &self.token).env("AWS_MAX_ATTEMPTS", "1");
        command.args(["--endpoint-url", &plane.endpoint, "--output", "json"]).args(args);
        let output = command.output().unwrap();
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).unwrap_or_default()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }
}

/// A call of each service, and its names for a wrong signature, a foreign token and an end.
const CALLS: [(&[&str], [&str; 3]); 5] = [
    (&["sts", "get-caller-identity"], ["SignatureDoesNotMatch", "InvalidClientTokenId", "ExpiredToken"]),
    (
        &["batch", "describe-job-queues"],
        ["InvalidSignatureException", "UnrecognizedClientException", "ExpiredTokenException"],
    ),
    (&["ecs", "list-clusters"], ["InvalidSignatureException", "UnrecognizedClientException", "ExpiredTokenException"]),
    (
        &["logs", "describe-log-groups"],
        ["InvalidSignatureException", "UnrecognizedClientException", "ExpiredTokenException"],
    ),
    (&["ec2", "describe-instances"], ["AuthFailure", "AuthFailure", "RequestExpired"]),
];

#[test]
fn issued_keys_are_verified_in_every_protocol() {
    let plane = Plane::without_nodes();
    let instance = plane.run_instance();
    let key = Key::of_instance(instance.imds.as_deref().unwrap());
    let who = key.aws(&plane, &["sts", "get-caller-identity"]).unwrap();
    let expected = format!("arn:aws:sts::123456789012:assumed-role/local-batch-instance/{}", instance.id);
    assert_eq!(text(&who["Arn"]), expected);
    // A path that is percent-encoded, and encoded once more in its signature.
    let queues = key.aws(&plane, &["batch", "describe-job-queues"]).unwrap();
    let arn = text(&queues["jobQueues"][0]["jobQueueArn"]);
    key.aws(&plane, &["batch", "tag-resource", "--resource-arn", arn, "--tags", "a=b c"]).unwrap();

    let forged = Key { secret: "guess".into(), token: key.token.clone(), id: key.id.clone() };
    let foreign = Key { token: "other".into(), secret: key.secret.clone(), id: key.id.clone() };
    for (call, [wrong, stranger, _]) in CALLS {
        key.aws(&plane, call).unwrap_or_else(|error| panic!("{call:?}: {error}"));
        let error = forged.aws(&plane, call).unwrap_err();
        assert!(error.contains(&format!("({wrong})")), "{call:?}: {error}");
        let error = foreign.aws(&plane, call).unwrap_err();
        assert!(error.contains(&format!("({stranger})")), "{call:?}: {error}");
    }
    plane.fault(&json!({"fault": "expire-credentials"}));
    for (call, [.., expired]) in CALLS {
        let error = key.aws(&plane, call).unwrap_err();
        assert!(error.contains(&format!("({expired})")), "{call:?}: {error}");
    }
    let renewed = Key::of_instance(instance.imds.as_deref().unwrap());
    assert_ne!(renewed.id, key.id);
    renewed.aws(&plane, &["ecs", "list-clusters"]).unwrap();
}

#[test]
fn a_job_proves_its_role_with_keys_that_are_renewed() {
    let plane = Plane::start(&["--max-nodes", "0", "--credentials-lifetime", "12"]);
    let _agent = Agent::on(&plane);
    let work = tempfile::tempdir().unwrap();
    let volumes = json!([{"name": "work", "host": {"sourcePath": work.path()}}]);
    let mounts = json!([{"sourceVolume": "work", "containerPath": "/work"}]);
    plane.define(
        "role",
        &json!({"jobRoleArn": "arn:aws:iam::123456789012:role/team/reader", "volumes": volumes,
        "mountPoints": mounts}),
    );
    let tell = "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI >/work/new; mv /work/new /work/address";
    let id = plane.shell("role", &format!("{tell}; while [ ! -e /work/go ]; do sleep 0.05; done"));
    let address = eventually("its credentials' address", || std::fs::read_to_string(work.path().join("address")).ok());
    let fetch = || Key::read(&http::get(address.trim(), ("User-Agent", "test")).json());
    let first = fetch();
    let who = |key: &Key| key.aws(&plane, &["sts", "get-caller-identity"]);
    let task = text(&plane.job(&id)["container"]["taskArn"]).to_owned();
    let arn = format!("arn:aws:sts::123456789012:assumed-role/reader/{}", last(&task));
    assert_eq!(text(&who(&first).unwrap()["Arn"]), arn);
    let renewed = eventually("new credentials", || Some(fetch()).filter(|key| key.id != first.id));
    assert_eq!(text(&who(&renewed).unwrap()["Arn"]), arn);
    let error = eventually("the end of the first", || who(&first).err());
    assert!(error.contains("(ExpiredToken)"), "{error}");
    std::fs::write(work.path().join("go"), "").unwrap();
    plane.job_in(&id, "SUCCEEDED");
}

#[test]
fn an_agent_with_a_key_of_its_own_is_let_in() {
    let plane = Plane::without_nodes();
    let setup = Setup::on(&plane, &plane.run_instance());
    let _agent = Agent::start(setup.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "y"));
    plane.job_in(&plane.shell("hello", "true"), "SUCCEEDED");
}
