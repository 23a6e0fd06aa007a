//! Servers that differ from the table, and servers that make no sense.

use super::*;
use crate::command::columns::Categories;
use crate::command::live::LiveError;
use crate::resp::Value;

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

fn words(text: &str) -> Value {
    Value::Set(text.split_whitespace().map(|word| Value::Simple(word.into())).collect())
}

fn spec_at(index: i64) -> Value {
    let numbers = |pairs: &[(&str, i64)]| {
        Value::Map(pairs.iter().map(|(name, n)| (bulk(name), Value::Int(*n))).collect())
    };
    Value::Map(vec![
        (bulk("flags"), words("RW access")),
        (
            bulk("begin_search"),
            Value::Map(vec![
                (bulk("type"), bulk("index")),
                (bulk("spec"), numbers(&[("index", index)])),
            ]),
        ),
        (
            bulk("find_keys"),
            Value::Map(vec![
                (bulk("type"), bulk("range")),
                (bulk("spec"), numbers(&[("lastkey", 0), ("keystep", 1), ("limit", 0)])),
            ]),
        ),
    ])
}

/// A row as Redis 7 sends it.
fn row(name: &str, arity: i64, flags: &str, categories: &str, specs: Vec<Value>) -> Value {
    Value::Array(vec![
        bulk(name),
        Value::Int(arity),
        words(flags),
        Value::Int(0),
        Value::Int(0),
        Value::Int(0),
        words(categories),
        Value::Array(vec![]),
        Value::Array(specs),
        Value::Array(vec![]),
    ])
}

/// A row as Redis 5 sends it.
fn old_row(name: &str, arity: i64, flags: &str, legacy: [i64; 3]) -> Value {
    let numbers = legacy.map(Value::Int);
    let mut columns = vec![bulk(name), Value::Int(arity), words(flags)];
    columns.extend(numbers);
    Value::Array(columns)
}

fn laid(rows: Vec<Value>) -> (CommandTable, OverlayReport) {
    let live = LiveCommand::from_reply(&Value::Array(rows)).expect("a table");
    CommandTable::builtin().overlay(&live)
}

fn get<'t>(table: &'t CommandTable, name: &str) -> &'t Command {
    table.get(table.by_name(name).expect(name)).expect(name)
}

#[test]
fn a_known_row_is_brought_up_to_date() {
    let (table, report) =
        laid(vec![row("SET", 4, "write noscript", "@write @string @slow @new", vec![spec_at(2)])]);
    let set = get(&table, "set");
    assert_eq!((set.arity, set.flags), (4, Flags::of("write noscript")));
    assert_eq!(set.categories, Categories::of("write string slow"));
    assert_eq!(set.handling, Handling::Route);
    let (known, missing) = (1, CommandTable::builtin().len() - 1);
    assert_eq!(report, OverlayReport { known, missing, ..OverlayReport::default() });
    let (table, _) = laid(vec![row("ping", -1, "fast", "@connection", vec![])]);
    assert_eq!(get(&table, "ping").handling, Handling::Local(Local::Ping));
    let (table, _) = laid(vec![row("pfcount", -2, "readonly", "", vec![spec_at(1)])]);
    assert!(get(&table, "pfcount").flags.contains(Flags::MAY_REPLICATE));
}

#[test]
fn a_script_stays_one_whatever_a_node_says() {
    let (table, _) = laid(vec![row("eval", -3, "noscript", "@slow", vec![])]);
    assert_eq!(get(&table, "EVAL").class, crate::command::Class::Script);
}

#[test]
fn policies_of_known_rows_stay() {
    let Value::Array(mut columns) = row("msetnx", -3, "write denyoom", "", vec![]) else {
        unreachable!()
    };
    columns[7] = words("request_policy:multi_shard response_policy:agg_min");
    columns[8] = Value::Null;
    let (table, report) = laid(vec![Value::Array(columns)]);
    assert_eq!(get(&table, "msetnx").group_len(), None);
    assert_eq!(report.policies_kept, 1);
}

#[test]
fn ids_stay() {
    let builtin = CommandTable::builtin();
    let (table, _) = laid(vec![
        row("aaa", 2, "", "", vec![spec_at(1)]),
        row("get", 2, "readonly fast", "", vec![spec_at(1)]),
    ]);
    for (id, row) in builtin.iter() {
        assert_eq!(table.get(id).map(|row| &row.name), Some(&row.name));
    }
    assert_eq!(table.by_name("aaa").map(usize::from), Some(builtin.len()));
    // A later answer of the server changes neither.
    let again = LiveCommand::from_reply(&Value::Array(vec![
        row("bbb", 2, "", "", vec![]),
        row("aaa", 3, "blocking", "", vec![]),
    ]));
    let (again, report) = table.overlay(&again.expect("a table"));
    assert_eq!(again.by_name("aaa"), table.by_name("aaa"));
    assert_eq!(get(&again, "aaa").handling, Handling::Refuse(Refusal::Blocking));
    assert_eq!((report.known, report.appended), (1, 1));
}

