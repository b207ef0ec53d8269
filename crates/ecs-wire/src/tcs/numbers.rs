//! Numbers as amazon-ecs-agent writes them: a whole one has no fraction, and a time is a number of seconds.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest integer below which each one is an `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A time on the wire: epoch seconds with at most three decimals, and none where the millisecond is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub epoch_ms: u64,
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        // Exact to the millisecond for the next 280,000 years.
        number(&(self.epoch_ms as f64 / 1000.0), out)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        // A float cast saturates: what is before 1970 becomes 1970.
        Ok(Self { epoch_ms: (seconds * 1000.0).round() as u64 })
    }
}

/// How samples lie: `CWStatsSet` and `UDoubleCWStatsSet` of the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DoubleStats {
    #[serde(serialize_with = "number")]
    pub max: f64,
    #[serde(serialize_with = "number")]
    pub min: f64,
    pub sample_count: u32,
    #[serde(serialize_with = "number")]
    pub sum: f64,
}

/// `ULongStatsSet`: each value is a signed long on the wire, and what does not fit is told apart as its remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LongStats {
    pub max: i64,
    pub min: i64,
    pub overflow_max: i64,
    pub overflow_min: i64,
    pub overflow_sum: i64,
    pub sample_count: u32,
    pub sum: i64,
}

fn number<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < EXACT {
        out.serialize_i64(*value as i64)
    } else {
        out.serialize_f64(*value)
    }
}
