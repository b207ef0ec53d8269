//! What a setting holds before its key gives it a type: text from the environment, or a TOML value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

/// An untyped value. A list or a table may also be given as text: `22,2375` or `[22,2375]`, `a=b,c=d` or `{"a":"b"}`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// From the environment or the table of defaults, where everything is text.
    Text(String),
    /// A TOML string; it differs from [`Value::Text`] in that a number in quotes is no number.
    Str(String),
    Int(i64),
    Float(f64),
    List(Vec<Value>),
    Table(BTreeMap<String, Value>),
    /// A boolean, a date or a number that does not fit: no key takes one.
    Other(String),
}

impl Value {
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Str(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Self::Other(number.to_string()), Self::Int),
            DeValue::Float(number) => {
                (number.as_str().parse()).map_or_else(|_| Self::Other(number.to_string()), Self::Float)
            }
            DeValue::Array(items) => Self::List(items.iter().map(|i| Self::from_toml(i.get_ref())).collect()),
            DeValue::Table(entries) => Self::Table(
                (entries.iter()).map(|(k, v)| (k.get_ref().to_string(), Self::from_toml(v.get_ref()))).collect(),
            ),
            DeValue::Boolean(yes) => Self::Other(yes.to_string()),
            DeValue::Datetime(date) => Self::Other(date.to_string()),
        }
    }

    /// A string that is not empty, without the space around it.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Str(text) => Some(text.trim()).filter(|t| !t.is_empty()),
            _ => None,
        }
    }

    pub(super) fn whole(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number| number.is_finite())
    }

    /// A whole number and its unit, `ms`, `s`, `m`, `h` or `d`, and nothing else: a bare number has to be guessed.
    pub(super) fn duration(&self) -> Option<Duration> {
        let text = self.text()?;
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let millis_per_unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        number.checked_mul(millis_per_unit).map(Duration::from_millis)
    }

    /// `10%`, at most `max`.
    pub(super) fn percent(&self, max: u8) -> Option<u8> {
        let number = self.text()?.strip_suffix('%')?.trim_end();
        number.parse().ok().filter(|percent| *percent <= max)
    }

    pub(super) fn absolute_path(&self) -> Option<PathBuf> {
        self.text().map(PathBuf::from).filter(|p| p.is_absolute())
    }

    /// Port numbers, 1 to 65535, in order and once each.
    pub(super) fn ports(&self) -> Option<Vec<u16>> {
        let items = match self {
            Self::List(items) => items.clone(),
            Self::Text(text) => {
                let text = text.trim();
                let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
                (inner.unwrap_or(text).split(','))
                    .filter(|part| !part.trim().is_empty())
                    .map(|part| Self::Text(part.to_owned()))
                    .collect()
            }
            _ => return None,
        };
        let port = |item: &Self| u16::try_from(item.whole()?).ok().filter(|port| *port > 0);
        let ports: Option<BTreeSet<u16>> = items.iter().map(port).collect();
        Some(ports?.into_iter().collect())
    }

    /// Words in a list, in order and once each. As text: `a,b` or `["a","b"]`.
    pub(super) fn words(&self) -> Option<Vec<String>> {
        let items: Vec<String> = match self {
            Self::List(items) => items.iter().map(|i| i.text().map(str::to_owned)).collect::<Option<_>>()?,
            Self::Text(text) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok()?,
            Self::Text(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            _ => return None,
        };
        let words: BTreeSet<String> = items.into_iter().collect();
        (!words.contains("")).then(|| words.into_iter().collect())
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Text(text) | Self::Other(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A table of strings.
    pub(super) fn strings(&self) -> Option<BTreeMap<String, String>> {
        match self {
            Self::Table(entries) => (entries.iter())
                .map(|(key, value)| match value {
                    Self::Str(text) => Some((key.clone(), text.clone())),
                    _ => None,
                })
                .collect(),
            Self::Text(text) if text.trim_start().starts_with('{') => serde_json::from_str(text).ok(),
            Self::Text(text) => (text.split(','))
                .filter(|part| !part.trim().is_empty())
                .map(|part| {
                    let (key, value) = part.split_once('=')?;
                    Some((key.trim().to_owned(), value.trim().to_owned()))
                })
                .collect(),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Other(text) => f.write_str(text),
            Self::Str(text) => write!(f, "{text:?}"),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Table(entries) => {
                let entries: Vec<String> = entries.iter().map(|(k, v)| format!("{k} = {v}")).collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn durations_have_one_unit_and_no_more() {
        for (given, millis) in [("10ms", 10), ("90s", 90_000), ("10m", 600_000), ("1d", 86_400_000)] {
            assert_eq!(text(given).duration(), Some(Duration::from_millis(millis)), "{given}");
        }
        for given in ["10", "", "s", "1.5h", "-1s", "1h30m", "10 m", "99999999999999999999d"] {
            assert_eq!(text(given).duration(), None, "{given}");
        }
        assert_eq!(Value::Int(10).duration(), None);
    }

    #[test]
    fn ports_come_as_a_list_or_as_text() {
        let list = Value::List(vec![Value::Int(2375), Value::Int(22), Value::Int(22)]);
        for given in [list, text("[22, 2375]"), text("2375,22")] {
            assert_eq!(given.ports(), Some(vec![22, 2375]), "{given}");
        }
        assert_eq!(text("[]").ports(), Some(vec![]));
        for given in [text("0"), text("22;23"), text("65536"), Value::Int(22)] {
            assert_eq!(given.ports(), None, "{given}");
        }
        assert_eq!(Value::List(vec![Value::Str("22".into())]).ports(), None);
    }

    #[test]
    fn words_and_booleans_come_as_toml_and_as_text() {
        let list = Value::List(vec![Value::Str("b".into()), Value::Str("a".into())]);
        for given in [list, text("b, a"), text(r#"["a","b"]"#)] {
            assert_eq!(given.words(), Some(vec!["a".to_owned(), "b".to_owned()]), "{given}");
        }
        assert_eq!(text("a,,b").words(), None);
        assert_eq!((text("true").boolean(), Value::Other("false".into()).boolean()), (Some(true), Some(false)));
        assert_eq!((text("yes").boolean(), Value::Str("true".into()).boolean()), (None, None));
    }

    #[test]
    fn a_table_of_strings_comes_as_json_or_as_pairs() {
        let expected = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".into(), String::new())]);
        for given in [text(r#"{"a":"1","b":""}"#), text("a=1, b=")] {
            assert_eq!(given.strings().as_ref(), Some(&expected), "{given}");
        }
        assert_eq!(text(r#"{"a":1}"#).strings(), None);
        assert_eq!(text("a").strings(), None);
    }
}
