//! The command table against a running server: rows, keys and errors.
//!
//! Knows only what the `command` module shows to all. Needs `redis-server` in the PATH.

mod newer;
mod request;
mod server;

use std::collections::BTreeSet;

use slotway::command::{
    BeginSearch, Command, CommandTable, FindKeys, Flags, KeySpec, LiveCommand, guarded, positions,
    reported,
};
use slotway::resp::Value;

use newer::NEWER;
use request::Request;
use server::Server;

// === rows ===

#[test]
fn rows_are_those_of_the_server() {
    let mut server = Server::start(&[]);
    let version = server.info("redis_version");
    let table = CommandTable::builtin();
    let mut differences = BTreeSet::new();
    let mut lines = Vec::new();
    let reply = server.ask(&["COMMAND"]);
    let mut rows: Vec<&Value> = reply.as_array().expect("a list").iter().collect();
    let mut compared = 0;
    while let Some(row) = rows.pop() {
        let columns = row.as_array().expect("a row");
        rows.extend(columns[9].as_array().expect("subcommands"));
        let name = columns[0].as_str().expect("a name");
        let Some(command) = table.by_name(name).and_then(|id| table.get(id)) else {
            lines.push(format!("{name} is not in the table"));
            continue;
        };
        compared += 1;
        for (column, ours, theirs) in compare(command, columns) {
            if ours != theirs {
                differences.insert((name.to_string(), column));
                if !NEWER.iter().any(|newer| (newer.0, newer.1) == (name, column)) {
                    lines.push(format!("{name} {column}: ours {ours}, the server's {theirs}"));
                }
            }
        }
    }
    assert!(compared > 300, "only {compared} rows");
    if version.starts_with("7.0.") {
        for (name, column, why) in NEWER {
            let differs = differences.contains(&(name.to_string(), column));
            assert!(differs, "{name} {column} no longer differs: {why}");
        }
    }
    lines.sort();
    assert!(lines.is_empty(), "Redis {version}:\n{}", lines.join("\n"));
}

/// The columns as text: which, ours, the server's.
fn compare(command: &Command, columns: &[Value]) -> Vec<(&'static str, String, String)> {
    let sorted = |mut words: Vec<&str>| {
        words.sort_unstable();
        words.join(" ")
    };
    let words = |value: &Value| -> String {
        sorted(value.as_array().expect("words").iter().filter_map(Value::as_str).collect())
    };
    let categories: Vec<_> = command.categories.words().map(|word| format!("@{word}")).collect();
    let legacy: Vec<_> = columns[3..6].iter().filter_map(Value::as_int).collect();
    let specs = columns[8].as_array().expect("key specs");
    vec![
        ("arity", command.arity.to_string(), columns[1].as_int().expect("a number").to_string()),
        (
            "flags",
            sorted(command.flags.without(Flags::HIDDEN).words().collect()),
            words(&columns[2]),
        ),
        ("legacy keys", format!("{:?}", command.legacy_keys), format!("{legacy:?}")),
        ("categories", sorted(categories.iter().map(String::as_str).collect()), words(&columns[6])),
        ("tips", sorted(command.tips.words().collect()), words(&columns[7])),
        (
            "key specs",
            command.keys.iter().map(our_spec).collect::<Vec<_>>().join("; "),
            specs.iter().map(their_spec).collect::<Vec<_>>().join("; "),
        ),
    ]
}

fn our_spec(spec: &KeySpec) -> String {
    let begin = match spec.begin {
        BeginSearch::Index(index) => format!("index {index}"),
        BeginSearch::Keyword { keyword, from } => format!("keyword {keyword:?} {from}"),
        BeginSearch::Unknown => "unknown".into(),
    };
    let find = match spec.find {
        FindKeys::Range { last, step, limit } => format!("range {last} {step} {limit}"),
        FindKeys::KeyNum { index, first, step } => format!("keynum {index} {first} {step}"),
        FindKeys::Unknown => "unknown".into(),
    };
    format!("{} {begin} {find}", spec.flags.words().collect::<Vec<_>>().join(" "))
}

