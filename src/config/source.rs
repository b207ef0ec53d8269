//! Where settings come from: the file, the environment, the defaults. Nothing here knows what a setting means.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use toml::de::DeTable;

use super::ecs_json;
use super::error::{Origin, Problem};
use super::foreign::{self, Remark};
use super::keys::{Default, Key, PREFIX, TEST_PREFIX, keys};
use super::value::Value;

/// A value, and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// Neither the file nor a variable of ours set it: it yields to any key of theirs that it contradicts.
    pub(super) yields: bool,
}

/// Where the files are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// The TOML file.
    pub(super) config: &'a Path,
    /// It was named, so its absence is a mistake.
    pub(super) named: bool,
    /// amazon-ecs-agent's files of variables, the weaker first.
    pub(super) ecs: &'a [&'a Path],
    /// Its JSON file, where no variable names another.
    pub(super) json: &'a Path,
}

/// What was found, by key, and what was wrong with it.
#[derive(Clone, Default)]
pub(super) struct Found {
    pub(super) settings: BTreeMap<&'static str, Setting>,
    pub(super) problems: Vec<Problem>,
    /// What is no mistake and still worth a warning, a line each.
    pub(super) remarks: Vec<String>,
    /// Whether the file could be read to its end: only then is it known that a key is missing.
    pub(super) whole: bool,
}

/// Reads all sources; the later of these wins: defaults, variables of other programs (amazon-ecs-agent's files, then the
/// environment), the file, our own variables. A variable that is set to nothing counts as not set, as in ECS.
pub(super) fn gather(places: Places<'_>, environment: impl Iterator<Item = (String, String)>) -> Found {
    let environment: BTreeMap<String, String> = environment.filter(|(_, value)| !value.trim().is_empty()).collect();
    let mut found = Found { whole: true, ..Found::default() };
    let variables = found.foreign_sources(places, &environment);
    for key in keys() {
        found.take_default(key, &variables);
    }
    found.remarks.extend(remarks(&variables));
    match std::fs::read_to_string(places.config) {
        Ok(text) => found.take_file(places.config, &text),
        Err(error) if error.kind() == ErrorKind::NotFound && !places.named => {}
        Err(error) => found.unreadable(places.config, &error),
    }
    for (name, value) in environment.into_iter().filter(|(name, _)| !name.starts_with(TEST_PREFIX)) {
        if let Some(key) = name.strip_prefix(PREFIX) {
            found.take(key.to_ascii_lowercase(), Value::Text(value), Origin::Variable(name));
        }
    }
    found
}

/// The variables of one source: name, value, and where each was set.
type Variables = BTreeMap<String, (String, Origin)>;

/// One line for what is known and not honoured, and one for what is not known.
fn remarks(sources: &[Variables]) -> Vec<String> {
    let (mut not_honoured, mut unknown) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for (name, (value, _)) in sources.iter().flatten().filter(|(name, _)| seen.insert(name.as_str())) {
        match foreign::remark(name, value) {
            Some(Remark::NotHonoured(text)) => not_honoured.push(text),
            Some(Remark::Unknown(text)) => unknown.push(text),
            None => {}
        }
    }
    let lines = [
        ("these settings of amazon-ecs-agent are not honoured", not_honoured),
        ("these variables are none of amazon-ecs-agent's", unknown),
    ];
    lines
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect()
}

impl Found {
    /// The variables that may be other programs', the stronger source first.
    fn foreign_sources(&mut self, places: Places<'_>, environment: &BTreeMap<String, String>) -> Vec<Variables> {
        let of_environment = environment.iter().map(|(name, value)| {
            let origin = Origin::Variable(name.clone());
            (name.clone(), (value.clone(), origin))
        });
        let mut sources = vec![of_environment.collect()];
        for path in places.ecs.iter().rev() {
            match std::fs::read_to_string(path) {
                Ok(text) => sources.push(variables(path, &text)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => self.unreadable(path, &error),
            }
        }
        let named = sources.iter().find_map(|source| source.get(foreign::JSON_PATH)).map(|(path, _)| Path::new(path));
        let json = named.unwrap_or(places.json).to_owned();
        sources.extend(self.json_source(&json));
        sources
    }

    /// As amazon-ecs-agent has it, a file that is not there is no mistake, named or not.
    fn json_source(&mut self, path: &Path) -> Option<Variables> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                self.unreadable(path, &error);
                return None;
            }
        };
        let origin = |field: &str| Origin::Field { path: path.to_owned(), variable: field.to_owned() };
        match ecs_json::variables(&text) {
            Ok((found, unknown)) => {
                if !unknown.is_empty() {
                    let names = unknown.join(", ");
                    self.remarks.push(format!("{}: these fields are not honoured: {names}", path.display()));
                }
                Some(found.into_iter().map(|(name, text)| (name.to_owned(), (text, origin(name)))).collect())
            }
            Err(why) => {
                self.problems.push(Problem::Json { path: path.to_owned(), why });
                None
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        self.whole = false;
        let (path, why) = (path.to_owned(), error.to_string());
        self.problems.push(Problem::Unreadable { path, why });
    }

    fn take_default(&mut self, key: &'static Key, sources: &[Variables]) {
        let of_others = sources.iter().find_map(|source| {
            key.foreign_variables().find_map(|foreign| {
                let (text, origin) = source.get(foreign.variable)?;
                let ours = (foreign.read)(text).unwrap_or_else(|| text.clone());
                (!ours.is_empty()).then(|| (ours, origin.clone()))
            })
        });
        let (value, origin) = match (of_others, &key.default) {
            (Some(found), _) => found,
            (None, Default::Is(value)) => ((*value).to_owned(), Origin::Default),
            (None, Default::Unset(_)) => return,
        };
        self.settings.insert(key.name, Setting { value: Value::Text(value), origin, yields: true });
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
        if let Some(key) = keys().find(|key| key.name == name) {
            self.settings.insert(key.name, Setting { value, origin, yields: false });
        } else {
            let nearest = nearest(&name).map(|key| match &origin {
                Origin::Variable(_) => key.variable(),
                Origin::Default | Origin::File { .. } | Origin::Field { .. } => key.name.to_owned(),
            });
            self.problems.push(Problem::UnknownKey { origin, key: name, nearest });
        }
    }
}

/// The lines `KEY=VALUE` of a file such as ecs.config, which is what `docker run --env-file` reads: no quotes, no escapes.
fn variables(path: &Path, text: &str) -> Variables {
    let line = |(i, line): (usize, &str)| {
        let line = line.trim();
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let (name, value) = (name.trim(), value.trim());
        let origin = Origin::File { path: path.to_owned(), line: i + 1 };
        (!name.is_empty() && !value.is_empty()).then(|| (name.to_owned(), (value.to_owned(), origin)))
    };
    text.lines().enumerate().filter_map(line).collect()
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
    keys()
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