#[test]
fn who_answers_a_new_command() {
    let refuse = Handling::Refuse;
    let key = || vec![spec_at(1)];
    let odd = || vec![Value::Array(vec![bulk("flags"), words("RO")])];
    let cases = [
        (row("new", 2, "readonly", "", key()), Handling::Route),
        (row("new", 2, "readonly", "", vec![]), Handling::Route),
        (row("new", 2, "admin", "@dangerous", key()), Handling::Route),
        (row("new", 2, "admin", "", vec![]), refuse(Refusal::ServerAdmin)),
        (row("new", 2, "", "@dangerous", vec![]), refuse(Refusal::ServerAdmin)),
        (row("new", 2, "write blocking", "", key()), refuse(Refusal::Blocking)),
        (row("new", 2, "pubsub", "", vec![]), refuse(Refusal::Subscription)),
        (row("new", 2, "", "@connection", vec![]), refuse(Refusal::ConnectionState)),
        (row("new", 2, "no_auth", "", vec![]), refuse(Refusal::ConnectionState)),
        (row("new", 2, "", "@transaction", vec![]), refuse(Refusal::Transaction)),
        (row("new", 2, "module movablekeys", "", vec![]), refuse(Refusal::UnknownKeys)),
        (row("new", 2, "module movablekeys", "", key()), refuse(Refusal::UnknownKeys)),
        (row("new", 2, "readonly", "", odd()), refuse(Refusal::UnknownKeys)),
        (old_row("new", -3, "write", [1, -1, 2]), Handling::Route),
        (old_row("new", -3, "write", [1, -1, 0]), refuse(Refusal::UnknownKeys)),
    ];
    for (live, handling) in cases {
        let (table, report) = laid(vec![live.clone()]);
        assert_eq!(get(&table, "new").handling, handling, "{live:?}");
        assert_eq!(report.appended, 1);
        assert_eq!(report.refused, usize::from(handling != Handling::Route));
    }
    let (table, _) = laid(vec![old_row("new", -3, "write", [1, -1, 2])]);
    assert_eq!(get(&table, "new").legacy_keys, [1, -1, 2]);
}

#[test]
fn subcommands_of_known_and_new_containers() {
    let container = |name: &str, subs: Vec<Value>| {
        let Value::Array(mut columns) = row(name, -2, "", "", vec![]) else { unreachable!() };
        columns[9] = Value::Array(subs);
        Value::Array(columns)
    };
    let (table, _) = laid(vec![
        container("client", vec![row("client|new", 2, "", "", vec![])]),
        container("cluster", vec![row("cluster|new", 2, "", "", vec![])]),
        container("object", vec![row("OBJECT|New", 3, "readonly", "", vec![spec_at(2)])]),
        container("ft.new", vec![row("get", 3, "readonly", "", vec![spec_at(2)])]),
    ]);
    let handling = |name: &str| get(&table, name).handling;
    assert_eq!(handling("client|new"), Handling::Refuse(Refusal::ConnectionState));
    assert_eq!(handling("cluster|new"), Handling::Local(Local::ClusterDisabled));
    assert_eq!(handling("object|new"), Handling::Route);
    assert_eq!(handling("ft.new"), Handling::Refuse(Refusal::Container));
    assert_eq!(handling("ft.new|get"), Handling::Route);
    assert_eq!(handling("client|id"), get(&CommandTable::builtin(), "client|id").handling);
}