fn their_spec(spec: &Value) -> String {
    let search = |name: &str| {
        let search = spec.field(name).expect("a search");
        let mut text = search.field("type").and_then(Value::as_str).expect("a type").to_string();
        for number in ["index", "keyword", "startfrom"].iter().chain(&["lastkey", "keynumidx"]) {
            add_field(&mut text, search, number);
        }
        for number in ["firstkey", "keystep", "limit"] {
            add_field(&mut text, search, number);
        }
        text
    };
    let flags = spec.field("flags").and_then(Value::as_array).expect("flags");
    let flags: Vec<_> = flags.iter().filter_map(Value::as_str).collect();
    format!("{} {} {}", flags.join(" "), search("begin_search"), search("find_keys"))
}

fn add_field(text: &mut String, search: &Value, name: &str) {
    match search.field("spec").and_then(|spec| spec.field(name)) {
        Some(Value::Int(number)) => text.push_str(&format!(" {number}")),
        Some(word) => text.push_str(&format!(" {}", word.as_str().expect("a word"))),
        None => {}
    }
}

#[test]
fn an_overlay_adds_nothing_and_keeps_who_answers() {
    let mut server = Server::start(&[]);
    let builtin = CommandTable::builtin();
    let before = |name| builtin.get(builtin.by_name(name).expect(name)).expect(name);
    let live = LiveCommand::from_reply(&server.ask(&["COMMAND"])).expect("a table");
    let (table, report) = builtin.overlay(&live);
    assert_eq!((report.appended, report.left_out), (0, 0), "{report:?}");
    for ((_, old), (_, new)) in builtin.iter().zip(table.iter()) {
        assert_eq!((&old.name, old.handling), (&new.name, new.handling));
        assert_eq!(old.is_container(), new.is_container());
    }
    let zrank = table.get(table.by_name("zrank").expect("zrank")).expect("zrank");
    let known_change = server.info("redis_version").starts_with("7.0.");
    assert!(!known_change || (before("zrank").arity, zrank.arity) == (-3, 3));
    for text in KEYS {
        let request = Request::of(text);
        assert_eq!(ours(&builtin, &request), ours(&table, &request), "{text}");
    }
}

// === keys ===

