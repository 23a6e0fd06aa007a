//! Programs and libraries that know nothing of a cluster.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use redis::{Commands, Connection};

use crate::support::reply::Reply;
use crate::support::site::{client, shared};

/// Runs a program with this input and takes what it prints; it must succeed.
fn run(program: impl AsRef<Path>, words: &[&str], input: &[u8]) -> String {
    let program = program.as_ref();
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; see .ci/prepare", program.display()));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    // A program that ends early is told by its status.
    let _ = writer.join();
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{said}{}", String::from_utf8_lossy(&stderr));
    said
}

fn redis_cli(words: &[&str], input: &[u8]) -> String {
    let port = shared().gateway.port();
    run("redis-cli", &[&["-p", &port], words].concat(), input)
}

#[test]
fn redis_cli_reads_commands_from_a_person() {
    let input =
        b"set clients:cli 'a b'\nget clients:cli\nincr clients:cli:n\nhset clients:cli:h f v\n\
                  hgetall clients:cli:h\nnosuch\nmulti\nget clients:cli\nexec\n";
    redis_cli(&["DEL", "clients:cli:n", "clients:cli:h"], b"");
    let said = redis_cli(&[], input);
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[..6], ["OK", "a b", "1", "1", "f", "v"], "{said}");
    assert!(lines[6].starts_with("ERR unknown command 'nosuch'"), "{said}");
    assert_eq!(lines[7..], ["OK", "QUEUED", "a b"], "{said}");
    let said = redis_cli(&["-3", "--no-raw", "HGETALL", "clients:cli:h"], b"");
    assert_eq!(said.trim(), "1# \"f\" => \"v\"");
    assert_eq!(redis_cli(&["--no-raw", "-x", "SET", "clients:cli"], b"\0\xff").trim(), "OK");
    assert_eq!(redis_cli(&["--no-raw", "GET", "clients:cli"], b"").trim(), r#""\x00\xff""#);
}

#[test]
fn redis_cli_loads_in_bulk_and_scans() {
    let (mut input, mut keys) = (Vec::new(), BTreeSet::new());
    for n in 0..10_000 {
        let key = format!("clients:bulk:{n}");
        crate::support::client::put(&mut input, &["SET", &key, &key]);
        keys.insert(key);
    }
    let said = redis_cli(&["--pipe"], &input);
    assert!(said.contains("errors: 0, replies: 10000"), "{said}");
    let said = redis_cli(&["--scan", "--pattern", "clients:bulk:*"], b"");
    assert_eq!(said.lines().map(str::to_owned).collect::<BTreeSet<_>>(), keys);
    let said = redis_cli(&["--bigkeys", "-i", "0"], b"");
    assert!(said.contains("Biggest string found"), "{said}");
    let mut client = client();
    for key in keys.iter().step_by(997) {
        assert_eq!(client.ask(&["GET", key]), Reply::bulk(key));
    }
}

fn benchmark(words: &[&str]) -> String {
    let port = shared().gateway.port();
    let said = run("redis-benchmark", &[&["-p", &port, "-q", "-r", "1000"], words].concat(), b"");
    assert!(!said.contains("rror"), "{said}");
    said
}

#[test]
fn redis_benchmark_runs() {
    let tests = "set,get,incr,lpush,mset";
    for words in [
        &["-t", tests, "-P", "1", "-n", "3000"][..],
        &["-t", tests, "-P", "64", "-n", "20000"],
        &["-t", "set,get", "-d", "524288", "-n", "200", "-r", "50"],
        &["-t", tests, "-3", "-n", "2000"],
    ] {
        let said = benchmark(words);
        let measured = said.matches("requests per second").count();
        let wanted = if words.contains(&tests) { 5 } else { 2 };
        assert_eq!(measured, wanted, "{said}");
    }
}

#[test]
fn redis_py_needs_no_change() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/venv/bin/python");
    assert!(python.is_file(), "{} is missing: run `.ci/prepare tests`", python.display());
    let script = root.join("tests/gateway/clients.py");
    let port = shared().gateway.port();
    let said = run(python, &[&script.display().to_string(), &port], b"");
    assert_eq!(said.trim(), "RESP2 is fine\nRESP3 is fine");
}

fn connect() -> Connection {
    let address = shared().gateway.address;
    redis::Client::open(format!("redis://{address}/")).unwrap().get_connection().unwrap()
}

#[test]
fn the_redis_crate_needs_no_change() {
    let mut connection = connect();
    let () = connection.set("clients:crate", 41).unwrap();
    assert_eq!(connection.incr::<_, _, i64>("clients:crate", 1).unwrap(), 42);
    let () = connection.del("clients:crate:hash").unwrap();
    let () = connection.hset_multiple("clients:crate:hash", &[("a", 1), ("b", 2)]).unwrap();
    let hash: std::collections::HashMap<String, i64> =
        connection.hgetall("clients:crate:hash").unwrap();
    assert_eq!((hash["a"], hash["b"], hash.len()), (1, 2, 2));
    let mut pipe = redis::pipe();
    for n in 0..1000 {
        pipe.set(format!("clients:crate:{n}"), n).ignore().get(format!("clients:crate:{n}"));
    }
    let values: Vec<i64> = pipe.query(&mut connection).unwrap();
    assert_eq!(values, (0..1000).collect::<Vec<_>>());
    let keys: Vec<String> = (0..1000).map(|n| format!("clients:crate:{n}")).collect();
    let values: Vec<i64> = connection.mget(&keys).unwrap();
    assert_eq!(values, (0..1000).collect::<Vec<_>>());
    let scanned = connection.scan_match::<_, String>("clients:crate:[0-9]*").unwrap();
    let scanned: BTreeSet<String> = scanned.map(Result::unwrap).collect();
    assert_eq!(scanned, keys.iter().cloned().collect());
    assert_eq!(connection.del::<_, i64>(&keys).unwrap(), 1000);
}

#[test]
fn the_redis_crate_runs_transactions() {
    let mut connection = connect();
    let key = "clients:crate:tx";
    let _: () = connection.set(key, 1).unwrap();
    let (first, second): (i64, i64) =
        redis::pipe().atomic().incr(key, 1).incr(key, 1).query(&mut connection).unwrap();
    assert_eq!((first, second), (2, 3));
    let _: () = redis::cmd("WATCH").arg(key).query(&mut connection).unwrap();
    let _: () = connection.set(key, 7).unwrap();
    let lost: Option<(i64,)> = redis::pipe().atomic().incr(key, 1).query(&mut connection).unwrap();
    assert_eq!(lost, None);
    let fine: String = redis::cmd("PING").query(&mut connection).unwrap();
    assert_eq!(fine, "PONG");
}
