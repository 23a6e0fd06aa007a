//! A peer's text, made fit to be repeated to people.
//!
//! Owns how much of such a text is repeated, and what of it never is. Whoever puts a text of a node
//! into a log, a page or a name calls this once; what it gives may be passed on as it is. Must not
//! know where it goes.

/// Characters that are repeated; behind them stands an ellipsis.
pub const SHOWN_CHARS_MAX: usize = 200;

/// The text without line ends, escapes and other controls, and not too much of it.
pub fn shown(text: &str) -> String {
    let mut rest = text.chars();
    let tame = |c: char| if c.is_control() || is_hidden(c) { '?' } else { c };
    let mut out: String = rest.by_ref().take(SHOWN_CHARS_MAX).map(tame).collect();
    if rest.next().is_some() {
        out.push('…');
    }
    out
}

/// Line and paragraph separators, and what turns the direction of writing.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_are_tamed() {
        assert_eq!(shown("ERR no such key"), "ERR no such key");
        assert_eq!(shown("a\u{1b}[31m\r\nb\u{2028}\u{202e}"), "a?[31m??b??");
        assert_eq!(shown(&"x".repeat(SHOWN_CHARS_MAX)), "x".repeat(SHOWN_CHARS_MAX));
        assert_eq!(shown(&"é".repeat(5000)), "é".repeat(SHOWN_CHARS_MAX) + "…");
    }
}