/// Requests whose keys the server is asked for.
const KEYS: &[&str] = &[
    "GET a",
    "SET a b",
    "SET a b EX 10 GET",
    "GETEX a",
    "APPEND a b",
    "DEL a b c",
    "MGET a b c",
    "MSET a 1 b 2",
    "MSETNX a 1 b 2",
    "RENAME a b",
    "COPY a b REPLACE",
    "SMOVE a b c",
    "LMOVE a b LEFT RIGHT",
    "BLMOVE a b LEFT RIGHT 0",
    "BLPOP a b 0",
    "BRPOPLPUSH a b 0",
    "BITOP AND d a b",
    "BITFIELD a GET u4 0",
    "BITFIELD a SET u4 0 1",
    "BITFIELD_RO a GET u4 0",
    "LCS a b",
    "OBJECT ENCODING a",
    "MEMORY USAGE a",
    "XGROUP CREATE a g $",
    "XINFO STREAM a",
    "PFCOUNT a b",
    "PFMERGE d a b",
    "PFDEBUG ENCODING a",
    "SUNIONSTORE d a b",
    "SINTERCARD 2 a b",
    "SDIFF a b",
    "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
    "ZINTER 2 a b",
    "ZDIFF 1 a",
    "ZDIFFSTORE d 2 a b",
    "ZINTERCARD 2 a b LIMIT 1",
    "ZRANGESTORE d a 0 1",
    "ZMPOP 2 a b MIN",
    "BZMPOP 0 2 a b MIN",
    "BZPOPMIN a b 0",
    "LMPOP 2 a b LEFT",
    "BLMPOP 0 2 a b LEFT",
    "EVAL script 2 a b c",
    "EVAL script 0 c",
    "EVAL script x c",
    "EVAL script 3 c",
    "EVALSHA_RO sha 1 a",
    "FCALL f 2 a b",
    "FCALL_RO f 0",
    "SORT a",
    "SORT a STORE d",
    "SORT a BY store GET store STORE d",
    "SORT a STORE x STORE d",
    "SORT a LIMIT 0 1 ASC ALPHA STORE d",
    "SORT a STORE",
    "SORT_RO a BY w_*",
    "GEORADIUS a 1 2 3 m",
    "GEORADIUS a 1 2 3 m STORE d",
    "GEORADIUS a 1 2 3 m STOREDIST d",
    "GEORADIUSBYMEMBER a b 3 m STORE d",
    "GEORADIUSBYMEMBER a b 3 m WITHDIST STOREDIST d",
    "GEOSEARCHSTORE d a FROMMEMBER x BYRADIUS 1 m",
    "MIGRATE h 1 a 0 10",
    "MIGRATE h 1 a 0 10 COPY REPLACE",
    "MIGRATE h 1 '' 0 10 KEYS a b",
    "MIGRATE h 1 '' 0 10 COPY AUTH keys KEYS a b",
    "MIGRATE h 1 '' 0 10 AUTH2 keys keys KEYS a",
    "XADD a * f v",
    "XREAD STREAMS a b 0 0",
    "XREAD COUNT 2 BLOCK 5 STREAMS a 0",
    "XREADGROUP GROUP g c STREAMS a b > >",
    "XREADGROUP GROUP g c COUNT 1 NOACK STREAMS a >",
    "XAUTOCLAIM a g c 10 0",
    "DUMP a",
    "RESTORE a 0 x",
    "WATCH a b",
    "TOUCH a b",
    "UNLINK a",
    "EXISTS a b",
    "ZUNION 0 a",
    "ZUNION x a",
    "ZUNION 2x a b",
    "ZUNION 3 a b",
    "ZUNIONSTORE d 5 a",
    "MIGRATE h 1 a 0 10 KEYS b",
    "PING a",
    "CONFIG GET a",
    "SPUBLISH a b",
    "FLUSHALL ASYNC",
];

#[test]
fn keys_are_those_of_the_server() {
    let mut server = Server::start(&[]);
    let table = CommandTable::builtin();
    for text in KEYS {
        let request = Request::of(text);
        let (keys, with_flags) = ours(&table, &request);
        assert_eq!(keys, server.get_keys("GETKEYS", &request), "{text}");
        assert_eq!(with_flags, server.get_keys("GETKEYSANDFLAGS", &request), "{text}");
    }
}

/// What the table says `COMMAND GETKEYS` and `GETKEYSANDFLAGS` answer, as text.
fn ours(table: &CommandTable, request: &Request) -> (String, String) {
    let args = request.args();
    let (_, command) = table.lookup(args).expect("a command");
    let keys = match reported(command, args) {
        Ok(keys) => keys,
        Err(error) => return (error.text().to_string(), error.text().to_string()),
    };
    let name = |index: u32| String::from_utf8_lossy(args.get(index as usize)).into_owned();
    let plain: Vec<_> = keys.iter().map(|key| name(key.0)).collect();
    let flagged: Vec<_> = keys
        .iter()
        .map(|(index, flags)| {
            format!("{}({})", name(*index), flags.words().collect::<Vec<_>>().join(" "))
        })
        .collect();
    // Where requests are sent has to agree with what is reported.
    let mut sent = Vec::new();
    positions(command, args, &mut sent).expect("keys");
    let mut indices: Vec<_> = keys.iter().map(|key| key.0).collect();
    indices.sort_unstable();
    assert_eq!(sent, indices, "{}", request.text);
    (plain.join(" "), flagged.join(" "))
}

