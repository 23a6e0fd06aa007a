//! Glob-style patterns, by the rules of Redis's `stringmatch`.
//!
//! Owns the matching. Knows nothing of what is matched. Invariant: only the last `*` is ever tried
//! again, so the work is at most the product of both lengths, whatever the pattern.

/// Whether letters of another case are other letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They are: keys and channels.
    Matters,
    /// They are not: names of commands and settings.
    Ignored,
}

impl Case {
    fn fold(self, byte: u8) -> u8 {
        if self == Case::Ignored { byte.to_ascii_lowercase() } else { byte }
    }
}

/// Whether all of `text` fits `pattern`: `*`, `?`, `[a-z]`, `[^a]` and `\` before a literal byte.
/// As in Redis, a class that is not closed ends with the pattern, and an escaped byte in a class
/// is compared exactly.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut at, mut read) = (0, 0);
    // What follows the last `*`, and where in the text it is tried.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = &pattern[at..];
        if rest.first() == Some(&b'*') {
            at += 1;
            retry = Some((at, read));
            continue;
        }
        let Some(&byte) = text.get(read) else { return rest.is_empty() };
        match (element(rest, byte, case), retry) {
            (Some(len), _) => {
                at += len;
                read += 1;
            }
            (None, Some((after, tried))) => {
                (at, read) = (after, tried + 1);
                retry = Some((after, tried + 1));
            }
            (None, None) => return false,
        }
    }
}

/// The length of the pattern's first element, if that is one for this byte.
fn element(pattern: &[u8], byte: u8, case: Case) -> Option<usize> {
    let is_byte = |literal: &u8| case.fold(*literal) == case.fold(byte);
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (fits, len) = in_class(class, byte, case);
            fits.then_some(len + 1)
        }
        [b'\\', literal, ..] => is_byte(literal).then_some(2),
        [literal, ..] => is_byte(literal).then_some(1),
    }
}

/// Whether a class, given without its `[`, has the byte, and how long the class is.
fn in_class(class: &[u8], byte: u8, case: Case) -> (bool, usize) {
    let not = class.first() == Some(&b'^');
    let mut at = usize::from(not);
    let mut found = false;
    loop {
        let len = match &class[at..] {
            [] => break,
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                2
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => {
                let (low, high) = (*start.min(end), *start.max(end));
                found |= (case.fold(low)..=case.fold(high)).contains(&case.fold(byte));
                3
            }
            [literal, ..] => {
                found |= case.fold(*literal) == case.fold(byte);
                1
            }
        };
        at += len;
    }
    (found != not, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_a_server_matches() {
        // Each seen from a 7.0.15 as COMMAND LIST FILTERBY PATTERN, or KEYS where case does not
        // matter.
        let cases: [(&str, &str, bool); 27] = [
            ("get", "get", true),
            ("GET", "get", true),
            ("ge", "get", false),
            ("gett", "get", false),
            ("", "get", false),
            ("*", "get", true),
            ("***", "get", true),
            ("g*", "get", true),
            ("*t", "get", true),
            ("g*t*", "get", true),
            ("g*x", "get", false),
            ("client|l*", "client|list", true),
            ("?et", "get", true),
            ("????", "get", false),
            ("[gs]et", "set", true),
            ("[^gs]et", "set", false),
            ("[^a]et", "set", true),
            ("[a-g]et", "get", true),
            ("[G-A]et", "get", true),
            ("[a-f]et", "get", false),
            ("ge[t", "get", true),
            ("ge[x", "get", false),
            ("ge[^", "get", true),
            ("ge\\t", "get", true),
            ("g[\\e]t", "get", true),
            ("g[\\E]t", "get", false),
            ("get\\", "get", false),
        ];
        for (pattern, text, fits) in cases {
            let found = matches(pattern.as_bytes(), text.as_bytes(), Case::Ignored);
            assert_eq!(found, fits, "{pattern} {text}");
        }
    }

    #[test]
    fn case_matters_where_it_should() {
        for (pattern, text) in
            [("GET", "get"), ("[G-H]et", "get"), ("\\Get", "get"), ("[G]*", "get")]
        {
            let [exact, folded] = [Case::Matters, Case::Ignored]
                .map(|case| matches(pattern.as_bytes(), text.as_bytes(), case));
            assert!(!exact && folded, "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = b"a*".repeat(5_000);
        let text = b"a".repeat(4_000);
        assert!(!matches(&pattern, &text, Case::Matters));
        assert!(matches(&b"a*".repeat(4_000), &text, Case::Matters));
    }

    /// The same rules, told by recursion.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            (_, [byte, text @ ..]) => element(pattern, *byte, Case::Matters)
                .is_some_and(|len| naive(&pattern[len..], text)),
            _ => pattern.is_empty(),
        }
    }

    proptest! {
        #[test]
        fn one_retry_is_enough(
            pattern in "[ab*?\\[\\]^\\\\-]{0,9}",
            text in "[ab]{0,9}",
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text, Case::Matters), naive(pattern, text));
        }
    }
}
