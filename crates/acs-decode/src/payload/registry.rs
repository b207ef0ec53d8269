//! `registryAuthentication`: with whose login an image is to be pulled.

use node_core::{AsmAuth, EcrAuth, RegistryAuth};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    #[serde(rename = "type")]
    kind: Option<String>,
    ecr_auth_data: Option<Ecr>,
    asm_auth_data: Option<Asm>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Asm {
    credentials_parameter: Option<String>,
    region: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Ecr {
    registry_id: Option<String>,
    region: Option<String>,
    endpoint_override: Option<String>,
    use_execution_role: Option<bool>,
}

pub(super) fn auth(wire: Option<&Value>) -> Result<Option<RegistryAuth>, String> {
    let Some(wire) = wire.filter(|wire| !wire.is_null()) else { return Ok(None) };
    let wire: Wire =
        serde_json::from_value(wire.clone()).map_err(|_| "registryAuthentication cannot be read".to_owned())?;
    match wire.kind.as_deref() {
        None | Some("") => Ok(None),
        Some("ecr") => {
            let data = wire.ecr_auth_data.ok_or("registryAuthentication of type ecr without ecrAuthData")?;
            Ok(Some(RegistryAuth::Ecr(EcrAuth {
                registry_id: data.registry_id.unwrap_or_default(),
                region: data.region.unwrap_or_default(),
                endpoint_override: data.endpoint_override.filter(|endpoint| !endpoint.is_empty()),
                use_execution_role: data.use_execution_role.unwrap_or(false),
            })))
        }
        Some("asm") => {
            let data = wire.asm_auth_data.unwrap_or_default();
            let parameter = data.credentials_parameter.filter(|parameter| !parameter.is_empty());
            let parameter = parameter.ok_or("registryAuthentication of type asm without a credentialsParameter")?;
            let region = data.region.unwrap_or_default();
            Ok(Some(RegistryAuth::Asm(AsmAuth { credentials_parameter: parameter, region })))
        }
        Some(other) => Err(format!("registryAuthentication of type {other:?}: it must be ecr or asm")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_types_are_decoded_and_the_rest_refused_by_name() {
        let data = json!({"registryId": "111122223333", "region": "us-east-1", "useExecutionRole": true});
        let ecr = auth(Some(&json!({"type": "ecr", "ecrAuthData": data}))).unwrap().unwrap();
        let RegistryAuth::Ecr(wanted) = &ecr else { panic!("{ecr:?}") };
        assert_eq!((wanted.registry_id.as_str(), wanted.region.as_str()), ("111122223333", "us-east-1"));
        assert!(ecr.needs_execution_role() && wanted.endpoint_override.is_none());
        let data = json!({"credentialsParameter": "arn:s", "region": "us-east-1"});
        let asm = auth(Some(&json!({"type": "asm", "asmAuthData": data}))).unwrap();
        let expected = AsmAuth { credentials_parameter: "arn:s".into(), region: "us-east-1".into() };
        assert_eq!(asm, Some(RegistryAuth::Asm(expected)));
        for nothing in [None, Some(json!(null)), Some(json!({})), Some(json!({"type": ""}))] {
            assert_eq!(auth(nothing.as_ref()), Ok(None));
        }
        for (wire, word) in [
            (json!({"type": "ecr"}), "ecrAuthData"),
            (json!({"type": "asm", "asmAuthData": {}}), "credentialsParameter"),
            (json!({"type": "moon"}), "moon"),
            (json!("ecr"), "cannot be read"),
        ] {
            let why = auth(Some(&wire)).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
