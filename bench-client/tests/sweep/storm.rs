//! Connection storms against a real Redis, nobody, and peers that misbehave.

use std::process::{Command, Output};

use serde_json::Value;
use testkit::server::{RedisServer, free_address};
use testkit::until;

use crate::schema::{storm_schema, violations};
use crate::scripted_server::{Act, ScriptedServer};

fn storm(target: &str, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slotway-bench"))
        .args(["storm", "--target", target, "--rate", "200", "--duration", "1s"])
        .args(options)
        .env_remove("SLOTWAY_BENCH_PASSWORD")
        .output()
        .unwrap()
}

/// What it printed as JSON, with its exit code.
fn counted(target: &str, options: &[&str]) -> (Value, Option<i32>) {
    let output = storm(target, &[&["--json"][..], options].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(violations(&storm_schema(), &json), Vec::<String>::new());
    (json, output.status.code())
}

#[test]
fn every_connection_is_opened_asked_and_closed() {
    let server = RedisServer::start(&["--requirepass", "s3cret-word"]);
    let address = server.address().to_string();
    for options in
        [&["--password", "s3cret-word"][..], &["--silent"], &["--silent", "--hold", "100ms"]]
    {
        let (json, code) = counted(&address, options);
        assert_eq!(code, Some(0), "{json}");
        let counts = &json["counts"];
        // As many as were due, whatever the machine: late ones are made up for, until the end.
        let attempts = counts["attempts"].as_u64().unwrap();
        assert!((1..=200).contains(&attempts), "{json}");
        assert_eq!((&counts["good"], &counts["connected"]), (&attempts.into(), &attempts.into()));
        assert_eq!(json["connect_ms"]["samples"], attempts);
        let pings = if options[0] == "--silent" { 0 } else { attempts };
        assert_eq!(json["reply_ms"]["samples"], pings);
        let seconds = json["seconds"].as_array().unwrap();
        let sum: u64 = seconds.iter().map(|second| second["attempts"].as_u64().unwrap()).sum();
        assert_eq!(sum, attempts);
    }
    let text = storm(&address, &["--silent"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("connect  p50") && text.contains("without a request"), "{text}");
    let mut client = server.client();
    client.line("AUTH s3cret-word");
    until("a server without other clients", || {
        client.line("INFO clients").text().contains("connected_clients:1\r")
    });
    assert!(client.line("INFO commandstats").text().contains("cmdstat_ping"));
}

#[test]
fn what_fails_is_told_apart() {
    let (nobody, code) = counted(&free_address().to_string(), &[]);
    assert_eq!((code, &nobody["counts"]["good"]), (Some(2), &0.into()));
    assert_eq!(nobody["counts"]["connect_refused"], nobody["counts"]["attempts"]);

    let server = ScriptedServer::start(|name, before| match (name, before % 4) {
        ("PING", 0) => Act::Refuse("ERR max number of clients reached"),
        ("PING", 1) => Act::Close,
        _ => Act::Obey,
    });
    let (json, code) = counted(&server.address(), &[]);
    assert_eq!(code, Some(2));
    let count = |name: &str| json["counts"][name].as_u64().unwrap();
    assert!(count("error_replies") > 0 && count("closed") > 0 && count("good") > 0, "{json}");
    assert_eq!(count("error_replies") + count("closed") + count("good"), count("attempts"));
    let refused = &json["errors_by_text"]["ERR max number of clients reached"];
    assert_eq!(refused, count("error_replies"));
    let (json, code) = counted(&server.address(), &["--max-error-pct", "90"]);
    assert_eq!(code, Some(0), "{json}");
}

#[test]
fn no_more_are_open_than_allowed_and_silence_has_an_end() {
    let server = ScriptedServer::start(|name, _| match name {
        "PING" => Act::Say(b""),
        _ => Act::Obey,
    });
    let (json, code) = counted(&server.address(), &["--open-max", "20", "--timeout", "300ms"]);
    assert_eq!(code, Some(2));
    let count = |name: &str| json["counts"][name].as_u64().unwrap();
    assert!(count("reply_timed_out") >= 20 && count("none_left_here") > 0, "{json}");
    assert_eq!(count("reply_timed_out") + count("none_left_here"), count("attempts"), "{json}");
    assert_eq!(storm("nowhere", &[]).status.code(), Some(1));
    assert_eq!(storm("h:1", &["--rate", "0"]).status.code(), Some(64));
}
