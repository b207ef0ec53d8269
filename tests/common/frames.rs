//! What a plane recorded of its websockets, against the models of the protocol.

use std::path::Path;

use serde_json::Value;

use super::model::Model;

/// Holds every frame of ACS and TCS that a plane recorded against the models.
pub(crate) fn check_recorded(frames: &Path) {
    let [Some(acs), Some(tcs)] = ["acs-api-2.json", "tcs-api-2.json"].map(Model::load) else { return };
    for line in std::fs::read_to_string(frames).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let model = if line["service"] == "acs" { &acs } else { &tcs };
        let faults = model.faults_of_frame(line["frame"].as_str().unwrap());
        assert_eq!(faults, Vec::<String>::new(), "{line}");
    }
}
