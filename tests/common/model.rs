//! Messages against amazon-ecs-agent's own models of them, where those are at hand: in `$PROTOCOL_MODELS`, or in
//! `../shared/protocol` beside the repository.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// One service's model: `acs-api-2.json` or `tcs-api-2.json`.
pub(crate) struct Model {
    shapes: Map<String, Value>,
}

impl Model {
    /// `None`, and a line that says so, where the model is not to be had.
    pub(crate) fn load(name: &str) -> Option<Self> {
        // The crates' tests look from further down.
        let above = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let beside =
            || above.ancestors().map(|dir| dir.join("shared/protocol")).find(|dir| dir.is_dir()).unwrap_or_default();
        let path = std::env::var_os("PROTOCOL_MODELS").map_or_else(beside, PathBuf::from).join(name);
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: no model at {}; set PROTOCOL_MODELS to its directory", path.display());
            return None;
        };
        let mut model: Value = serde_json::from_str(&text).unwrap();
        match model["shapes"].take() {
            Value::Object(shapes) => Some(Self { shapes }),
            other => panic!("{} has no shapes: {other}", path.display()),
        }
    }

    /// What is wrong with a whole frame, `{"type", "message"}`.
    pub(crate) fn faults_of_frame(&self, frame: &str) -> Vec<String> {
        let frame: Value = serde_json::from_str(frame).unwrap();
        let kind = frame["type"].as_str().unwrap_or("no type");
        self.faults(kind, &frame["message"])
    }

    /// What is wrong with a message of this type.
    pub(crate) fn faults(&self, kind: &str, message: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(kind, message, kind, &mut faults);
        faults
    }

    fn check(&self, shape: &str, value: &Value, at: &str, faults: &mut Vec<String>) {
        let Some(model) = self.shapes.get(shape) else {
            faults.push(format!("{at}: the model has no {shape}"));
            return;
        };
        let fits = match model["type"].as_str().unwrap_or_default() {
            "structure" => {
                self.structure(model, value, at, faults);
                value.is_object()
            }
            "list" => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let member = model["member"]["shape"].as_str().unwrap_or_default();
                for (n, item) in items.iter().enumerate() {
                    self.check(member, item, &format!("{at}[{n}]"), faults);
                }
                value.is_array() && model["max"].as_u64().is_none_or(|max| items.len() as u64 <= max)
            }
            "map" => value.is_object(),
            "string" => {
                let known = model["enum"].as_array();
                value.is_string() && known.is_none_or(|words| words.contains(value))
            }
            "boolean" => value.is_boolean(),
            "integer" | "long" => value.is_i64() && within(model, value),
            "double" | "float" => value.is_number() && within(model, value),
            "timestamp" => value.is_number(),
            other => panic!("{at}: a {other} in the model is new"),
        };
        if !fits {
            faults.push(format!("{at}: {value} is no {shape}"));
        }
    }

    fn structure(&self, model: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let Some(fields) = value.as_object() else { return };
        for (name, value) in fields {
            let inner = format!("{at}.{name}");
            match model["members"][name]["shape"].as_str() {
                Some(shape) => self.check(shape, value, &inner, faults),
                None => faults.push(format!("{inner}: not in the model")),
            }
        }
        let required = model["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        let missing = required.iter().filter_map(Value::as_str).filter(|name| !fields.contains_key(*name));
        faults.extend(missing.map(|name| format!("{at}.{name}: missing")));
    }
}

fn within(model: &Value, value: &Value) -> bool {
    let value = value.as_f64().unwrap_or(f64::NAN);
    model["min"].as_f64().is_none_or(|min| value >= min) && model["max"].as_f64().is_none_or(|max| value <= max)
}
