//! A map that knows which of its entries may have changed since somebody last asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// Read as the map that it is; changed by its own methods only.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    entries: BTreeMap<K, V>,
    touched: BTreeSet<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), touched: BTreeSet::new() }
    }
}

impl<K, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        &self.entries
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let entry = self.entries.get_mut(key)?;
        if !self.touched.contains(key) {
            self.touched.insert(key.to_owned());
        }
        Some(entry)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.touched.insert(key.clone());
        self.entries.insert(key, value);
    }

    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.touched.insert(key.clone());
        self.entries.entry(key).or_insert_with(make)
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (key, value) = self.entries.remove_entry(key)?;
        self.touched.insert(key);
        Some(value)
    }

    /// All of them count as changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.touch_all();
        self.entries.values_mut()
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        let Self { entries, touched } = self;
        entries.retain(|key, value| {
            let is_kept = keep(value);
            if !is_kept {
                touched.insert(key.clone());
            }
            is_kept
        });
    }

    pub(crate) fn touch_all(&mut self) {
        self.touched.extend(self.entries.keys().cloned());
    }

    /// The keys of what may have changed, or is gone, since the last call.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<K> {
        std::mem::take(&mut self.touched)
    }

    /// Puts in what was saved: no change.
    pub(crate) fn restore(&mut self, key: K, value: Option<V>) {
        match value {
            Some(value) => drop(self.entries.insert(key, value)),
            None => drop(self.entries.remove(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_change_an_entry_is_noted() {
        let mut table = Table::<String, u8>::default();
        let touched = |table: &mut Table<String, u8>| table.take_touched().into_iter().collect::<Vec<_>>().join(",");
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            table.restore(key.into(), Some(value));
        }
        assert_eq!(touched(&mut table), "");
        table.insert("d".into(), 4);
        assert_eq!(touched(&mut table), "d");
        assert_eq!((table.get_mut("a").copied(), table.get_mut("z")), (Some(1), None));
        assert_eq!(touched(&mut table), "a");
        table.remove("a");
        table.remove("z");
        assert_eq!(touched(&mut table), "a");
        table.retain(|value| *value != 2);
        assert_eq!((touched(&mut table).as_str(), table.len()), ("b", 2));
        *table.get_or_insert_with("e".into(), || 5) += 1;
        assert_eq!((touched(&mut table).as_str(), table["e"]), ("e", 6));
        assert_eq!(table.values_mut().count(), 3);
        assert_eq!(touched(&mut table), "c,d,e");
    }
}
