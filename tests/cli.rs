//! The real program on the command line: what it prints, where, and its exit codes.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

/// Runs `slotway` with nothing of ours in the environment but `variables`.
fn slotway(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLOTWAY_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A file of that text; the folder lives as long as the first value.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slotway.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn help_names_every_command_and_goes_to_stdout() {
    let output = slotway(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    for command in ["run", "local", "keeper", "topology", "check-config", "healthcheck", "docs"] {
        let listed = format!("\n  {command} ");
        assert!(stdout(&output).contains(&listed), "{}", stdout(&output));
        let own = slotway(&[command, "--help"], &[]);
        assert_eq!(own.status.code(), Some(0));
        assert!(stdout(&own).contains(&format!("Usage: slotway {command}")));
    }
    assert_eq!(stderr(&output), "");
    let version = slotway(&["--version"], &[]);
    assert_eq!(stdout(&version), format!("slotway {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_flag_or_no_command_is_a_misuse() {
    let output = slotway(&["run", "--seeds", "a:1"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("'--seed'"), "{}", stderr(&output));
    assert_eq!(slotway(&[], &[]).status.code(), Some(2));
}

#[test]
fn a_good_file_is_shown_with_the_place_of_each_value() {
    let (_folder, path) = file("workers = 3\n[topology]\nseeds = [\"a:1\"]\npassword = \"hush\"\n");
    let output = slotway(&["check-config", &path], &[("SLOTWAY_LIMITS_CLIENTS_MAX", "77")]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let page = stdout(&output);
    for (value, place) in [
        ("workers = 3 ", format!("# {path}:1")),
        ("seeds = [\"a:1\"]", format!("# {path}:3")),
        ("# password = \"(hidden)\"", format!("# {path}:4")),
        ("clients_max = 77", "# SLOTWAY_LIMITS_CLIENTS_MAX".to_owned()),
        ("drain = \"30s\"", "# default".to_owned()),
    ] {
        let line = page.lines().find(|line| line.starts_with(value));
        assert!(line.is_some_and(|line| line.ends_with(&place)), "{value}:\n{page}");
    }
    assert!(!page.contains("hush") && !page.contains("no seed"), "{page}");
    // The same by way of the variable, and a file without a seed.
    let (_folder, path) = file("");
    let output = slotway(&["check-config"], &[("SLOTWAY_CONFIG", &path)]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("# There is no seed here"), "{}", stdout(&output));
}

#[test]
fn a_bad_file_is_refused_with_all_its_problems() {
    let (_folder, path) = file("[limits]\nclient_max = 1\n\n[timeouts]\nconnect = 3\n");
    let variables = [("SLOTWAY_ROUTING_CROSS_SLOT", "maybe")];
    let expected = format!(
        "{path}:2: unknown key \"client_max\" in [limits]: did you mean \"clients_max\"?\n\
         {path}:5: timeouts.connect = \"3\": a duration needs a unit; write \"3s\" or \"3ms\"\n\
         SLOTWAY_ROUTING_CROSS_SLOT: \"maybe\": write \"split\" or \"refuse\"\n"
    );
    let output = slotway(&["check-config", &path], &variables);
    assert_eq!((output.status.code(), stderr(&output)), (Some(2), expected.clone()));
    assert_eq!(stdout(&output), "");
    // `run` refuses the same before it does anything.
    let output = slotway(&["run", "--seed", "a", "--config", &path], &variables);
    assert_eq!((output.status.code(), stderr(&output)), (Some(2), expected));
}

#[test]
fn running_without_a_seed_says_what_to_do() {
    for command in ["run", "topology"] {
        let output = slotway(&[command], &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).starts_with("no seed: name at least one node"));
    }
}

#[test]
fn a_health_check_has_two_outcomes() {
    for (status, ready, path, code) in [
        ("200 OK", false, "GET /livez ", 0),
        ("200 OK", true, "GET /readyz ", 0),
        ("503 Service Unavailable", true, "GET /readyz ", 1),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap().to_string();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let count = stream.read(&mut request).unwrap();
            write!(stream, "HTTP/1.1 {status}\r\n\r\nno master for slot 1").unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        let mut arguments = vec!["healthcheck", "--admin", &admin];
        if ready {
            arguments.push("--ready");
        }
        let output = slotway(&arguments, &[]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("no master for slot 1"), code == 1);
        assert!(served.join().unwrap().starts_with(path));
    }
    // Nobody to ask is "not well" too: there is no third outcome for a container platform.
    for variables in [("SLOTWAY_ADMIN_BIND", "off"), ("SLOTWAY_ADMIN_BIND", "nonsense")] {
        assert_eq!(slotway(&["healthcheck"], &[variables]).status.code(), Some(1));
    }
}

#[test]
fn the_tables_of_the_docs_are_printed_or_written() {
    let output = slotway(&["docs"], &[]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    for told in ["| `[limits]` `clients_max` |", "| `slotway_ready` | gauge |", "`MGET` `MSET`"] {
        assert!(stdout(&output).contains(told), "{told}");
    }
    let nowhere = slotway(&["docs", "--write", "/nowhere"], &[]);
    assert_eq!((nowhere.status.code(), stdout(&nowhere)), (Some(1), String::new()));
    assert!(stderr(&nowhere).starts_with("slotway: /nowhere/configuration.md: "));
}
