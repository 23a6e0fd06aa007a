//! Texts that code compares with, found by what stands around them.

/// What takes a text to compare with, beside operators.
const COMPARING: [&str; 8] = [
    "eq_ignore_ascii_case",
    "eq",
    "is",
    "contains",
    "starts_with",
    "ends_with",
    "by_name",
    "matches!",
];

/// The texts in quotes that `code`, which has no comments, compares something with: in a pattern,
/// beside `==` or `!=`, as what a comparing function takes, or in a list.
pub(crate) fn compared(code: &str) -> Vec<String> {
    let (mut found, mut open, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(rest) = code.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().expect("a character");
        let len = match first {
            '"' => {
                let (text, len) = quoted(rest);
                let (before, after) = (code[..at].trim_end_matches('b'), &rest[len..]);
                if is_compared(before.trim_end(), after.trim_start(), &open) {
                    found.push(text.to_owned());
                }
                len
            }
            '\'' => character(rest),
            '(' | '[' | '{' => {
                open.push((first, word_before(&code[..at])));
                1
            }
            ')' | ']' | '}' => {
                open.pop();
                1
            }
            other => other.len_utf8(),
        };
        at += len;
    }
    found
}

/// The text at the start of `rest`, and its length with the quotes.
fn quoted(rest: &str) -> (&str, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return (&rest[1..at], at + 1),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    (&rest[1..], rest.len())
}

/// The length of a character in quotes; 1 where a lifetime begins.
fn character(rest: &str) -> usize {
    let mut inside = rest.char_indices().skip(1);
    let ends = match inside.next() {
        Some((_, '\\')) => inside.nth(1),
        _ => inside.next(),
    };
    match ends {
        Some((at, '\'')) => at + 1,
        _ => 1,
    }
}

fn word_before(code: &str) -> &str {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '!';
    let start = code.rfind(|c| !is_word(c)).map_or(0, |at| at + 1);
    code.get(start..).unwrap_or("")
}

fn is_compared(before: &str, after: &str, open: &[(char, &str)]) -> bool {
    let beside = ["==", "!="];
    let alternative = after.starts_with('|') && !after.starts_with("||");
    let bound = before.ends_with("let") && after.starts_with('=');
    let taken = match open.last() {
        Some(('(', function)) => COMPARING.contains(function),
        // An index is no list.
        Some(('[', before)) => before.is_empty() || *before == "vec!",
        _ => false,
    };
    let operator = beside.iter().any(|sign| before.ends_with(sign) || after.starts_with(sign));
    operator || alternative || bound || taken || after.starts_with("=>")
}

#[test]
fn comparisons_are_found() {
    let yes = [
        r#"match name { b"GET" => 1, _ => 2 }"#,
        r#"match name { "x" | "GET" => 1 }"#,
        r#"if name.eq_ignore_ascii_case(b"GET") {}"#,
        r#"if name == b"GET" {}"#,
        r#"if "GET" != name {}"#,
        "if name\n    == \"GET\"",
        r#"if [&b"SET"[..], b"GET"].contains(&name) {}"#,
        r#"const NAMES: [&str; 2] = ["SET", "GET"];"#,
        r#"let is = |name| name == args; if is("GET") {}"#,
        r#"matches!(name, b"GET")"#,
        r#"matches!(name, b"GET" | b"SET")"#,
        r#"if let b"GET" = name {}"#,
        r#"fn f<'a>(c: char) { c == '"' || name == "GET" }"#,
        r#"x("\"", '\'') && name == "GET""#,
    ];
    for code in yes {
        assert!(compared(code).contains(&"GET".to_owned()), "{code}");
    }
    let no = [
        r#"write::simple(out, "GET")"#,
        r#"help(out, "GET", HELP)"#,
        r#"let name = "GET";"#,
        r#"Kind::Get => "GET","#,
        r#"x("a \" == \"GET")"#,
        r#"#[arg(long, value_name = "GET")]"#,
    ];
    for code in no {
        assert_eq!(compared(code).iter().filter(|text| *text == "GET").count(), 0, "{code}");
    }
}
