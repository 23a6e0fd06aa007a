//! COMMAND …: the command table, told to clients in the shape of Redis 7.
//!
//! Owns the rendering of rows. Must not know clients or nodes.
//!
//! Notes of key specs and the documentation of commands are not in the table, so they are not told.

use super::answer::{Answer, SYNTAX, help};
use crate::command::{
    BeginSearch, Categories, Command, CommandSub, CommandTable, FindKeys, Flags, GetKeysError,
    KeyFlags, KeySpec, LookupError, reported,
};
use crate::glob::{self, Case};
use crate::reply::texts;
use crate::resp::{Args, Protocol, write};

/// As many names are taken by one COMMAND INFO: each asks for up to some kilobytes.
const NAMES_MAX: usize = 4096;
/// The longest pattern that commands are filtered by; no name is nearly as long.
const PATTERN_LEN_MAX: usize = 256;

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Return details about all Redis commands.",
    "COUNT",
    "    Return the total number of commands in this Redis server.",
    "LIST",
    "    Return a list of all commands in this Redis server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full Redis command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full Redis command.",
];

/// Carries out COMMAND or a subcommand; see [`super::answer`].
pub(super) fn answer(
    what: CommandSub,
    args: Args<'_>,
    table: &CommandTable,
    protocol: Protocol,
    out: &mut Vec<u8>,
) -> Answer {
    match what {
        CommandSub::All => all(table, protocol, out),
        CommandSub::Info if args.len() <= 2 => all(table, protocol, out),
        CommandSub::Info => return info(args, table, protocol, out),
        CommandSub::Count => write::integer(out, top_level(table).count() as i64),
        CommandSub::List => return list(args, table, out),
        CommandSub::GetKeys => return get_keys(args, table, None, out),
        CommandSub::GetKeysAndFlags => return get_keys(args, table, Some(protocol), out),
        CommandSub::Help => help(out, "COMMAND", HELP),
    }
    Ok(())
}

/// The rows that are told.
fn present(table: &CommandTable) -> impl Iterator<Item = &Command> {
    table.iter().map(|(_, row)| row).filter(|row| !row.is_absent)
}

/// Those that are no subcommands.
fn top_level(table: &CommandTable) -> impl Iterator<Item = &Command> {
    present(table).filter(|row| !row.name.contains('|'))
}

fn all(table: &CommandTable, protocol: Protocol, out: &mut Vec<u8>) {
    write::array_len(out, top_level(table).count());
    for row in top_level(table) {
        write_row(row, table, protocol, out);
    }
}

fn info(args: Args<'_>, table: &CommandTable, protocol: Protocol, out: &mut Vec<u8>) -> Answer {
    let names = args.len() - 2;
    if names > NAMES_MAX {
        return Err(texts::TOO_MANY_NAMES.into());
    }
    write::array_len(out, names);
    for name in args.iter().skip(2) {
        let id = std::str::from_utf8(name).ok().and_then(|name| table.by_name(name));
        match id.and_then(|id| table.get(id)).filter(|row| !row.is_absent) {
            Some(row) => write_row(row, table, protocol, out),
            None => write::null(out, protocol),
        }
    }
    Ok(())
}

// === list ===

fn list(args: Args<'_>, table: &CommandTable, out: &mut Vec<u8>) -> Answer {
    let (kind, value) = (args.get(3), args.get(4));
    let is = |word: &str| kind.eq_ignore_ascii_case(word.as_bytes());
    let names = |fits: &dyn Fn(&Command) -> bool| -> Vec<&str> {
        present(table).filter(|row| fits(row)).map(|row| &*row.name).collect()
    };
    let names = if args.len() == 2 {
        names(&|_| true)
    } else if args.len() != 5 || !args.get(2).eq_ignore_ascii_case(b"filterby") {
        return Err(SYNTAX.into());
    } else if is("module") {
        // Which commands a module brought is not in the table.
        Vec::new()
    } else if is("aclcat") {
        let word = String::from_utf8_lossy(value).to_ascii_lowercase();
        match Categories::from_word(&word) {
            Some(category) => names(&|row| row.categories.contains(category)),
            None => Vec::new(),
        }
    } else if is("pattern") {
        if value.len() > PATTERN_LEN_MAX {
            return Err(texts::LONG_PATTERN.into());
        }
        names(&|row| glob::matches(value, row.name.as_bytes(), Case::Ignored))
    } else {
        return Err(SYNTAX.into());
    };
    write::array_len(out, names.len());
    for name in names {
        write::bulk(out, name.as_bytes());
    }
    Ok(())
}

// === keys of a request ===

