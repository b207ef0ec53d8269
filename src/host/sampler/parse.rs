//! The kernel's words: control group files of both versions, and `/proc/<pid>/net/dev`.

/// Bytes read from and written to block devices since the container's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Storage {
    pub(super) read_bytes: u64,
    pub(super) write_bytes: u64,
}

/// Counters since the container's start, summed over its interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Network {
    pub(super) rx: Direction,
    pub(super) tx: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Direction {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) errors: u64,
    pub(super) dropped: u64,
}

impl Storage {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            write_bytes: self.write_bytes.saturating_add(other.write_bytes),
        }
    }
}

impl Network {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { rx: self.rx.plus(other.rx), tx: self.tx.plus(other.tx) }
    }
}

impl Direction {
    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            packets: self.packets.saturating_add(other.packets),
            errors: self.errors.saturating_add(other.errors),
            dropped: self.dropped.saturating_add(other.dropped),
        }
    }
}

pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value of `key` in lines of `key value`.
pub(super) fn entry(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).and_then(number)
}

/// Version 1: `8:0 Read 4096` a line, a device and an operation each.
pub(super) fn blkio(text: &str) -> Storage {
    let mut storage = Storage::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(operation), Some(bytes)) = (words.next(), words.next().and_then(number)) else { continue };
        add(&mut storage, operation, "read", "write", bytes);
    }
    storage
}

/// Version 2: `8:0 rbytes=4096 wbytes=0 rios=1 ..` a line, a device each.
pub(super) fn io_stat(text: &str) -> Storage {
    let mut storage = Storage::default();
    for (key, value) in text.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
        add(&mut storage, key, "rbytes", "wbytes", number(value).unwrap_or(0));
    }
    storage
}

fn add(storage: &mut Storage, key: &str, read: &str, write: &str, bytes: u64) {
    let total = match key {
        _ if key.eq_ignore_ascii_case(read) => &mut storage.read_bytes,
        _ if key.eq_ignore_ascii_case(write) => &mut storage.write_bytes,
        _ => return,
    };
    *total = total.saturating_add(bytes);
}

/// The interfaces that Docker and the CNI plugins made, which are `eth0` and so on: the loopback is not counted, nor are the tunnels
/// that a kernel module puts into every namespace. `None` without any: the container has no network.
pub(super) fn net_dev(text: &str) -> Option<Network> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut interfaces = lines.filter(|(name, _)| name.trim().starts_with("eth")).peekable();
    interfaces.peek()?;
    let mut network = Network::default();
    for (_, counters) in interfaces {
        let mut counters = counters.split_ascii_whitespace().map(|word| number(word).unwrap_or(0));
        // bytes packets errs drop fifo frame compressed multicast | bytes packets errs drop ..
        count(&mut network.rx, &mut counters);
        count(&mut network.tx, &mut counters.skip(4));
    }
    Some(network)
}

fn count(direction: &mut Direction, counters: &mut impl Iterator<Item = u64>) {
    for total in [&mut direction.bytes, &mut direction.packets, &mut direction.errors, &mut direction.dropped] {
        *total = total.saturating_add(counters.next().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_its_whole_name() {
        let stat = "cache 1048576\nrss 4194304\ninactive_file_x 1\ninactive_file 7\n";
        assert_eq!(entry(stat, "inactive_file"), Some(7));
        assert_eq!(entry(stat, "cache"), Some(1_048_576));
        assert_eq!(entry(stat, "cach"), None);
        assert_eq!(number("12\n"), Some(12));
        assert_eq!(number(""), None);
    }

    #[test]
    fn block_io_is_summed_over_devices() {
        let v1 = "8:0 Read 4096\n8:0 Write 10\n8:0 Sync 4096\n8:0 Async 0\n8:0 Total 4106\n8:16 READ 4\nTotal 4110\n";
        assert_eq!(blkio(v1), Storage { read_bytes: 4100, write_bytes: 10 });
        assert_eq!(blkio("Total 0\n"), Storage::default());
        let v2 = "8:0 rbytes=100 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n259:0 rbytes=5 wbytes=0 rios=1 wios=0\n";
        assert_eq!(io_stat(v2), Storage { read_bytes: 105, write_bytes: 20 });
        assert_eq!(io_stat(""), Storage::default());
    }

    const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1000      10    1    1    0     0          0         0     2000      20    0    0    0     0       0          0
";

    #[test]
    fn interfaces_are_summed_and_the_loopback_is_not_one() {
        let eths = "  eth0:     486       5    1    2    0     0          0         0      100       3    4    6    0     0       0          0
eth1:14 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n tunl0: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n";
        let network = net_dev(&format!("{DEV}{eths}")).unwrap();
        assert_eq!(network.rx, Direction { bytes: 500, packets: 6, errors: 1, dropped: 2 });
        assert_eq!(network.tx, Direction { bytes: 101, packets: 4, errors: 4, dropped: 6 });
        assert_eq!(net_dev(DEV), None, "the network mode none");
        assert_eq!(net_dev(""), None);
    }
}
