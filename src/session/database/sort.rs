//! SORT with BY or GET in a database with a tag.
//!
//! Owns the script that does it: a node in cluster mode refuses these options (before Redis 7.4), as the
//! keys that a pattern names may be anywhere. In a database they are not. The options are read as Redis
//! reads them. See <https://redis.io/docs/latest/commands/sort/>.

use super::tagged::{Tagged, Translation};
use super::whole;
use crate::builtin::answer::{NOT_AN_INTEGER, SYNTAX};
use crate::command::Command;
use crate::database::Database;
use crate::reply::handle::OnFailure;
use crate::resp::number::parse_integer;
use crate::resp::{Args, write};

const SCRIPT: &str = include_str!("sort.lua");

/// What SORT is asked for.
struct Options<'a> {
    by: &'a [u8],
    offset: i64,
    count: i64,
    is_descending: bool,
    by_letters: bool,
    store: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
}

/// SORT or SORT_RO, when it has patterns of keys in it. `None`: a node does it.
pub(super) fn sort(database: &Database, command: &Command, args: Args<'_>) -> Option<Translation> {
    if !command.sorts() {
        return None;
    }
    let options = match read(args, command.flags.is_readonly()) {
        Ok(options) => options,
        Err(text) => return Some(Translation::Refuse(text.to_owned())),
    };
    if options.get.is_empty() && !options.by.contains(&b'*') {
        return None;
    }
    let frame = request(database, args.get(1), &options);
    let on_failure = match options.store {
        Some(_) => OnFailure::WholeSlot,
        None => OnFailure::ReadOnlyWholeSlot,
    };
    Some(Translation::Tagged(Tagged { frame, on_failure: Some(on_failure), rename: None }))
}

/// Objections come in the order in which Redis has them.
fn read(args: Args<'_>, is_read_only: bool) -> Result<Options<'_>, &'static str> {
    let mut options = Options {
        by: b"",
        offset: 0,
        count: -1,
        is_descending: false,
        by_letters: false,
        store: None,
        get: Vec::new(),
    };
    let mut at = 2;
    while at < args.len() {
        let is = |word: &[u8]| args.get(at).eq_ignore_ascii_case(word);
        let left = args.len() - at - 1;
        if is(b"asc") || is(b"desc") {
            options.is_descending = is(b"desc");
        } else if is(b"alpha") {
            options.by_letters = true;
        } else if is(b"limit") && left >= 2 {
            options.offset = parse_integer(args.get(at + 1)).ok_or(NOT_AN_INTEGER)?;
            options.count = parse_integer(args.get(at + 2)).ok_or(NOT_AN_INTEGER)?;
            at += 2;
        } else if is(b"store") && left >= 1 && !is_read_only {
            options.store = Some(args.get(at + 1));
            at += 1;
        } else if is(b"by") && left >= 1 {
            options.by = args.get(at + 1);
            at += 1;
        } else if is(b"get") && left >= 1 {
            options.get.push(args.get(at + 1));
            at += 1;
        } else {
            return Err(SYNTAX);
        }
        at += 1;
    }
    Ok(options)
}

fn request(database: &Database, key: &[u8], options: &Options<'_>) -> Vec<u8> {
    let keys = [Some(key), options.store].into_iter().flatten().map(|key| database.key(key));
    let keys: Vec<Vec<u8>> = std::iter::once(whole::sentinel(database)).chain(keys).collect();
    let (count, offset, most) =
        (keys.len().to_string(), options.offset.to_string(), options.count.to_string());
    let mut words: Vec<&[u8]> = vec![b"EVAL", SCRIPT.as_bytes(), count.as_bytes()];
    words.extend(keys.iter().map(Vec::as_slice));
    words.extend([&*database.tag, options.by, offset.as_bytes(), most.as_bytes()]);
    words.push(if options.is_descending { b"DESC" } else { b"ASC" });
    words.push(if options.by_letters { b"ALPHA" } else { b"" });
    words.push(if options.store.is_some() { b"STORE" } else { b"" });
    words.extend(&options.get);
    let mut frame = Vec::new();
    write::request(&mut frame, &words);
    frame
}
