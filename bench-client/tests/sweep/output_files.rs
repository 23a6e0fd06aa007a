//! Every file that a run leaves is read as its readers would, and the report is made anew.

use std::collections::BTreeSet;
use std::process::Command;

use crate::run::{Run, sweep};
use crate::schema::{summary_schema, violations};
use crate::scripted_server::{Act, ScriptedServer};
use testkit::server::RedisServer;

const LOAD: [&str; 8] = ["--duration", "1200ms", "--warmup", "1s", "--from", "16B", "--to", "64B"];

fn small_sweep(options: &[&str]) -> Run {
    let server = RedisServer::start(&[]);
    let run = sweep(&server.address().to_string(), &[&LOAD[..], options].concat());
    run.expect_code(0);
    run
}

#[test]
fn every_file_can_be_read() {
    let run = small_sweep(&["--repeat", "2", "--connections", "4"]);
    let summary = run.json("summary.json");
    assert_eq!(violations(&summary_schema(), &summary), Vec::<String>::new());
    let phases = run.phases();
    assert_eq!(phases.len(), 2 * 3 * 2);
    check_csv(&run.file("summary.csv"), phases.len());
    let intervals: usize =
        phases.iter().map(|phase| phase["timeline"].as_array().unwrap().len()).sum();
    check_csv(&run.file("timeseries.csv"), intervals);
    for phase in &phases {
        let samples = phase["latency_ms"]["samples"].as_u64().unwrap();
        let op = phase["op"].as_str().unwrap().to_lowercase();
        check_hgrm(
            &run.file(&format!("hdr/{op}-{}-{}.hgrm", phase["bytes"], phase["round"])),
            samples,
        );
        check_timeline(phase);
    }
    let log = run.file("hdr/run.hlog");
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("Tag=")).collect();
    assert_eq!(lines.len(), intervals - phases.len(), "a warm-up second of each is left out");
    assert!(lines.iter().all(|line| line.split(',').nth(4).unwrap().starts_with("HISTFAAA")));
}

fn check_csv(text: &str, rows: usize) {
    let widths: BTreeSet<usize> = text.lines().map(|line| line.split(',').count()).collect();
    assert_eq!((text.lines().count(), widths.len()), (rows + 1, 1), "{text}");
}

/// Four columns that never go down, the last of them all samples.
fn check_hgrm(text: &str, samples: u64) {
    assert!(
        text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n"),
        "{text}"
    );
    let (mut last, mut total) = ((0.0, 0.0), 0);
    for line in text.lines().skip(2).filter(|line| !line.starts_with('#')) {
        let cells: Vec<f64> = line.split_whitespace().map(|cell| cell.parse().unwrap()).collect();
        assert!(cells[0] >= last.0 && cells[1] >= last.1, "{line}");
        (last, total) = ((cells[0], cells[1]), cells[2] as u64);
    }
    assert_eq!((last.1, total), (1.0, samples));
}

/// The warm-up is told apart, and what follows adds up to nearly what was counted: threads show what
/// they have every 50 ms.
fn check_timeline(phase: &serde_json::Value) {
    let timeline = phase["timeline"].as_array().unwrap();
    assert_eq!((&timeline[0]["warm_up"], &timeline[1]["warm_up"]), (&true.into(), &false.into()));
    let ends: Vec<f64> = timeline.iter().map(|second| second["end_s"].as_f64().unwrap()).collect();
    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{ends:?}");
    let all: u64 = timeline.iter().map(|second| second["ops"].as_u64().unwrap()).sum();
    assert!(all > phase["ops"].as_u64().unwrap(), "{phase}");
}

#[test]
fn a_report_is_made_anew_from_the_record() {
    let run = small_sweep(&["--ops", "set"]);
    let names = ["report.html", "report.md", "summary.csv", "timeseries.csv"];
    let before: Vec<String> = names.iter().map(|name| run.file(name)).collect();
    names.iter().for_each(|name| std::fs::remove_file(run.path().join(name)).unwrap());
    let report =
        || Command::new(env!("CARGO_BIN_EXE_slotway-bench")).arg("report").arg(run.path()).output();
    assert_eq!(report().unwrap().status.code(), Some(0));
    let after: Vec<String> = names.iter().map(|name| run.file(name)).collect();
    assert!(before == after, "a report from the record differs");
    std::fs::write(run.path().join("summary.json"), "{}").unwrap();
    let refused = report().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no record"));
}

#[test]
fn a_stall_is_in_the_open_loops_p99_and_flagged_in_the_closed_loops_report() {
    // Long after the warm-up of neither, and hit by one request alone.
    let server = ScriptedServer::start(|name, before| match (name, before) {
        ("SET", 50) => Act::Stall(100),
        _ => Act::Obey,
    });
    let load = ["--connections", "4", "--from", "16B", "--to", "16B", "--ops", "set"];
    let options = ["--rate", "200", "--duration", "1s", "--max-error-pct", "0"];
    let open = sweep(&server.address(), &[&load[..], &options].concat());
    // A tenth of all requests were due while the server stood still: one in a hundred waited for
    // nearly all of it.
    let p99 = open.phases()[0]["latency_ms"]["p99"].as_f64().unwrap();
    assert!(p99 >= 80.0, "{p99}");

    let server = ScriptedServer::start(|name, before| match (name, before) {
        ("SET", 50) => Act::Stall(100),
        _ => Act::Obey,
    });
    let closed = sweep(&server.address(), &load);
    let phase = closed.phases().remove(0);
    assert!(phase["longest_pause_ms"].as_f64() >= Some(90.0), "{phase}");
    for file in ["report.md", "report.html"] {
        assert!(closed.file(file).contains("The target stood still in 1 of 1 phases"), "{file}");
    }
}
