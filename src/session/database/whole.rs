//! What is about all keys of one database: scripts that the master of its slot runs.
//!
//! Owns these scripts. Each looks at the keys of one slot, not at all of a node, and runs only where all
//! of the slot is: its key is there for that, see [`SENTINEL`].

use std::sync::Arc;

use super::reply::{self, Rename};
use super::tagged::{Tagged, Translation};
use crate::builtin::answer::NOT_AN_INTEGER;
use crate::command::Keyspace;
use crate::database::Database;
use crate::reply::handle::OnFailure;
use crate::reply::texts;
use crate::resp::number::parse_integer;
use crate::resp::{Args, write};

/// Begins the key that stands for a whole database. No client's key is like it, and it is never there: so
/// a node that has only a part of the slot says ASK or TRYAGAIN, and the request waits.
pub(super) const SENTINEL: &[u8] = b"\0slotway\0";

/// The keys of the database, without those that have expired; ARGV: slot, tag, type or nothing.
const LIST: &str = "local r,t,w={},ARGV[2],ARGV[3] local L=#t \
    for _,k in ipairs(redis.call('cluster','getkeysinslot',ARGV[1],redis.call('cluster','countkeysinslot',ARGV[1]))) do \
    if string.sub(k,1,L)==t then local y=redis.call('type',k)['ok'] \
    if y~='none' and (w=='' or w==y) then r[#r+1]=string.sub(k,L+1) end end end ";

/// The key that stands for a whole database.
pub(super) fn sentinel(database: &Database) -> Vec<u8> {
    [SENTINEL, &*database.tag].concat()
}

/// A script over the database's keys.
fn script(database: &Database, begin: &str, end: &str, wanted_type: &[u8]) -> Vec<u8> {
    let text = [begin, end].concat();
    let slot = database.slot.index().to_string();
    let key = sentinel(database);
    let words: [&[u8]; 7] =
        [b"EVAL", text.as_bytes(), b"1", &key, slot.as_bytes(), &database.tag, wanted_type];
    let mut frame = Vec::new();
    write::request(&mut frame, &words);
    frame
}

/// How many keys there are; those that have expired and are not removed yet count, as in DBSIZE. With
/// how many of them expire.
pub(super) fn count(database: &Database) -> Vec<u8> {
    let begin = "local n,e,t=0,0,ARGV[2] local L=#t local c=redis.call('cluster','countkeysinslot',ARGV[1]) \
        if c==0 then return {0,0} end \
        for _,k in ipairs(redis.call('cluster','getkeysinslot',ARGV[1],c)) do \
        if string.sub(k,1,L)==t then n=n+1 if redis.call('ttl',k)>=0 then e=e+1 end end end return {n,e}";
    script(database, begin, "", b"")
}

/// DBSIZE, FLUSHDB or KEYS in a database.
pub(super) fn keyspace(what: Keyspace, database: &Arc<Database>, args: Args<'_>) -> Translation {
    let (frame, on_failure, rename): (_, _, Option<Rename>) = match what {
        Keyspace::DbSize => {
            let begin = "local n,t=0,ARGV[2] local L=#t \
                for _,k in ipairs(redis.call('cluster','getkeysinslot',ARGV[1],redis.call('cluster','countkeysinslot',ARGV[1]))) do \
                if string.sub(k,1,L)==t then n=n+1 end end return n";
            (script(database, begin, "", b""), OnFailure::ReadOnlyWholeSlot, None)
        }
        Keyspace::FlushDb => {
            let begin = "local t=ARGV[2] local L=#t \
                for _,k in ipairs(redis.call('cluster','getkeysinslot',ARGV[1],redis.call('cluster','countkeysinslot',ARGV[1]))) do \
                if string.sub(k,1,L)==t then redis.call('unlink',k) end end return redis.status_reply('OK')";
            (script(database, begin, "", b""), OnFailure::WholeSlot, None)
        }
        Keyspace::Keys => {
            let list = script(database, LIST, "return r", b"");
            (list, OnFailure::ReadOnlyWholeSlot, Some(reply::fitting(args.get(1))))
        }
    };
    Translation::Tagged(Tagged { frame, on_failure: Some(on_failure), rename })
}

/// RANDOMKEY.
pub(super) fn random_key(database: &Arc<Database>) -> Translation {
    let end = "if #r==0 then return false end return r[math.random(#r)]";
    // A node's random numbers are the same for each run of a script, unless it is told otherwise.
    let seed = format!("math.randomseed({}) ", fastrand::u32(..));
    let frame = script(database, LIST, &(seed + end), b"");
    let on_failure = Some(OnFailure::ReadOnlyWholeSlot);
    Translation::Tagged(Tagged { frame, on_failure, rename: None })
}

/// SCAN: all keys in one page. A database is one slot, whose keys a node gives only all at once.
pub(super) fn scan(database: &Arc<Database>, args: Args<'_>) -> Translation {
    let (mut pattern, mut wanted_type, mut at) = (None, &b""[..], 2);
    let is_cursor = parse_integer(args.get(1)).is_some_and(|cursor| cursor >= 0);
    if !is_cursor {
        return Translation::Refuse(texts::SCAN_CURSOR.to_owned());
    }
    while at < args.len() {
        let is = |name: &[u8]| args.get(at).eq_ignore_ascii_case(name);
        if at + 1 == args.len() {
            return Translation::Refuse("ERR syntax error".to_owned());
        }
        let value = args.get(at + 1);
        if is(b"match") {
            pattern = Some(value);
        } else if is(b"type") {
            wanted_type = value;
        } else if is(b"count") {
            match parse_integer(value) {
                Some(count) if count > 0 => {}
                Some(_) => return Translation::Refuse("ERR syntax error".to_owned()),
                None => return Translation::Refuse(NOT_AN_INTEGER.to_owned()),
            }
        } else {
            return Translation::Refuse("ERR syntax error".to_owned());
        }
        at += 2;
    }
    // There is no page behind the first: a cursor that is not 0 has been made up.
    let end = if args.get(1) == b"0" { "return r" } else { "return {}" };
    let frame = script(database, LIST, end, &wanted_type.to_ascii_lowercase());
    let on_failure = Some(OnFailure::ReadOnlyWholeSlot);
    Translation::Tagged(Tagged { frame, on_failure, rename: Some(reply::page(pattern)) })
}
