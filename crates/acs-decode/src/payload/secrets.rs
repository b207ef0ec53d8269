//! `secrets` of a container: where each is, and what becomes of it.

use node_core::{SecretProvider, SecretRef, SecretTarget};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    name: Option<String>,
    value_from: Option<String>,
    region: Option<String>,
    container_path: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    provider: Option<String>,
    target: Option<String>,
}

/// A secret that would not arrive where the job looks for it is refused.
pub(super) fn secret(wire: &Value) -> Result<SecretRef, String> {
    let wire: Wire = serde_json::from_value(wire.clone()).map_err(|_| "secrets cannot be read".to_owned())?;
    let name = wire.name.filter(|name| !name.is_empty()).ok_or("a secret without a name")?;
    let within = |text: String| format!("secret {name:?}: {text}");
    let value_from = wire.value_from.filter(|from| !from.is_empty());
    let value_from = value_from.ok_or_else(|| within("no valueFrom".to_owned()))?;
    let provider = match wire.provider.as_deref() {
        Some("ssm") => SecretProvider::Ssm,
        Some("asm") => SecretProvider::Asm,
        other => return Err(within(format!("provider {:?}: it must be ssm or asm", other.unwrap_or_default()))),
    };
    let target = match wire.target.as_deref() {
        None | Some("" | "CONTAINER") => SecretTarget::Environment,
        Some("LOG_DRIVER") => SecretTarget::LogDriver,
        Some(other) => return Err(within(format!("target {other:?}: it must be CONTAINER or LOG_DRIVER"))),
    };
    let kind = wire.kind.as_deref().unwrap_or_default();
    if target == SecretTarget::Environment && !matches!(kind, "" | "ENVIRONMENT_VARIABLE") {
        return Err(within(format!("type {kind:?}: it must be ENVIRONMENT_VARIABLE")));
    }
    if wire.container_path.is_some_and(|path| !path.is_empty()) {
        return Err(within("a containerPath: not supported by this agent".to_owned()));
    }
    Ok(SecretRef { name, value_from, region: wire.region.unwrap_or_default(), provider, target })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_a_variable_or_an_option_of_the_log_driver() {
        let wire = json!({"name": "TOKEN", "valueFrom": "/a/b", "region": "eu-west-1", "provider": "ssm",
            "type": "ENVIRONMENT_VARIABLE", "target": "CONTAINER", "containerPath": null});
        let expected = SecretRef {
            name: "TOKEN".into(),
            value_from: "/a/b".into(),
            region: "eu-west-1".into(),
            provider: SecretProvider::Ssm,
            target: SecretTarget::Environment,
        };
        assert_eq!(secret(&wire), Ok(expected));
        let wire = json!({"name": "splunk-token", "valueFrom": "arn:s", "provider": "asm", "target": "LOG_DRIVER"});
        let read = secret(&wire).unwrap();
        assert_eq!((read.provider, read.target), (SecretProvider::Asm, SecretTarget::LogDriver));
        assert_eq!(read.region, "");
    }

    #[test]
    fn what_would_not_arrive_is_refused_by_name() {
        let full = json!({"name": "T", "valueFrom": "v", "provider": "ssm"});
        for (key, value, word) in [
            ("name", json!(""), "without a name"),
            ("valueFrom", json!(null), "valueFrom"),
            ("provider", json!("vault"), "vault"),
            ("target", json!("MOON"), "MOON"),
            ("type", json!("MOUNT_POINT"), "MOUNT_POINT"),
            ("containerPath", json!("/run/secret"), "containerPath"),
        ] {
            let mut wire = full.clone();
            wire[key] = value;
            let why = secret(&wire).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
