//! Whether JSON is as a schema says, for the words that the committed schema uses.
//!
//! A word that is not known here fails the test: nothing of the schema is passed over in silence.

use serde_json::Value;

/// The committed schema of `summary.json`.
pub(crate) fn summary_schema() -> Value {
    serde_json::from_str(include_str!("../../schema/summary.schema.json")).unwrap()
}

/// The committed schema of what `diff --json` prints.
pub(crate) fn diff_schema() -> Value {
    serde_json::from_str(include_str!("../../schema/diff.schema.json")).unwrap()
}

/// The committed schema of what `storm --json` prints.
pub(crate) fn storm_schema() -> Value {
    serde_json::from_str(include_str!("../../schema/storm.schema.json")).unwrap()
}

/// What is wrong with `value`, a line each.
pub(crate) fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "summary", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    for (word, wanted) in schema.as_object().unwrap() {
        let mut wrong = |what: &str| found.push(format!("{place}: {what}: {value}"));
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "properties" => {}
            "type" if !is_of_type(wanted, value) => wrong(&format!("is not {wanted}")),
            "const" if wanted != value => wrong(&format!("is not {wanted}")),
            "enum" if !wanted.as_array().unwrap().contains(value) => wrong("is not listed"),
            "minimum" if value.is_number() && value.as_f64() < wanted.as_f64() => {
                wrong("is too small")
            }
            "minItems" if (elements(value).len() as u64) < wanted.as_u64().unwrap() => {
                wrong("short")
            }
            "maxItems" if elements(value).len() as u64 > wanted.as_u64().unwrap() => wrong("long"),
            "type" | "const" | "enum" | "minimum" | "minItems" | "maxItems" => {}
            "required" => {
                for name in wanted.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        wrong(&format!("has no {name}"));
                    }
                }
            }
            "items" => {
                for (number, element) in elements(value).iter().enumerate() {
                    check(root, wanted, element, &format!("{place}[{number}]"), found);
                }
            }
            "additionalProperties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    let place = format!("{place}.{name}");
                    match (schema["properties"].get(name), wanted) {
                        (Some(known), _) => check(root, known, field, &place, found),
                        (None, Value::Bool(false)) => {
                            found.push(format!("{place}: not in the schema"))
                        }
                        (None, other) => check(root, other, field, &place, found),
                    }
                }
            }
            "$ref" => {
                let pointer = wanted.as_str().unwrap().trim_start_matches('#');
                check(root, root.pointer(pointer).unwrap(), value, place, found);
            }
            "anyOf" => {
                let fits = |choice: &Value| {
                    let mut found = Vec::new();
                    check(root, choice, value, place, &mut found);
                    found.is_empty()
                };
                if !wanted.as_array().unwrap().iter().any(fits) {
                    wrong("fits no choice");
                }
            }
            other => panic!("this test does not know the word {other}"),
        }
    }
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    };
    match wanted {
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        name => is(name.as_str().unwrap()),
    }
}

#[test]
fn a_schema_sees_what_is_wrong() {
    let schema = summary_schema();
    let found = violations(&schema, &serde_json::json!({"schema": "x", "more": 1})).join("\n");
    for what in ["has no \"phases\"", "summary.schema: is not", "summary.more: not in the schema"] {
        assert!(found.contains(what), "{found}");
    }
}
