//! A peer that misbehaves is counted, survived and told by the exit code.

use crate::run::{Run, exit_code, sweep};
use crate::scripted_server::{Act, ScriptedServer};

const LOAD: [&str; 8] = ["--connections", "4", "--from", "16B", "--to", "16B", "--keys", "50"];

fn sweep_over(server: &ScriptedServer, options: &[&str]) -> Run {
    sweep(&server.address(), &[&LOAD[..], options].concat())
}

#[test]
fn error_replies_are_counted_by_their_text() {
    let server = ScriptedServer::start(|name, before| match (name, before % 3) {
        ("SET", 0) => Act::Refuse("CLUSTERDOWN Hash slot not served"),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &[]);
    run.expect_code(2);
    assert!(run.sum("SET", "errors") > 0 && run.sum("SET", "ops") > 0);
    // The fill before the GETs writes what the SETs could not.
    assert_eq!((run.sum("GET", "errors"), run.sum("GET", "misses")), (0, 0));
    let texts = run.phases()[0]["errors_by_text"].clone();
    assert_eq!(texts["CLUSTERDOWN Hash slot not served"], run.sum("SET", "errors"));
    assert!(run.file("report.md").contains("CLUSTERDOWN"));
    assert!(run.file("report.md").contains("**Not valid.**"));
}

#[test]
fn a_wrong_value_is_seen_though_its_length_is_right() {
    let server = ScriptedServer::start(|name, before| match (name, before % 5) {
        ("GET", 4) => Act::Corrupt,
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &[]);
    run.expect_code(2);
    assert!(run.sum("GET", "wrong") > 0);
    assert_eq!((run.sum("GET", "errors"), run.sum("GET", "misses")), (0, 0));
    assert_eq!(sweep_over(&server, &["--max-error-pct", "90"]).code(), Some(0));
}

#[test]
fn a_value_of_another_length_is_wrong_and_a_lost_key_a_miss() {
    let server = ScriptedServer::start(|name, before| match (name, before % 4) {
        ("GET", 0) => Act::Say(b"$3\r\nabc\r\n"),
        ("GET", 1) => Act::Say(b"$-1\r\n"),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &[]);
    run.expect_code(2);
    assert!(run.sum("GET", "wrong") > 0 && run.sum("GET", "misses") > 0);
    assert_eq!(run.sum("GET", "errors"), 0);
}

#[test]
fn closed_connections_are_made_anew_and_the_run_goes_on() {
    let server = ScriptedServer::start(|name, before| match (name, before % 20) {
        ("SET" | "GET", 19) => Act::Close,
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &["--pipeline", "3"]);
    run.expect_code(2);
    for op in ["SET", "GET"] {
        assert!(run.sum(op, "errors") > 0 && run.sum(op, "ops") > 0, "{op}");
        assert_eq!(run.sum(op, "wrong"), 0);
    }
}

#[test]
fn nonsense_and_replies_of_another_kind_are_errors() {
    let server = ScriptedServer::start(|name, before| match (name, before % 4) {
        ("SET", 0) => Act::Say(b":1\r\n"),
        ("SET", 1) => Act::Say(b"?what\r\n"),
        ("GET", 0) => Act::Say(b"*1\r\n+OK\r\n"),
        ("GET", 1) => Act::Say(b"$5\r\nhelloXX"),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &[]);
    run.expect_code(2);
    assert!(run.sum("SET", "errors") > 0 && run.sum("GET", "errors") > 0);
    assert_eq!(run.sum("GET", "wrong"), 0);
}

#[test]
fn a_phase_without_any_success_is_never_good() {
    let server = ScriptedServer::start(|name, _| match name {
        "SET" => Act::Refuse("OOM command not allowed when used memory > 'maxmemory'."),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &["--max-error-pct", "100"]);
    run.expect_code(2);
    assert!(run.stdout().contains("no request succeeded"));
    assert_eq!(run.sum("GET", "ops"), 0);
    assert!(run.sum("GET", "misses") > 0);
}

#[test]
fn an_open_loop_sees_a_stall_that_one_request_hit() {
    let server = ScriptedServer::start(|name, before| match (name, before) {
        ("SET", 20) => Act::Stall(300),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &["--rate", "200", "--ops", "set", "--duration", "600ms"]);
    let phase = run.phases().remove(0);
    // At most 120 requests were due; a third of them while the server stood still, each of which
    // waited for the rest of that time, however fast the machine.
    assert!(phase["latency_ms"]["p90"].as_f64() >= Some(100.0), "{phase}");
    assert!(phase["service_ms"]["p50"].as_f64() <= phase["latency_ms"]["p50"].as_f64(), "{phase}");
    assert!(run.file("report.md").contains("from the moment the request was due"));
}

#[test]
fn an_open_loop_survives_closed_connections_too() {
    let server = ScriptedServer::start(|name, before| match (name, before % 10) {
        ("SET", 9) => Act::Close,
        ("SET", 4) => Act::SayAndClose(b"+OK\r\n"),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &["--rate", "200", "--ops", "set", "--max-error-pct", "90"]);
    assert!(run.sum("SET", "errors") > 0 && run.sum("SET", "ops") > 0);
    assert!(run.file("report.md").contains("connection lost"));
}

#[test]
fn a_reply_that_nobody_asked_for_is_an_error() {
    let server = ScriptedServer::start(|name, before| match (name, before % 20) {
        ("SET", 19) => Act::Say(b"+OK\r\n+OK\r\n"),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &["--ops", "set"]);
    run.expect_code(2);
    let texts = run.phases()[0]["errors_by_text"].clone();
    assert!(texts["protocol error: a reply nobody asked for"].as_u64() > Some(0), "{texts}");
    assert!(run.sum("SET", "ops") > 0);
}

#[test]
fn a_reply_that_does_not_come_in_time_is_an_error() {
    let server = ScriptedServer::start(|name, before| match (name, before) {
        ("SET", 20) => Act::Stall(600),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &["--ops", "set", "--timeout", "200ms"]);
    run.expect_code(2);
    let texts = run.phases()[0]["errors_by_text"].clone();
    assert!(texts["timed out"].as_u64() > Some(0), "{texts}");
    assert!(run.sum("SET", "ops") > 0);
}

#[test]
fn a_target_may_be_a_name() {
    let server = ScriptedServer::start(|name, before| match (name, before % 20) {
        ("SET", 19) => Act::Close,
        _ => Act::Obey,
    });
    let target = server.address().replace("127.0.0.1", "localhost");
    let run = sweep(&target, &[&LOAD[..], &["--max-error-pct", "90"]].concat());
    run.expect_code(0);
    assert!(run.sum("SET", "errors") > 0 && run.sum("SET", "ops") > 0);
    assert_eq!(run.sum("GET", "errors"), 0);
}

#[test]
fn a_wrong_command_line_is_told_from_bad_figures() {
    for options in
        [&["--nonsense"][..], &["--duration", "5 minutes"], &["--from", "4M", "--to", "128"]]
    {
        let run = sweep("127.0.0.1:1", options);
        run.expect_code(64);
        assert!(!run.stderr().is_empty(), "{options:?}");
    }
}

#[test]
fn every_subcommand_refuses_a_wrong_command_line_in_the_same_way() {
    for words in [
        &["compare", "--cases", "del16"][..],
        &["peers", "--masters", "2"],
        &["compare", "--duration", "0"],
        &["isolation", "--duration", "0"],
        &["isolation", "--duration", "3 seconds"],
        &["diff", "."],
        &["storm"],
        &["storm", "--target", "h:1", "--duration", "0"],
        &["neither"],
        &[],
    ] {
        assert_eq!(exit_code(words), Some(64), "{words:?}");
    }
}

#[test]
fn several_values_at_once_are_checked_too() {
    // Three keys: one is lost, one has another value, all are there and right.
    let server = ScriptedServer::start(|name, before| match (name, before % 4) {
        ("MGET", 0) => Act::Say(b"*3\r\n$-1\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("MGET", 1) => Act::Say(b"*3\r\n$2\r\nab\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("MGET", 2) => Act::Say(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("MGET", _) => Act::Refuse("ERR no"),
        _ => Act::Obey,
    });
    let load = ["--connections", "4", "--size", "1B", "--keys", "50", "--ops", "mget"];
    let run = sweep(&server.address(), &[&load[..], &["--batch", "3"]].concat());
    run.expect_code(2);
    for counter in ["errors", "misses", "wrong"] {
        assert!(run.sum("MGET", counter) > 0, "{counter}");
    }
    assert_eq!(run.sum("MGET", "ops"), 0);
}

#[test]
fn a_peer_that_knows_no_resp3_is_told_of() {
    let server = ScriptedServer::start(|name, _| match name {
        "HELLO" => Act::Refuse("ERR unknown command 'HELLO'"),
        _ => Act::Obey,
    });
    let run = sweep_over(&server, &["--protocol", "3", "--ops", "set"]);
    run.expect_code(2);
    let texts = run.phases()[0]["errors_by_text"].clone();
    assert!(texts["HELLO refused: ERR unknown command 'HELLO'"].as_u64() > Some(0), "{texts}");
}
