//! `summary.json`, written and read back.
//!
//! Owns which records are understood. Knows nothing of reports.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Record, SCHEMA, SCHEMA_VERSION};

/// The record's name in the directory of a run.
pub(crate) const SUMMARY_FILE: &str = "summary.json";

/// A file that is longer is no record of this program.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A record as text.
pub(crate) fn json(record: &Record) -> Result<String> {
    Ok(serde_json::to_string_pretty(record)? + "\n")
}

/// The record in the directory of a run.
pub(crate) fn read(directory: &Path) -> Result<Record> {
    let path = directory.join(SUMMARY_FILE);
    let mut text = String::new();
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is no record to report on", path.display()))
}

fn parse(text: &str) -> Result<Record> {
    let value: serde_json::Value = serde_json::from_str(text).context("it is not JSON")?;
    let (schema, version) = (&value["schema"], &value["schema_version"]);
    ensure!(schema == SCHEMA, "its schema is {schema}, not \"{SCHEMA}\"");
    ensure!(
        *version == SCHEMA_VERSION,
        "its schema has version {version}; this program reads version {SCHEMA_VERSION}"
    );
    Ok(serde_json::from_value(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_back_to_the_last_digit() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut record = crate::record::sample::record();
        let figures: Vec<[f64; 2]> =
            (0..20_000).map(|_| [random.f64() * 100.0, random.f64() * 1e6]).collect();
        record.phases[0].spectrum.clone_from(&figures);
        let read = parse(&json(&record).unwrap()).unwrap();
        assert!(read.phases[0].spectrum == figures, "a report made anew would differ");
    }

    #[test]
    fn what_is_no_record_is_refused_with_a_reason() {
        let reason = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert!(reason("[").contains("not JSON"));
        assert!(reason("{}").contains("schema is null"));
        let old = r#"{"schema":"slotway-bench/summary","schema_version":1}"#;
        assert!(reason(old).contains("has version 1; this program reads version 2"));
        let hollow = r#"{"schema":"slotway-bench/summary","schema_version":2}"#;
        assert!(reason(hollow).contains("missing field"));
    }
}
