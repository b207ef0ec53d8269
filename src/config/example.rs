//! A configuration file to begin with, written by the table of keys: every key, explained and commented out.

use toml::de::DeValue;

use super::draft::Draft;
use super::keys::{Default, Key, PREFIX, keys};
use super::value::Value;

/// Values, in TOML, for the keys that have no default to show.
const EXAMPLES: [(&str, &str); 19] = [
    ("compute_environment", "\"my-environment\""),
    ("cluster", "\"my-cluster\""),
    ("region", "\"us-east-1\""),
    ("max_jobs", "100"),
    ("lifecycle_hook", "\"batch-node-agent\""),
    ("event_command", "\"/usr/local/bin/on-leaving\""),
    ("event_webhook", "\"https://hooks.example.com/leaving\""),
    ("image_cleanup_keep", "[\"public.ecr.aws/docker/library/busybox:latest\"]"),
    ("registry_auth_type", "\"docker\""),
    ("registry_auth_data", "'{\"registry.example.com\":{\"username\":\"me\",\"password\":\"secret\"}}'"),
    ("cpu", "8"),
    ("memory", "16384"),
    ("os_type_detailed", "\"amzn_2023\""),
    ("logging_drivers", "[\"json-file\", \"awslogs\"]"),
    ("ecs_endpoint", "\"https://ecs.us-east-1.amazonaws.com\""),
    ("http_proxy", "\"http://proxy.example.com:3128\""),
    ("https_proxy", "\"http://proxy.example.com:3128\""),
    ("no_proxy", "\"10.0.0.0/8,.example.com\""),
    ("ca_bundle", "\"/etc/ssl/certs/my-authorities.pem\""),
];

const WIDTH: usize = 110;

/// What a package installs as `/etc/batch-node-agent/config.toml`.
pub(crate) fn example() -> String {
    let mut text = format!(
        "# Settings of batch-node-agent. One is required: compute_environment, or cluster.
#
# A line \"#key = value\" shows the default, or an example where there is none; without its # it is in force.
# A variable {PREFIX}<KEY>, such as a line of /etc/batch-node-agent/environment, wins over this file.
# `batch-node-agent config` checks what is set, and shows what is in force and why.
"
    );
    for key in keys() {
        text.push_str(&entry(key));
    }
    text
}

/// A key's lines.
fn entry(key: &Key) -> String {
    let (value, unset) = match key.default {
        Default::Is(default) => (toml(key, default), None),
        Default::Unset(why) => (example_of(key.name), Some(why)),
    };
    let mut text = format!("\n{}{}", comment(&format!("{}.", key.help)), comment(&format!("Value: {}.", key.expects)));
    if let Some(why) = unset {
        text.push_str(&comment(&format!("If not set: {why}.")));
    }
    if let Some(value) = value {
        text.push_str(&format!("#{} = {value}\n", key.name));
    }
    text
}

fn example_of(name: &str) -> Option<String> {
    EXAMPLES.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

/// A default, which the table has as a variable would have it, in the first of TOML's forms that its key takes.
fn toml(key: &Key, default: &str) -> Option<String> {
    let list = format!("[{}]", default.replace(',', ", "));
    let forms = [default.to_owned(), list, format!("\"{default}\"")];
    forms.into_iter().find(|form| {
        let value = DeValue::parse(form).ok();
        value.is_some_and(|value| (key.apply)(&mut Draft::blank(), &Value::from_toml(value.get_ref())).is_some())
    })
}

/// The text as comment lines, broken between words.
fn comment(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), "#".to_owned());
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::variables;
    use super::super::{Config, explain};
    use super::*;

    const HOME: &str = "compute_environment = \"ce\"";

    /// The lines that are settings but for their `#`, by key.
    fn settings() -> Vec<(String, String)> {
        let setting = |line: &str| {
            let line = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))?;
            Some((line.split(" = ").next()?.to_owned(), line.to_owned()))
        };
        example().lines().filter_map(setting).collect()
    }

    fn read(file: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let read = explain(Some(Path::new(&path)), variables(&[]));
        read.map(|(config, _)| config).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_there_in_order() {
        let shown: Vec<_> = settings().into_iter().map(|(key, _)| key).collect();
        let all: Vec<_> = keys().map(|key| key.name.to_owned()).collect();
        assert_eq!(shown, all, "a key without a default needs a line in EXAMPLES");
    }

    #[test]
    fn every_line_is_valid_by_itself() {
        for (key, line) in settings() {
            let beside = match key.as_str() {
                "compute_environment" | "cluster" => "",
                "registry_auth_data" => "registry_auth_type = \"docker\"\ncluster = \"c\"",
                _ => HOME,
            };
            assert_eq!(read(&format!("{line}\n{beside}\n")).map(drop), Ok(()), "{line}");
        }
    }

    #[test]
    fn the_lines_are_valid_together() {
        // The one of each pair that excludes another.
        let excluded = ["cluster", "memory"];
        let lines: Vec<_> = settings().into_iter().filter(|(key, _)| !excluded.contains(&key.as_str())).collect();
        let file: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        assert_eq!(read(&file).map(drop), Ok(()), "{file}");
    }

    #[test]
    fn what_is_shown_as_a_default_is_the_default() {
        let is_default = |name: &str| keys().any(|key| key.name == name && matches!(key.default, Default::Is(_)));
        let defaults: String =
            settings().iter().filter(|(key, _)| is_default(key)).map(|(_, line)| format!("{line}\n")).collect();
        assert_eq!(read(&format!("{defaults}{HOME}")), read(HOME));
    }

    #[test]
    fn as_it_is_it_sets_nothing() {
        assert!(example().lines().all(|line| line.is_empty() || line.starts_with('#')), "{}", example());
        assert!(read(&example()).unwrap_err().contains("neither `compute_environment` nor `cluster` is set"));
    }
}
