//! From readings to the sets that ECS wants (amazon-ecs-agent, `agent/stats/queue.go`): pure arithmetic.

use std::collections::VecDeque;
use std::time::Duration;

use ecs_wire::tcs::{DoubleStats, LongStats, NetworkStats, StorageStats};

use super::files::Reading;
use super::parse::{Network, Storage};

/// Samples kept until they are sent: four publications' worth at one a second, as amazon-ecs-agent keeps.
const SAMPLES_MAX: usize = 80;
const MIB: u64 = 1024 * 1024;

/// What is reported of one container for one interval.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sets {
    pub(crate) cpu: DoubleStats,
    pub(crate) memory: DoubleStats,
    pub(crate) network: Option<NetworkStats>,
    pub(crate) storage: Option<StorageStats>,
}

/// One container's samples that no message has taken yet.
#[derive(Debug, Default)]
pub(super) struct Samples {
    last: Option<(Duration, Reading)>,
    /// What the runs before the present one used up: the counters of a container that is started again begin anew.
    before: Counters,
    unsent: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Percent of the whole instance; `None` for a container's first sample, as use is a difference.
    cpu_percent: Option<f64>,
    memory_bytes: u64,
    storage: Option<Storage>,
    network: Option<Network>,
    /// Bytes received and sent a second, since the sample before.
    rates: Option<(f64, f64)>,
}

/// The counters of a reading.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    cpu_nanos: u64,
    storage: Storage,
    network: Network,
}

impl Counters {
    /// The counters of a container that used all this, then ended.
    fn after(run: Reading) -> Self {
        Self {
            cpu_nanos: run.cpu_nanos,
            storage: run.storage.unwrap_or_default(),
            network: run.network.unwrap_or_default(),
        }
    }

    /// `run` as it would read had its counters gone on from here.
    fn and(self, run: Reading) -> Reading {
        Reading {
            cpu_nanos: run.cpu_nanos.saturating_add(self.cpu_nanos),
            memory_bytes: run.memory_bytes,
            storage: run.storage.map(|storage| storage.plus(self.storage)),
            network: run.network.map(|network| network.plus(self.network)),
        }
    }
}

impl Samples {
    /// What is read from here on is another run of the same container.
    pub(super) fn restarted(&mut self) {
        if let Some((_, last)) = self.last {
            self.before = Counters::after(last);
        }
    }

    /// Adds a reading that was taken `at`, on any steady clock, of a host with so many CPUs.
    pub(super) fn add(&mut self, at: Duration, reading: Reading, cpus: u32) {
        let reading = self.before.and(reading);
        let before = self.last.filter(|(then, _)| *then < at);
        let sample = Sample {
            cpu_percent: before.map(|(then, last)| {
                cpu_percent(reading.cpu_nanos.saturating_sub(last.cpu_nanos), at.saturating_sub(then), cpus)
            }),
            memory_bytes: reading.memory_bytes,
            storage: reading.storage,
            network: reading.network,
            rates: before.and_then(|(then, last)| {
                let (now, last, seconds) = (reading.network?, last.network?, at.saturating_sub(then).as_secs_f64());
                let rate = |now: u64, last: u64| now.saturating_sub(last) as f64 / seconds;
                Some((rate(now.rx.bytes, last.rx.bytes), rate(now.tx.bytes, last.tx.bytes)))
            }),
        };
        if self.unsent.len() == SAMPLES_MAX {
            self.unsent.pop_front();
        }
        self.unsent.push_back(sample);
        self.last = Some((at, reading));
    }

    /// The sets over what was added since the last call; `None` without CPU use or memory, and then nothing is lost.
    pub(super) fn take(&mut self) -> Option<Sets> {
        let samples = || self.unsent.iter();
        let sets = Sets {
            cpu: doubles(samples().filter_map(|s| s.cpu_percent))?,
            memory: doubles(samples().map(|s| mebibytes(s.memory_bytes)))?,
            network: network(samples()),
            storage: storage(samples()),
        };
        self.unsent.clear();
        Some(sets)
    }
}

/// `used` nanoseconds of CPU time within `wall`, as a share of all CPUs.
fn cpu_percent(used: u64, wall: Duration, cpus: u32) -> f64 {
    let available = wall.as_nanos() as f64 * f64::from(cpus.max(1));
    used as f64 / available * 100.0
}

/// Whole ones, rounded down.
fn mebibytes(bytes: u64) -> f64 {
    (bytes / MIB) as f64
}

fn doubles(values: impl Iterator<Item = f64>) -> Option<DoubleStats> {
    values.fold(None, |stats: Option<DoubleStats>, value| {
        let stats = stats.unwrap_or(DoubleStats { max: value, min: value, sample_count: 0, sum: 0.0 });
        Some(DoubleStats {
            max: stats.max.max(value),
            min: stats.min.min(value),
            sample_count: stats.sample_count + 1,
            sum: stats.sum + value,
        })
    })
}

fn longs(values: impl Iterator<Item = u64>) -> Option<LongStats> {
    let (mut min, mut max, mut sum, mut sample_count) = (u64::MAX, 0_u64, 0_u64, 0_u32);
    for value in values {
        (min, max, sum, sample_count) = (min.min(value), max.max(value), sum.saturating_add(value), sample_count + 1);
    }
    let [(min, overflow_min), (max, overflow_max), (sum, overflow_sum)] = [min, max, sum].map(split);
    let stats = LongStats { max, min, overflow_max, overflow_min, overflow_sum, sample_count, sum };
    (sample_count > 0).then_some(stats)
}

/// A number as the model's signed long: beyond the largest one stands that one, and beside it the remainder.
fn split(value: u64) -> (i64, i64) {
    const LARGEST: u64 = i64::MAX as u64;
    match i64::try_from(value) {
        Ok(value) => (value, 0),
        Err(_) => (i64::MAX, i64::try_from(value % LARGEST).unwrap_or(0)),
    }
}

fn storage<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Option<StorageStats> {
    let of = |field: fn(&Storage) -> u64| longs(samples.clone().filter_map(move |s| Some(field(s.storage.as_ref()?))));
    Some(StorageStats { read_size_bytes: of(|s| s.read_bytes)?, write_size_bytes: of(|s| s.write_bytes)? })
}

fn network<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Option<NetworkStats> {
    let of = |field: fn(&Network) -> u64| longs(samples.clone().filter_map(move |s| Some(field(s.network.as_ref()?))));
    let rate = |field: fn((f64, f64)) -> f64| doubles(samples.clone().filter_map(|s| s.rates).map(field));
    Some(NetworkStats {
        rx_bytes: of(|n| n.rx.bytes)?,
        rx_bytes_per_second: rate(|(rx, _)| rx)?,
        rx_dropped: of(|n| n.rx.dropped)?,
        rx_errors: of(|n| n.rx.errors)?,
        rx_packets: of(|n| n.rx.packets)?,
        tx_bytes: of(|n| n.tx.bytes)?,
        tx_bytes_per_second: rate(|(_, tx)| tx)?,
        tx_dropped: of(|n| n.tx.dropped)?,
        tx_errors: of(|n| n.tx.errors)?,
        tx_packets: of(|n| n.tx.packets)?,
    })
}

#[cfg(test)]
mod tests;
