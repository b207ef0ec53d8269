//! `--set KEY=VALUE`: what the agents of a plane's nodes are told beside what the plane itself tells them.

use crate::config;

/// Each node has its own, and the plane knows it.
const OF_THE_PLANE: [&str; 6] = ["compute_environment", "cluster", "region", "data_dir", "admin_socket", "docker_host"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    key: String,
    value: String,
}

/// A key of docs/configuration.md, with a value that it takes.
pub(super) fn parse(text: &str) -> Result<Setting, String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("a setting is KEY=VALUE, such as spot=drain-with-deadline".to_owned());
    };
    if OF_THE_PLANE.contains(&key) {
        return Err(format!("{key} is for the plane to set"));
    }
    config::check_setting(key, value)?;
    Ok(Setting { key: key.to_owned(), value: value.to_owned() })
}

impl Setting {
    /// As the agent finds it in its environment, which goes before its file.
    pub(super) fn variable(self) -> (String, String) {
        (config::variable(&self.key), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_known_and_has_a_value_that_it_takes() {
        let setting = parse("spot=drain-with-deadline").unwrap();
        let variable = ("BATCH_NODE_AGENT_SPOT".to_owned(), "drain-with-deadline".to_owned());
        assert_eq!(setting.variable(), variable);
        for (text, words) in [
            ("spot", "KEY=VALUE"),
            ("spot=run", "one of ignore, drain, drain-with-deadline"),
            ("sport=drain", "no setting"),
            ("data_dir=/tmp", "for the plane"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
