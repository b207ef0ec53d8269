//! Parameters and secrets, as Systems Manager and Secrets Manager keep them: in memory, each version by its number.

use std::collections::BTreeMap;
use std::fmt;

use crate::clock::Millis;
use crate::error::ApiError;
use crate::ids::{Arns, hex32};

/// A text that is shown by the API that is asked for it, and by nothing else.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// A parameter's number; of a secret, its `VersionId`.
    pub(crate) id: String,
    pub(crate) value: Hidden,
    pub(crate) at: Millis,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// A parameter's `String`, `StringList` or `SecureString`.
    pub(crate) kind: String,
    /// Oldest first, never empty.
    pub(crate) versions: Vec<Version>,
}

impl Entry {
    pub(crate) fn latest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// `AWSCURRENT`, `AWSPREVIOUS`, or a version's id; both must agree where both are given.
    pub(crate) fn version(&self, stage: Option<&str>, id: Option<&str>) -> Option<&Version> {
        let staged = match stage {
            None => None,
            Some("AWSCURRENT") => Some(self.versions.last()?),
            Some("AWSPREVIOUS") => Some(self.versions.iter().rev().nth(1)?),
            Some(_) => return None,
        };
        match (id, staged) {
            (None, None) => self.versions.last(),
            (None, staged) => staged,
            (Some(id), None) => self.versions.iter().find(|version| version.id == id),
            (Some(id), Some(staged)) => Some(staged).filter(|version| version.id == id),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Vault {
    parameters: BTreeMap<String, Entry>,
    secrets: BTreeMap<String, Entry>,
}

impl Vault {
    /// A parameter by name or ARN.
    pub(crate) fn parameter(&self, asked: &str) -> Option<&Entry> {
        let by_arn = || self.parameters.values().find(|entry| entry.arn == asked);
        self.parameters.get(asked).or_else(by_arn)
    }

    pub(crate) fn put_parameter(
        &mut self,
        arns: &Arns,
        (name, kind, value): (&str, &str, String),
        overwrite: bool,
        now: Millis,
    ) -> Result<usize, ApiError> {
        if self.parameters.contains_key(name) && !overwrite {
            return Err(ApiError::new(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
            ));
        }
        let entry = self.parameters.entry(name.to_owned()).or_insert_with(|| Entry {
            name: name.to_owned(),
            arn: arns.service("ssm", &format!("parameter/{}", name.trim_start_matches('/'))),
            kind: kind.to_owned(),
            versions: Vec::new(),
        });
        let number = entry.versions.len() + 1;
        entry.versions.push(Version { id: number.to_string(), value: Hidden(value), at: now });
        Ok(number)
    }

    pub(crate) fn delete_parameter(&mut self, name: &str) -> bool {
        self.parameters.remove(name).is_some()
    }

    /// A secret by name or ARN, the latter with or without the six characters that end it.
    pub(crate) fn secret(&self, asked: &str) -> Option<&Entry> {
        let is_it = |arn: &str| arn == asked || arn.rsplit_once('-').is_some_and(|(short, _)| short == asked);
        self.secrets.get(asked).or_else(|| self.secrets.values().find(|entry| is_it(&entry.arn)))
    }

    pub(crate) fn create_secret(&mut self, arns: &Arns, name: &str, value: String, now: Millis) -> Option<&Entry> {
        if self.secrets.contains_key(name) {
            return None;
        }
        let suffix: String = hex32().chars().take(6).collect();
        let entry = Entry {
            name: name.to_owned(),
            arn: arns.service("secretsmanager", &format!("secret:{name}-{suffix}")),
            kind: String::new(),
            versions: vec![version(value, now)],
        };
        Some(self.secrets.entry(name.to_owned()).or_insert(entry))
    }

    pub(crate) fn put_secret(&mut self, asked: &str, value: String, now: Millis) -> Option<&Entry> {
        let name = self.secret(asked)?.name.clone();
        let entry = self.secrets.get_mut(&name)?;
        entry.versions.push(version(value, now));
        Some(entry)
    }

    pub(crate) fn delete_secret(&mut self, asked: &str) -> Option<Entry> {
        let name = self.secret(asked)?.name.clone();
        self.secrets.remove(&name)
    }
}

fn version(value: String, at: Millis) -> Version {
    Version { id: uuid::Uuid::new_v4().to_string(), value: Hidden(value), at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_each_of_its_names_and_its_versions_by_stage() {
        let (mut vault, arns) = (Vault::default(), Arns { region: "us-east-1".into() });
        let arn = vault.create_secret(&arns, "db", "one".into(), 1).unwrap().arn.clone();
        assert!(vault.create_secret(&arns, "db", "other".into(), 1).is_none());
        vault.put_secret("db", "two".into(), 2).unwrap();
        for name in ["db", &arn, arn.rsplit_once('-').unwrap().0] {
            let secret = vault.secret(name).unwrap();
            assert_eq!(secret.latest().unwrap().value.0, "two");
            let previous = secret.version(Some("AWSPREVIOUS"), None).unwrap();
            assert_eq!(previous.value.0, "one");
            assert_eq!(secret.version(None, Some(&previous.id)).unwrap().value.0, "one");
            assert!(secret.version(Some("AWSCURRENT"), Some(&previous.id)).is_none());
        }
        assert!(!format!("{vault:?}").contains("two"));
        assert!(vault.delete_secret("db").is_some() && vault.secret("db").is_none());
    }

    #[test]
    fn a_parameter_is_overwritten_only_on_request() {
        let (mut vault, arns) = (Vault::default(), Arns { region: "us-east-1".into() });
        let put = |vault: &mut Vault, overwrite| {
            vault.put_parameter(&arns, ("/a/b", "SecureString", "v".into()), overwrite, 1)
        };
        assert_eq!(put(&mut vault, false).unwrap(), 1);
        assert_eq!(put(&mut vault, false).unwrap_err().code, "ParameterAlreadyExists");
        assert_eq!(put(&mut vault, true).unwrap(), 2);
        let arn = vault.parameter("/a/b").unwrap().arn.clone();
        assert!(arn.ends_with(":parameter/a/b"), "{arn}");
        assert!(vault.parameter(&arn).is_some() && vault.delete_parameter("/a/b"));
    }
}
