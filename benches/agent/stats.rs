//! Percentiles of a handful of samples.

/// The value below which `percent` of the samples lie (nearest rank). Sorts them.
pub(crate) fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    let rank = (samples.len() * percent).div_ceil(100).max(1);
    samples.get(rank - 1).copied().unwrap_or(f64::NAN)
}

pub(crate) fn ratio(ours: f64, floor: f64) -> f64 {
    ours / floor
}
