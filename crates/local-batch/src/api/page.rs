//! Pages of a list: `maxResults` and `nextToken`.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// One page, and the token of the next.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

/// Cuts a page out of a list. A token is the number of items that came before it.
pub(super) fn page<T>(
    items: Vec<T>,
    max: Option<i64>,
    token: Option<&str>,
    largest: usize,
) -> Result<Page<T>, ApiError> {
    let skip = match token.filter(|t| !t.is_empty()) {
        Some(token) => token
            .parse()
            .map_err(|_| ApiError::client(format!("nextToken {token:?} is none that this service gave")))?,
        None => 0,
    };
    let size = max.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(largest).min(largest);
    let end = skip + size;
    let next = (items.len() > end).then(|| end.to_string());
    Ok(Page { items: items.into_iter().skip(skip).take(size).collect(), next })
}

impl Page<Value> {
    /// `{name: items, "nextToken": ...}`.
    pub(super) fn into_answer(self, name: &str) -> Value {
        let mut answer = Map::new();
        answer.insert(name.to_owned(), Value::Array(self.items));
        if let Some(next) = self.next {
            answer.insert("nextToken".to_owned(), Value::String(next));
        }
        Value::Object(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let list = || (0..5).collect::<Vec<_>>();
        let first = page(list(), Some(2), None, 100).unwrap();
        assert_eq!((first.items, first.next.as_deref()), (vec![0, 1], Some("2")));
        let last = page(list(), Some(2), Some("4"), 100).unwrap();
        assert_eq!((last.items, last.next), (vec![4], None));
        assert!(page(list(), None, Some("x"), 100).is_err());
    }
}
