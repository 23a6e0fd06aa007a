//! Text as HTML has it.
//!
//! Owns what is escaped. Everything that comes from a target or a command line goes through here.

/// Text inside an element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The same, with what stands between backticks as code. A backtick without its fellow stays.
pub(super) fn with_code(text: &str) -> String {
    let pieces: Vec<&str> = text.split('`').collect();
    let mut html = String::new();
    for (place, piece) in pieces.iter().enumerate() {
        let is_last = place + 1 == pieces.len();
        match (place % 2, is_last) {
            (0, _) => html += &escape(piece),
            (_, false) => html += &format!("<code>{}</code>", escape(piece)),
            (_, true) => html += &format!("`{}", escape(piece)),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(
            escape("<b a=\"1\" c='2'>&\u{1b}"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp; "
        );
        assert_eq!(with_code("use `<x>` now"), "use <code>&lt;x&gt;</code> now");
        assert_eq!(with_code("a ` b"), "a ` b");
    }
}