/// The keys of the request that follows the subcommand; with their flags when a protocol is given.
fn get_keys(
    args: Args<'_>,
    table: &CommandTable,
    flags_in: Option<Protocol>,
    out: &mut Vec<u8>,
) -> Answer {
    let words: Vec<&[u8]> = args.iter().skip(2).collect();
    let bytes = words.concat();
    let mut end = 0;
    let ranges: Vec<(u32, u32)> = words
        .iter()
        .map(|word| {
            let start = end;
            end += word.len() as u32;
            (start, end)
        })
        .collect();
    let request = Args::new(&bytes, &ranges);
    let command = match table.lookup(request) {
        Ok((_, command)) => command,
        Err(LookupError::WrongArity { id, .. }) => {
            let may_have_keys =
                |row: &Command| row.keys.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
            return Err(if table.get(id).is_some_and(may_have_keys) {
                "ERR Invalid number of arguments specified for command".into()
            } else {
                GetKeysError::NoKeyArguments.text().into()
            });
        }
        Err(_) => return Err("ERR Invalid command specified".into()),
    };
    let keys = reported(command, request).map_err(GetKeysError::text)?;
    write::array_len(out, keys.len());
    for (index, flags) in keys {
        let key = request.get(index as usize);
        match flags_in {
            None => write::bulk(out, key),
            Some(protocol) => {
                write::array_len(out, 2);
                write::bulk(out, key);
                simple_set(flags.words(), "", protocol, out);
            }
        }
    }
    Ok(())
}

// === rows ===

fn write_row(row: &Command, table: &CommandTable, protocol: Protocol, out: &mut Vec<u8>) {
    write::array_len(out, 10);
    write::bulk(out, row.name.as_bytes());
    write::integer(out, row.arity.into());
    simple_set(row.flags.without(Flags::HIDDEN).words(), "", protocol, out);
    for number in row.legacy_keys {
        write::integer(out, number.into());
    }
    simple_set(row.categories.words(), "@", protocol, out);
    write::set_len(out, row.tips.words().count(), protocol);
    for tip in row.tips.words() {
        write::bulk(out, tip.as_bytes());
    }
    write::set_len(out, row.keys.len(), protocol);
    for spec in row.keys.iter() {
        write_spec(spec, protocol, out);
    }
    if !row.is_container() {
        return write::set_len(out, 0, protocol);
    }
    // Redis has an array here, though it writes an empty one as a set.
    let subcommands = || table.subcommands(row).filter(|(_, sub)| !sub.is_absent);
    write::array_len(out, subcommands().count());
    for (_, sub) in subcommands() {
        write_row(sub, table, protocol, out);
    }
}

fn simple_set(
    words: impl Iterator<Item = &'static str>,
    before: &str,
    protocol: Protocol,
    out: &mut Vec<u8>,
) {
    let words: Vec<_> = words.collect();
    write::set_len(out, words.len(), protocol);
    for word in words {
        write::simple(out, &format!("{before}{word}"));
    }
}

fn write_spec(spec: &KeySpec, protocol: Protocol, out: &mut Vec<u8>) {
    write::map_len(out, 3, protocol);
    write::bulk(out, b"flags");
    simple_set(spec.flags.words(), "", protocol, out);
    write::bulk(out, b"begin_search");
    match spec.begin {
        BeginSearch::Index(index) => {
            search("index", 1, protocol, out);
            field("index", index.into(), out);
        }
        BeginSearch::Keyword { keyword, from } => {
            search("keyword", 2, protocol, out);
            write::bulk(out, b"keyword");
            write::bulk(out, keyword.as_bytes());
            field("startfrom", from.into(), out);
        }
        BeginSearch::Unknown => search("unknown", 0, protocol, out),
    }
    write::bulk(out, b"find_keys");
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            search("range", 3, protocol, out);
            field("lastkey", last.into(), out);
            field("keystep", step.into(), out);
            field("limit", limit.into(), out);
        }
        FindKeys::KeyNum { index, first, step } => {
            search("keynum", 3, protocol, out);
            field("keynumidx", index.into(), out);
            field("firstkey", first.into(), out);
            field("keystep", step.into(), out);
        }
        FindKeys::Unknown => search("unknown", 0, protocol, out),
    }
}

/// The kind of a search, and how many fields are told of it.
fn search(kind: &str, fields: usize, protocol: Protocol, out: &mut Vec<u8>) {
    write::map_len(out, 2, protocol);
    write::bulk(out, b"type");
    write::bulk(out, kind.as_bytes());
    write::bulk(out, b"spec");
    write::map_len(out, fields, protocol);
}

fn field(name: &str, value: i64, out: &mut Vec<u8>) {
    write::bulk(out, name.as_bytes());
    write::integer(out, value);
}

#[cfg(test)]
mod tests;
