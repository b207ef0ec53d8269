//! Reading JSON requests: a field that does not fit is named.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;

/// Reads a request. AWS takes a null for an absent field, and so does this. An empty body reads as `{}`.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], error_code: &'static str) -> Result<T, ApiError> {
    let refuse = |text: String| ApiError::new(error_code, text);
    let mut value: Value = match body.iter().all(u8::is_ascii_whitespace) {
        true => Value::Object(serde_json::Map::new()),
        false => serde_json::from_slice(body)
            .map_err(|error| refuse(format!("The request body is not valid JSON: {error}")))?,
    };
    strip_nulls(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let what = error.into_inner();
        refuse(if path == "." {
            format!("Invalid request: {what}")
        } else {
            format!("Invalid request: {path}: {what}")
        })
    })
}

fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(list) => {
            list.retain(|v| !v.is_null());
            list.iter_mut().for_each(strip_nulls);
        }
        _ => {}
    }
}

/// Lays one object's members over another's.
pub(super) fn merge(mut into: Value, more: Value) -> Value {
    if let (Value::Object(into), Value::Object(more)) = (&mut into, more) {
        into.extend(more);
    }
    into
}

/// Plain structs with string keys always serialize.
pub(super) fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        #[expect(dead_code, reason = "only its type matters")]
        job_name: String,
    }

    #[test]
    fn a_bad_field_is_named() {
        let message = |body: &str| read::<Request>(body.as_bytes(), "ClientException").unwrap_err().message;
        assert!(message("{").contains("not valid JSON"));
        assert!(message("{}").contains("missing field `jobName`"));
        assert!(message(r#"{"jobName": 3}"#).contains("jobName: invalid type"));
        assert!(message("[]").contains("Invalid request"));
        assert!(message(r#"{"jobName": null}"#).contains("missing field"));
    }
}
