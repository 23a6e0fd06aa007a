//! Requests that have a row, and the errors of those that have none.

use super::*;
use crate::command::columns::Class;
use crate::command::handling::{Client, Handling, Local, TimeoutAt, Topic};
use crate::command::{Flags, RequestPolicy, guarded};

fn with_args<R>(words: &[&[u8]], run: impl FnOnce(Args<'_>) -> R) -> R {
    let mut ranges = Vec::new();
    let mut start = 0;
    for word in words {
        ranges.push((start, start + word.len() as u32));
        start += word.len() as u32;
    }
    run(Args::new(&words.concat(), &ranges))
}

fn error(words: &[&[u8]]) -> String {
    let table = CommandTable::builtin();
    with_args(words, |args| table.lookup(args).expect_err("an error").text(args))
}

#[test]
fn every_row_is_found_by_its_words() {
    let table = CommandTable::builtin();
    for (id, row) in table.iter() {
        assert_eq!(table.by_name(&row.name), Some(id));
        assert_eq!(table.by_name(&row.name.to_uppercase()), Some(id));
        let mut words: Vec<&[u8]> = row.name.split('|').map(str::as_bytes).collect();
        words.resize(usize::from(row.arity.unsigned_abs()).max(words.len()), b"1");
        if row.is_container() {
            // Alone it may or may not be a command; with a word behind it a subcommand is meant.
            words.truncate(1);
        }
        let found = with_args(&words, |args| table.lookup(args).map(|(id, _)| id));
        if row.is_container() && row.arity < -1 {
            let name = row.name.clone();
            assert_eq!(found, Err(LookupError::WrongArity { id, name }));
        } else {
            assert_eq!(found, Ok(id), "{}", row.name);
        }
    }
}

#[test]
fn errors_read_as_in_redis() {
    let cases: &[(&[&[u8]], &str)] = &[
        (&[b"foo", b"a", b"b"], "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
        (&[b"foo"], "ERR unknown command 'foo', with args beginning with: "),
        (&[b""], "ERR unknown command '', with args beginning with: "),
        (&[b"fo\r\no", b"\n"], "ERR unknown command 'fo  o', with args beginning with: ' ' "),
        (&[b"f\0o"], "ERR unknown command 'f', with args beginning with: "),
        (&[b"GET"], "ERR wrong number of arguments for 'get' command"),
        (&[b"Get", b"a", b"b"], "ERR wrong number of arguments for 'get' command"),
        (&[b"client"], "ERR wrong number of arguments for 'client' command"),
        (&[b"CLIENT", b"SetName"], "ERR wrong number of arguments for 'client|setname' command"),
        (&[b"client", b"x"], "ERR unknown subcommand 'x'. Try CLIENT HELP."),
        (&[b"command", b"x\n"], "ERR unknown subcommand 'x '. Try COMMAND HELP."),
        // A subcommand's full name is no command.
        (&[b"client|id"], "ERR unknown command 'client|id', with args beginning with: "),
    ];
    for (words, text) in cases {
        assert_eq!(error(words), *text);
    }
}

#[test]
fn long_words_are_cut() {
    let long = [b'x'; 500];
    let x128 = "x".repeat(128);
    assert_eq!(
        error(&[&long, b"a", &long, b"b"]),
        format!(
            "ERR unknown command '{x128}', with args beginning with: 'a' '{}' ",
            "x".repeat(124)
        )
    );
    assert_eq!(
        error(&[b"client", &long]),
        format!("ERR unknown subcommand '{x128}'. Try CLIENT HELP.")
    );
}

#[test]
fn an_empty_request_is_unknown() {
    let table = CommandTable::builtin();
    let error = with_args(&[], |args| table.lookup(args).map(|(id, _)| id));
    assert_eq!(error, Err(LookupError::UnknownCommand));
}

/// Many clients share a connection to a node: nothing that changes its state may be sent on.
#[test]
fn nothing_that_changes_a_shared_connection_is_sent_on() {
    let table = CommandTable::builtin();
    let stateful = "asking auth client|caching client|no-evict client|no-touch client|reply \
        client|setinfo client|setname client|tracking client|capa client|import-source \
        discard exec hello himport|prepare monitor multi psubscribe psync punsubscribe quit \
        readonly readwrite replconf reset script|debug select ssubscribe subscribe sunsubscribe \
        sync unsubscribe unwatch watch";
    for name in stateful.split_whitespace() {
        let row = table.get(table.by_name(name).expect(name)).expect(name);
        // Those of a transaction go as a part of one, or on a connection that the client has alone; the
        // gateway subscribes on connections that no client has.
        let stays = matches!(
            row.handling,
            Handling::Local(_)
                | Handling::Refuse(_)
                | Handling::Transaction(_)
                | Handling::Monitor
                | Handling::Subscribe(_)
                | Handling::Unsubscribe(_)
        );
        assert!(stays, "{name}");
    }
    // Of DEBUG two subcommands may be allowed, and neither is about its connection.
    let debug = guarded::COMMANDS.into_iter().filter(|name| name.starts_with("debug"));
    assert_eq!(debug.collect::<Vec<_>>(), ["debug set-active-expire", "debug sleep"]);
    for (_, row) in table.iter() {
        let sent = !matches!(row.handling, Handling::Local(_) | Handling::Refuse(_));
        let alone = matches!(row.handling, Handling::Block(_) | Handling::Wait(_));
        let waits = row.flags.contains(Flags::BLOCKING) && !alone;
        assert!(!(sent && (waits || row.flags.contains(Flags::NO_AUTH))), "{}", row.name);
        assert!(!(sent && row.name.starts_with("client|")), "{}", row.name);
        assert!(!(sent && row.name.starts_with("cluster|")), "{}", row.name);
    }
}

#[test]
fn rows_that_matter() {
    let table = CommandTable::builtin();
    let row = |name: &str| table.get(table.by_name(name).expect(name)).expect(name);
    assert_eq!(row("client|id").handling, Handling::Local(Local::Client(Client::Id)));
    assert_eq!(row("cluster|slots").handling, Handling::Local(Local::ClusterDisabled));
    assert_eq!(row("blpop").handling, Handling::Block(TimeoutAt::LastSeconds));
    assert_eq!(row("scan").handling, Handling::Scan);
    assert_eq!(row("publish").handling, Handling::Publish(Topic::Channel));
    assert_eq!(row("command|docs").handling, Handling::Route);
    assert_eq!(row("dbsize").request, RequestPolicy::AllShards);
    assert_eq!(row("del").group_len(), Some(1));
    assert_eq!(row("mset").group_len(), Some(2));
    assert_eq!(row("msetnx").group_len(), None);
    assert_eq!(row("msetex").group_len(), None);
    assert_eq!(row("get").only_key(), Some(1));
    assert_eq!(row("set").only_key(), Some(1));
    assert_eq!(row("object|encoding").only_key(), Some(2));
    assert_eq!(row("sort").only_key(), None);
    let classes = [
        ("get", Class::Read),
        ("set", Class::Write),
        ("eval_ro", Class::Script),
        ("multi", Class::Multi),
        ("blpop", Class::Blocking),
        ("xread", Class::Read),
        ("publish", Class::PubSub),
        ("config|get", Class::Admin),
        ("ping", Class::Admin),
    ];
    for (name, class) in classes {
        assert_eq!(row(name).class, class, "{name}");
    }
    let subcommands: Vec<_> =
        table.subcommands(row("memory")).map(|(_, row)| row.name.as_ref()).collect();
    assert!(subcommands.contains(&"memory|usage") && subcommands.len() == 6, "{subcommands:?}");
}
