//! Two runs are held side by side, as text and as JSON.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::run::{Run, sweep};
use crate::schema::{diff_schema, violations};
use testkit::server::RedisServer;

fn diff(a: &Path, b: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slotway-bench"))
        .arg("diff")
        .args([a, b])
        .args(options)
        .output()
        .unwrap()
}

fn small(server: &RedisServer, options: &[&str]) -> Run {
    let load = ["--duration", "200ms", "--from", "16B", "--to", "32B"];
    let run = sweep(&server.address().to_string(), &[&load[..], options].concat());
    run.expect_code(0);
    run
}

#[test]
fn two_runs_are_compared_row_by_row() {
    let server = RedisServer::start(&[]);
    let a = small(&server, &["--repeat", "2"]);
    let b = small(&server, &["--repeat", "3", "--connections", "3"]);
    let output = diff(a.path(), b.path(), &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for words in ["connections: 50 and 3.", "rounds: 2 and 3.", "beyond noise", "GET", "B by A"] {
        assert!(text.to_lowercase().contains(&words.to_lowercase()), "{words}: {text}");
    }
    let output = diff(a.path(), b.path(), &["--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(violations(&diff_schema(), &json), Vec::<String>::new());
    assert_eq!(json["rows"].as_array().unwrap().len(), 4);
    for row in json["rows"].as_array().unwrap() {
        let rate = &row["ops_per_s"];
        assert_eq!((&rate["a"]["count"], &rate["b"]["count"]), (&2.into(), &3.into()));
        let ratio = rate["b"]["median"].as_f64().unwrap() / rate["a"]["median"].as_f64().unwrap();
        assert!((rate["ratio"].as_f64().unwrap() - ratio).abs() < 1e-9, "{row}");
    }
}

#[test]
fn one_round_each_gives_ratios_and_nothing_in_common_is_an_error() {
    let server = RedisServer::start(&[]);
    let a = small(&server, &[]);
    let b = small(&server, &["--ops", "get"]);
    let output = diff(a.path(), b.path(), &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("The noise is not known") && text.contains("Only A has: SET"), "{text}");
    let c = small(&server, &["--ops", "set"]);
    let refused = diff(b.path(), c.path(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("no operation at a size in common"), "{said}");
    assert_eq!(diff(a.path(), Path::new("/nowhere"), &[]).status.code(), Some(1));
}
