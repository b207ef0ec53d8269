//! Where settings come from: the file, the environment, the defaults. Nothing here knows what a setting means.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use toml::de::DeTable;

use super::error::{Origin, Problem};
use super::keys::{Default, KEYS, Key, PREFIX, TEST_PREFIX};
use super::value::Value;

/// A value, and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What was found, by key, and what was wrong with it.
#[derive(Default)]
pub(super) struct Found {
    pub(super) settings: BTreeMap<&'static str, Setting>,
    pub(super) problems: Vec<Problem>,
    /// Whether the file could be read to its end: only then is it known that a key is missing.
    pub(super) whole: bool,
}

/// Reads all sources; the later of these wins: defaults, variables of other programs, the file, our own variables. A
/// file that does not exist is a mistake only when `named`. A variable that is set to nothing counts as not
/// set, as in ECS.
pub(super) fn gather(path: &Path, named: bool, environment: impl Iterator<Item = (String, String)>) -> Found {
    let environment: BTreeMap<String, String> = environment.filter(|(_, value)| !value.trim().is_empty()).collect();
    let mut found = Found { whole: true, ..Found::default() };
    for key in KEYS {
        found.take_default(key, &environment);
    }
    match std::fs::read_to_string(path) {
        Ok(text) => found.take_file(path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound && !named => {}
        Err(error) => {
            found.whole = false;
            let (path, why) = (path.to_owned(), error.to_string());
            found.problems.push(Problem::Unreadable { path, why });
        }
    }
    for (name, value) in environment.into_iter().filter(|(name, _)| !name.starts_with(TEST_PREFIX)) {
        if let Some(key) = name.strip_prefix(PREFIX) {
            found.take(key.to_ascii_lowercase(), Value::Text(value), Origin::Variable(name));
        }
    }
    found
}

impl Found {
    fn take_default(&mut self, key: &'static Key, environment: &BTreeMap<String, String>) {
        let foreign = (key.foreign_variables().iter())
            .find_map(|name| Some(((*name).to_owned(), environment.get(*name)?.clone())));
        let (value, origin) = match (foreign, &key.default) {
            (Some((name, value)), _) => (Value::Text(value), Origin::Variable(name)),
            (None, Default::Is(value)) => (Value::Text((*value).to_owned()), Origin::Default),
            (None, Default::Unset(_)) => return,
        };
        self.settings.insert(key.name, Setting { value, origin });
    }

    fn take_file(&mut self, path: &Path, text: &str) {
        let origin = |offset: usize| Origin::File {
            path: path.to_owned(),
            line: 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count(),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let origin = origin(error.span().map_or(0, |span| span.start));
            let message = error.message().trim().replace('\n', "; ");
            self.problems.push(Problem::Syntax { origin, message });
        }
        if !errors.is_empty() {
            self.whole = false;
            return;
        }
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let value = Value::from_toml(value.get_ref());
            self.take(key.get_ref().to_string(), value, origin(key.span().start));
        }
    }

    fn take(&mut self, name: String, value: Value, origin: Origin) {
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            self.settings.insert(key.name, Setting { value, origin });
        } else {
            let nearest = nearest(&name).map(|key| match &origin {
                Origin::Variable(_) => key.variable(),
                Origin::Default | Origin::File { .. } => key.name.to_owned(),
            });
            self.problems.push(Problem::UnknownKey { origin, key: name, nearest });
        }
    }
}

/// The key whose name is most like the one given, if any is like it at all.
fn nearest(name: &str) -> Option<&'static Key> {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_', '.', ' '], "");
    let given = plain(name);
    let likeness = |key: &'static Key| {
        let key_name = plain(key.name);
        let is_part = key_name.contains(&given) || given.contains(&key_name);
        strsim::jaro_winkler(&given, &key_name) + if is_part { 0.25 } else { 0.0 }
    };
    KEYS.iter()
        .map(|key| (likeness(key), key))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.75)
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        for (given, meant) in [
            ("idle_timout", "idle_timeout"),
            ("ComputeEnvironment", "compute_environment"),
            ("compute-env", "compute_environment"),
            ("image_pull_behaviour", "image_pull_behavior"),
            ("docker", "docker_host"),
            ("loglevel", "log_level"),
            ("datadir", "data_dir"),
            ("reserved_ports_tcp", "reserved_ports"),
            ("attributes", "instance_attributes"),
            ("cluster_name", "cluster"),
        ] {
            assert_eq!(nearest(given).map(|key| key.name), Some(meant), "{given}");
        }
        assert!(nearest("xyzzy").is_none());
    }
}