/// A node of a cluster without slots answers CLUSTERDOWN to whatever it finds keys in, and
/// anything else to the rest.
#[test]
fn a_node_finds_keys_where_the_table_does() {
    let mut node = Server::start(&["--cluster-enabled", "yes"]);
    let table = CommandTable::builtin();
    let malformed = [
        "MIGRATE h 1 '' 0 10 KEYS",
        "XREAD STREAMS a b 0",
        "XREAD COUNT 1 a 0",
        "ZUNION 4294967297 a",
    ];
    let valid = ["PFMERGE d", "SPUBLISH a b", "EVAL script 1x a", "XREAD COUNT x STREAMS a 0"];
    // WATCH would keep a state, and MIGRATE and PFDEBUG would be about something else.
    let asked = KEYS.iter().chain(&malformed).chain(&valid);
    for text in asked.filter(|text| !text.starts_with("WATCH")) {
        let request = Request::of(text);
        let (_, command) = table.lookup(request.args()).expect("a command");
        let mut keys = Vec::new();
        let found = positions(command, request.args(), &mut keys).is_ok() && !keys.is_empty();
        let reply = node.send(&request.words());
        let down = matches!(&reply, Value::Error(text) if text.starts_with("CLUSTERDOWN"));
        assert_eq!(found, down, "{text}: {reply:?}");
    }
}

// === errors ===

#[test]
fn errors_are_those_of_the_server() {
    let mut server = Server::start(&[]);
    let table = CommandTable::builtin();
    let long = "x".repeat(300);
    let x124 = "x".repeat(124);
    let requests: &[&[&str]] = &[
        &["foo"],
        &["foo", "a", "b"],
        &["FOO", &long, "b"],
        &["foo", "a", &x124, "b", "c"],
        &["foo", "a", &x124[1..], "b", "c"],
        &[&long, "a"],
        &["", "a"],
        &["foo\r\nbar", "a\nb", "\r"],
        &["fo\0o", "a\0b"],
        &["client|id"],
        &["GET"],
        &["get", "a", "b"],
        &["Client"],
        &["CLIENT", "SETNAME"],
        &["client", "x"],
        &["client", &long],
        &["client", "a\nb"],
        &["client", ""],
        &["Config", "GET"],
        &["config", "nothing", "a"],
        &["object", "encoding"],
        &["command", "x"],
        &["command", "getkeys"],
        &["xgroup", "create", "a"],
        &["auth"],
        &["hello", "x"],
    ];
    for words in requests {
        let request = Request::from_words(words);
        let Err(error) = table.lookup(request.args()) else {
            // HELLO x: its arity is right, and what is wrong is not for the table to say.
            assert_eq!(words[0], "hello");
            continue;
        };
        let ours = error.text(request.args());
        assert_eq!(server.send(words), Value::Error(ours), "{words:?}");
    }
}

// === what is denied ===

/// An option that is denied because of its family can be allowed by its name.
#[test]
fn options_of_the_server_that_are_denied_can_be_allowed() {
    let mut server = Server::start(&[]);
    let reply = server.ask(&["CONFIG", "GET", "*"]);
    let names = reply.as_array().expect("a list").iter().step_by(2);
    let names: Vec<&str> = names.map(|name| name.as_str().expect("a name")).collect();
    assert!(names.len() > 100, "{names:?}");
    let starts = |name: &str, families: &[&str]| families.iter().any(|f| name.starts_with(f));
    let unknown: Vec<_> = names
        .iter()
        .filter(|name| starts(name, &guarded::FAMILIES) && !guarded::is_option(name))
        .filter(|name| !starts(name, &guarded::NEVER_FAMILIES) && !guarded::NEVER.contains(name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // Whatever holds a path, or looks like one.
    let values = reply.as_array().expect("a list").iter().skip(1).step_by(2);
    for (name, value) in names.iter().zip(values) {
        let is_path = name.ends_with("file")
            || name.ends_with("filename")
            || value.as_str().is_some_and(|v| v.starts_with('/'));
        let is_known = guarded::is_option(name) || guarded::NEVER.contains(name);
        assert!(!is_path || is_known || starts(name, &["tls-"]), "{name}");
    }
}
