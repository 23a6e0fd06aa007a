//! The pages in `docs/` say what the code does.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::fs;
use std::path::PathBuf;

use slotway::docs;

const MEND: &str = "cargo run -- docs --write docs";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}

#[test]
fn the_generated_parts_are_what_the_code_says() {
    for page in docs::pages() {
        let text = fs::read_to_string(folder().join(page)).unwrap();
        let filled = docs::filled(page, &text).unwrap_or_else(|error| panic!("docs/{error}"));
        let differs = text.lines().zip(filled.lines()).find(|(is, should)| is != should);
        assert!(
            text == filled,
            "docs/{page} differs from the code; `{MEND}` mends it. The first line that differs, \
             and what it should be:\n{differs:#?}"
        );
    }
}

#[test]
fn pages_are_written_only_where_they_differ() {
    let copy = tempfile::tempdir().unwrap();
    for page in docs::pages() {
        fs::copy(folder().join(page), copy.path().join(page)).unwrap();
    }
    let metrics = copy.path().join("metrics.md");
    let text = fs::read_to_string(&metrics).unwrap();
    fs::write(&metrics, text.replace("slotway_ready", "slotway_steady")).unwrap();
    assert_eq!(docs::write(copy.path()).unwrap(), std::slice::from_ref(&metrics));
    assert_eq!(fs::read_to_string(&metrics).unwrap(), text);
    assert!(docs::write(copy.path()).unwrap().is_empty());
    fs::write(&metrics, "no markers").unwrap();
    let error = docs::write(copy.path()).unwrap_err().to_string();
    assert!(error.starts_with("metrics.md needs the lines"), "{error}");
}
