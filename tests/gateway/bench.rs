//! `slotway-bench` through the gateway: all sizes, and the loads that proxies are compared with,
//! without an error or a miss.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::site::shared;

const SLOTWAY: &str = env!("CARGO_BIN_EXE_slotway");

fn program() -> PathBuf {
    let program = Path::new(SLOTWAY).with_file_name("slotway-bench");
    assert!(
        program.is_file(),
        "{} is missing: `make test` builds it, and so does `cargo build --workspace`",
        program.display()
    );
    program
}

#[test]
fn a_sweep_over_all_sizes_has_no_error_and_no_miss() {
    let folder = tempfile::tempdir().unwrap();
    let target = shared().gateway.address.to_string();
    let output = Command::new(program())
        .args(["sweep", "--quick", "--duration", "200ms", "--target", &target, "--out"])
        .arg(folder.path())
        .env_remove("SLOTWAY_BENCH_PASSWORD")
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}", said.concat());
    let summary = std::fs::read_to_string(folder.path().join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let phases = summary["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 32);
    for phase in phases {
        assert!(phase["ops"].as_u64().unwrap() > 0, "{phase}");
        for fault in ["errors", "misses"] {
            assert_eq!(phase[fault], 0, "{phase}");
        }
    }
}

/// Whatever the figures are: every kind of load is understood and answered as it should be.
#[test]
fn a_comparison_starts_everything_measures_it_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cases =
        ["get16_p16", "set1k_p1", "mix16_p4_c200", "mget10", "mset100", "set512k_p1", "idle50"];
    let output = Command::new(program())
        .args(["peers", "--quick", "--duration", "500ms", "--only", "slotway"])
        .args(["--gateway", &format!("slotway={SLOTWAY}"), "--cases", &cases.join(",")])
        .arg("--out")
        .arg(folder.path().join("out"))
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}", said.concat());
    let json = std::fs::read_to_string(folder.path().join("out/peers.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = json["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["case"].as_str().unwrap()).collect();
    assert_eq!(names, cases);
    for row in rows {
        assert_eq!(row["failures"].as_array().unwrap().len(), 0, "{row}");
        for sample in row["samples"].as_array().unwrap() {
            assert_eq!(sample["wrong"], 0, "{row}");
            assert!(sample["requests_per_s"].as_f64().unwrap() > 0.0, "{row}");
        }
    }
    assert_eq!(rows[6]["idle"][0]["clients"], 50);
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "out")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
