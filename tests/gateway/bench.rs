//! `slotway-bench` through the gateway: all sizes, without an error or a miss.

use std::path::Path;
use std::process::Command;

use crate::support::site::shared;

#[test]
fn a_sweep_over_all_sizes_has_no_error_and_no_miss() {
    let slotway = Path::new(env!("CARGO_BIN_EXE_slotway"));
    let program = slotway.with_file_name("slotway-bench");
    assert!(
        program.is_file(),
        "{} is missing: `make test` builds it, and so does `cargo build --workspace`",
        program.display()
    );
    let folder = tempfile::tempdir().unwrap();
    let target = shared().gateway.address.to_string();
    let output = Command::new(program)
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
