//! How far a pull is, from the lines that Docker says about each layer.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;
use node_core::PullProgress;

/// Images have tens of layers. A daemon that names more is not believed.
const LAYERS_MAX: usize = 1_000;

/// The layers of one pull, by id.
#[derive(Debug, Default)]
pub(super) struct Layers(BTreeMap<String, Layer>);

#[derive(Debug, Default)]
struct Layer {
    bytes: u64,
    bytes_done: u64,
    done: bool,
}

impl Layers {
    pub(super) fn note(&mut self, line: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&line.id, line.status.as_deref()) else { return };
        // "Pulling from repository" has the tag for an id.
        if status.starts_with("Pulling from") || (self.0.len() >= LAYERS_MAX && !self.0.contains_key(id)) {
            return;
        }
        let layer = self.0.entry(id.clone()).or_default();
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        match status {
            "Downloading" => {
                let detail = line.progress_detail.as_ref();
                layer.bytes_done = detail.and_then(|d| number(d.current)).unwrap_or(layer.bytes_done);
                layer.bytes = detail.and_then(|d| number(d.total)).unwrap_or(layer.bytes);
            }
            "Download complete" | "Verifying Checksum" | "Extracting" => layer.bytes_done = layer.bytes,
            "Pull complete" | "Already exists" => {
                layer.bytes_done = layer.bytes;
                layer.done = true;
            }
            _ => {}
        }
    }

    pub(super) fn progress(&self) -> PullProgress {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        PullProgress {
            layers: count(self.0.len()),
            layers_done: count(self.0.values().filter(|layer| layer.done).count()),
            bytes: self.0.values().map(|layer| layer.bytes).sum(),
            bytes_done: self.0.values().map(|layer| layer.bytes_done).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn layers_and_bytes_are_counted() {
        let mut layers = Layers::default();
        let mut say = |id: &str, status: &str, current: Option<i64>, total: Option<i64>| {
            let detail = total.map(|_| ProgressDetail { current, total });
            let line = CreateImageInfo {
                id: Some(id.into()),
                status: Some(status.into()),
                progress_detail: detail,
                ..Default::default()
            };
            layers.note(&line);
        };
        say("latest", "Pulling from library/app", None, None);
        say("a", "Already exists", None, None);
        say("b", "Downloading", Some(40), Some(100));
        say("c", "Downloading", Some(10), Some(50));
        say("c", "Pull complete", None, None);
        let expected = PullProgress { layers: 3, layers_done: 2, bytes: 150, bytes_done: 90 };
        assert_eq!(layers.progress(), expected);
    }
}
