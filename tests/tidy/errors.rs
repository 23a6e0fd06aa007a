//! Errors that have another error inside and do not hand it on.

/// The error types that are defined in `code`, hold another error, and implement `Error` without
/// anything of their own.
pub(crate) fn without_cause(code: &str) -> Vec<&str> {
    let implemented = code.split("Error for ").skip(1);
    let bare = implemented.filter_map(|rest| rest.split_once(" {}").map(|(name, _)| name));
    let is_name = |name: &&str| name.chars().all(|c| c.is_alphanumeric());
    bare.filter(is_name).filter(|name| holds_error(definition(code, name))).collect()
}

/// What stands between the braces, or behind the name, of a type.
fn definition<'a>(code: &'a str, name: &str) -> &'a str {
    let starts = ["enum", "struct"].map(|kind| format!("{kind} {name}"));
    let found = starts.iter().find_map(|start| code.split_once(start.as_str()));
    let Some((_, rest)) = found else { return "" };
    let end = rest.find("\n}").unwrap_or(rest.len());
    let end = rest.find(";\n").map_or(end, |semicolon| end.min(semicolon));
    &rest[..end]
}

/// Whether a type is named that is an error.
fn holds_error(definition: &str) -> bool {
    let words = definition.split(|c: char| !c.is_alphanumeric() && c != ':');
    let types = words.map(|word| word.rsplit("::").next().unwrap_or(word));
    types.into_iter().any(|name| name.ends_with("Error"))
}

#[test]
fn errors_without_a_cause_are_found() {
    let held = ["Io(io::Error),", "Other(KeeperError),", "Both(u16, std::io::Error),"];
    for field in held {
        let code = format!(
            "pub enum OneError {{\n    {field}\n}}\nimpl std::error::Error for OneError {{}}\n"
        );
        assert_eq!(without_cause(&code), ["OneError"], "{code}");
    }
    for code in [
        "pub enum OneError {\n    Text(String),\n}\nimpl Error for OneError {}\n",
        "struct NoMap(String);\nenum Other {\n    Io(io::Error),\n}\nimpl Error for NoMap {}\n",
        "enum OneError {\n    Io(io::Error),\n}\nimpl Error for OneError {\n    fn source() {}\n}\n",
    ] {
        assert_eq!(without_cause(code), [] as [&str; 0], "{code}");
    }
    let tuple = "struct Odd(io::Error);\nimpl std::error::Error for Odd {}\n";
    assert_eq!(without_cause(tuple), ["Odd"]);
}
