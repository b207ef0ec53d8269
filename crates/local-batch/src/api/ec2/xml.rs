//! Just enough XML to answer with.

/// An element around markup.
pub(in crate::api) fn element(name: &str, inner: &str) -> String {
    format!("<{name}>{inner}</{name}>")
}

/// An element around text.
pub(in crate::api) fn text(name: &str, value: &str) -> String {
    element(name, &escape(value))
}

/// A list as EC2 writes it: `<name><item>..</item>..</name>`.
pub(super) fn set(name: &str, items: impl Iterator<Item = String>) -> String {
    element(name, &items.map(|item| element("item", &item)).collect::<String>())
}

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 has no way to write the other control characters.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_is_escaped() {
        assert_eq!(super::text("a", "<b> & \u{1}"), "<a>&lt;b&gt; &amp; \u{fffd}</a>");
    }
}