#[test]
fn what_the_server_lacks_is_absent_unless_the_gateway_answers_it() {
    let absent = |table: &CommandTable, name: &str| get(table, name).is_absent;
    let builtin = CommandTable::builtin();
    assert!(builtin.iter().all(|(_, row)| !row.is_absent), "nobody has been asked");
    let (table, _) = laid(vec![row("aaa", 2, "", "", vec![])]);
    assert!(table.iter().all(|(_, row)| !row.is_absent), "it has told nothing");
    let get_row = || row("get", 2, "readonly", "", vec![spec_at(1)]);
    // As a server before 7.0 tells it: a container without its subcommands.
    let (table, _) = laid(vec![get_row(), row("object", -2, "", "", vec![])]);
    assert!(absent(&table, "set") && absent(&table, "asking") && absent(&table, "hexpire"));
    for name in ["get", "object", "object|freq", "ping", "client|setinfo"] {
        assert!(!absent(&table, name), "{name}");
    }
    let Value::Array(mut object) = row("object", -2, "", "", vec![]) else { unreachable!() };
    object[9] = Value::Array(vec![row("object|freq", 3, "readonly", "", vec![spec_at(2)])]);
    let live = LiveCommand::from_reply(&Value::Array(vec![Value::Array(object)]));
    let (table, _) = table.overlay(&live.expect("a table"));
    assert!(absent(&table, "get") && absent(&table, "object|encoding"));
    assert!(!absent(&table, "object|freq"));
}

#[test]
fn useless_key_specs_leave_ours() {
    let (table, report) = laid(vec![row("get", 2, "readonly", "", vec![Value::Null])]);
    assert_eq!(get(&table, "get").only_key(), Some(1));
    assert_eq!(report.keys_kept, 1);
}

#[test]
fn a_server_may_add_only_so_many_rows() {
    let rows = (0..2_500).map(|n| row(&format!("new{n}"), 2, "", "", vec![])).collect();
    let (table, report) = laid(rows);
    assert_eq!(table.len(), CommandTable::builtin().len() + APPENDED_MAX);
    assert_eq!((report.appended, report.left_out), (APPENDED_MAX, 500));
}

#[test]
fn answers_that_are_no_table() {
    let read = |value: Value| LiveCommand::from_reply(&value);
    assert_eq!(read(Value::Error("NOPERM".into())), Err(LiveError::Server("NOPERM".into())));
    assert_eq!(read(Value::Int(1)), Err(LiveError::NotAList));
    let nonsense = vec![
        Value::Null,
        Value::Array(vec![]),
        row("", 2, "", "", vec![]),
        row("a b", 2, "", "", vec![]),
        row(&"x".repeat(65), 2, "", "", vec![]),
        row("new", 0, "", "", vec![]),
        row("new", i64::MIN, "", "", vec![]),
        Value::Array(vec![bulk("new"), Value::Int(2)]),
    ];
    assert_eq!(read(Value::Array(nonsense)), Err(LiveError::Empty));
}

/// Any tree at all: nothing may panic, and the rows of ours stay.
#[test]
fn hostile_answers() {
    fn tree(random: &mut fastrand::Rng, depth: usize) -> Value {
        let texts = ["get", "client", "index", "keyword", "range", "keynum", "spec", "flags"];
        let numbers = [0, 1, -1, 2, 70_000, i64::MIN, i64::MAX];
        let many = |random: &mut fastrand::Rng| {
            (0..random.usize(0..12)).map(|_| tree(random, depth - 1)).collect::<Vec<_>>()
        };
        match random.u8(0..if depth == 0 { 4 } else { 7 }) {
            0 => Value::Int(numbers[random.usize(0..numbers.len())]),
            1 => bulk(texts[random.usize(0..texts.len())]),
            2 => row("get", 2, "readonly", "", vec![]),
            3 => spec_at(numbers[random.usize(0..numbers.len())]),
            4 => Value::Array(many(random)),
            5 => Value::Set(many(random)),
            _ => Value::Map(many(random).into_iter().map(|v| (bulk("spec"), v)).collect()),
        }
    }
    let mut random = fastrand::Rng::with_seed(7);
    let builtin = CommandTable::builtin();
    for _ in 0..300 {
        let mut rows: Vec<_> = (0..10).map(|_| tree(&mut random, 4)).collect();
        let Value::Array(mut columns) = row("get", 2, "", "", vec![]) else { unreachable!() };
        let nth = random.usize(0..columns.len());
        columns[nth] = tree(&mut random, 4);
        rows.push(Value::Array(columns));
        if let Ok(live) = LiveCommand::from_reply(&Value::Array(rows)) {
            let (table, _) = builtin.overlay(&live);
            assert!(table.len() >= builtin.len());
        }
    }
}

#[test]
fn a_report_is_a_sentence() {
    let report = OverlayReport { known: 366, policies_kept: 10, missing: 98, ..Default::default() };
    let expected = "366 commands known (0 with keys and 10 with policies by the gateway's own table), \
                    0 new (0 of them refused), 0 left out, 98 that the cluster lacks";
    assert_eq!(report.to_string(), expected);
}
