//! That the committed schema is that of the fields. Owns cases only.

use std::path::Path;

use serde_json::Value;

use super::*;

/// Where the description of the fields is, for those who read them with programs.
const SCHEMA_FILE: &str = "docs/schema/status.schema.json";

/// `SLOTWAY_WRITE_SCHEMA=1` writes the file instead; a change of it is a change of a promise.
#[test]
fn the_schema_is_that_of_the_fields() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA_FILE);
    let made = serde_json::to_value(schemars::schema_for!(Overview)).unwrap();
    if std::env::var_os("SLOTWAY_WRITE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(made == kept, "{SCHEMA_FILE} is another; SLOTWAY_WRITE_SCHEMA=1 writes it");
}
