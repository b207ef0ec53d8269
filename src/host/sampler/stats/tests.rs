use super::super::parse::Direction;
use super::*;

const SECOND: u64 = 1_000_000_000;

fn reading(cpu_nanos: u64, memory_bytes: u64) -> Reading {
    Reading { cpu_nanos, memory_bytes, storage: None, network: None }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn cpu_is_a_share_of_the_whole_instance_and_the_first_sample_has_none() {
    let mut samples = Samples::default();
    samples.add(at(10), reading(5 * SECOND, MIB), 2);
    assert_eq!(samples.take(), None, "one reading is no use yet");
    samples.add(at(11), reading(6 * SECOND, 3 * MIB - 1), 2);
    samples.add(at(13), reading(7 * SECOND, 0), 2);
    let sets = samples.take().unwrap();
    // One core of two for a second, then half a core for two.
    assert_eq!(sets.cpu, DoubleStats { max: 50.0, min: 25.0, sample_count: 2, sum: 75.0 });
    // The reading without CPU use counts, and MiB are rounded down.
    assert_eq!(sets.memory, DoubleStats { max: 2.0, min: 0.0, sample_count: 3, sum: 3.0 });
    assert_eq!((sets.network, sets.storage), (None, None));
}

#[test]
fn a_sample_is_reported_once() {
    let mut samples = Samples::default();
    samples.add(at(1), reading(0, MIB), 1);
    samples.add(at(2), reading(SECOND, MIB), 1);
    assert!(samples.take().is_some());
    assert_eq!(samples.take(), None);
    samples.add(at(3), reading(SECOND, MIB), 1);
    let sets = samples.take().unwrap();
    assert_eq!(sets.cpu, DoubleStats { max: 0.0, min: 0.0, sample_count: 1, sum: 0.0 });
}

#[test]
fn a_reading_of_the_same_moment_divides_by_nothing() {
    let mut samples = Samples::default();
    samples.add(at(1), reading(0, MIB), 1);
    samples.add(at(1), reading(1, MIB), 1);
    assert_eq!(samples.take(), None);
}

#[test]
fn the_oldest_samples_give_way() {
    let mut samples = Samples::default();
    for second in 0..200 {
        samples.add(at(second), reading(second * SECOND, second * MIB), 1);
    }
    let memory = samples.take().unwrap().memory;
    assert_eq!((memory.sample_count, memory.min, memory.max), (80, 120.0, 199.0));
}

#[test]
fn counters_and_rates_of_the_network() {
    let network = |rx: u64, tx: u64| {
        let direction = |bytes| Direction { bytes, packets: 1, errors: 2, dropped: 3 };
        Some(Network { rx: direction(rx), tx: direction(tx) })
    };
    let mut samples = Samples::default();
    samples.add(at(1), Reading { network: network(100, 10), ..reading(0, 0) }, 1);
    samples.add(at(3), Reading { network: network(500, 10), ..reading(0, 0) }, 1);
    let stats = samples.take().unwrap().network.unwrap();
    assert_eq!((stats.rx_bytes.min, stats.rx_bytes.max, stats.rx_bytes.sum), (100, 500, 600));
    assert_eq!(stats.rx_bytes_per_second, DoubleStats { max: 200.0, min: 200.0, sample_count: 1, sum: 200.0 });
    assert_eq!(stats.tx_bytes_per_second.sum, 0.0);
    assert_eq!((stats.rx_packets.sum, stats.tx_errors.max, stats.tx_dropped.sum), (2, 2, 6));
}

#[test]
fn what_does_not_fit_a_signed_long_leaves_its_remainder() {
    const LARGEST: u64 = i64::MAX as u64;
    assert_eq!(split(LARGEST), (i64::MAX, 0));
    assert_eq!(split(LARGEST + 5), (i64::MAX, 5));
    let stats = longs([3, LARGEST].into_iter()).unwrap();
    assert_eq!((stats.min, stats.max, stats.sum), (3, i64::MAX, i64::MAX));
    assert_eq!((stats.overflow_min, stats.overflow_max, stats.overflow_sum), (0, 0, 3));
    assert_eq!(longs(std::iter::empty()), None);
}

#[test]
fn counters_go_on_over_a_restart() {
    let network = |bytes| {
        let direction = Direction { bytes, ..Direction::default() };
        Some(Network { rx: direction, tx: direction })
    };
    let read = |cpu, bytes| Reading {
        storage: Some(Storage { read_bytes: bytes, write_bytes: 0 }),
        network: network(bytes),
        ..reading(cpu, MIB)
    };
    let mut samples = Samples::default();
    samples.restarted();
    samples.add(at(1), read(9 * SECOND, 1000), 1);
    samples.add(at(2), read(10 * SECOND, 1000), 1);
    samples.restarted();
    samples.add(at(4), read(SECOND, 20), 1);
    samples.restarted();
    samples.add(at(5), read(SECOND / 2, 3), 1);
    let sets = samples.take().unwrap();
    assert_eq!(sets.cpu, DoubleStats { max: 100.0, min: 50.0, sample_count: 3, sum: 200.0 });
    assert_eq!(sets.storage.unwrap().read_size_bytes.max, 1023);
    let network = sets.network.unwrap();
    assert_eq!((network.rx_bytes.min, network.tx_bytes.max, network.rx_bytes_per_second.max), (1000, 1023, 10.0));
}

#[test]
fn storage_is_cumulative() {
    let storage = |read_bytes| Some(Storage { read_bytes, write_bytes: 0 });
    let mut samples = Samples::default();
    samples.add(at(1), Reading { storage: storage(4096), ..reading(0, 0) }, 1);
    samples.add(at(2), Reading { storage: storage(4096), ..reading(0, 0) }, 1);
    let stats = samples.take().unwrap().storage.unwrap();
    assert_eq!((stats.read_size_bytes.sum, stats.read_size_bytes.sample_count), (8192, 2));
    assert_eq!(stats.write_size_bytes.sum, 0);
}
